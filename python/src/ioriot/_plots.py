"""The plots of a dataset, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ioriot._report import Report

if TYPE_CHECKING:
    from ioriot._draw import Picture


class Plots:
    """Plots of the report, by matplotlib (`pip install 'ioriot[plot]'`): data, title and units are those of its sections.

    Each raises `Error` where the datasets have nothing to draw.
    """

    def __init__(self, report: Report) -> None:
        self._report = report

    def section(self, name: str) -> Picture:
        """The plot of any section (docs/SQL.md), one picture for each dataset that has it."""
        from ioriot._draw import draw

        return draw(self._report.named(name))

    def latency(self) -> Picture:
        """Share of calls that took less than a time: of a run captured beside replayed, of a capture by class of calls."""
        run = any(section.name == "run_cdf" for section in self._report.sections)
        return self.section("run_cdf" if run else "latency_cdf")

    def latency_heat(self) -> Picture:
        """When calls took how long, in the capture."""
        return self.section("latency_heat")

    def run_heat(self) -> Picture:
        """When calls took how long, in the replay."""
        return self.section("run_heat")

    def time_line(self) -> Picture:
        """Calls each second, by class, over the captured time."""
        return self.section("call_rate")

    def throughput(self) -> Picture:
        """Bytes read and written each second, over the captured time."""
        return self.section("throughput")

    def run_rate(self) -> Picture:
        """Ops each second of a replay."""
        return self.section("run_rate")

    def sizes(self) -> Picture:
        """How many bytes reads and writes moved."""
        return self.section("sizes")

    def offsets(self) -> Picture:
        """Where in the busiest files reads and writes began, over time."""
        return self.section("offsets")

    def in_flight(self) -> Picture:
        """How many calls were under way at once, over time."""
        return self.section("in_flight_over_time")
