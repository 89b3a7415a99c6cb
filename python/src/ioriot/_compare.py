"""Runs side by side."""

from __future__ import annotations

from collections.abc import Sequence

from ioriot._program import StrPath
from ioriot._report import Page


def compare(*groups: StrPath, max_regression: float | None = None) -> Comparison:
    """Compare runs, captures, or groups of repeated runs, with the first (docs/GLOSSARY.md, `ioriot compare --help`).

    With `max_regression`, in percent, `Comparison.passed` says whether nothing is slower by more than that. Raises `Error`
    where the groups cannot be compared, or are too small for a verdict.
    """
    return Comparison(groups, max_regression)


class Comparison(Page):
    """Differences of groups of runs."""

    passed: bool | None
    """Is nothing slower by more than was allowed? `None` where nothing was said of it."""

    def __init__(self, groups: Sequence[StrPath], max_regression: float | None) -> None:
        super().__init__("compare", groups, () if max_regression is None else ("--max-regression", f"{max_regression}%"))
        self.passed = None if max_regression is None else self._code == 0
