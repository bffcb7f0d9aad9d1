"""Queries answered from columns equal those answered by SQLite, in values, types and names; nothing is remembered."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.cohort import _index, _scan
from fastimg.errors import ArgumentError

ROWS = 1200


def manifest(k):
    chance = random.Random(k)
    values = {
        "site": chance.choice(["A", "B", "b", "\u00e9", "O'Neil", None]),
        "age_years": chance.choice([None, *range(-3, 90)]),
        "dose": chance.choice([None, 1, 1.5, -0.25, 2.0]),
        "smoker": chance.choice([True, False, None]),
        "odd": chance.choice(["x", 3, None]),
        "big": chance.choice([2**60, -(2**60), 5, None]),
        "group": chance.choice(["g1", "g2"]),
    }
    return {
        "case_id": f"case-{k:05d}",
        "state": chance.choice(["ok", "warned", "failed"]),
        "source": f"{k:08x}",
        "digest": None,
        "committed": "2026-01-01T00:00:00+00:00",
        "metadata": {name: value for name, value in values.items() if value is not None},
        "findings": [],
        "image": {"shape": [2, 2, 2], "dtype": "int16", "unit": "HU"} if k % 3 else None,
        "masks": {},
        "files": {"a": {"size": chance.randrange(10**6)}},
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    c = fi.Cohort.create(tmp_path_factory.mktemp("scan") / "c")
    c._place.index._manifests = lambda: map(manifest, range(ROWS))
    c._place.index.rebuild()
    c.index  # noqa: B018 - makes the table of columns
    assert (c.path / "index" / "cases.parquet").exists()
    return c


def both(cohort, sql, parameters=()):
    """By columns, and by SQLite."""
    with cohort._place.reader() as db:
        plan = _scan.parse(sql, parameters)
        assert plan is not None, sql
        kinds = dict.fromkeys(_index.FIXED, "str") | {"bytes": "int"}
        kinds |= {name: kind for _, name, kind in db.execute("SELECT key, name, kind FROM metadata_columns")}
        table = cohort._place.index._parquet_of(_index._stamp(db), plan.columns)
        done = plan.run(table, kinds)
        return None if done is None else _index._as_table(*done), _index.select(db, sql, parameters)


TEXTS = st.sampled_from(["'A'", "'b'", "'O''Neil'", "''", "'\u00e9'", "'zz'"])
NUMBERS = st.sampled_from(["0", "1", "40", "-3", "5", "1152921504606846976"])
DECIMALS = st.sampled_from(["1.5", "-0.25", "2", ".5", "1e0"])
SIGNS = st.sampled_from(["=", "==", "<>", "!=", "<", "<=", ">", ">="])


def comparison(columns, values):
    column = st.sampled_from(columns)
    return st.one_of(
        st.tuples(column, SIGNS, values).map(" ".join),
        st.tuples(column, st.sampled_from(["IS NULL", "is not null"])).map(" ".join),
        st.tuples(column, st.sampled_from(["between", "NOT BETWEEN"]), values, values).map(
            lambda t: f"{t[0]} {t[1]} {t[2]} and {t[3]}"
        ),
        st.tuples(column, st.sampled_from(["in", "not in"]), st.lists(values, min_size=1, max_size=3)).map(
            lambda t: f"{t[0]} {t[1]} ({', '.join(t[2])})"
        ),
    )


SIMPLE = st.one_of(
    comparison(["site", "state", "dtype", '"group"', "case_id"], TEXTS),
    comparison(["age_years", "bytes", "smoker"], NUMBERS),
    comparison(["dose"], DECIMALS),
)
CONDITIONS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" AND ", " or "]), inner).map("".join),
        inner.map(lambda t: f"NOT ({t})"),
        inner.map(lambda t: f"({t})"),
    ),
    max_leaves=5,
)
AGGREGATES = st.sampled_from(
    ["count(*)", "COUNT( * ) as n", "count(site)", "count(dose)", "min(age_years)", "max(age_years) AS oldest"]
    + ["sum(bytes)", "avg(age_years)", "avg( smoker )", "sum(smoker)", "count(odd)", "min(case_id)", "max(site)"]
)


@settings(max_examples=300, deadline=None)
@given(
    keys=st.lists(
        st.sampled_from(["site", "state", '"group"', "smoker", "age_years", "unit"]), max_size=2, unique=True
    ),
    aggregates=st.lists(AGGREGATES, min_size=1, max_size=3, unique=True),
    condition=st.one_of(st.none(), CONDITIONS),
)
def test_columns_and_rows_answer_alike(cohort, keys, aggregates, condition):
    sql = f"SELECT {', '.join([*keys, *aggregates])} FROM cases"
    sql += f" WHERE {condition}" if condition else ""
    sql += f" group by {', '.join(keys)}" if keys else ""
    by_columns, by_rows = both(cohort, sql)
    if by_columns is None:  # a number too large to be sure of, or text that Arrow does not aggregate by groups
        assert "1152921504606846976" in sql or keys, sql
        return
    assert by_columns.schema == by_rows.schema, sql
    order = [(name, "ascending") for name in by_rows.column_names[: len(keys)]]
    assert by_columns.to_pylist() == (by_rows.sort_by(order).to_pylist() if keys else by_rows.to_pylist()) or sorted(
        map(repr, by_columns.to_pylist())
    ) == sorted(map(repr, by_rows.to_pylist())), sql


@pytest.mark.parametrize(
    "sql",
    [
        "select odd, count(*) from cases group by odd",
        "select sum(dose) from cases",
        "select dose, count(*) from cases group by dose",
        "select sum(big) from cases where big > 0",
        "select count(*) from cases where odd = 'x'",
        "select count(*) from cases where age_years > 40.5",
        "select count(*) from cases where site = 3",
    ],
)
def test_where_the_engines_may_differ_sqlite_is_asked(cohort, sql):
    plan = _scan.parse(sql)
    with cohort._place.reader() as db:
        kinds = dict.fromkeys(_index.FIXED, "str") | {"bytes": "int"}
        kinds |= {name: kind for _, name, kind in db.execute("SELECT key, name, kind FROM metadata_columns")}
        assert plan.run(cohort._place.index._parquet_of(_index._stamp(db), plan.columns), kinds) is None
        if "sum(big)" in sql:
            with pytest.raises(ArgumentError, match="overflow"):
                cohort.query(sql)
        else:
            assert cohort.query(sql).equals(_index.select(db, sql, ()))


@pytest.mark.parametrize(
    "sql",
    [
        "select * from cases",
        "select site from cases",
        "select site, count(*) from cases",
        "select count(*) from findings",
        "select count(*) from cases c",
        "select count(*) from cases, findings",
        "select count(distinct site) from cases",
        "select count(*) + 1 from cases",
        "select count(*) from cases where site like 'a%'",
        "select count(*) from cases where age_years + 1 > 4",
        "select count(*) from cases group by 1",
        "select site, count(*) as n from cases group by site order by n",
        "select site, count(*) as n from cases group by site having n > 3",
        "select count(*) from cases; select 1",
        "select count(*) from cases where site = ?",
        "select count(*) from cases -- all",
        "delete from cases",
        "",
        "select 'a",
        "(" * 5000,
    ],
)
def test_other_sql_is_left_alone(sql):
    assert _scan.parse(sql) is None


def test_groups_are_counted_by_columns(cohort):
    by_columns, by_rows = both(
        cohort, "select site, smoker, count(*), avg(age_years), max(bytes) from cases group by site, smoker"
    )
    assert by_columns.equals(by_rows)
    assert by_columns.num_rows == 18


def test_parameters(cohort):
    sql = "select count(*) as n from cases where site = ? and age_years between ? and ?"
    by_columns, by_rows = both(cohort, sql, ["A", 10, 50])
    assert by_columns.equals(by_rows)
    assert by_rows["n"][0].as_py() > 10
    assert _scan.parse(sql, ["A", 10]) is None
    assert _scan.parse(sql, ["A", 10, None]) is None
    assert _scan.parse("select count(*) from cases where " + " or ".join(["age_years = 1"] * 500)) is not None


def test_nothing_is_remembered(cohort, monkeypatch):
    """A case more is counted at once, by whichever engine; a damaged table of columns is not believed."""
    sql = "select count(*) as n from cases where unit = 'HU'"
    before = cohort.query(sql)["n"][0].as_py()
    scans = []
    run = _scan.Plan.run
    monkeypatch.setattr(_scan.Plan, "run", lambda *a: scans.append(1) or run(*a))
    cohort.add("more-1", fi.Image(np.ones((2, 2, 2), np.int16), unit="HU"))
    reader = fi.Cohort.open(cohort.path)
    assert cohort.query(sql)["n"][0].as_py() == before + 1
    assert reader.query(sql)["n"][0].as_py() == before + 1
    assert not scans  # cases are being added: SQLite answers
    monkeypatch.setattr(_index, "_AT_REST", -1)
    assert cohort.query(sql)["n"][0].as_py() == before + 1
    assert reader.query(sql)["n"][0].as_py() == before + 1
    assert len(scans) == 2
    file = cohort.path / "index" / "cases.parquet"
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    assert reader.query(sql)["n"][0].as_py() == before + 1
    assert len(scans) == 2
    cohort.remove(["more-1"])
    assert reader.query(sql)["n"][0].as_py() == before
