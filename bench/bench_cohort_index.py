"""What an index gives: opening, listing, filtering of many cases, beside zarr-python, SQLite and DuckDB."""

from __future__ import annotations

import os

import numpy as np
import pytest

import fastimg as fi

MANY = 10_000


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """10,000 small cases, written without fsync: they are here to be listed."""
    c = fi.Cohort.create(tmp_path_factory.mktemp("many") / "c")
    real, os.fsync = os.fsync, lambda fd: None
    try:
        put, c._place.index.put = c._place.index.put, lambda *a: None
        for k in range(MANY):
            image = fi.Image(np.full((2, 4, 4), k, np.int16))
            c.add(
                f"case-{k:05d}",
                image,
                None,
                {"site": "ABC"[k % 3], "age_years": k % 90, "sex": "FM"[k % 2]},
                source=str(k),
            )
        c._place.index.put = put
    finally:
        os.fsync = real
    c._place.index.rebuild()
    return c


@pytest.mark.benchmark(group="cohort: open 1,000 of 10,000 cases")
def bench_open_case(case, many):
    names = list(many)[::10]
    work = lambda: [many[name].shape for name in names]  # noqa: E731
    case(work, items=len(names), unit="case", error=sum(shape != (2, 4, 4) for shape in work()), rounds=3)


@pytest.mark.benchmark(group="cohort: open 1,000 of 10,000 cases")
def bench_open_case_zarr_python(case, many):
    import zarr

    paths = [str(many[name].path / "0") for name in list(many)[::10]]
    case(
        lambda: [zarr.open_array(p, mode="r").shape for p in paths],
        tool="zarr-python",
        items=len(paths),
        unit="case",
        rounds=3,
    )


@pytest.mark.benchmark(group="cohort: open a cohort of 10,000 and read its index")
def bench_index(case, many):
    many.index  # noqa: B018 - makes the Parquet file
    work = lambda: fi.Cohort.open(many.path).index  # noqa: E731
    case(
        work,
        items=MANY,
        unit="case",
        error=abs(work()["age_years"].to_numpy().sum() - sum(k % 90 for k in range(MANY))),
    )


@pytest.mark.benchmark(group="cohort: open a cohort of 10,000 and read its index")
def bench_index_zarr_python(case, many):
    import zarr

    # what listing costs without an index: the names alone
    store = zarr.storage.LocalStore(str(many.path / "cases"))

    def work():
        import asyncio

        async def names():
            return [name async for name in store.list_dir("")]

        return asyncio.run(names())

    case(work, tool="zarr-python list_dir", items=MANY, unit="case", rounds=2)


ROWS = 100_000
COUNT = "select site, count(*) as n from cases where age_years > 40 and sex = 'F' group by site"


def row(k):
    """A manifest as its index row needs it."""
    image = {"shape": [100, 512, 512], "dtype": "int16", "unit": "HU"}
    subject = {"subject": f"{k // 2:032x}", "site": "ABC"[k % 3], "age_years": k % 90, "sex": "FM"[k // 3 % 2]}
    return {
        "case_id": f"case-{k:06d}",
        "state": "ok" if k % 50 else "warned",
        "source": f"{k:032x}",
        "digest": f"sha256:{k:064x}",
        "committed": "2026-01-01T00:00:00+00:00",
        "metadata": {**subject, "modality": "CT", "manufacturer": f"maker-{k % 4}", "study": f"{k:032x}"},
        "findings": [],
        "image": image,
        "masks": {"GTV": {}},
        "files": {"a": {"size": 20_000_000 + k}},
    }


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """An index of 100,000 rows, without the cases, and one of 100."""
    made = {}
    for count in (100, ROWS):
        c = fi.Cohort.create(tmp_path_factory.mktemp(f"rows{count}") / "c")
        c._place.index._manifests = lambda count=count: map(row, range(count))
        c._place.index.rebuild()
        c.index  # noqa: B018 - makes the table of columns
        made[count] = c
    return made


@pytest.mark.benchmark(group="cohort: filter and count 100,000 cases in SQL")
def bench_query(case, rows):
    c = rows[ROWS]
    found = {row["site"]: row["n"] for row in c.query(COUNT).to_pylist()}
    counted = [(k % 90 > 40 and k // 3 % 2 == 0) * 1 for k in range(ROWS)]
    error = max(abs(found[site] - sum(counted[n::3])) for n, site in enumerate("ABC"))
    case(lambda: c.query(COUNT), items=ROWS, unit="case", error=error)


@pytest.mark.benchmark(group="cohort: filter and count 100,000 cases in SQL")
def bench_query_sqlite(case, rows):
    with rows[ROWS]._place.reader() as db:
        case(lambda: db.execute(COUNT).fetchall(), tool="SQLite", items=ROWS, unit="case")


@pytest.mark.benchmark(group="cohort: filter and count 100,000 cases in SQL")
def bench_query_duckdb(case, rows):
    duckdb = pytest.importorskip("duckdb", reason="peer duckdb is not installed")
    sql = COUNT.replace("from cases", f"from '{rows[ROWS].path}/index/cases.parquet'")

    def work():
        with duckdb.connect(config={"threads": 1}) as db:
            return db.execute(sql).fetchall()

    case(work, tool="DuckDB (with connect)", items=ROWS, unit="case")


@pytest.mark.parametrize("count", [100, ROWS])
@pytest.mark.benchmark(group="cohort: open a cohort and a row of its index")
def bench_open(case, rows, count):
    path = rows[count].path
    sql = "select site from cases where case_id = 'case-000042'"
    work = lambda: fi.Cohort.open(path).query(sql)  # noqa: E731
    case(work, items=1, unit="cohort", error=work().to_pylist() != [{"site": "ABC"[42 % 3]}])


@pytest.mark.benchmark(group="cohort: list 100,000 cases")
def bench_list(case, rows):
    path = rows[ROWS].path
    error = len(set(fi.Cohort.open(path)) ^ {f"case-{k:06d}" for k in range(ROWS)})
    case(lambda: list(fi.Cohort.open(path)), items=ROWS, unit="case", error=error)
