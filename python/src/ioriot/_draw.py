"""Sections as figures of matplotlib."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, NullFormatter, PercentFormatter

from ioriot._program import Error
from ioriot._report import Section

WIDTH = 9.0
CELL = 0.35
LONGEST = 70

NANOS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
BYTES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))


class Picture(Figure):
    """A figure of matplotlib that Jupyter shows; it belongs to no global state, so nothing has to be closed."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=110)
        return out.getvalue()


def draw(sections: list[Section]) -> Picture:
    """The plots of sections, one below the other. Raises `Error` where there is nothing to draw."""
    panels = [panel for section in sections for panel in _panels(section)]
    if not panels:
        raise Error(f"section {sections[0].name} has no rows to draw")
    picture = Picture(figsize=(WIDTH, 0.4 + 3.0 * len(panels)), layout="constrained")
    grid = picture.subplots(len(panels), 1, squeeze=False)
    for axes, (section, rows, title) in zip(grid[:, 0], panels, strict=True):
        axes.set_title(title, loc="left", fontsize="medium")
        match section.plot.shape:
            case "line":
                _lines(axes, section, rows)
            case "bars":
                _bars(axes, section, rows)
            case "heat":
                _heat(axes, section, rows)
    return picture


Rows = dict[str, list[Any]]


def _panels(section: Section) -> list[tuple[Section, Rows, str]]:
    if section.plot.shape == "table":
        raise Error(f"section {section.name} is a table: it has no plot")
    title = section.title if section.case is None else f"{section.title}: {_cut(section.case)}"
    rows = section.columns
    if not rows[section.plot.x]:
        return []
    if section.plot.shape != "heat" or section.plot.by is None:
        return [(section, rows, title)]
    return [(section, part, f"{title}\n{_cut(name)}") for name, part in _split(rows, section.plot.by)]


def _split(rows: Rows, by: str) -> list[tuple[str, Rows]]:
    parts: dict[Any, Rows] = {}
    for at, key in enumerate(rows[by]):
        part = parts.setdefault(key, {name: [] for name in rows})
        for name, values in rows.items():
            part[name].append(values[at])
    return [(str(key), part) for key, part in parts.items()]


def _lines(axes: Axes, section: Section, rows: Rows) -> None:
    plot = section.plot
    curves = (
        [(name, part, plot.y[0]) for name, part in _split(rows, plot.by)]
        if plot.by
        else [(_words(column), rows, column) for column in plot.y]
    )
    along = sorted({x for x in rows[plot.x] if x is not None})
    for name, part, column in curves:
        points = [(x, y) for x, y in zip(part[plot.x], part[column], strict=True) if x is not None and y is not None]
        if plot.zero:
            points = _filled(points, along)
        marker = "." if len(points) < 3 else ""
        if section.units[column] == "share" and plot.by:
            axes.step(*_columns(points), where="post", label=name, marker=marker)
        else:
            axes.plot(*_columns(points), label=name, marker=marker)
    _scale(axes, section)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    _legend(axes, len(curves))


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _filled(points: list[tuple[float, float]], along: list[float]) -> list[tuple[float, float]]:
    """The points, and zero at the steps of time beside them that have none: all steps are as long as the least."""
    step = min((b - a for a, b in itertools.pairwise(along)), default=0.0)
    filled: list[tuple[float, float]] = []
    last = along[0] - step
    for x, y in sorted(points):
        if step > 0 and x - last > 1.5 * step:
            filled += [(last + step, 0.0), (x - step, 0.0)]
        filled.append((x, y))
        last = x
    if step > 0 and along[-1] - last > 0.5 * step:
        filled += [(last + step, 0.0), (along[-1], 0.0)]
    return filled


