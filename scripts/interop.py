#!/usr/bin/env python3
"""Reads every Parquet file of the given datasets with pyarrow, DuckDB and Polars and compares what they see.

    scripts/interop.py DATASET...
    scripts/interop.py --fleet FLEET

Each reader must see the same number of rows, the same columns, plain types and the same values: per column the number
of values, for numbers their sum, for text the number of characters. The file must say what each column means, and in which unit, in its own metadata and in that of its
fields. One line per file; exit 1 at the first difference.
A fleet is read as one table with partitions by host, as Hive lays them out: each reader must count the same events of each host.
"""

import sys
from pathlib import Path

try:
    import duckdb
    import polars
    import pyarrow.dataset
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError as error:
    print(f"missing: {error.name}")
    sys.exit(77)  # the usual code for a test that was skipped

WORDS = {"int64": "int", "string": "text", "large_string": "text", "bool": "bool"}
WORDS |= {"BIGINT": "int", "VARCHAR": "text", "BOOLEAN": "bool"}
WORDS |= {"Int64": "int", "String": "text", "Boolean": "bool"}


def by_pyarrow(file):
    table = pq.read_table(file)
    facts = {}
    for field in table.schema:
        column = table[field.name]
        kind = WORDS.get(str(field.type), f"not plain: {field.type}")
        total = None
        if kind == "int":
            # Sums of big numbers leave 64 bits: add them up in Python.
            total = sum(value for value in column.to_pylist() if value is not None)
        elif kind == "text":
            total = pc.sum(pc.utf8_length(column)).as_py() or 0
        elif kind == "bool":
            total = pc.sum(column).as_py() or 0
        facts[field.name] = (kind, len(column) - column.null_count, total)
    return table.num_rows, facts


def by_duckdb(file):
    name = str(file).replace("'", "''")
    (rows,) = duckdb.execute(f"SELECT count(*) FROM '{name}'").fetchone()
    facts = {}
    for column, kind, *_ in duckdb.execute(f"DESCRIBE SELECT * FROM '{name}'").fetchall():
        kind = WORDS.get(kind, f"not plain: {kind}")
        total = {"int": 'sum("{}"::HUGEINT)', "text": 'sum(length("{}"))', "bool": 'sum("{}"::INT)'}[kind].format(column)
        there, total = duckdb.execute(f'SELECT count("{column}"), {total} FROM \'{name}\'').fetchone()
        facts[column] = (kind, there, int(total or 0))
    return rows, facts


def meanings(file):
    """The columns that the file says the meaning of."""
    name = str(file).replace("'", "''")
    rows = duckdb.execute(f"SELECT decode(key), decode(value) FROM parquet_kv_metadata('{name}')").fetchall()
    return {key.removeprefix("column."): value for key, value in rows if key.startswith("column.")}


def of_field(file, column):
    """The meaning and the unit of a column, as pyarrow sees them in its field."""
    known = {key.decode(): value.decode() for key, value in (pq.read_schema(file).field(column).metadata or {}).items()}
    return f"{known.get('meaning')} ({known['unit']})" if "unit" in known else known.get("meaning")


def by_polars(file):
    frame = polars.read_parquet(file)
    facts = {}
    for column in frame.columns:
        values = frame[column]
        kind = WORDS.get(str(values.dtype), f"not plain: {values.dtype}")
        if kind == "int":
            total = sum(value for value in values.to_list() if value is not None)
        elif kind == "text":
            total = values.str.len_chars().sum() or 0
        else:
            total = values.sum() or 0
        facts[column] = (kind, len(values) - values.null_count(), int(total))
    return frame.height, facts


def fleet(place):
    """Events by host: with a column host in the files too, which a reader may take for the partition's or for the file's."""
    files = str(Path(place) / "*" / "events.parquet")
    asked = "SELECT host, count(*) FROM read_parquet(?, hive_partitioning = true) GROUP BY host"
    seen = {"DuckDB": dict(duckdb.execute(asked, [files]).fetchall())}
    frame = polars.scan_parquet(files, hive_partitioning=True).group_by("host").len().collect()
    seen["Polars"] = dict(frame.iter_rows())
    partitions = pyarrow.dataset.partitioning(pyarrow.schema([("host", pyarrow.string())]), flavor="hive")
    events = sorted(str(file) for file in Path(place).glob("*/events.parquet"))
    table = pyarrow.dataset.dataset(events, partitioning=partitions, partition_base_dir=place).to_table(columns=["host"])
    seen["pyarrow"] = {row["values"]: row["counts"] for row in table["host"].value_counts().to_pylist()}
    (first, hosts), *others = seen.items()
    for other, its_hosts in others:
        if its_hosts != hosts:
            sys.exit(f"{place}: {first} sees {hosts}, {other} {its_hosts}")
    print(f"{sum(hosts.values())} events of {len(hosts)} hosts")


def main(datasets):
    if datasets[:1] == ["--fleet"]:
        return fleet(datasets[1])
    files = [file for dataset in datasets for file in sorted(Path(dataset).glob("*.parquet"))]
    if not files:
        sys.exit(f"no Parquet file in {', '.join(datasets)}")
    for file in files:
        seen = {"pyarrow": by_pyarrow(file), "DuckDB": by_duckdb(file), "Polars": by_polars(file)}
        (first, (rows, facts)), *others = seen.items()
        said = meanings(file)
        silent = [column for column in facts if not said.get(column) or said[column] != of_field(file, column)]
        if silent:
            sys.exit(f"{file} does not say what these columns mean: {', '.join(silent)}")
        for kind, *_ in facts.values():
            if kind not in ("int", "text", "bool"):
                sys.exit(f"{file}: {first} sees a column that is {kind}")
        for other, (its_rows, its_facts) in others:
            if its_rows != rows:
                sys.exit(f"{file}: {first} sees {rows} rows, {other} {its_rows}")
            for column in facts | its_facts:
                if facts.get(column) != its_facts.get(column):
                    sys.exit(f"{file}, column {column}: {first} sees {facts.get(column)}, {other} {its_facts.get(column)}")
        print(f"{file.parent.name}/{file.name}: {rows} rows, {len(facts)} columns")


if __name__ == "__main__":
    main(sys.argv[1:])
