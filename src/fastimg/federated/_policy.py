"""What a node allows: a small TOML file with a checked schema; what it does not say is not allowed."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, FormatError, RefusedError
from ._codec import dumps

__all__ = ["Policy"]

_FORMAT = "fastimg-policy"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one node. They act before anything leaves it; a refusal names the rule, never the data.

    Parameters
    ----------
    min_cases : int
        Fewest contributing patients of an answer, and of each cell of a table or histogram.
    computations : sequence of str
        Names, or "name@version", of what may be run.
    requesters : sequence of str
        Who may ask. `Federation.local` asks as "local".
    max_values : int
        Most numbers in one round's answer.
    secure_only : bool
        Refuse plain sums also inside one machine.
    disclose_batches : bool
        ComBat gives each batch's location and scale; where fewer than three nodes hold a batch, that is the node's own.
        False refuses it then; a file that does not say true means false.
    patient : str
        Metadata column that names the patient (a pseudonym). A cohort without the column counts each case as a patient.
    states : sequence of str
        States of the cases that take part.
    max_parameters_per_case : float
        A model of more parameters a contributing patient of this node is refused.
    cohorts : sequence of str
        Names of the cohorts' folders that may be served; empty: any.
    rounding : int
        Counts of count, histogram, quality and tool are rounded to whole multiples of it before they leave (10 in today's
        federated search). 1: exact.
    obfuscation_epsilon : float
        Two-sided geometric noise of this epsilon a count, before the rounding (0.28 in today's federated search). 0: none.
        It blurs; it is not differential privacy of a patient, who may stand in several counts.
    hours : sequence of str
        When questions are answered, "HH:MM-HH:MM" in UTC; empty: always.
    max_queries_per_hour : int
        Rounds that one requester may ask within an hour, refusals counted. 0: no limit.
    max_seconds : float
        Longest work on one answer, looked at between cases and at the end. 0: no limit.
    max_memory_mb : int
        Largest table of numbers that an answer may make at this node, in MiB. Rows are read block by block; what may be
        large is a block of many columns, their products, and the bins of many patients' minimum. 0: no limit.
    tools : sequence of str
        Tools that the computation "tool" may run: names, or "name@version".

    Examples
    --------
    >>> import fastimg as fi
    >>> fi.federated.Policy(min_cases=20).check("requester", "somebody else")
    Traceback (most recent call last):
    fastimg.errors.RefusedError: rule requesters: this requester is not allowed at this node
    """

    min_cases: int = 10
    computations: tuple[str, ...] = ("count", "histogram", "moments", "combat")
    requesters: tuple[str, ...] = ("local",)
    max_values: int = 1_000_000
    secure_only: bool = False
    disclose_batches: bool = True
    patient: str = "subject"
    states: tuple[str, ...] = ("ok", "warned")
    max_parameters_per_case: float = 1 / 3
    tools: tuple[str, ...] = ()
    cohorts: tuple[str, ...] = ()
    rounding: int = 1
    obfuscation_epsilon: float = 0.0
    hours: tuple[str, ...] = ()
    max_queries_per_hour: int = 0
    max_seconds: float = 0.0
    max_memory_mb: int = 4096

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, tuple):
                if isinstance(value, str) or not isinstance(value, (list, tuple)):
                    raise ArgumentError(f"policy: {field.name} must be a list of text")
                if not all(isinstance(item, str) and item for item in value):
                    raise ArgumentError(f"policy: {field.name} must be a list of text")
                object.__setattr__(self, field.name, tuple(value))
            elif type(field.default) is float and type(value) is int:
                object.__setattr__(self, field.name, float(value))
            elif type(value) is not type(field.default):
                kind = type(field.default).__name__
                raise ArgumentError(f"policy: {field.name} must be {kind}, got {type(value).__name__}")
        if not 1 <= self.min_cases <= 1_000_000:
            raise ArgumentError(f"policy: min_cases must be 1 to 1000000, got {self.min_cases}")
        if not 1 <= self.max_values <= 1 << 28:
            raise ArgumentError(f"policy: max_values must be 1 to 2**28, got {self.max_values}")
        if not 1 <= self.rounding <= 1_000_000:
            raise ArgumentError(f"policy: rounding must be 1 to 1000000, got {self.rounding}")
        if not (self.obfuscation_epsilon == 0 or 1e-3 <= self.obfuscation_epsilon <= 100):
            raise ArgumentError("policy: obfuscation_epsilon must be 0 or 0.001 to 100")
        if not (0 <= self.max_seconds < 1e9 and 0 <= self.max_queries_per_hour < 1 << 31):
            raise ArgumentError("policy: max_seconds and max_queries_per_hour must not be negative")
        if not 0 <= self.max_memory_mb < 1 << 31:
            raise ArgumentError("policy: max_memory_mb must not be negative")
        for span in self.hours:
            _minutes(span)
        if not set(self.states) <= {"ok", "warned"}:
            raise ArgumentError("policy: states may hold 'ok' and 'warned'; other cases never take part")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """From a TOML file; unknown keys, wrong types and a newer version are errors that name the key.

        The file holds `format = "fastimg-policy"`, `version = 1` and the parameters above. Raises ArgumentError where
        `path` cannot be read, FormatError for what is wrong in it.
        """
        file = Path(path)
        try:
            table: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
        except OSError as error:
            raise ArgumentError(f"policy: {file} cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FormatError(f"policy: {file.name} is not TOML: {error}") from None
        if table.pop("format", None) != _FORMAT:
            raise FormatError(f'policy: {file.name} must say format = "{_FORMAT}"')
        version = table.pop("version", None)
        if version != _VERSION:
            raise FormatError(f"policy: {file.name} has version {version!r}; this fastimg reads version {_VERSION}")
        known = {field.name for field in fields(cls)}
        for key in table:
            if key not in known:
                raise FormatError(f"policy: {file.name}: unknown key {key!r}; known are {', '.join(sorted(known))}")
        try:
            return cls(**{"disclose_batches": False} | table)
        except ArgumentError as error:
            raise FormatError(f"{error} ({file.name})") from None

    @property
    def exact(self) -> bool:
        """Whether counts leave as they are."""
        return self.rounding == 1 and self.obfuscation_epsilon == 0

    @property
    def digest(self) -> str:
        """Of its content; it stands in results and in the log."""
        return "sha256:" + hashlib.sha256(dumps(asdict(self))).hexdigest()

    def check(self, what: str, value: Any) -> None:
        """Refuse a requester, a (name, version), a number of values or of patients that the policy does not allow.

        `value` is what is asked of `what`.
        """
        if what == "requester" and value not in self.requesters:
            raise RefusedError("rule requesters: this requester is not allowed at this node")
        if what == "computation" and not {value[0], f"{value[0]}@{value[1]}"} & set(self.computations):
            raise RefusedError("rule computations: this computation or version is not allowed at this node")
        if what == "tool" and not {value[0], f"{value[0]}@{value[1]}"} & set(self.tools):
            raise RefusedError("rule tools: this tool is not allowed at this node")
        if what == "cohort" and self.cohorts and value not in self.cohorts:
            raise RefusedError("rule cohorts: this cohort is not served under the policy")
        if what == "minute" and self.hours and not any(_inside(value, *_minutes(span)) for span in self.hours):
            raise RefusedError("rule hours: questions are not answered at this time")
        if what == "queries" and 0 < self.max_queries_per_hour <= value:
            raise RefusedError(f"rule max_queries_per_hour: more than {self.max_queries_per_hour} within an hour")
        if what == "bytes" and 0 < self.max_memory_mb << 20 < value:
            raise RefusedError(f"rule max_memory_mb: the answer needs a table of more than {self.max_memory_mb} MiB")
        if what == "values" and value > self.max_values:
            raise RefusedError(f"rule max_values: the answer has more than {self.max_values} numbers")
        if what == "patients" and value < self.min_cases:
            raise RefusedError(f"rule min_cases: fewer than {self.min_cases} patients contribute")
        if what == "parameters" and value[0] > self.max_parameters_per_case * value[1]:
            raise RefusedError(
                f"rule max_parameters_per_case: a model may have {self.max_parameters_per_case:.3g} parameters a patient"
            )
        if what == "secure" and self.secure_only and not value:
            raise RefusedError("rule secure_only: this node answers only under secure aggregation")


_SPAN = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")


def _minutes(span: str) -> tuple[int, int]:
    found = _SPAN.fullmatch(span)
    if found is None:
        raise ArgumentError(f"policy: hours must be like '08:00-18:00', got {span!r}")
    a, b, c, d = map(int, found.groups())
    return 60 * a + b, 60 * c + d


def _inside(minute: int, first: int, last: int) -> bool:
    """A span may go over midnight."""
    return first <= minute < last if first <= last else minute >= first or minute < last
