"""The search for what is left of an identity finds every spelling, and does not cry wolf."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import fastimg as fi
from fastimg.dicom._matcher import Matcher, normal
from fastimg.dicom._residual import COMMON, fold, identifiers_of, matcher, residual, scrub

WHO = {"Müllegger", "Jürgen", "VIE-1677161", "19440708", "1.2.826.0.1.99.7", "山寺", "Παπαδόπουλος", "Lee"}


@pytest.mark.parametrize(
    "text",
    ["MÜLLEGGER", "Mullegger", "Muellegger", "xmu\u0308lleggerx", "mullegger_jurgen.dcm", "vie-1677161", "VIE-1677161/SE1",
     "born 1944-07-08", "08.07.1944", "07/08/1944", "A19440708B", "1.2.826.0.1.99.7.dcm", "患者山寺さん", "ΠΑΠΑΔΟΠΟΥΛΟΣ",
     "παπαδόπουλοσ", "Dr Lee", "LEE_1", "lee^"],
)  # fmt: skip
def test_every_spelling_is_found(text):
    assert [f.code for f in residual(text, WHO)] == ["identifier-left"]
    assert residual({"a": [text]}, WHO)[0].where == "/a[0]"


@pytest.mark.parametrize(
    "text",
    ["", "Lesion", "sleeve", "fleece", "119440708", "1944070812", "0.19440708", "1.2.826.0.1.99.70", "1.2.826.0.1.99.7.1",
     "11.2.826.0.1.99.7", "1677161", "Mull"],
)  # fmt: skip
def test_no_false_alarm(text):
    assert residual(text, WHO) == []


MONTH_NAMES = [
    "04JUL1930", "4 July 1930", "Jul 4, 1930", "born July 4th, 1930.", "4th of July 1930", "4-JUL-1930", "04.Jul.1930", "4. July, 1930",
    "04/jul/1930:10", "1930-Jul-04", "1930 july 4", "JUL041930", "ct_04_jul_1930_x", "A4Jul1930B", "Jul. 4, 1930", "July 4 1930",
    "1931 mar 4 jul 1930", "4 July\n1930",
]  # fmt: skip


@pytest.mark.parametrize("text", MONTH_NAMES)
def test_a_birth_date_is_found_by_the_name_of_its_month(text):
    for planted in (text, text.encode(), text.encode() + b"\xfc"):
        (finding,) = residual(planted, {"19300704"})
        assert finding.details["count"] == 1
    assert residual(text, {"19300705", "19300804", "19310704", "19300714"}) == []
    assert residual(f"{text} | " * 20, {"19300704"})[0].details["count"] == 20
    assert residual(scrub(f"liver {text}", {"19300704"}), {"19300704"}) == []


@pytest.mark.parametrize(
    "text",
    ["14 July 1930", "Jul 14, 1930", "Jul 4, 19301", "114 jul 1930", "1930 jul 41", "11930 jul 4", "04JUN1930", "4 July 1931",
     "4 juliet 1930", "4 July", "July 1930", "4 of 1930", "marker 4, 1930", "04 JUL 30"],
)  # fmt: skip
def test_another_date_is_no_birth_date(text):
    assert residual(text, {"19300704", "19300304"}) == []


MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


@given(st.dates(dt.date(1900, 1, 1), dt.date(2026, 12, 31)), st.dates(dt.date(1900, 1, 1), dt.date(2026, 12, 31)))
def test_every_date_is_found_by_name_and_no_other(born, other):
    for length in (3, 9):
        name = MONTHS[born.month - 1][:length]
        for text in (
            f"{born.day} {name} {born.year}",
            f"{name} {born.day}, {born.year}",
            f"{born.day:02d}{name}{born.year}",
        ):
            assert residual(text.upper(), {f"{born:%Y%m%d}"})
            assert bool(residual(text, {f"{other:%Y%m%d}"})) == (born == other)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "iso8859-15"])
def test_bytes_of_latin_names(encoding):
    assert residual("xx Müllegger yy".encode(encoding), {"Müllegger"})


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("山寺", "shift_jis"),
        ("山寺", "utf-8"),
        ("Παπαδοπουλέας", "iso8859-7"),
        ("김희중", "euc_kr"),
        ("Люкceмбypг", "iso8859-5"),
    ],
)
def test_bytes_of_other_scripts(name, encoding):
    data = b"\x00\x10\x00\x10" + f"..{name}..".encode(encoding)
    assert residual(data, {name})
    assert residual(data, {"Schmidtke"}) == []


# As in Greek passports and on road signs.
GREEK = {
    "Παπαδόπουλος": "Papadopoulos", "Ευάγγελος": "Evangelos", "Μπακογιάννης": "Bakogiannis", "Αυγουστίνος": "Avgoustinos",
    "Ευθύμιος": "Efthymios", "Χατζής": "Chatzis", "Ξενάκης": "Xenakis", "Ψαρρός": "Psarros", "Λάμπρος": "Lampros",
    "Γιώργος": "Giorgos", "Θεσσαλονίκη": "Thessaloniki", "Σφίγγα": "Sfinga", "Άγχος": "Anchos", "Γκίκας": "Gkikas",
}  # fmt: skip


@pytest.mark.parametrize(("name", "latin"), GREEK.items())
def test_greek_names_are_found_in_latin_letters(name, latin):
    assert residual(f"ct of {latin.upper()} today", {name})
    assert residual(f"{latin}".encode(), {name.upper()})
    assert residual(latin[:-2] + "zz", {name}) == []


def test_places_are_told_and_values_are_not():
    nest = {"ok": 1, "Müllegger": {"labels": ["GTV", "Lesion Jürgen"]}, "n": 19440708, "none": None}
    found = residual(nest, WHO)
    assert [f.where for f in found] == ["/#1 (key)", "/#1/labels[1]", "/n"]
    assert residual([str(f.to_dict()) for f in found], WHO) == []


def test_datasets_are_walked_to_the_bottom():
    inner, outer = Dataset(), Dataset()
    inner.SegmentLabel = "Tumor Muellegger"
    outer.SegmentSequence = Sequence([inner])
    assert [f.where for f in residual(outer, WHO)] == ["/00620002[0]/00620005"]
    assert residual(Dataset(), WHO) == []


def test_names_are_taken_apart():
    dataset, item = Dataset(), Dataset()
    dataset.PatientName = "Yamada-Müller^Tarou Jan^^Dr=山田^太郎=やまだ^たろう"
    dataset.PatientID, dataset.SOPClassUID, dataset.StudyInstanceUID = "A1", "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
    item.PersonName = "Okafor^Ngozi"
    item.PatientID = "77"
    dataset.ReferencedPatientSequence = Sequence([item])
    assert identifiers_of(dataset) == {
        *("Yamada-Müller", "Yamada", "Müller", "Tarou Jan", "Tarou", "山田", "太郎", "やまだ", "たろう"),
        *("Okafor", "Ngozi", "1.2.3.4"),
    }
    dataset.PatientName = "Anonymous"
    assert "Anonymous" not in identifiers_of(dataset)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("Li^Na", ["seen with Li Na", "LI^NA", "na li", "Li, Na (resident)", "li_na_brain"]),
        ("Wu^Yi^^Dr", ["Wu Yi", "yi wu"]),
        ("Ng^Chi", ["Ng Chi", "Chi"]),
        ("Li^Na=李^娜", ["李娜", "李 娜", "頭部 李娜 様"]),
    ],
)
def test_short_names_are_found_together(name, texts):
    dataset = Dataset()
    dataset.PatientName = name
    who = identifiers_of(dataset)
    for text in texts:
        assert [f.code for f in residual(text, who)] == ["identifier-left"], text
        assert [f.code for f in residual(text.encode(), who)] == ["identifier-left"], text
    for text in [
        "linac",
        "lina",
        "Li",
        "ion Na channel",
        "na",
        "all in a row",
        "willow u yi",
        "sling nail",
        "Wu-Yi-Shan",
        "李",
        "娜",
    ]:
        assert residual(text, who) == [], text


@pytest.mark.parametrize("name", ["Anonymous^X", "Phantom^1", "Test^A", "L^3", "T^2"])
def test_what_is_no_name_is_not_looked_for_together(name):
    dataset = Dataset()
    dataset.PatientName = name
    assert residual(["Anonymous X", "Phantom 1", "Test A", "L 3", "T 2"], identifiers_of(dataset)) == []


def test_identifiers_of_files_and_series(tmp_path):
    written = fi.synth.ct_series(tmp_path, slices=3, size=8)
    every = identifiers_of(written)
    assert {"Synthetic", "Series", "SYN000000", written.series_uid, written.sop_uids[0], written.sop_uids[-1]} <= every
    assert identifiers_of(written.files[0]) <= every
    assert identifiers_of(written.files) >= every
    with pytest.raises(fi.errors.ArgumentError, match="expected a series"):
        identifiers_of(3)


def test_scrubbing_labels():
    assert scrub("Lesion Müllegger", WHO) == "Lesion"
    assert scrub("MUELLEGGER_jurgen", WHO) == ""
    assert scrub("GTV-1, boost", WHO) == "GTV-1, boost"
    assert scrub("GTV 1944-07-08 left", WHO) == "GTV left"


@given(st.text(max_size=40))
def test_folding_is_stable(text):
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(categories=["L"]), min_size=6, max_size=20), st.text(max_size=10), st.text(max_size=10))
def test_a_name_is_found_in_any_surrounding(name, before, after):
    if len(fold(name)) >= 6 and fold(name).isalpha() and fold(name) not in COMMON:
        text = f"{before} {name.upper()} {after}"
        assert residual(text, {name})
        assert residual(scrub(text, {name}), {name}) == []


@given(st.lists(st.text("ab -", min_size=6, max_size=9), min_size=1, max_size=5), st.text("ab -_", max_size=60))
def test_the_matcher_equals_plain_search(words, text):
    words = [normal(w).strip() for w in words]
    words = [w for w in words if len(w) >= 6]
    assert Matcher(words).search(normal(text)) == any(w in normal(text) for w in words)


@given(st.lists(st.text("ab1", min_size=1, max_size=5), min_size=1, max_size=5), st.text("ab1. ", max_size=40))
def test_short_words_and_numbers_need_borders(words, text):
    """Against regular expressions that say the same."""
    expected = False
    for word in words:
        border = r"(?<!\d)(?<!\d\.){}(?!\d)" if word.isdigit() else r"(?<![^\W_]){}(?![^\W_])"
        expected |= re.search(border.format(re.escape(word)), text) is not None
    assert Matcher(words).search(text) == expected


@given(st.lists(st.text("abcdeä", min_size=2, max_size=9), min_size=1, max_size=8), st.integers(0, 2**32))
def test_long_texts_are_sifted_without_loss(words, seed):
    """The same text, in one piece and cut below the length from which places are sifted."""
    text = "".join("abcdeä "[c] for c in np.random.default_rng(seed).integers(0, 7, 600))
    sought = Matcher(words)
    whole = sorted((start, word) for start, word in sought._candidates(text))
    parts = {(at + start, word) for at in range(0, 600, 100) for start, word in sought._candidates(text[at : at + 110])}
    assert whole == sorted(parts)


def test_many_identifiers_in_a_long_text():
    """Three-letter alphabet, so that heads collide and there is much to find."""
    rng = np.random.default_rng(0)
    names = {"".join("abc"[c] for c in rng.integers(0, 3, 9)) for _ in range(3_000)}
    text = "".join("abc"[c] for c in rng.integers(0, 3, 20_000))
    taken, at = 0, 0
    while at < len(text):  # the plain way, left to right without overlap
        hit = text[at : at + 9] in names
        taken, at = taken + hit, at + (9 if hit else 1)
    assert matcher(frozenset(names)).count(text) == taken > 500
