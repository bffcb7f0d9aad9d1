"""The catalogue: valid against the profile's shapes, counts as the node's policy lets them be told, nobody in it."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import fastimg as fi
from fastimg.cli import main
from fastimg.errors import ArgumentError, FormatError, MissingError
from fastimg.federated import Federation, Node, Policy
from fastimg.pipeline import About, catalogue

rdflib = pytest.importorskip("rdflib", reason="the extra catalogue is not installed")
isomorphic = pytest.importorskip("rdflib.compare").isomorphic
HEALTH = "http://healthdataportal.eu/ns/health#"
QB = "http://purl.org/linked-data/cube#"
ABOUT = Path(__file__).with_name("about.toml").read_text()
SUBJECTS = 60


def cases():
    """Three cases for each two patients: 90 of 60; a rare scanner, a rare cancer, ages 41 to 84."""
    rng = np.random.default_rng(0)
    for k in range(90):
        who = k % SUBJECTS
        metadata = {
            "subject": f"{who:032x}",
            "modality": "CT" if who < 48 else "MR",
            "manufacturer": "Maker A" if who < 30 else "Maker B" if who < 57 else "Rarity",
            "cancer_type": "lung" if who < 40 else "colon" if who < 58 else "heart",
            "ICD O topography": "C34" if who < 40 else "C18",
            "age_years": float(41 + who * 43 // 59),
            "sex": "FM"[who % 2],
        }
        spacing = (5.0 if who % 3 else 2.5, 1.0, 1.0)
        yield f"case-{k:03d}", fi.Image(rng.integers(0, 9, (2, 3, 3)).astype(np.int16), spacing=spacing), metadata


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    cohort = fi.Cohort.create(tmp_path_factory.mktemp("catalogue") / "c")
    for name, image, metadata in cases():
        cohort.add(name, image, None, metadata)
    return cohort


@pytest.fixture(scope="module")
def made(source):
    return catalogue(source, About.parse(ABOUT), Policy(), today=dt.date(2026, 11, 2))


def violations(graph, shapes):
    """Messages of pyshacl; property shapes that a file names and does not define are left out, as its validator does."""
    pyshacl = pytest.importorskip("pyshacl", reason="pyshacl is not installed: it is of the group test")
    sh = rdflib.Namespace("http://www.w3.org/ns/shacl#")
    for triple in list(shapes.triples((None, sh.property, None))):
        if (triple[2], sh.path, None) not in shapes:
            shapes.remove(triple)
    _, report, text = pyshacl.validate(graph, shacl_graph=shapes, inference="none", advanced=True)
    grave = [r for r in report.subjects(sh.resultSeverity, sh.Violation) if (None, sh.detail, r) not in report]
    return [str(report.value(r, sh.resultMessage)) for r in grave], text


def own_shapes():
    return rdflib.Graph().parse(Path(__file__).with_name("healthdcat_ap_8_non_public.ttl"))


def test_it_is_valid(made):
    found, text = violations(made.graph, own_shapes())
    assert found == [], text


def test_it_is_valid_by_official_shapes(made):
    folder = os.environ.get("FASTIMG_HEALTHDCAT")
    if folder is None:
        pytest.skip("the official shapes are not here: name their folder (.ttl files) in FASTIMG_HEALTHDCAT")
    for path in sorted(Path(folder).rglob("*.ttl")):
        found, text = violations(made.graph, rdflib.Graph().parse(path))
        assert found == [], f"{path.name}: {text}"


NEEDED = [
    "http://purl.org/dc/terms/title",
    "http://purl.org/dc/terms/identifier",
    "http://purl.org/dc/terms/accessRights",
    "http://purl.org/dc/terms/provenance",
    "http://purl.org/dc/terms/type",
    "http://data.europa.eu/r5r/applicableLegislation",
    "http://www.w3.org/ns/dcat#distribution",
    "http://www.w3.org/ns/dcat#theme",
    "http://www.w3.org/ns/dcat#keyword",
    "http://www.w3.org/ns/dcat#contactPoint",
    f"{HEALTH}hdab",
    f"{HEALTH}healthCategory",
    f"{HEALTH}hasStructuredData",
    f"{HEALTH}hasVariables",
]


@pytest.mark.parametrize("predicate", NEEDED)
def test_the_shapes_miss_each_mandatory_property(made, predicate):
    """The check itself is checked: without one of them the description is refused."""
    poorer = rdflib.Graph()
    it = rdflib.URIRef("https://data.hospital.example/datasets/lung-ct")
    for triple in made.graph:
        if triple[0] != it or triple[1] != rdflib.URIRef(predicate):
            poorer.add(triple)
    assert violations(poorer, own_shapes())[0]


@pytest.mark.filterwarnings(
    "ignore:ConjunctiveGraph is deprecated:DeprecationWarning"
)  # rdflib's own reader of JSON-LD
def test_both_forms_say_the_same(made, tmp_path):
    made.write(tmp_path / "a.ttl")
    made.write(tmp_path / "a.jsonld")
    turtle = rdflib.Graph().parse(tmp_path / "a.ttl")
    jsonld = rdflib.Graph().parse(tmp_path / "a.jsonld", format="json-ld")
    assert isomorphic(turtle, jsonld)
    assert isomorphic(turtle, made.graph)
    assert "@context" in json.loads((tmp_path / "a.jsonld").read_text())
    with pytest.raises(ArgumentError, match=r"\.ttl or \.jsonld"):
        made.write(tmp_path / "a.rdf")


def test_counts_are_those_of_the_cohort(made):
    """Counted here again from the makers of the cases: what at least ten patients share is told exactly."""
    metadata = [m for _, _, m in cases()]

    def of(name, value):
        rows = [m for m in metadata if m[name] == value]
        return len(rows), len({m["subject"] for m in rows})

    seen = made.counts
    assert (seen.cases, seen.patients) == (90, 60)
    assert seen.tables["modality"] == {"CT": of("modality", "CT"), "MR": of("modality", "MR")}
    # 3 patients of the rare maker: hidden, and with them the next smallest, which would give them away
    assert seen.tables["manufacturer"] == {"Maker A": of("manufacturer", "Maker A")}
    assert seen.others["manufacturer"] == (30, 30)
    assert seen.tables["cancer_type"] == {"lung": of("cancer_type", "lung")}
    assert set(seen.tables["voxel_edge_mm"]) == {"2-3", "3-5"}
    assert sum(patients for _, patients in seen.tables["age_band"].values()) + seen.others["age_band"][1] == 60
    assert seen.ages == (40, 79) or seen.ages == (50, 79)


def test_figures_stand_in_the_description(made):
    it = rdflib.URIRef("https://data.hospital.example/datasets/lung-ct")
    value = lambda name: made.graph.value(it, rdflib.URIRef(HEALTH + name)).toPython()  # noqa: E731
    assert (value("numberOfRecords"), value("numberOfUniqueIndividuals")) == (90, 60)
    rows = made.graph.query(
        f"SELECT ?m ?c ?p WHERE {{ ?o a <{QB}Observation> ; <urn:fastimg:modality> ?m ; <urn:fastimg:cases> ?c ;"
        " <urn:fastimg:patients> ?p }"
    )
    told = {str(m): (c.toPython(), p.toPython()) for m, c, p in rows}
    assert told == made.counts.tables["modality"]


def test_nobody_stands_in_it(made, source):
    text = made.turtle() + made.jsonld()
    for case in source.cases():
        assert case.case_id not in text
        assert case.metadata["subject"] not in text
        assert case.digest not in text
    assert "Rarity" not in text
    assert "heart" not in text


def test_the_policy_decides(source, tmp_path):
    rounded = catalogue(source, About.parse(ABOUT)).counts
    figures = [n for table in rounded.tables.values() for pair in table.values() for n in pair]
    assert figures
    assert all(n % 10 == 0 for n in [rounded.cases, rounded.patients, *figures])
    none = catalogue(source, About.parse(ABOUT), Policy(min_cases=61))
    assert none.counts.cases is None
    assert none.counts.refused == {"": "rule min_cases: fewer than 61 patients contribute"}
    assert violations(none.graph, own_shapes())[0] == []
    assert "numberOfRecords" not in none.turtle()
    (tmp_path / "p.toml").write_text('format = "fastimg-policy"\nversion = 1\ncomputations = ["histogram"]\n')
    barred = catalogue(source, About.parse(ABOUT), tmp_path / "p.toml").counts
    assert barred.refused[""].startswith("rule computations")


def test_counts_are_answers_of_the_node(source):
    """The same figures as any requester of the federation gets, and a line in the node's log for each."""
    log = source.path / "federation-log.jsonl"
    before = len(log.read_text().splitlines()) if log.exists() else 0
    policy = Policy(rounding=7)
    counts = catalogue(source, About.parse(ABOUT), policy).counts
    assert len(log.read_text().splitlines()) - before >= 6
    seen = Federation.local([Node(source, policy)]).run("count", by=["sex"], secure=False).value
    pairs = zip(seen["cases"].tolist(), seen["patients"].tolist(), strict=True)
    assert counts.tables["sex"] == dict(zip(seen["levels"]["sex"], pairs, strict=True))


