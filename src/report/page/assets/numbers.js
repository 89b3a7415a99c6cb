"use strict";
// Values as people read them; units are those of the data's columns (src/report/page/cell.rs).
function scaled(value, step, units) {
  let unit = 0;
  while (Math.abs(value) >= step - 0.5 && unit + 1 < units.length) {
    value /= step;
    unit += 1;
  }
  const size = Math.abs(value);
  const digits = unit === 0 || size >= 99.95 ? 0 : size < 9.995 ? 2 : 1;
  return value.toFixed(digits) + " " + units[unit];
}
const nanos = (ns) => scaled(ns, 1000, ["ns", "µs", "ms", "s"]);
const bytes = (count) => scaled(count, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
function plain(value) {
  const size = Math.abs(value);
  if (Number.isInteger(value) || size >= 1000) return Math.round(value).toLocaleString("en-US");
  if (size >= 0.001) return String(Number(value.toPrecision(3)));
  return value.toExponential(1);
}
function shown(value, unit) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  switch (unit) {
    case "id": return String(value);
    case "nanos": return nanos(value);
    case "seconds": return value === 0 ? "0 s" : nanos(value * 1e9);
    case "bytes": return bytes(value);
    case "byte_rate": return bytes(value) + "/s";
    case "rate": return plain(value) + "/s";
    case "share": return (value * 100).toFixed(1) + " %";
    case "percent": return value.toFixed(1) + " %";
    default: return plain(value);
  }
}
// The name of a column without the unit, which its values have.
function headed(column) {
  const ends = { nanos: "_ns", seconds: "_s", rate: "_per_s", byte_rate: "_per_s" };
  const end = ends[column.unit];
  const stem = end && column.name.endsWith(end) ? column.name.slice(0, -end.length) : column.name;
  return stem.replaceAll("_", " ");
}
function element(kind, style, text) {
  const made = document.createElement(kind);
  if (style) made.className = style;
  if (text !== undefined) made.textContent = text;
  return made;
}
