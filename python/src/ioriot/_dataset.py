"""Datasets: what lies in directories."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from ioriot._plots import Plots
from ioriot._program import Error, StrPath, invoke, stream
from ioriot._report import Report
from ioriot._result import Result

MANIFEST = "manifest.json"


def open(*paths: StrPath) -> Dataset:
    """Open captures, workloads and runs together.

    A path is the directory of a dataset, or one that holds some: what `ioriot run` makes, or a fleet. Raises `Error` where there
    is none.
    """
    if not paths:
        raise Error("no dataset is named")
    for path in paths:
        if "://" in os.fspath(path):
            raise Error(f"{path} is a URL, and a directory is wanted here: ioriot.command answers queries of datasets in stores")
    return Dataset([Path(os.fspath(path)) for path in paths])


class Dataset:
    """One or several datasets that are asked together."""

    paths: list[Path]
    """Directories of the datasets."""

    def __init__(self, paths: list[Path]) -> None:
        self._named = paths
        self.paths = [found for path in paths for found in _found(path)]

    @cached_property
    def manifests(self) -> list[dict[str, Any]]:
        """What each of `paths` says of itself (docs/SCHEMA.md)."""
        return [json.loads((path / MANIFEST).read_bytes()) for path in self.paths]

    @property
    def tables(self) -> list[str]:
        """Names of the tables that there are files of."""
        return sorted({file.stem for path in self.paths for file in path.glob("*.parquet")})

    def dataset(self, name: str) -> pyarrow.dataset.Dataset:
        """A table as a dataset of pyarrow: nothing is read until it is asked for.

        Where several datasets have the table, their rows stand one behind the other. Raises `Error` where none has it.
        """
        return pyarrow.dataset.dataset([os.fspath(file) for file in self._files(name)], format="parquet")

    def table(self, name: str, columns: list[str] | None = None) -> Result:
        """A whole table in memory, or these columns of it.

        Where several datasets have the table, column `dataset` says whose a row is. Raises `Error` where none has it, or where a
        column is not there.
        """
        files = self._files(name)
        if len(files) == 1:
            with files[0].open("rb") as file:
                parquet = pyarrow.parquet.ParquetFile(file)
                there = parquet.schema_arrow.names
                for column in columns or []:
                    if column not in there:
                        raise Error(f"there is no column {column} in {name}; there are {', '.join(there)}")
                return Result(parquet.read(columns=columns))
        wanted = ["dataset", *(column for column in columns if column != "dataset")] if columns else None
        chosen = ", ".join('"' + column.replace('"', '""') + '"' for column in wanted) if wanted else "*"
        return self.sql(f'SELECT {chosen} FROM "{name}"')

    def sql(self, query: str) -> Result:
        """The answer to one SELECT over the tables, views and table macros (docs/SQL.md), in memory.

        Over several datasets of one kind column `dataset` of a table says whose a row is. Raises `Error` with what the program
        says of a query that is wrong.
        """
        head, *batches = self.batches(query)
        return Result(pa.Table.from_batches(batches, schema=head.schema))

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """The same, batch by batch while the program works; the first batch has no rows. For answers larger than memory."""
        return stream(("query", "--format", "arrow", "--", *self._named, query))

    def view(self, name: str) -> Result:
        """A whole view (docs/SQL.md), such as `io`, `latency` or `hot_files`."""
        quoted = name.replace('"', '""')
        return self.sql(f'SELECT * FROM "{quoted}"')

    def report(self, path: StrPath | None = None) -> Report:
        """The report, which Jupyter shows.

        With a path it is written there, too, in the form that the ending says (html, json, md, txt).
        Raises `Error` when it cannot be made or written.
        """
        if path is not None:
            invoke(("report", f"--output={os.fspath(path)}", "--", *self._named))
        return self._report

    @cached_property
    def _report(self) -> Report:
        return Report(self._named)

    @property
    def plot(self) -> Plots:
        """Plots of the report, by matplotlib."""
        return Plots(self._report)

    def _files(self, name: str) -> list[Path]:
        tables = self.tables
        if name not in tables:
            raise Error(f"there is no table {name}; there are {', '.join(tables)}")
        files = [path / f"{name}.parquet" for path in self.paths]
        return [file for file in files if file.is_file()]

    def __repr__(self) -> str:
        kinds = (manifest.get("kind", "dataset") for manifest in self.manifests)
        return "\n".join(f"{kind} {path}" for kind, path in zip(kinds, self.paths, strict=True))


def _found(path: Path) -> list[Path]:
    if (path / MANIFEST).is_file():
        return [path]
    names = [path / kind for kind in ("capture", "workload", "run")]
    below = [place for place in [*names, *sorted(path.glob("host=*"))] if (place / MANIFEST).is_file()]
    if not below:
        raise Error(f"{path} is no dataset: it has no {MANIFEST}")
    return below
