"""Rows of an answer, and the forms that other libraries take."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import duckdb
    import pandas
    import polars

SHOWN = 50


class Result:
    """Rows of an answer.

    Libraries that know the Arrow PyCapsule interface (pyarrow, polars, duckdb) take it as it is. Columns, their units and
    meanings are those of the tables (docs/SCHEMA.md) and views (docs/SQL.md).
    """

    arrow: pa.Table
    """The rows as a table of pyarrow."""

    def __init__(self, arrow: pa.Table) -> None:
        self.arrow = arrow

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.arrow.column_names)

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __getitem__(self, column: str) -> list[Any]:
        return list(self.arrow.column(column).to_pylist())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.arrow.to_batches():
            yield from batch.to_pylist()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.arrow.__arrow_c_stream__(requested_schema)

    def to_pandas(self) -> pandas.DataFrame:
        """The rows as a DataFrame; needs pandas."""
        return self.arrow.to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """The rows as a DataFrame; needs polars."""
        import polars

        frame = polars.from_arrow(self.arrow)
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """The rows as a relation of this connection, by default of DuckDB's own; needs duckdb."""
        import duckdb

        return (connection or duckdb.default_connection()).from_arrow(self.arrow)

    def __repr__(self) -> str:
        grid = [self.columns, *([_shown(cell) for cell in row] for row in self._head())]
        widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in grid]
        return "\n".join([*lines, self._more()]).rstrip()

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        rows = ("".join(f"<td>{html.escape(_shown(cell))}</td>" for cell in row) for row in self._head())
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{html.escape(self._more())}"

    def _head(self) -> Iterator[tuple[Any, ...]]:
        """Cells of the first rows, by column: several may have one name."""
        head = self.arrow.slice(0, SHOWN)
        return zip(*(column.to_pylist() for column in head.columns), strict=True)

    def _more(self) -> str:
        return f"{len(self):,} rows, {SHOWN} shown" if len(self) > SHOWN else ""


def _shown(cell: Any) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).lower()
        case int():
            return f"{cell:,}" if abs(cell) >= 10_000 else str(cell)
        case float():
            return f"{cell:,.0f}" if 10_000 <= abs(cell) < 1e15 else f"{cell:.4g}"
        case _:
            # A name may hold what would act on a terminal.
            return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in str(cell))
