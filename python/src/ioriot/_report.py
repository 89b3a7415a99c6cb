"""Reports: sections with their rows and plots, and findings."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ioriot._program import Error, StrPath, invoke
from ioriot._result import Result

if TYPE_CHECKING:
    from ioriot._draw import Picture

HEIGHT = 900


@dataclass(frozen=True)
class Finding:
    """What stands out."""

    name: str
    """Name of the rule (docs/SQL.md)."""
    title: str
    """What was found."""
    severity: str
    """high, medium, low or info."""
    advice: str
    """What can be done."""
    case: str | None
    """Which dataset, where there are several."""
    evidence: list[dict[str, Any]]
    """What it was seen in: `subject`, `numbers`, `cost_ns` (what it costs, ns)."""


@dataclass(frozen=True)
class Plot:
    """How a section is drawn: names of its columns."""

    shape: str
    """line, bars, heat or table."""
    x: str
    """Column along."""
    y: list[str]
    """Columns up."""
    z: str | None
    """Column that colours a heat map."""
    by: str | None
    """Column with a curve, or a heat map, for each of its values."""
    log: str
    """Axes with a logarithmic scale: none, x, y or both."""
    zero: bool
    """Is a value that is absent 0?"""


@dataclass(frozen=True)
class Section:
    """A table of a report."""

    name: str
    """Its name (docs/SQL.md)."""
    title: str
    """What it is."""
    meaning: str
    """What it shows."""
    case: str | None
    """Which dataset, where there are several."""
    plot: Plot
    """How it is drawn."""
    units: dict[str, str]
    """Unit of each column: plain, id, nanos, seconds, bytes, byte_rate, rate, share or percent."""
    meanings: dict[str, str]
    """Meaning of each column."""
    columns: dict[str, list[Any]]
    """Values of each column."""
    sql: str | None
    """The query that made it, which `Dataset.sql` answers; `None` in comparisons."""

    def result(self) -> Result:
        """The rows."""
        return Result(pa.table(self.columns))

    def draw(self) -> Picture:
        """The plot, a figure of matplotlib. Raises `Error` where the section is a table or has no rows."""
        from ioriot._draw import draw

        return draw([self])


class Page:
    """Sections and findings that a verb of the program makes, as data and as HTML."""

    def __init__(self, verb: str, paths: Sequence[StrPath], options: tuple[str, ...] = ()) -> None:
        self._verb = verb
        self._paths = paths
        self._options = options
        output, self._code = invoke((verb, "--format", "json", *options, "--", *paths), accept=(0, 1))
        if not output:
            raise Error(f"ioriot {verb} said nothing", self._code)
        self.data: dict[str, Any] = json.loads(output)
        """All of it, as `--format json` writes it."""

    @cached_property
    def html(self) -> str:
        """A page that loads nothing from elsewhere."""
        return self._form("html")

    @cached_property
    def text(self) -> str:
        """Tables for a terminal."""
        return self._form("text")

    @cached_property
    def sections(self) -> list[Section]:
        """The sections, in their order."""
        return [_section(section) for part in self.data["parts"] for section in part["sections"]]

    @cached_property
    def findings(self) -> list[Finding]:
        """What stands out, the gravest first."""
        names = Finding.__dataclass_fields__
        return [Finding(**{name: finding[name] for name in names}) for finding in self.data["findings"]]

    def named(self, name: str) -> list[Section]:
        """The sections of a name: one for each dataset it is of. Raises `Error` where there is none."""
        sections = [section for section in self.sections if section.name == name]
        if not sections:
            there = sorted({section.name for section in self.sections})
            raise Error(f"there is no section {name}; there are {', '.join(there)}")
        return sections

    def __getitem__(self, name: str) -> Section:
        return self.named(name)[0]

    def _form(self, form: str) -> str:
        return invoke((self._verb, "--format", form, *self._options, "--", *self._paths), accept=(0, 1))[0].decode()

    def _repr_html_(self) -> str:
        # Names in it come from elsewhere: the page can do nothing to the notebook around it.
        page = html.escape(self.html, quote=True)
        style = f"width:100%;height:{HEIGHT}px;border:0"
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{page}"></iframe>'

    def __repr__(self) -> str:
        return f"{self._verb} of {', '.join(os.fspath(path) for path in self._paths)}"


class Report(Page):
    """A report on datasets."""

    def __init__(self, paths: Sequence[StrPath]) -> None:
        super().__init__("report", paths)


def _section(given: dict[str, Any]) -> Section:
    columns = [column["name"] for column in given["columns"]]
    values = list(zip(*given["rows"], strict=True)) or [()] * len(columns)
    return Section(
        name=given["name"],
        title=given["title"],
        meaning=given["meaning"],
        case=given["case"],
        plot=Plot(**given["plot"]),
        units={column["name"]: column["unit"] for column in given["columns"]},
        meanings={column["name"]: column["meaning"] for column in given["columns"]},
        columns={name: list(value) for name, value in zip(columns, values, strict=True)},
        sql=given["sql"],
    )
