"""The public NSCLC radiogenomics features: what the example measures there, by the same functions."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from fastimg.harmonize import ComBat, NestedComBat, effect_of, site_effect
from fastimg.harmonize._monotone import skewed

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "site_effect_table.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("site_effect_table", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def nsclc(example, data):
    folder = data / "features" / "nsclc_radiogenomics"
    if not folder.is_dir():
        pytest.skip("the NSCLC radiogenomics features are not here")
    return example.nsclc(folder)


def test_the_table_is_the_published_one(nsclc):
    X, batch, kept = nsclc
    assert len(X) == 191  # mission.md counts 191 cases
    assert {name: len(set(rows)) for name, rows in batch.items()} == {"Manufacturer": 2, "KernelResolution": 2, "CE": 2}
    assert set(kept) == {"sex", "smoking", "histology"}  # and not event or days: they are the outcome
    names = [str(i) for i in range(X.shape[1])]
    assert len(skewed(X, names)) > 20


def test_plain_combat_makes_a_fingerprint_there_and_says_so(nsclc, example, capsys):
    X, batch, kept = nsclc
    vendor = batch["Manufacturer"]
    options = {"trees": 15, "folds": 3}
    with pytest.warns(UserWarning, match="site effect rose"):
        plain = effect_of(ComBat(), X, vendor, covariates=kept, **options)
    assert plain["after"]["auc_forest"] > plain["before"]["auc_forest"]
    assert "combat-skewed" in {f.code for f in ComBat().fit(X, batch=vendor, covariates=kept).findings_}
    ranks = ComBat(monotone="rank-normal")
    order = ["KernelResolution", "Manufacturer", "CE"]
    found = {"before": {"Manufacturer": plain["before"]}}
    for name, harmonizer, own in (("ranks", ranks, None), ("nested", NestedComBat(ranks, order=order), batch)):
        after = site_effect(X, vendor, covariates=kept, harmonizer=harmonizer, harmonizer_batch=own, **options)
        found[name] = {"Manufacturer": after}
        assert after["ks_share"] <= plain["before"]["ks_share"], name
        assert after["auc_forest"] < plain["after"]["auc_forest"], name
    example.show(found)
    assert "Manufacturer" in capsys.readouterr().out


def test_the_table_is_drawn(example, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    X, batch, kept = example.made_up(60, 4)
    options = {name: example.OPTIONS[name] for name in ("before", "ComBat")}
    example.draw(example.measure(X, batch, kept, trees=5, folds=2, options=options), tmp_path / "table.png")
    assert (tmp_path / "table.png").stat().st_size > 10_000
