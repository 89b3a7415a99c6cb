// Draws sections with uPlot. Drag to zoom, double click to see all again.
const HEIGHT = 260;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const series = (at) => colour("--series-" + (at % 9));
const columnOf = (section, name) => section.columns.findIndex((column) => column.name === name);
const sorted = (values) => Array.from(new Set(values)).sort((a, b) => a - b);
// Steps of an axis of bytes.
const POWERS = Array.from({ length: 60 }, (_, at) => 2 ** at);

function axis(unit, more) {
  const ticks = { stroke: colour("--grid"), width: 1 };
  const made = { stroke: colour("--soft"), grid: ticks, ticks, font: "12px system-ui, sans-serif", size: 84 };
  const told = (value) => (unit === "share" ? Math.round(value * 100) + " %" : shown(value, unit));
  made.values = (_, splits) => splits.map((split) => (split === null ? "" : told(split)));
  if (unit === "bytes" || unit === "byte_rate") made.incrs = POWERS;
  return Object.assign(made, more);
}

// Places of the marks of a logarithmic axis: powers of ten, or more where there are few of them.
function decades(_, __, least, most) {
  const [from, to] = [Math.floor(Math.log10(Math.max(least, 1))), Math.ceil(Math.log10(Math.max(most, 10)))];
  const steps = to - from > 3 ? [1] : [1, 2, 5];
  const marks = [];
  for (let power = from; power <= to; power += 1) steps.forEach((step) => marks.push(step * 10 ** power));
  return marks.filter((mark) => mark >= least && mark <= most);
}
const logarithmic = (yes) => (yes ? { splits: decades, filter: (_, splits) => splits } : {});

// The values of an even grid from the first to the last: where nothing happened there is no row, and the line is at zero.
function even(xs) {
  const step = xs.slice(1).reduce((least, value, at) => Math.min(least, value - xs[at]), Infinity);
  const count = (xs[xs.length - 1] - xs[0]) / step;
  if (!Number.isFinite(step) || count > 4000) return xs;
  const filled = [];
  let next = 0;
  for (let at = 0; at <= Math.round(count); at += 1) {
    const place = xs[0] + at * step;
    // The rows' own values, which rounding may have put beside the grid.
    if (next < xs.length && xs[next] <= place + step / 2) filled.push(xs[next++]);
    else filled.push(place);
  }
  return filled;
}

function plotOf(card, options, data) {
  const width = () => Math.max(card.clientWidth, 280);
  const all = { width: width(), height: HEIGHT, cursor: { drag: { x: true, y: false }, points: { size: 6 } }, ...options };
  const plot = new uPlot(all, data, card);
  const fit = new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT }));
  fit.observe(card);
  return { destroy() { fit.disconnect(); plot.destroy(); } };
}

function lines(card, section) {
  const { plot } = section;
  const x = columnOf(section, plot.x);
  const by = plot.by ? columnOf(section, plot.by) : -1;
  const found = new Map();
  for (const name of plot.y) {
    const y = columnOf(section, name);
    for (const row of section.rows) {
      if (row[x] === null || row[y] === null) continue;
      const key = by < 0 ? headed(section.columns[y]) : shown(row[by], section.columns[by].unit);
      if (!found.has(key)) found.set(key, { y, points: new Map() });
      found.get(key).points.set(row[x], row[y]);
    }
  }
  const kept = Array.from(found).slice(0, 18);
  const log = plot.log.includes("x");
  const places = sorted(kept.flatMap(([, line]) => Array.from(line.points.keys())));
  const xs = plot.zero ? even(places) : places;
  const data = [xs];
  const drawn = [{ label: headed(section.columns[x]), value: (_, value) => shown(value, section.columns[x].unit) || "–" }];
  kept.forEach(([key, line], at) => {
    const unit = section.columns[line.y].unit;
    let last = null;
    data.push(xs.map((at) => {
      const value = line.points.get(at);
      // A share that less than a time took holds until the next step.
      if (log) return (last = value ?? last);
      return value ?? (plot.zero ? 0 : null);
    }));
    drawn.push({
      label: key, stroke: series(at), width: 1.5, spanGaps: !plot.zero, points: { show: xs.length < 3 },
      value: (_, value) => shown(value, unit) || "–",
      paths: log ? uPlot.paths.stepped({ align: 1 }) : undefined,
    });
  });
  const unit = section.columns[kept.length ? kept[0][1].y : x].unit;
  const top = (_, least, most) => [Math.min(0, least ?? 0), unit === "share" ? Math.max(1, most ?? 1) : (most || 1) * 1.05];
  const scales = { x: { time: false, distr: log ? 3 : 1 }, y: { range: top } };
  return plotOf(card, { scales, series: drawn, axes: [axis(section.columns[x].unit, { size: 34, space: 80, ...logarithmic(log) }), axis(unit)] }, data);
}

