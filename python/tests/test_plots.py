from pathlib import Path
from typing import Any

import pytest

import ioriot

pytest.importorskip("matplotlib")

OF_CAPTURES = ["latency", "latency_heat", "time_line", "throughput", "sizes", "offsets", "in_flight"]
OF_RUNS = ["latency", "run_heat", "run_rate"]


def check(picture: Any) -> None:
    """Axes have titles, labels and marks; nothing lies outside of the picture; it can be shown."""
    assert picture._repr_png_().startswith(b"\x89PNG")
    picture.draw_without_rendering()
    bounds = picture.bbox
    for axes in picture.axes:
        assert axes.lines or axes.patches or axes.collections
        legend = axes.get_legend()
        texts = [axes.xaxis.label, axes.yaxis.label, axes._left_title, *(legend.get_texts() if legend else [])]
        for text in filter(lambda text: text.get_text(), texts):
            box = text.get_window_extent()
            assert bounds.x0 <= box.x0 and box.x1 <= bounds.x1 and bounds.y0 <= box.y0 and box.y1 <= bounds.y1, text
    assert any(axes.get_title(loc="left") and axes.get_xlabel() for axes in picture.axes)


@pytest.mark.parametrize("name", OF_CAPTURES)
def test_plots_of_a_capture(capture: Path, name: str) -> None:
    check(getattr(ioriot.open(capture).plot, name)())


@pytest.mark.parametrize("name", OF_RUNS)
def test_plots_of_a_run(capture: Path, runs: Path, name: str) -> None:
    check(getattr(ioriot.open(capture, runs / "work", runs / "run-1").plot, name)())


def test_latencies_of_a_run_stand_beside_the_captured_ones(runs: Path, capture: Path) -> None:
    (axes,) = ioriot.open(runs / "work", runs / "run-1").plot.latency().axes
    assert set(axes.get_legend_handles_labels()[1]) == {"captured", "replayed"}
    (axes,) = ioriot.open(capture).plot.latency().axes
    assert "reads" in axes.get_legend_handles_labels()[1]


def test_every_section_with_a_plot_is_drawn(capture: Path, runs: Path) -> None:
    sections = ioriot.open(capture, runs / "work", runs / "run-1").report().sections
    assert {section.plot.shape for section in sections} == {"line", "bars", "heat", "table"}
    for section in sections:
        if section.plot.shape != "table":
            check(section.draw())
    with pytest.raises(ioriot.Error, match="is a table"):
        ioriot.open(capture).plot.section("files")


def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    from ioriot._draw import _cut

    assert _cut("a$b$\x1b[0m") == r"a\$b\$\x1b[0m"
    assert len(_cut("x" * 5000)) == 70