def test_a_few_withdrawals_give_nobody_away(tmp_path):
    """After a release of 60 patients one of 55 would tell of five: the figures stay until enough have changed."""
    fewer = fi.Cohort.create(tmp_path / "c")
    for name, image, metadata in cases():
        fewer.add(name, image, None, metadata)
    about = About.parse(ABOUT)
    before = catalogue(fewer, about, Policy()).counts
    fewer.remove(subjects=[f"{who:032x}" for who in range(5)])
    assert catalogue(fewer, about, Policy()).counts.to_dict() == before.to_dict()
    fewer.remove(subjects=[f"{who:032x}" for who in range(5, 15)])
    after = catalogue(fewer, about, Policy()).counts
    assert (after.patients, after.cases) == (45, 60)


def test_cancer_by_a_column_of_ones_own(source):
    about = About.parse(ABOUT.replace("[dataset]\n", '[dataset]\ncancer = "ICD O topography"\n'))
    made = catalogue(source, about, Policy())
    assert made.counts.tables["ICD O topography"] == {"C18": (20, 20), "C34": (70, 40)}
    assert "cancer_type" not in made.counts.tables
    assert violations(made.graph, own_shapes())[0] == []


@pytest.mark.parametrize(
    "old, new, words",
    [
        ('title = "Chest CT of lung cancer"\n', "", "dataset.title: missing"),
        ('uri = "https://data.hospital.example/datasets/lung-ct"', 'uri = "lung"', "dataset.uri: expected an address"),
        ("[contact]", "[kontact]", r"\[contact\] is missing"),
        ('name = "Health Data Access Body of Example"\n', "", "access_body.name: missing"),
        ('page = "https://access.example.org"\n', "", "access_body: give an e-mail address or a page"),
        ('country = "ESP"', 'country = "Spain"', "dataset.country: expected a code"),
        ('country = "ESP"', 'language = "xx"', "dataset.language: 'xx' is none of"),
        ("version = 1", "version = 3", "reads version 1, got 3"),
        ('keywords = ["lung cancer", "CT"]', "keywords = []", "dataset.keywords: expected a list of at least 1"),
        ('email = "data@hospital.example"\nnote', 'email = "nobody"\nnote', "publisher.email: expected an e-mail"),
        ("[publisher]", "[publisher]\ntelephone = 1", "publisher.telephone: unknown key"),
    ],
)
def test_a_wrong_description_is_told_with_its_line(old, new, words):
    assert old in ABOUT
    with pytest.raises(FormatError, match=words):
        About.parse(ABOUT.replace(old, new))


def test_the_command(source, tmp_path, monkeypatch):
    about, call = tmp_path / "about.toml", CliRunner().invoke
    about.write_text(ABOUT)
    done = call(main, ["catalogue", str(source.path), "--about", str(about), "--output", str(tmp_path / "d.ttl")])
    assert done.exit_code == 0, done.output
    assert "counts by cancer_type, modality" in done.output
    assert violations(rdflib.Graph().parse(tmp_path / "d.ttl"), own_shapes())[0] == []
    done = call(main, ["catalogue", str(source.path), "--about", str(about)])
    assert rdflib.Graph().parse(data=done.stdout, format="turtle")
    done = call(main, ["catalogue", str(source.path), "--about", str(about), "--json"])
    assert json.loads(done.stdout)["cases"] == 90
    assert call(main, ["catalogue", str(source.path), "--about", str(about), "--output", "x.rdf"]).exit_code == 2
    about.write_text("version = 1")
    assert call(main, ["catalogue", str(source.path), "--about", str(about)]).exit_code == 2


def test_without_rdflib_the_extra_is_named(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdflib", None)
    with pytest.raises(MissingError, match=r"pip install 'fastimg\[catalogue\]'"):
        catalogue(source, About.parse(ABOUT))
