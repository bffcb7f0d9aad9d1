"""A cohort described for a catalogue of health data: DCAT-AP 3 in the profile HealthDCAT-AP, release 8, non-public data.

Sources: HealthDCAT-AP release 8 (healthdataeu.pages.code.europa.eu/healthdcat-ap), its cardinalities for NON_PUBLIC and its
validator's code lists; DCAT-AP 3.0.1 (semiceu.github.io/DCAT-AP); the RDF Data Cube vocabulary (W3C, 2014) for counts.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, MissingError
from ._catalogue_about import LANGUAGES, About, Agent
from ._catalogue_counts import AGE, EDGE, Counts, counted
from ._summary import write_whole

__all__ = ["Catalogue", "catalogue"]

EU = "http://publications.europa.eu/resource/authority/"
HDEU = "https://hdeu-dcat.data.health.europa.eu/resource/authority/"
FI = "urn:fastimg:"
_PREFIXES = {
    "adms": "http://www.w3.org/ns/adms#",
    "csvw": "http://www.w3.org/ns/csvw#",
    "cv": "http://data.europa.eu/m8g/",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcatap": "http://data.europa.eu/r5r/",
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "eli": "http://data.europa.eu/eli/ontology#",
    "fi": FI,
    "foaf": "http://xmlns.com/foaf/0.1/",
    "geodcatap": "http://data.europa.eu/930/",
    "healthdcatap": "http://healthdataportal.eu/ns/health#",
    "pd": "https://w3id.org/dpv/dpv-pd#",
    "qb": "http://purl.org/linked-data/cube#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
}
# Columns of the index that a stranger understands: type of CSVW, what it holds. Others are named as the site's own.
VARIABLES = {
    "case_id": ("string", "Name of the case: a volume with its masks"),
    "subject": ("string", "Pseudonym of the patient, keyed at the site"),
    "study": ("string", "Pseudonym of the imaging study, keyed at the site"),
    "modality": ("string", "DICOM Modality (0008,0060)"),
    "manufacturer": ("string", "DICOM Manufacturer (0008,0070)"),
    "model": ("string", "DICOM Manufacturer's Model Name (0008,1090)"),
    "kernel": ("string", "DICOM Convolution Kernel (0018,1210)"),
    "age_years": ("double", "Age at the study in years; above 89 it is 90"),
    "sex": ("string", "DICOM Patient's Sex (0010,0040)"),
    "weight_kg": ("double", "DICOM Patient's Weight (0010,1030)"),
    "height_m": ("double", "DICOM Patient's Size (0010,1020)"),
    "body_part": ("string", "DICOM Body Part Examined (0018,0015)"),
    "slice_thickness_mm": ("double", "DICOM Slice Thickness (0018,0050)"),
    "shape": ("string", "Voxels along each axis, slices first"),
    "unit": ("string", "What a voxel's value means"),
    "masks": ("string", "Names of the segmentations"),
}
_PERSONAL = {"age_years": "Age", "sex": "Gender", "weight_kg": "Weight", "height_m": "Height"}
_TOLD = {AGE: "age in years", EDGE: "largest voxel edge in mm"}


@dataclass(repr=False)
class Catalogue:
    """A dataset's description.

    Attributes
    ----------
    graph : rdflib.Graph
    counts : Counts
        What the policy lets be told, and what it refused.
    """

    graph: Any
    counts: Counts

    def __repr__(self) -> str:
        return f"<Catalogue {len(self.graph)} statements, {len(self.counts.tables)} tables of counts>"

    def turtle(self) -> str:
        """As Turtle."""
        return str(self.graph.serialize(format="turtle"))

    def jsonld(self) -> str:
        """As JSON-LD."""
        text = self.graph.serialize(format="json-ld", context=dict(_PREFIXES), auto_compact=True)
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"

    def write(self, path: str | os.PathLike[str]) -> Path:
        """As .ttl or .jsonld; the file is replaced as a whole. By the ending of `path`."""
        target = check_output(Path(path))
        write_whole(target, (self.turtle() if target.suffix == ".ttl" else self.jsonld()).encode())
        return target


def check_output(path: Path) -> Path:
    """The path, if its name says a form that a catalogue has."""
    if path.suffix not in (".ttl", ".jsonld"):
        raise ArgumentError(f"output: the name must end in .ttl or .jsonld, got {path.name!r}")
    return path


def catalogue(
    cohort: Any,
    about: About | str | os.PathLike[str],
    policy: Any = None,
    *,
    log: Any = None,
    today: dt.date | None = None,
) -> Catalogue:
    """Describe a cohort as a `dcat:Dataset` for HealthData@EU and EUCAIM. Needs the extra "catalogue" (rdflib).

    Parameters
    ----------
    cohort : Cohort or path
    about : About or path of a TOML file
        What the cohort cannot know.
    policy : federated.Policy or path, optional
        What the node of this cohort lets be told. Default: at least 10 patients a cell, counts rounded to tens. Counts are
        asked of the node and stand in its log; a cell below the minimum joins others.
    log : path, optional
        Of the node; default: in the cohort. Needed where the cohort is in an object store.
    today : date, optional
        Of the description; default: today.

    Returns
    -------
    Catalogue

    Raises
    ------
    MissingError
        rdflib is not installed.
    ArgumentError, FormatError
        Before any work.

    Notes
    -----
    No case, no patient and no label of fewer patients than the minimum stands in the description. A refused count is
    left out and named in `counts.refused`; where fewer patients came or went than the minimum, the node tells what it
    told before.
    """
    from ..cohort import Cohort
    from ..federated import Policy

    try:
        import rdflib
    except ImportError:
        raise MissingError("catalogue: rdflib is not installed; run: pip install 'fastimg[catalogue]'") from None
    told = about if isinstance(about, About) else About.load(Path(about))
    rules = policy if isinstance(policy, Policy) else Policy(rounding=10) if policy is None else Policy.load(policy)
    opened = cohort if isinstance(cohort, Cohort) else Cohort.open(cohort)
    counts = counted(opened, rules, told.dataset.cancer, log)
    return Catalogue(_Builder(rdflib, told).dataset(counts, today or dt.date.today()), counts)


class _Builder:
    """Statements about one dataset."""

    def __init__(self, rdflib: Any, about: About) -> None:
        self._about, self._said, self._uri, self._literal = about, about.dataset, rdflib.URIRef, rdflib.Literal
        self._blank, self._type, self._xsd = rdflib.BNode, rdflib.RDF.type, rdflib.XSD
        self._label = rdflib.RDFS.label
        self.graph = rdflib.Graph(bind_namespaces="none")
        for prefix, name in _PREFIXES.items():
            self.graph.bind(prefix, name)
        self.graph.bind("xsd", rdflib.XSD)
        self.graph.bind("rdfs", rdflib.RDFS)
        self._it = self._uri(about.dataset.uri)

    def dataset(self, counts: Counts, today: dt.date) -> Any:
        about, it = self._said, self._it
        self._is(it, "dcat:Dataset")
        for name, value in (("title", about.title), ("description", about.description)):
            self._say(it, f"dct:{name}", self._text(value))
        self._say(it, "dct:identifier", self._literal(about.uri))
        self._say(it, "dcat:version", self._literal(about.version))
        for name in ("issued", "modified"):
            self._say(it, f"dct:{name}", self._literal(today.isoformat(), datatype=self._xsd.date))
        for word in about.keywords:
            self._say(it, "dcat:keyword", self._text(word))
        self._concepts(it)
        self._acts(it)
        self._say(it, "dct:provenance", self._node("dct:ProvenanceStatement", about.provenance))
        self._people(it)
        self._personal(it, counts)
        if about.landing_page:
            self._page(it, "dcat:landingPage", about.landing_page)
        if about.population:
            self._say(it, "healthdcatap:populationCoverage", self._text(about.population))
        self._figures(it, counts)
        self._variables(it, counts)
        self._distribution(it, "access", "dcat:distribution", "Access to the data", about.access)
        if counts.tables:
            self._cubes(counts)
        return self.graph

    # parts --------------------------------------------------------------------------------------------------------------

    def _concepts(self, it: Any) -> None:
        about = self._said
        rights = self._concept(f"{EU}access-right", "NON_PUBLIC", "non-public")
        self._is(rights, "dct:RightsStatement")
        self._say(it, "dct:accessRights", rights)
        self._say(it, "dcat:theme", self._concept(f"{EU}data-theme", "HEAL", "Health"))
        self._say(it, "dct:type", self._concept(f"{EU}dataset-type", about.kind))
        language = self._concept(f"{EU}language", LANGUAGES[about.language])
        self._is(language, "dct:LinguisticSystem")
        self._say(it, "dct:language", language)
        if about.country:
            country = self._concept(f"{EU}country", about.country)
            self._is(country, "dct:Location")
            self._say(it, "dct:spatial", country)
        for code in about.categories:
            self._say(it, "healthdcatap:healthCategory", self._concept(f"{HDEU}healthcategories", code))
        for code in about.themes:
            self._say(it, "healthdcatap:healthTheme", self._concept(f"{HDEU}health-theme", code))
        standard = self._concept(f"{HDEU}standard", "DICOM", "DICOM")
        self._is(standard, "dct:Standard")
        self._say(it, "dct:conformsTo", standard)

    def _acts(self, it: Any) -> None:
        for address in self._said.legislation:
            act = self._uri(address)
            self._is(act, "eli:LegalResource")
            self._say(it, "dcatap:applicableLegislation", act)

    def _people(self, it: Any) -> None:
        about = self._about
        self._say(it, "dct:publisher", self._agent(about.publisher, "publisher"))
        self._say(it, "geodcatap:custodian", self._agent(about.custodian or about.publisher, "custodian"))
        self._say(it, "healthdcatap:hdab", self._agent(about.access_body, "access-body"))
        kind = self._own("contact")
        self._is(kind, "vcard:Kind")
        if about.contact.name:
            self._say(kind, "vcard:fn", self._literal(about.contact.name))
        if about.contact.email:
            self._say(kind, "vcard:hasEmail", self._uri(f"mailto:{about.contact.email}"))
        if about.contact.page:
            self._say(kind, "vcard:hasURL", self._uri(about.contact.page))
        self._say(it, "dcat:contactPoint", kind)

    def _agent(self, agent: Agent, name: str) -> Any:
        node, point = self._own(name), self._own(f"{name}-contact")
        self._is(node, "foaf:Agent")
        self._say(node, "foaf:name", self._text(agent.name))
        if agent.type:
            self._say(node, "dct:type", self._concept(f"{HDEU}publisher-type", agent.type))
        if agent.note:
            self._say(node, "dct:description", self._text(agent.note))
        self._is(point, "cv:ContactPoint")
        if agent.email:
            self._say(point, "cv:email", self._literal(agent.email))
        if agent.page:
            self._page(point, "cv:contactPage", agent.page)
        self._say(node, "cv:contactPoint", point)
        return node

    def _personal(self, it: Any, counts: Counts) -> None:
        for name in ("HealthRecord", *(kind for column, kind in _PERSONAL.items() if column in counts.columns)):
            kind = self._named(f"pd:{name}")
            self._is(kind, "dpv:PersonalData")
            self._say(it, "dpv:hasPersonalData", kind)
        for name, words in (("Purpose", self._said.purpose), ("LegalBasis", self._said.legal_basis)):
            if words:
                node = self._blank()
                self._is(node, f"dpv:{name}")
                self._say(node, "dct:description", self._text(words))
                self._say(it, f"dpv:has{name}", node)

    def _figures(self, it: Any, counts: Counts) -> None:
        figures = {"numberOfRecords": counts.cases, "numberOfUniqueIndividuals": counts.patients}
        if counts.ages is not None:
            figures |= {"minTypicalAge": counts.ages[0], "maxTypicalAge": counts.ages[1]}
        for name, value in figures.items():
            if value is not None:
                self._say(it, f"healthdcatap:{name}", self._whole(value))

    def _variables(self, it: Any, counts: Counts) -> None:
        """The index of the cohort as a table: what can be asked for, not who is in it."""
        self._say(it, "healthdcatap:hasStructuredData", self._literal(True))
        group, table = self._own("variables"), self._own("index")
        self._is(group, "csvw:TableGroup")
        self._say(group, "dct:title", self._text("Variables of the cases"))
        self._say(group, "csvw:table", table)
        self._say(it, "healthdcatap:hasVariables", group)
        self._is(table, "csvw:Table")
        self._say(table, "dct:title", self._text("One row a case"))
        told = [name for name in counts.columns if name in VARIABLES or name in counts.tables]
        for number, name in enumerate(told, 1):
            kind, words = VARIABLES.get(name, ("string", f"The site's own column {name}"))
            column = self._own(f"column-{number}")
            self._is(column, "csvw:Column")
            for what, value in (("csvw:name", name), ("csvw:title", name), ("csvw:datatype", kind)):
                self._say(column, what, self._literal(value))
            self._say(column, "dct:description", self._text(words))
            self._say(table, "csvw:column", column)

    def _distribution(self, it: Any, name: str, predicate: str, title: str, words: str) -> Any:
        node = self._own(name)
        self._is(node, "dcat:Distribution")
        self._say(node, "dct:title", self._text(title))
        self._say(node, "dct:description", self._text(words))
        address = self._uri(self._said.access_url)
        self._say(node, "dcat:accessURL", address)
        self._acts(node)
        self._say(it, predicate, node)
        return node

    def _cubes(self, counts: Counts) -> None:
        """A data set of the Data Cube vocabulary a column, reached from an analytics distribution."""
        names = ", ".join(_TOLD.get(name, name) for name in counts.tables)
        words = (
            f"Numbers of cases and patients by {names}; small cells are merged and counts rounded by the node's policy."
        )
        about = self._distribution(self._it, "counts", "healthdcatap:analytics", "Counts", words)
        for name, table in counts.tables.items():
            key = name if name.isidentifier() else f"column{list(counts.tables).index(name) + 1}"
            cube, structure, dimension = self._own(f"counts-{key}"), self._own(f"structure-{key}"), self._uri(FI + key)
            self._is(cube, "qb:DataSet")
            self._say(cube, "dct:title", self._text(f"By {_TOLD.get(name, name)}"))
            self._say(cube, "dct:source", self._it)
            self._say(cube, "qb:structure", structure)
            self._say(about, "dct:relation", cube)
            self._is(structure, "qb:DataStructureDefinition")
            self._component(structure, "qb:dimension", dimension, "qb:DimensionProperty")
            self.graph.add((dimension, self._label, self._text(_TOLD.get(name, name))))
            for measure in ("cases", "patients"):
                self._component(structure, "qb:measure", self._uri(FI + measure), "qb:MeasureProperty")
            rows = dict(table)
            if counts.others.get(name, (0, 0))[1]:
                rows["other or not known"] = counts.others[name]
            for label, (cases, patients) in rows.items():
                row = self._blank()
                self._is(row, "qb:Observation")
                self._say(row, "qb:dataSet", cube)
                self.graph.add((row, dimension, self._literal(label)))
                self._say(row, "fi:cases", self._whole(cases))
                self._say(row, "fi:patients", self._whole(patients))

    def _component(self, structure: Any, role: str, what: Any, kind: str) -> None:
        node = self._blank()
        self._is(what, kind)
        self._is(what, "rdf:Property")
        self._say(node, role, what)
        self._say(structure, "qb:component", node)

    # statements ---------------------------------------------------------------------------------------------------------

    def _named(self, short: str) -> Any:
        prefix, _, name = short.partition(":")
        if prefix == "rdf":
            return self._uri(f"http://www.w3.org/1999/02/22-rdf-syntax-ns#{name}")
        return self._uri(_PREFIXES[prefix] + name)

    def _own(self, name: str) -> Any:
        return self._uri(f"{self._said.uri}#{name}")

    def _say(self, subject: Any, predicate: str, value: Any) -> None:
        self.graph.add((subject, self._named(predicate), value))

    def _is(self, node: Any, kind: str) -> None:
        self.graph.add((node, self._type, self._named(kind)))

    def _text(self, words: str) -> Any:
        return self._literal(words, lang=self._said.language)

    def _whole(self, value: int) -> Any:
        return self._literal(str(value), datatype=self._xsd.nonNegativeInteger)

    def _node(self, kind: str, words: str) -> Any:
        node = self._blank()
        self._is(node, kind)
        self.graph.add((node, self._label, self._text(words)))
        return node

    def _page(self, subject: Any, predicate: str, address: str) -> None:
        page = self._uri(address)
        self._is(page, "foaf:Document")
        self._say(subject, predicate, page)

    def _concept(self, scheme: str, code: str, label: str = "") -> Any:
        """An entry of an authority table, with what checks of code lists look for."""
        node, table = self._uri(f"{scheme}/{code}"), self._uri(scheme)
        self._is(node, "skos:Concept")
        self._say(node, "skos:prefLabel", self._literal(label or code.replace("_", " ").lower(), lang="en"))
        self._say(node, "skos:inScheme", table)
        self._is(table, "skos:ConceptScheme")
        self._say(table, "dct:title", self._literal(scheme.rsplit("/", 1)[1], lang="en"))
        return node