def _bars(axes: Axes, section: Section, rows: Rows) -> None:
    plot = section.plot
    width = 0.8 / len(plot.y)
    for number, column in enumerate(plot.y):
        places = [at - 0.4 + width * (number + 0.5) for at in range(len(rows[plot.x]))]
        axes.bar(places, [value or 0 for value in rows[column]], width=width, label=_words(column))
    shown = _shower(section.units[plot.x])
    labels = [shown(value, 0) if isinstance(value, (int, float)) else _cut(str(value)) for value in rows[plot.x]]
    crowded = len(labels) > 10
    axes.set_xticks(range(len(labels)), labels, rotation=45 if crowded else 0, ha="right" if crowded else "center")
    axes.set_xlabel(_words(plot.x))
    _axis(axes.yaxis, section.units[plot.y[0]], _words(plot.y[0]) if len(plot.y) == 1 else "number")
    axes.grid(axis="y", alpha=0.3)
    _legend(axes, len(plot.y))


def _heat(axes: Axes, section: Section, rows: Rows) -> None:
    plot = section.plot
    assert plot.z is not None
    xs, ys, counts = rows[plot.x], rows[plot.y[0]], rows[plot.z]
    colours = axes.scatter(xs, ys, c=counts, marker="s", s=14, linewidths=0, cmap="viridis", norm=LogNorm(1, max(2, *counts)))
    bar = axes.figure.colorbar(colours, ax=axes, label=_words(plot.z))
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(counts) < 100 else (1,)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    _scale(axes, section)
    axes.grid(alpha=0.3)


def _scale(axes: Axes, section: Section) -> None:
    plot = section.plot
    if "x" in plot.log:
        axes.set_xscale("log")
    if "y" in plot.log:
        axes.set_yscale("log")
    _axis(axes.xaxis, section.units[plot.x], _words(plot.x))
    _axis(axes.yaxis, section.units[plot.y[0]], _words(plot.y[0]) if len(plot.y) == 1 else _common(section))


def _axis(axis: Any, unit: str, label: str) -> None:
    names = {"seconds": f"{label}, s", "rate": f"{label}, 1/s"}
    axis.set_label_text(names.get(unit, label))
    if unit == "share":
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    else:
        axis.set_major_formatter(FuncFormatter(_shower(unit)))
    if unit in ("bytes", "byte_rate") and axis.get_scale() == "linear":
        axis.set_major_locator(Binary())


class Binary(Locator):
    """Ticks at multiples of a power of two, eight at most."""

    def __call__(self) -> list[float]:
        assert self.axis is not None
        least, most = self.axis.get_view_interval()
        return self.tick_values(least, most)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Ticks from `vmin` to `vmax`."""
        least, most = sorted((vmin, vmax))
        step = 2.0 ** math.ceil(math.log2(max(most - least, 1) / 8))
        first = math.ceil(least / step)
        return [step * number for number in range(first, math.floor(most / step) + 1)]


def _shower(unit: str) -> Callable[[float, Any], str]:
    """How values of a unit are written at ticks."""
    match unit:
        case "nanos":
            return lambda value, _: _scaled(value, NANOS, "")
        case "bytes":
            return lambda value, _: _scaled(value, BYTES, "")
        case "byte_rate":
            return lambda value, _: _scaled(value, BYTES, "/s")
        case "share":
            return lambda value, _: f"{100 * value:.3g} %"
        case _:
            return lambda value, _: f"{value:,.6g}"


def _scaled(value: float, units: tuple[tuple[float, str], ...], per: str) -> str:
    for size, name in units:
        if abs(value) >= size:
            return f"{value / size:.3g} {name}{per}"
    return f"{value:.3g} {units[-1][1]}{per}"


def _words(column: str) -> str:
    for end in ("_bytes_per_s", "_per_s", "_ns", "_s", "_bytes"):
        if column.endswith(end):
            column = column.removesuffix(end)
            break
    return column.replace("_", " ")


def _common(section: Section) -> str:
    """What an axis of several columns is of."""
    match section.units[section.plot.y[0]]:
        case "byte_rate":
            return "bytes each second"
        case "share":
            return "share"
        case _:
            return "number"


def _legend(axes: Axes, curves: int) -> None:
    if curves > 1 or axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize="small")


def _cut(name: str) -> str:
    """A name as text that is drawn as it is: without mathematics, what is not printable escaped, not too long."""
    safe = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in name).replace("$", r"\$")
    return safe if len(safe) <= LONGEST else f"…{safe[1 - LONGEST :]}"
