import json
from pathlib import Path

import pytest

import ioriot


def test_sections_have_rows_units_and_the_sql_that_made_them(capture: Path) -> None:
    data = ioriot.open(capture)
    section = data.report()["latency_cdf"]
    assert section.units["latency_ns"] == "nanos" and section.meanings["share"]
    assert max(section.columns["share"]) == 1
    assert section.sql is not None
    assert data.sql(section.sql)["latency_ns"] == section.columns["latency_ns"] == section.result()["latency_ns"]
    with pytest.raises(ioriot.Error, match="there is no section nothing; there are"):
        data.report()["nothing"]


def test_reports_are_written_and_shown(capture: Path, tmp_path: Path) -> None:
    report = ioriot.open(capture).report(tmp_path / "cap.html")
    assert (tmp_path / "cap.html").read_text().lower().startswith("<!doctype html")
    shown = report._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts"') and "<script" not in shown
    ioriot.open(capture).report(tmp_path / "cap.json")
    assert json.loads((tmp_path / "cap.json").read_text())["findings"] == report.data["findings"]
    with pytest.raises(ioriot.Error):
        ioriot.open(capture).report(tmp_path / "no" / "cap.html")


def test_runs_are_found_below_a_directory(runs: Path, capture: Path) -> None:
    data = ioriot.open(capture, runs / "work", runs / "run-1")
    assert [finding.name for finding in data.report().findings] == ["time_not_believable"]
    assert {"captured", "replayed"} == set(data.report()["run_cdf"].columns["side"])
    assert data.sql("SELECT count(*) AS n FROM results WHERE outcome = 'different'")["n"] == [0]


def test_runs_are_compared(runs: Path) -> None:
    comparison = ioriot.compare(runs / "run-1", runs / "run-2")
    assert comparison.passed is None
    assert comparison["each"].columns["run"] == ["run-1", "run-2"]
    assert "run-1" in comparison.text and comparison._repr_html_().startswith("<iframe sandbox")
    with pytest.raises(ioriot.Error, match="5"):
        ioriot.compare(runs / "run-1", runs / "run-2", max_regression=5)


def test_a_page_is_of_the_same_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "fake"
    fake.write_text('#!/bin/sh\necho "\\"$*\\""\n')
    fake.chmod(0o755)
    monkeypatch.setenv("IORIOT", str(fake))
    compared = ioriot.compare("a", "b", max_regression=5)
    assert str(compared.data) == "compare --format json --max-regression 5% -- a b"
    assert "compare --format html --max-regression 5% -- a b" in compared.html
