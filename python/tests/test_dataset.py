import os
import stat
from pathlib import Path

import pyarrow as pa
import pytest

import ioriot

EVENTS = 120
DATA = Path(__file__).parents[2] / "tests" / "data"


def test_tables_are_those_of_the_files(capture: Path) -> None:
    data = ioriot.open(capture)
    assert "events" in data.tables
    assert data.dataset("events").count_rows() == EVENTS
    assert len(data.table("events")) == EVENTS
    assert data.table("events", ["syscall", "seq"]).columns == ["syscall", "seq"]
    assert data.manifests[0]["events"] == EVENTS
    assert "capture" in repr(data)


def test_sql_is_answered_by_the_program(capture: Path) -> None:
    data = ioriot.open(capture)
    assert data.sql("SELECT count(*) AS n FROM events")["n"] == [EVENTS]
    assert len(data.view("io")) > 0
    assert data.sql("SELECT * FROM miss_ratio() LIMIT 1").columns
    empty = data.sql("SELECT seq FROM events WHERE false")
    assert empty.columns == ["seq"] and len(empty) == 0
    # Neither a word of the shell nor an option.
    assert data.sql("-- $(false) `false`\nSELECT '$HOME \"x\"' AS text")["text"] == ['$HOME "x"']


def test_batches_can_be_left_early(capture: Path) -> None:
    batches = ioriot.open(capture).batches("SELECT a.seq FROM events AS a CROSS JOIN events AS b CROSS JOIN events AS c")
    assert next(batches).num_rows == 0
    assert next(batches).num_rows > 0
    batches.close()  # type: ignore[attr-defined]


def test_rows_of_several_datasets_say_whose_they_are(capture: Path, other: Path) -> None:
    data = ioriot.open(capture, other)
    events = data.table("events", ["syscall"])
    assert events.columns == ["dataset", "syscall"]
    assert len(set(events["dataset"])) == 2
    assert len(events) == data.dataset("events").count_rows() > EVENTS


def test_a_fleet_is_one_dataset(tmp_path: Path) -> None:
    inputs = [DATA / "matrix.strace", DATA / "compat32.strace"]
    ioriot.command("ingest", *inputs, "-o", tmp_path / "fleet")
    data = ioriot.open(tmp_path / "fleet")
    assert [path.name for path in data.paths] == ["host=compat32", "host=matrix"]
    hosts = data.sql("SELECT host, count(*) AS n FROM events GROUP BY host ORDER BY host")
    assert hosts["host"] == ["compat32", "matrix"] and sum(hosts["n"]) == len(data.table("events"))


def test_results_go_to_other_libraries(capture: Path) -> None:
    result = ioriot.open(capture).sql("SELECT syscall, count(*) AS n FROM events GROUP BY 1 ORDER BY 2 DESC")
    assert sum(result["n"]) == EVENTS
    assert [row["n"] for row in result] == result["n"]
    assert isinstance(result.arrow, pa.Table)
    pandas = pytest.importorskip("pandas")
    assert isinstance(result.to_pandas(), pandas.DataFrame)
    assert result.to_pandas()["n"].sum() == EVENTS
    polars = pytest.importorskip("polars")
    assert result.to_polars()["n"].sum() == EVENTS
    assert polars.DataFrame(result).shape == (len(result), 2)
    duckdb = pytest.importorskip("duckdb")
    assert result.to_duckdb(duckdb.connect()).sum("n").fetchall() == [(EVENTS,)]


def test_rows_are_shown_without_what_they_could_do(capture: Path) -> None:
    result = ioriot.open(capture).sql("SELECT '<b>' || chr(27) || '[2J' AS name, 12345678 AS bytes, NULL AS nothing")
    assert "&lt;b&gt;\\x1b[2J" in result._repr_html_()
    assert "\x1b" not in repr(result) and "12,345,678" in repr(result)


def test_errors_are_what_the_program_says(capture: Path, tmp_path: Path) -> None:
    data = ioriot.open(capture)
    with pytest.raises(ioriot.Error, match="sql parser error") as error:
        data.sql("SELEC 1")
    assert error.value.code == 2
    with pytest.raises(ioriot.Error, match="there is no table nothing"):
        data.sql("SELECT * FROM nothing")
    with pytest.raises(ioriot.Error, match="there is no table nothing; there are"):
        data.table("nothing")
    # A name is a name, whatever it holds.
    with pytest.raises(ioriot.Error, match="there is no table"):
        data.view('events"; SELECT 1; "')
    with pytest.raises(ioriot.Error, match="is no dataset"):
        ioriot.open(tmp_path)
    with pytest.raises(ioriot.Error, match="no dataset is named"):
        ioriot.open()
    with pytest.raises(ioriot.Error, match="could not be called"):
        data.sql("SELECT '\0'")
    with pytest.raises(ioriot.Error, match="could not be called"):
        data.sql("SELECT 1 --" + "x" * (1 << 20))


