#!/usr/bin/env python3
"""Asks random questions of `ioriot query` and of DuckDB, over the same files, and compares the answers.

    scripts/fuzz_sql.py IORIOT DATASET... [--queries N] [--seed N]

The statements of one seed are always the same. All of them go to one process of ioriot, by a pipe, and to one of DuckDB.
Every ORDER BY is made total, so the rows must be equal one by one. Exit 1 when a statement fails or differs.

Where the dialects differ on purpose, the statements say what they mean:
- absent values sort last when ascending and first when descending in ioriot, always last in DuckDB: NULLS is written out;
- `/` of integers is an integer in ioriot, a DOUBLE in DuckDB: it is not used;
- a sum that leaves 64 bits wraps in ioriot and widens in DuckDB: large numbers are not added up;
- ioriot's percentile(x, p) is quantile_disc(x, p), and at most 1/128 too large.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path

try:
    import duckdb
except ImportError as error:
    print(f"missing: {error.name}")
    sys.exit(77)  # the usual code for a test that was skipped

KEYS = {
    "events": ["seq"],
    "fates": ["seq"],
    "ops": ["op_id"],
    "results": ["op_id"],
    "lanes": ["lane"],
    "edges": ["op_id", "after", "resource"],
    "fileset": ["path"],
    "extents": ["path", "offset", "what"],
    "samples": ["taken", "kind", "name", "metric", "value"],
}
JOINS = [
    ("events", "fates", "seq"),
    ("ops", "results", "op_id"),
    ("events", "ops", "seq"),
    ("fates", "results", "seq"),
    ("ops", "lanes", "lane"),
    ("edges", "results", "op_id"),
    ("ops", "fileset", "path"),
    ("events", "events", "tid"),
]


class Data:
    """Columns of the tables, and values that are in them."""

    def __init__(self, datasets):
        self.db = duckdb.connect()
        self.columns, self.values, self.small = {}, {}, {}
        for dataset in datasets:
            for table in KEYS:
                file = Path(dataset) / f"{table}.parquet"
                if not file.exists():
                    continue
                self.db.execute(f"CREATE TABLE {table} AS SELECT * FROM '{str(file).replace(chr(39), chr(39) * 2)}'")
                if not self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]:
                    continue
                self.columns[table] = {name: kind for name, kind, *_ in self.db.execute(f"DESCRIBE {table}").fetchall()}
                for name in self.columns[table]:
                    found = self.db.execute(f'SELECT DISTINCT "{name}" FROM {table} ORDER BY 1 NULLS LAST LIMIT 200').fetchall()
                    self.values[table, name] = [value for (value,) in found if value is not None]
                self.small[table] = [name for name, kind in self.columns[table].items() if kind == "BIGINT" and self.sums(table, name)]

    def sums(self, table, name):
        """Do the values of a column add up to 64 bits, however often a join repeats them?"""
        (most,) = self.db.execute(f'SELECT max(abs("{name}"::HUGEINT)) FROM {table}').fetchone()
        return (most or 0) < 1 << 40

    def joins(self):
        return [join for join in JOINS if join[0] in self.columns and join[1] in self.columns]


class Query:
    """One random statement."""

    def __init__(self, data, rng):
        self.data, self.rng = data, rng
        self.sql = rng.choice([self.plain, self.plain, self.plain, self.grouped, self.joined, self.outer, self.within,
                               self.window, self.nested, self.labelled])()

    def one(self, items):
        return self.rng.choice(list(items))

    def chance(self, share):
        return self.rng.random() < share

    def literal(self, value):
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        return str(value)

    def column(self, table, *kinds):
        columns = [name for name, kind in self.data.columns[table].items() if not kinds or kind in kinds]
        return self.one(columns) if columns else None

    def small(self, table):
        """A column of numbers that can be added up."""
        return self.one(self.data.small[table])

    def known(self, table, name):
        values = self.data.values[table, name]
        return self.literal(self.one(values)) if values else None

    def predicate(self, table, alias="", depth=0):
        if depth < 2 and self.chance(0.35):
            left, right = (self.predicate(table, alias, depth + 1) for _ in range(2))
            return self.one([f"({left} AND {right})", f"({left} OR {right})", f"NOT ({left})", f"({self.chain(table, alias)})"])
        name = self.column(table)
        quoted, kind, value = f'{alias}"{name}"', self.data.columns[table][name], self.known(table, name)
        if value is None or self.chance(0.15):
            return f"{quoted} IS {self.one(['', 'NOT '])}NULL"
        if kind == "BOOLEAN":
            return self.one([quoted, f"NOT {quoted}", f"{quoted} = {value}"])
        others = ", ".join(self.known(table, name) for _ in range(3))
        forms = [f"{quoted} {self.one(['=', '<>', '<', '<=', '>', '>='])} {value}", f"{quoted} IN ({value}, {others})",
                 f"{quoted} BETWEEN {value} AND {self.known(table, name)}", f"{quoted} IS {self.one(['', 'NOT '])}DISTINCT FROM {value}",
                 f"{quoted} NOT IN ({others})"]
        if kind == "VARCHAR":
            forms += [f"{quoted} LIKE '%{self.one('aeiou/')}%'", f"length({quoted}) > {self.rng.randint(1, 30)}", f"starts_with({quoted}, '/')"]
        else:
            forms += [f"{quoted} % {self.rng.randint(2, 9)} = {self.rng.randint(0, 2)}"] if name in self.data.small[table] else []
        return self.one(forms)

    def chain(self, table, alias):
        """Predicates between operators, without parentheses."""
        text = ""
        for _ in range(self.rng.randint(2, 4)):
            text += f"{self.one(['AND', 'OR'])} " if text else ""
            text += self.one(["", "", "NOT "]) + self.distinct(table, alias) + " "
        return text.strip()

    def distinct(self, table, alias):
        """What the parser has once understood wrongly, most of the time: a comparison whose right side may go on."""
        name = self.column(table)
        quoted, kind, value = f'{alias}"{name}"', self.data.columns[table][name], self.known(table, name)
        if value is None or self.chance(0.3):
            return self.predicate(table, alias, 2)
        form = f"IS {self.one(['', 'NOT '])}DISTINCT FROM"
        return self.one([f"{quoted} {form} {value}", f"{quoted} {form} {self.known(table, name)}", f"{quoted} {form} NULL",
                         f"{quoted} = {value} {form} true", f"{quoted} {form} coalesce({quoted}, {value})",
                         f"({quoted} = {value}) {form} {quoted} >= {self.known(table, name)}" if kind != "BOOLEAN" else f"NOT {quoted} {form} {value}"])

    def expression(self, table, alias=""):
        name = self.column(table)
        quoted, kind = f'{alias}"{name}"', self.data.columns[table][name]
        if self.chance(0.7):
            return quoted
        if kind == "VARCHAR":
            return self.one([f"length({quoted})", f"upper({quoted})", f"substr({quoted}, 2, 5)", f"{quoted} || '!'",
                             f"coalesce({quoted}, 'none')", f"nullif({quoted}, {self.known(table, name) or repr('x')})"])
        if kind == "BOOLEAN":
            return f"CASE WHEN {quoted} THEN 'yes' ELSE 'no' END"
        if name not in self.data.small[table]:
            return quoted
        return self.one([f"{quoted} + 1", f"{quoted} % 7", f"abs({quoted})", f"coalesce({quoted}, -5)", f"-{quoted}",
                         f"CASE WHEN {self.predicate(table, alias)} THEN {quoted} ELSE 0 END"])

    def where(self, table, alias=""):
        return f" WHERE {self.predicate(table, alias)}" if self.chance(0.75) else ""

    def order(self, parts, total):
        """ORDER BY these parts, and by what makes the order total."""
        keys = []
        for part in parts:
            keys.append(f"{part} {self.one(['ASC', 'DESC'])} NULLS {self.one(['FIRST', 'LAST'])}")
        # As people write it, and as the files are sorted.
        keys += [key if self.chance(0.8) else f"{key} DESC" for key in total]
        return f" ORDER BY {', '.join(keys)}"

    def limit(self):
        text = f" LIMIT {self.rng.randint(1, 40)}" if self.chance(0.5) else ""
        return text + (f" OFFSET {self.rng.randint(0, 20)}" if text and self.chance(0.3) else "")

    def key(self, table, alias=""):
        keys = [f'{alias}"{name}"' for name in KEYS[table]]
        # Only a key that is never absent needs no NULLS.
        return [f"{key} NULLS LAST" if name == "name" else key for key, name in zip(keys, KEYS[table])]

    def sortable(self, table, alias=""):
        key = [f'{alias}"{name}"' for name in KEYS[table] if name != "name"]
        rest = [f'{alias}"{name}" NULLS LAST' for name in KEYS[table] if name == "name"]
        return key, rest

    def ordered(self, table, extra, alias=""):
        key, rest = self.sortable(table, alias)
        return self.order(extra, key) + "".join(f", {part}" for part in rest)

    def list(self, expressions):
        return ", ".join(f"{expression} AS c{at}" for at, expression in enumerate(expressions))

    def plain(self):
        table = self.one(self.data.columns)
        expressions = [self.expression(table) for _ in range(self.rng.randint(1, 6))]
        extra = [f'"{self.column(table)}"' for _ in range(self.one([0, 0, 1, 2]))]
        return f"SELECT {self.list(expressions)} FROM {table}{self.where(table)}{self.ordered(table, extra)}{self.limit()}"

    def aggregate(self, table, alias=""):
        name, text = self.small(table), self.column(table)
        number = f'{alias}"{name}"'
        some = f" FILTER (WHERE {self.predicate(table, alias)})" if self.chance(0.3) else ""
        return self.one([f"count(*){some}", f"count({number}){some}", f"sum({number}){some}", f"min({number}){some}",
                         f'max({alias}"{text}"){some}' if self.data.columns[table][text] != "BOOLEAN" else f"count(*){some}",
                         f"avg({number}){some}", f'count(DISTINCT {alias}"{text}")', f"percentile(abs({number}), {self.one(['0.5', '0.9', '0.99'])}){some}"])

    def grouped(self):
        table = self.one(self.data.columns)
        keys = list({f'"{self.column(table)}"' for _ in range(self.rng.randint(0, 3))})
        aggregates = [self.aggregate(table) for _ in range(self.rng.randint(1, 4))]
        by = f" GROUP BY {', '.join(keys)}" if keys else ""
        having = f" HAVING count(*) > {self.rng.randint(1, 5)}" if keys and self.chance(0.3) else ""
        order = self.order(keys, []) + self.limit() if keys else ""
        return f"SELECT {self.list(keys + aggregates)} FROM {table}{self.where(table)}{by}{having}{order}"

    def joined(self):
        left, right, on = self.one(self.data.joins())
        if self.chance(0.5):
            left, right = right, left
        kind = self.one(["JOIN", "LEFT JOIN", "JOIN", "EXISTS", "IN"])
        where = f" WHERE {self.predicate(left, 'a.')}" if self.chance(0.7) or left == right else ""
        if kind in ("EXISTS", "IN"):
            inner = f'SELECT b."{on}" FROM {right} AS b WHERE {self.predicate(right, "b.")}'
            if kind == "EXISTS":
                inner = f'EXISTS ({inner} AND b."{on}" = a."{on}")'
            else:
                inner = f'a."{on}" IN ({inner})'
            where = f"{where} AND {inner}" if where else f" WHERE {self.one(['', 'NOT ']) if kind == 'EXISTS' else ''}{inner}"
            expressions = [self.expression(left, "a.") for _ in range(self.rng.randint(1, 4))]
            return f"SELECT {self.list(expressions)} FROM {left} AS a{where}{self.ordered(left, [], 'a.')}{self.limit()}"
        if left == right:
            where += f' AND a."seq" < {self.rng.randint(1, 30)}'
        source = f'{left} AS a {kind} {right} AS b ON a."{on}" = b."{on}"'
        if kind == "JOIN" and self.chance(0.5):
            where += f" {'AND' if where else 'WHERE'} {self.predicate(right, 'b.')}"
        if self.chance(0.3):
            key = f'{self.one(["a.", "b."])}'
            table = left if key == "a." else right
            by = f'{key}"{self.column(table)}"'
            aggregates = [self.aggregate(left, "a."), self.aggregate(right, "b.")]
            return f"SELECT {self.list([by, *aggregates])} FROM {source}{where} GROUP BY {by}{self.order([by], [])}{self.limit()}"
        expressions = [self.expression(self_, alias) for self_, alias in [(left, "a."), (right, "b."), self.one([(left, "a."), (right, "b.")])]]
        right_key = "".join(f", {key} NULLS LAST" for key, _ in [(f'b."{name}"', 0) for name in KEYS[right]])
        return f"SELECT {self.list(expressions)} FROM {source}{where}{self.ordered(left, [], 'a.')}{right_key}{self.limit()}"

    def outer(self):
        """Rows of one side that have none on the other, with conditions on what is absent then."""
        left, right, on = self.one(self.data.joins())
        kind = self.one(["LEFT", "RIGHT", "FULL"])
        shift = f" + {self.rng.randint(1, 3)}" if on in self.data.small[right] else ""
        tests = [self.predicate(left, "a."), self.predicate(right, "b."), f'a."{on}" IS NULL', f'b."{on}" IS NULL']
        where = " WHERE " + self.one([" AND ", " OR "]).join(self.rng.sample(tests, self.rng.randint(1, 2))) if self.chance(0.9) else ""
        if self.chance(0.4):
            where = f" WHERE {self.one(tests[2:])}"
        answer = self.list(["count(*)", self.aggregate(left, "a."), self.aggregate(right, "b.")])
        return f'SELECT {answer} FROM {left} AS a {kind} JOIN {right} AS b ON a."{on}" = b."{on}"{shift}{where}'

    def within(self):
        """A subquery that stands alone between the ANDs of WHERE."""
        table, other, on = self.one(self.data.joins())
        word = self.one(["IN", "NOT IN", "EXISTS", "NOT EXISTS"])
        inner = f'SELECT b."{on}" FROM {other} AS b WHERE {self.predicate(other, "b.")}'
        test = f'{word} ({inner} AND b."{on}" = a."{on}")' if "EXISTS" in word else f'a."{on}" {word} ({inner})'
        where = f"{self.predicate(table, 'a.')} AND {test}" if self.chance(0.6) else test
        return f"SELECT {self.list(['count(*)', self.aggregate(table, 'a.')])} FROM {table} AS a WHERE {where}"

    def window(self):
        table = self.one([table for table in self.data.columns if len(KEYS[table]) == 1])
        key, number = f'"{KEYS[table][0]}"', f'"{self.small(table)}"'
        part = f'PARTITION BY "{self.column(table)}" ' if self.chance(0.7) else ""
        over = f"OVER ({part}ORDER BY {key}{self.one([' DESC', '', ''])})"
        frame = f"OVER ({part}ORDER BY {key} ROWS BETWEEN {self.rng.randint(1, 5)} PRECEDING AND {self.one(['CURRENT ROW', '2 FOLLOWING', '1 PRECEDING'])})"
        call = self.one([f"row_number() {over}", f"rank() {over}", f"lag({number}) {over}", f"lead({number}, 2) {over}", f"sum({number}) {over}",
                         f"count(*) {over}", f"first_value({number}) {over}", f"sum({number}) {frame}", f"count({number}) {frame}", f"max({number}) {over}"])
        expressions = [self.expression(table) for _ in range(self.rng.randint(0, 3))] + [call]
        return f"SELECT {self.list(expressions)} FROM {table}{self.where(table)} ORDER BY {key}{self.limit()}"

    def nested(self):
        table = self.one(self.data.columns)
        names = list({self.column(table) for _ in range(3)})
        columns = ", ".join(f'"{name}"' for name in names)
        everything = ", ".join(f'"{name}" NULLS LAST' for name in names)
        out = self.list([f'"{name}"' for name in names])
        inner = f"SELECT {columns} FROM {table}{self.where(table)}"
        some = f"{inner}{self.ordered(table, [])}{self.limit() or ' LIMIT 30'}"
        form = self.one(["distinct", "union", "limited", "cte", "scalar"])
        if form == "distinct":
            return f"SELECT DISTINCT {out} FROM {table}{self.where(table)} ORDER BY {', '.join(f'c{at} NULLS LAST' for at in range(len(names)))}{self.limit()}"
        if form == "union":
            other = f"SELECT {columns} FROM {table}{self.where(table)}"
            return f"SELECT {out} FROM ({inner} {self.one(['UNION ALL', 'UNION', 'EXCEPT', 'INTERSECT'])} {other}) AS t ORDER BY {everything}{self.limit()}"
        if form == "limited":
            return f"SELECT {out} FROM ({some}) AS t ORDER BY {everything}"
        if form == "cte":
            return f"WITH t AS ({some}) SELECT count(*) AS c0, count({columns.split(', ')[0]}) AS c1 FROM t"
        number = f'"{self.small(table)}"'
        return f"SELECT {out} FROM {table} WHERE {number} >= (SELECT avg({number}) FROM {table}){self.ordered(table, [])}{self.limit()}"

    def part(self, label):
        """Some rows, or one, with a constant beside a number: what a view over several datasets is made of."""
        table = self.one(self.data.columns)
        number = f'"{self.small(table)}"'
        whole = f"SELECT {label} AS label, {self.one(['count(*)', f'max({number})', f'min({number})', f'sum({number})'])} AS n FROM {table}{self.where(table)}"
        form = self.one(["whole", "whole", "constant", "sets", "grouped", "limited", "having"])
        if form == "whole":
            return whole
        if form == "constant":
            return f"{whole} GROUP BY {label}"
        if form == "sets":
            return f'{whole} GROUP BY GROUPING SETS ((), ("{self.column(table)}"))'
        if form == "grouped":
            return f'{whole} GROUP BY "{self.column(table)}"'
        if form == "having":
            return f"{whole} HAVING count(*) > {self.rng.randint(0, 50)}"
        return f"SELECT {label} AS label, n FROM (SELECT {number} AS n FROM {table}{self.where(table)}{self.ordered(table, [])} LIMIT {self.rng.randint(1, 9)}) AS t"

    def labelled(self):
        """Conditions on a column that is a constant in each part of a relation."""
        labels = ["'a'", "'b'", "'ab'"]
        tests = ["label = 'a'", "label = 'b'", "label LIKE '%b'", "label IN ('ab', 'c')", "label > 'a'", "coalesce(label, 'x') <> 'b'",
                 "n > 3", "n IS NULL", "label = 'b' OR n > 3", "1 = 2", "label IS NULL", "length(label) = n"]
        where = f" WHERE {self.one([' AND ', ' AND ', ' OR ']).join(self.rng.sample(tests, self.rng.randint(1, 2)))}" if self.chance(0.9) else ""
        if self.chance(0.3):
            one, other = (self.part(self.one(labels)) for _ in range(2))
            kind = self.one(["JOIN", "LEFT JOIN", "FULL JOIN", "RIGHT JOIN"])
            where = where.replace("label", "x.label").replace("n ", "x.n ").replace("= n", "= x.n").replace("BETWEEx.n", "BETWEEN")
            answer = "SELECT x.label AS c0, x.n AS c1, y.label AS c2, y.n AS c3"
            order = " ORDER BY c0 NULLS LAST, c1 NULLS LAST, c2 NULLS LAST, c3 NULLS LAST"
            return f"{answer} FROM ({one}) AS x {kind} ({other}) AS y ON x.label = y.label{where}{order}"
        parts = " UNION ALL ".join(f"({self.part(label)})" for label in labels[: self.rng.randint(1, 3)])
        if self.chance(0.3):
            return f"SELECT count(*) AS c0, count(n) AS c1 FROM ({parts}) AS u{where}"
        return f"SELECT label AS c0, n AS c1 FROM ({parts}) AS u{where} ORDER BY c0 NULLS LAST, c1 NULLS LAST"


def by_ioriot(program, datasets, statements):
    """The rows of each statement, or what went wrong."""
    answers = []
    while len(answers) < len(statements):
        text = "".join(f"{statement};\n" for statement in statements[len(answers):])
        done = subprocess.run([program, "query", *datasets, "--format", "json"], input=text, capture_output=True, text=True)
        decoder, at, found = json.JSONDecoder(), 0, 0
        while at < len(done.stdout):
            try:
                rows, at = decoder.raw_decode(done.stdout, at)
            except json.JSONDecodeError:
                break  # it failed half way
            answers.append(rows)
            found += 1
            at += 1
        if len(answers) < len(statements):
            answers.append(done.stderr.strip() or f"exit code {done.returncode} without a word")
        elif done.returncode:
            sys.exit(f"every statement is answered, and yet: {done.stderr}")
    return answers


def by_duckdb(data, statement):
    """The rows of a statement, in the form of by_ioriot."""
    cursor = data.db.execute(statement.replace("percentile(", "quantile_disc("))
    names = [column[0] for column in cursor.description]
    return [{name: value for name, value in zip(names, row) if value is not None} for row in cursor.fetchall()]


def alike(ours, theirs, loose):
    """Are two values the same? Loosely: a percentile, which is at most 1/128 too large."""
    if ours == theirs:
        return True
    if isinstance(ours, bool) or isinstance(theirs, bool) or not all(isinstance(value, (int, float)) for value in (ours, theirs)):
        return False
    if loose and isinstance(theirs, int):
        return theirs <= ours <= theirs + theirs / 128
    return isinstance(ours, float) and abs(ours - theirs) <= 1e-9 * max(abs(ours), abs(theirs), 1)


def same(ours, theirs, statement):
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, DuckDB has {len(theirs)}"
    loose = "percentile(" in statement
    for at, (row, other) in enumerate(zip(ours, theirs)):
        if row.keys() != other.keys() or not all(alike(row[name], other[name], loose) for name in row):
            return f"row {at} is {row}, DuckDB has {other}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program ioriot")
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--print", action="store_true", help="print the statements, a line each, and ask nobody")
    args = parser.parse_args()
    data, rng, began = Data(args.datasets), random.Random(args.seed), time.time()
    statements = [Query(data, rng).sql for _ in range(args.queries)]
    if args.print:
        print("\n".join(" ".join(statement.splitlines()) for statement in statements))
        return
    faults = 0
    for statement, ours in zip(statements, by_ioriot(args.program, args.datasets, statements)):
        try:
            theirs = by_duckdb(data, statement)
        except duckdb.Error as error:
            theirs = str(error)
        if isinstance(ours, str) or isinstance(theirs, str):
            fault = f"ioriot: {ours if isinstance(ours, str) else 'answers'}\nDuckDB: {theirs if isinstance(theirs, str) else 'answers'}"
        else:
            fault = same(ours, theirs, statement)
        if fault:
            faults += 1
            print(f"{statement}\n{fault}\n")
    print(f"{args.queries} queries, {faults} faults, {time.time() - began:.0f} s")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
