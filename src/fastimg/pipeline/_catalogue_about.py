"""What a catalogue says of a dataset and no cohort knows: title, publisher, access body, purpose; a checked TOML file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _schema as check
from . import _toml_lines
from ._sections import Problems, option, read_section

__all__ = ["LANGUAGES", "About", "Agent", "Description"]

FORMAT, VERSION = "fastimg-catalogue", 1
EHDS = "http://data.europa.eu/eli/reg/2025/327/oj"
# The tag of RFC 5646 and the code of the EU's authority table of languages.
_PAIRS = (
    "bg=BUL cs=CES da=DAN de=DEU el=ELL en=ENG es=SPA et=EST fi=FIN fr=FRA ga=GLE hr=HRV hu=HUN it=ITA lt=LIT lv=LAV "
    "mt=MLT nl=NLD pl=POL pt=POR ro=RON sk=SLK sl=SLV sv=SWE"
)
LANGUAGES: dict[str, str] = dict(pair.split("=") for pair in _PAIRS.split())
_IRI = re.compile(r"https?://[^\s<>\"{}|\\^`]+")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def _matching(pattern: re.Pattern[str], expected: str) -> check.Checker:
    def checked(value: Any) -> str:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise ValueError(f"expected {expected}, got {value!r}")
        return value

    return checked


def _words(value: Any) -> str:
    text = check.text(value).strip()
    if not text:
        raise ValueError("must not be empty")
    return text


_iri = _matching(_IRI, "an address such as https://example.org/datasets/1")
_email = _matching(_EMAIL, "an e-mail address")
_code = _matching(re.compile(r"[A-Z][A-Z0-9_]{1,60}"), "a code of the authority table, in capitals")
_kind = _matching(re.compile(r"[a-z][a-z-]{1,60}"), "a code such as healthcare-providers")


@dataclass(frozen=True)
class Agent:
    """An organisation, or a way to reach one. An e-mail address or a page is needed."""

    name: str = option("", _words, "its name")
    type: str = option("", _kind, "of the authority table publisher-type of HealthData@EU: healthcare-providers ...")
    email: str = option("", _email, "a mailbox of the organisation, not of a person")
    page: str = option("", _iri, "a page with a form or an address")
    note: str = option("", _words, "what it does")


@dataclass(frozen=True)
class Description:
    """The section [dataset]."""

    uri: str = option("", _iri, "the dataset's own address, which names it for good")
    title: str = option("", _words, "")
    description: str = option("", _words, "")
    version: str = option("1.0.0", _words, "of the dataset")
    language: str = option("en", check.choice(*LANGUAGES), "of title, description and keywords")
    keywords: tuple[str, ...] = option((), check.list_of(_words, least=1), "")
    provenance: str = option("", _words, "how the data came to be")
    categories: tuple[str, ...] = option(
        ("EHRS",), check.list_of(_code, least=1), "categories of Article 51 of the EHDS Regulation, by code"
    )
    themes: tuple[str, ...] = option(("CANCER_DISEASE",), check.list_of(_code), "health themes, by code")
    kind: str = option("STATISTICAL", _code, "of the EU's authority table dataset-type")
    country: str = option("", _code, "of the EU's authority table country: ESP ...")
    population: str = option("", _words, "who is in it")
    purpose: str = option("", _words, "what the data may be processed for")
    legal_basis: str = option("", _words, "of the processing of personal data")
    legislation: tuple[str, ...] = option((EHDS,), check.list_of(_iri, least=1), "addresses (ELI) of acts")
    access_url: str = option("", _iri, "where access is asked for")
    access: str = option("On request, through the health data access body.", _words, "how access is granted")
    landing_page: str = option("", _iri, "a page about the dataset")
    cancer: str = option("", _words, "the column of the cohort's index that holds the type of cancer")


@dataclass(frozen=True)
class About:
    """The description of a dataset, its sections as attributes.

    Attributes
    ----------
    dataset : Description
    publisher, access_body, contact : Agent
        Who publishes it, who grants access, and whom to ask.
    custodian : Agent or None
        Who holds the data, where it is told.

    Examples
    --------
    >>> import fastimg as fi
    >>> try:
    ...     fi.pipeline.About.parse('format = "fastimg-catalogue"\\nversion = 1\\n[dataset]\\ntitle = ""')
    ... except fi.errors.FormatError as error:
    ...     print(str(error).splitlines()[-1])
    about.toml:4: dataset.title: must not be empty
    """

    dataset: Description = field(default_factory=Description)
    publisher: Agent = field(default_factory=Agent)
    access_body: Agent = field(default_factory=Agent)
    contact: Agent = field(default_factory=Agent)
    custodian: Agent | None = None

    @classmethod
    def load(cls, path: str | Path) -> About:
        """From a TOML file.

        `path` is the file.

        Raises
        ------
        ArgumentError
            No such file.
        FormatError
            Every problem found, what is missing among them, each as "file:line: key: what is wrong and what would do".
        """
        file = Path(path)
        return cls.parse(_toml_lines.read(file, "about"), file=file.name)

    @classmethod
    def parse(cls, text: str, *, file: str = "about.toml") -> About:
        """From TOML text; `file` is the name used in messages."""
        document = _toml_lines.parse(text, file)
        problems = Problems(file, _toml_lines.lines_of(text))
        if document.pop("format", None) != FORMAT:
            problems.add(("format",), f'the file must say format = "{FORMAT}"')
        if (version := document.pop("version", None)) != VERSION or isinstance(version, bool):
            problems.add(("version",), f"this fastimg reads version {VERSION}, got {version!r}")
        parts = ("publisher", "access_body", "contact", "custodian")
        for key, value in document.items():
            if key not in ("dataset", *parts):
                problems.add((key,), f"unknown section; {check.nearest(key, ('dataset', *parts))}")
            elif not isinstance(value, dict):
                problems.add((key,), f"expected a section [{key}], got {value!r}")
        tables = {name: value for name in ("dataset", *parts) if isinstance(value := document.get(name), dict)}
        own = tables.pop("dataset", {})
        described = read_section(Description, ("dataset",), own, problems)
        agents = {name: _agent(name, table, problems) for name, table in tables.items()}
        for name in ("uri", "title", "description", "keywords", "provenance", "access_url"):
            if name not in own:
                problems.add(("dataset", name), "missing")
        for name in parts[:3]:
            if name not in agents:
                problems.add((name,), f"the section [{name}] is missing")
        problems.stop()
        return cls(described, **agents)


def _agent(name: str, table: dict[str, Any], problems: Problems) -> Agent:
    agent: Agent = read_section(Agent, (name,), table, problems)
    if name != "contact" and not agent.name and "name" not in table:
        problems.add((name, "name"), "missing")
    if not agent.email and not agent.page and not {"email", "page"} & set(table):
        problems.add((name,), "give an e-mail address or a page")
    return agent
