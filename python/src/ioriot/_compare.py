"""Runs side by side."""

from __future__ import annotations

import html
import json
import os
from functools import cached_property
from typing import Any

from ioriot._program import Error, StrPath, invoke
from ioriot._report import HEIGHT


def compare(*groups: StrPath, max_regression: float | None = None) -> Comparison:
    """Compare runs, captures, or groups of repeated runs, with the first (docs/GLOSSARY.md, `ioriot compare --help`).

    With `max_regression`, in percent, `Comparison.passed` says whether nothing is slower by more than that. Raises `Error`
    where the groups cannot be compared, or are too small for a verdict.
    """
    return Comparison(groups, max_regression)


class Comparison:
    """Differences of groups of runs."""

    passed: bool | None
    """Is nothing slower by more than was allowed? `None` where nothing was said of it."""

    def __init__(self, groups: tuple[StrPath, ...], max_regression: float | None) -> None:
        self._groups = groups
        gate = () if max_regression is None else ("--max-regression", f"{max_regression}%")
        output, code = invoke(("compare", "--format", "json", *gate, "--", *groups), accept=(0, 1))
        if not output:
            raise Error("nothing could be compared", code)
        self.data: dict[str, Any] = json.loads(output)
        """All of it, as `ioriot compare --format json` writes it."""
        self.passed = None if max_regression is None else code == 0

    @cached_property
    def html(self) -> str:
        """A page that loads nothing from elsewhere."""
        return invoke(("compare", "--format", "html", "--", *self._groups), accept=(0, 1))[0].decode()

    @cached_property
    def text(self) -> str:
        """Tables for a terminal."""
        return invoke(("compare", "--", *self._groups), accept=(0, 1))[0].decode()

    def _repr_html_(self) -> str:
        page = html.escape(self.html, quote=True)
        style = f"width:100%;height:{HEIGHT}px;border:0"
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{page}"></iframe>'

    def __repr__(self) -> str:
        return f"comparison of {', '.join(os.fspath(group) for group in self._groups)}"