def test_an_error_amid_the_answer_is_an_error(capture: Path) -> None:
    with pytest.raises(ioriot.Error) as error:
        ioriot.open(capture).sql("SELECT 1 / (seq - 100) AS x FROM events")
    assert error.value.code == 2 and "zero" in str(error.value)


def test_sql_writes_no_files(capture: Path, tmp_path: Path) -> None:
    with pytest.raises(ioriot.Error):
        ioriot.open(capture).sql(f"COPY events TO '{tmp_path}/out.csv'")
    assert list(tmp_path.iterdir()) == []


def test_the_program_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "ioriot"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho fake\n")
    monkeypatch.setenv("IORIOT", str(fake))
    with pytest.raises(ioriot.Error, match="which is no program"):
        ioriot.program()
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    assert ioriot.command() == "fake\n"
    monkeypatch.delenv("IORIOT")
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}/nowhere")
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path / "scripts"))
    assert ioriot.program() == fake
    beside = tmp_path / "scripts" / "ioriot"
    beside.parent.mkdir()
    beside.write_bytes(fake.read_bytes())
    beside.chmod(0o700)
    assert ioriot.program() == beside
    monkeypatch.setenv("PATH", "/nowhere")
    beside.unlink()
    with pytest.raises(ioriot.Error, match="there is no program ioriot"):
        ioriot.program()


def _fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """A program that does as this script says; REAL in it is the real one."""
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\n" + script.replace("REAL", f"'{ioriot.program()}' \"$@\"") + "\n")
    fake.chmod(0o755)
    monkeypatch.setenv("IORIOT", str(fake))


@pytest.mark.parametrize("cut", [0, 7, 500, 3000, 20_000])
@pytest.mark.parametrize("end", ["echo 'error: it broke' >&2; exit 2", "kill -9 $$", "exit 0"])
def test_a_stream_that_is_cut_off_is_an_error(
    capture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cut: int, end: str
) -> None:
    data = ioriot.open(capture)
    _fake(monkeypatch, tmp_path, f"REAL | head -c {cut}; {end}")
    with pytest.raises(ioriot.Error, match=r"it broke|exit code -9|no answer of ioriot"):
        data.sql("SELECT * FROM events")


@pytest.mark.parametrize("script", ["yes", "head -c 100000 /dev/zero", "REAL; yes | head -c 1000000"])
def test_what_nobody_reads_holds_nobody_up(capture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    data = ioriot.open(capture)
    _fake(monkeypatch, tmp_path, script)
    with pytest.raises(ioriot.Error):
        data.sql("SELECT seq FROM events")


def test_columns_of_one_name_are_all_shown(capture: Path) -> None:
    twice = ioriot.open(capture).sql("SELECT a.pid, b.pid FROM events AS a, events AS b LIMIT 1")
    assert repr(twice).splitlines()[0].split() == ["pid", "pid"] and len(repr(twice).splitlines()[1].split()) == 2
    assert twice._repr_html_().count("<td>") == 2


def test_odd_paths_are_paths(capture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("a b\nc", "kind=x", "--help", os.fsdecode(b"\xff")):
        place = tmp_path / name
        place.symlink_to(capture)
        monkeypatch.chdir(tmp_path)
        data = ioriot.open(name)
        assert len(data.table("events")) == EVENTS
        assert data.sql("SELECT count(*) AS n FROM events")["n"] == [EVENTS]
        assert data.table("events").columns == ioriot.open(capture).table("events").columns
    ioriot.open(capture).report("-x.md")
    assert (tmp_path / "-x.md").read_text().startswith("#")
    for url in ("s3://bucket/cap", f"file://{capture}"):
        with pytest.raises(ioriot.Error, match="is a URL"):
            ioriot.open(url)


def test_columns_that_are_not_there_are_an_error(capture: Path, other: Path) -> None:
    for data in (ioriot.open(capture), ioriot.open(capture, other)):
        with pytest.raises(ioriot.Error, match="there is no column nothing"):
            data.table("events", ["seq", "nothing"])
