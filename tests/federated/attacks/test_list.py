"""The attacks by name, each with its own test: refused with a clear reason, logged, and the node goes on serving.

ATTACKS is the list, ELSEWHERE what is tried in other files. What is tried on the masks is in tests/secagg.
"""

from __future__ import annotations

import re
from pathlib import Path

ATTACKS = [
    "unknown_computation_version_or_parameter",
    "oversize_result",
    "path_traversal_in_every_name",
    "replayed_messages",
    "reordered_messages",
    "hub_asks_for_a_cohort_of_nine",
    "hub_drops_nodes_to_force_a_plain_sum",
    "hub_drops_nodes_to_force_a_small_sum",
    "hub_says_that_more_nodes_hold_a_batch",
    "hub_makes_up_a_level_of_one_patient",
    "hub_weighs_single_rows",
    "differencing_by_two_overlapping_queries",
    "differencing_by_a_missing_value",
    "differencing_by_a_rerun",
    "formula_that_carries_code",
    "requester_without_a_key",
    "hub_changes_the_question",
    "tampered_log",
    "node_sends_nan",
    "node_sends_a_wrong_shape",
    "node_that_breaks_and_talks",
]
ELSEWHERE = {  # what needs processes, a network or ten thousand tries
    "a wrong certificate": "test_flower_federation.py::test_a_wrong_certificate_and_a_wrong_key_are_refused",
    "a requester without a key, over TLS": "test_flower_federation.py::test_a_stranger_asks_in_vain_and_the_logs_are_whole",
    "another app than the pinned one": "test_flower.py::test_a_foreign_app_is_not_answered",
    "malformed requests, 10,000": "test_fuzz.py::test_malformed_messages",
    "malformed answers, 10,000": "test_fuzz.py::test_malformed_answers_at_the_hub",
}


def test_every_attack_has_a_test():
    here = Path(__file__).parent
    found = [
        name
        for path in here.glob("test_*.py")
        for name in re.findall(r"^def test_attack_(\w+)\(", path.read_text(), re.M)
    ]
    assert sorted(found) == sorted(ATTACKS)
    for place in ELSEWHERE.values():
        file, name = place.split("::")
        assert f"def {name}(" in (here.parent / file).read_text()
