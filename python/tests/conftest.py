"""Datasets that the program makes of small captures."""

from pathlib import Path

import pytest

import ioriot

DATA = Path(__file__).parents[2] / "tests" / "data"


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "cap"
    ioriot.command("ingest", DATA / "matrix.strace", "-o", path)
    return path


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "other"
    ioriot.command("ingest", DATA / "compat32.strace", "-o", path)
    return path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, capture: Path) -> Path:
    """A directory with a workload and two runs of it."""
    place = tmp_path_factory.mktemp("runs")
    ioriot.command("generate", capture, "-o", "work", cwd=place)
    ioriot.command("init", "work", cwd=place)
    ioriot.command("replay", "work", "-o", "run", "--repeat", "2", cwd=place)
    return place