function bars(card, section) {
  const { plot } = section;
  const x = columnOf(section, plot.x);
  const rows = section.rows.slice(0, 64);
  const names = rows.map((row) => shown(row[x], section.columns[x].unit));
  const ys = plot.y.map((name) => columnOf(section, name));
  const data = [rows.map((_, at) => at), ...ys.map((y) => rows.map((row) => row[y]))];
  const drawn = [{ label: headed(section.columns[x]), value: (_, at) => names[at] ?? "–" }];
  ys.forEach((y, at) => {
    const align = ys.length === 1 ? 0 : at === 0 ? -1 : 1;
    drawn.push({
      label: headed(section.columns[y]), fill: series(at), stroke: series(at), width: 0, points: { show: false },
      value: (_, value) => shown(value, section.columns[y].unit) || "–",
      paths: uPlot.paths.bars({ size: [0.8 / ys.length, 60], align }),
    });
  });
  const unit = section.columns[ys[0]].unit;
  const named = axis("plain", { size: 34, space: 46, incrs: [1, 2, 4, 8, 16], grid: { show: false }, font: "11px system-ui, sans-serif" });
  named.values = (_, splits) => splits.map((at) => (Number.isInteger(at) && names[at] !== undefined ? names[at] : ""));
  const top = (_, __, most) => [0, (most || 1) * 1.05];
  const scales = { x: { time: false, range: [-0.6, rows.length - 0.4] }, y: { range: top } };
  return plotOf(card, { scales, series: drawn, axes: [named, axis(unit)] }, data);
}

// Colours of heat, from few to many.
function heated(share) {
  const stops = [0, 1, 2, 3, 4].map((at) => colour("--heat-" + at));
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const at = Math.min(Math.floor(place), stops.length - 2);
  const parts = (hex) => [1, 3, 5].map((from) => parseInt(hex.slice(from, from + 2), 16));
  const [from, to] = [parts(stops[at]), parts(stops[at + 1])];
  return "rgb(" + from.map((part, which) => Math.round(part + (to[which] - part) * (place - at))).join(",") + ")";
}

function heat(card, section, rows) {
  const { plot } = section;
  const [x, y, z] = [plot.x, plot.y[0], plot.z].map((name) => columnOf(section, name));
  const units = [x, y, z].map((at) => section.columns[at].unit);
  const log = plot.log.includes("y");
  const step = (values) => values.slice(1).reduce((least, value, at) => Math.min(least, value - values[at]), Infinity);
  const [xs, ys] = [sorted(rows.map((row) => row[x])), sorted(rows.map((row) => row[y]))];
  const wide = Number.isFinite(step(xs)) ? step(xs) : 1;
  const high = Number.isFinite(step(ys)) ? step(ys) : 1;
  // Of buckets there are two from each power of two to the next.
  const above = (value) => (log ? value + 2 ** Math.floor(Math.log2(Math.max(value, 1))) / 2 : value + high);
  const most = rows.reduce((most, row) => Math.max(most, row[z]), 1);
  const palette = Array.from({ length: 33 }, (_, at) => heated(at / 32));
  const shade = (count) => palette[Math.round(32 * (most > 1 ? Math.log(count) / Math.log(most) : 1))];
  const paint = (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const row of rows) {
      const left = u.valToPos(row[x], "x", true);
      const top = u.valToPos(above(row[y]), "y", true);
      const width = Math.max(u.valToPos(row[x] + wide, "x", true) - left, 1);
      const height = Math.max(u.valToPos(log ? Math.max(row[y], 1) : row[y], "y", true) - top, 1);
      ctx.fillStyle = shade(row[z]);
      ctx.fillRect(Math.floor(left), Math.floor(top), Math.ceil(width), Math.ceil(height));
    }
    ctx.restore();
  };
  const tip = element("div", "tip");
  const told = (u) => {
    const { left, top } = u.cursor;
    if (left === undefined || left < 0) {
      tip.textContent = "";
      return;
    }
    const [at, level] = [u.posToVal(left, "x"), u.posToVal(top, "y")];
    const cell = rows.find((row) => at >= row[x] && at < row[x] + wide && level >= row[y] && level < above(row[y]));
    const name = headed(section.columns[z]);
    const said = cell ? shown(cell[z], units[2]) + " " + name : "none";
    tip.textContent = shown(at, units[0]) + ", " + shown(Math.round(level), units[1]) + ": " + said;
  };
  const [low, top] = [ys[0], above(ys[ys.length - 1])];
  const range = log ? [Math.max(low, 1), top] : [0, top];
  const made = plotOf(card, {
    legend: { show: false },
    scales: { x: { time: false, range: (_, from, to) => [from, to] }, y: { distr: log ? 3 : 1, range } },
    series: [{}, { paths: () => null, points: { show: false } }],
    axes: [axis(units[0], { size: 34, space: 80 }), axis(units[1], logarithmic(log))],
    hooks: { drawSeries: [paint], setCursor: [told] },
    cursor: { drag: { x: true, y: false }, points: { show: false } },
  }, [[...xs, xs[xs.length - 1] + wide], [...xs.map(() => low), low]]);
  const legend = element("div", "scale");
  legend.append(element("span", "", "1"));
  palette.filter((_, at) => at % 4 === 0).forEach((fill) => {
    const box = element("i");
    box.style.background = fill;
    legend.append(box);
  });
  legend.append(element("span", "", shown(most, units[2]) + " " + headed(section.columns[z])), tip);
  card.append(legend);
  return { destroy() { made.destroy(); legend.remove(); } };
}

function heats(card, section) {
  const by = section.plot.by ? columnOf(section, section.plot.by) : -1;
  const groups = new Map();
  for (const row of section.rows) {
    const key = by < 0 ? "" : String(row[by]);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  const made = Array.from(groups).map(([key, rows]) => {
    const box = element("div", "map");
    if (key) box.append(element("div", "map-name", key));
    card.append(box);
    const drawn = heat(box, section, rows);
    return { destroy() { drawn.destroy(); box.remove(); } };
  });
  return { destroy() { made.forEach((one) => one.destroy()); } };
}

function draw(card, section) {
  switch (section.plot.shape) {
    case "line": return lines(card, section);
    case "bars": return bars(card, section);
    default: return heats(card, section);
  }
}
