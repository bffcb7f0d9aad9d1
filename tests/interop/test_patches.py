"""Patches for training, against torch's DataLoader and distributed samplers and against MONAI."""

from __future__ import annotations

import pickle
from itertools import chain

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import ArgumentError
from fastimg.interop import PatchDataset

torch = pytest.importorskip("torch", reason="torch is not installed (pip install torch)")

SIZE = (4, 8, 8)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    c = fi.Cohort.create(tmp_path_factory.mktemp("patches") / "c")
    for k, name in enumerate("abcde"):
        rng = np.random.default_rng(k)
        array = rng.integers(-50, 50, (20 + k, 40, 44)).astype(np.int16)
        lesion, node = np.zeros(array.shape, bool), np.zeros(array.shape, bool)
        lesion[5 + k, 20:24, 30] = name != "e"
        node[10, 5, 5 + k] = name in "ab"
        masks = {"lesion": lesion} | ({"node": node} if name in "ab" else {})
        c.add(name, fi.Image(array, spacing=(2.0, 1.0, 1.0), origin=(1.0, 2.0, 3.0)), masks, levels=2)
    return fi.Cohort.open(c.path)


def names_of(batch):
    return [(case, tuple(start)) for case, start in zip(batch["case_id"], batch["start"].tolist(), strict=True)]


def all_of(dataset):
    return [
        (sample["case_id"], tuple(sample["start"].tolist())) for sample in map(dataset.__getitem__, range(len(dataset)))
    ]


def test_a_sample_is_the_cohorts_voxels_on_each_level(cohort):
    data = PatchDataset(cohort, SIZE, 30, seed=3, masked=["lesion", "node"], balance=0.7, levels=(0, 1))
    for sample in map(data.__getitem__, range(len(data))):
        case, start = cohort[sample["case_id"]], sample["start"].tolist()
        region = tuple(slice(a, a + s) for a, s in zip(start, SIZE, strict=True))
        assert isinstance(sample["image"], torch.Tensor)
        assert sample["image"].dtype == torch.int16
        np.testing.assert_array_equal(sample["image"][0].numpy(), case.image().array[region])
        np.testing.assert_array_equal(sample["mask"][0].numpy(), case.voxels(region, mask="lesion"))
        assert sample["mask"].shape == (2, *SIZE)
        if "node" not in case.mask_names:
            assert not sample["mask"][1].any()
        wide = case.voxels((), level=1)
        windows = np.lib.stride_tricks.sliding_window_view(wide, SIZE)
        found = np.argwhere((windows == sample["image_1"][0].numpy()).all((-1, -2, -3)))
        assert len(found) == 1
        # the same middle, as far as the border lets it
        for axis, f in enumerate(case.factors(1)):
            middle = (start[axis] + SIZE[axis] / 2) / f
            free = np.clip(middle - SIZE[axis] / 2, 0, wide.shape[axis] - SIZE[axis])
            assert abs(found[0][axis] - free) <= 1


def test_patches_are_balanced_between_masks_and_anywhere(cohort):
    data = PatchDataset(cohort, SIZE, 600, masked=["lesion", "node"], balance=0.5)
    hits = [sample["mask"].flatten(1).any(1).tolist() for sample in map(data.__getitem__, range(600))]
    share = sum(map(any, hits)) / 600
    assert 0.45 < share < 0.62  # one half drawn on a mask, a few of the others by chance
    assert {sample["case_id"] for sample in map(data.__getitem__, range(60))} == set("abcd")  # e has an empty mask
    always = PatchDataset(cohort, SIZE, 60, masked="lesion")
    assert all(sample["mask"].any() for sample in map(always.__getitem__, range(60)))


def test_seed_and_epoch_decide_and_nothing_else(cohort):
    data, again = PatchDataset(cohort.path, SIZE, 40, seed=1), PatchDataset(cohort, SIZE, 40, seed=1)
    first = all_of(data)
    assert all_of(again) == first
    assert [all_of(again)[k] for k in (39, 0, 7)] == [first[39], first[0], first[7]]
    again.set_epoch(1)
    assert all_of(again) != first
    assert all_of(pickle.loads(pickle.dumps(data))) == first
    assert all_of(PatchDataset(cohort, SIZE, 40, seed=2)) != first
    drawn = [(p.case_id, p.start) for p in cohort.patches(SIZE, 40, seed=1)]
    assert drawn == first


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_workers_share_an_epoch(cohort, workers):
    data = PatchDataset(cohort, SIZE, 22, seed=5, masked="lesion")
    context = "forkserver" if workers else None
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=workers, multiprocessing_context=context)
    batches = list(loader)
    assert [len(batch["case_id"]) for batch in batches] == [4, 4, 4, 4, 4, 2]
    assert batches[0]["image"].shape == (4, 1, *SIZE)
    assert [name for batch in batches for name in names_of(batch)] == all_of(data)


@pytest.mark.parametrize("ranks", [1, 3])
def test_ranks_are_disjoint_and_together_the_epoch(cohort, ranks):
    data = PatchDataset(cohort, SIZE, 24, seed=5)
    whole = all_of(data)
    seen, own = [], []
    for rank in range(ranks):
        sampler = torch.utils.data.DistributedSampler(data, ranks, rank, shuffle=True, seed=9)
        loader = torch.utils.data.DataLoader(data, batch_size=4, sampler=sampler)
        seen.append([name for batch in loader for name in names_of(batch)])
        own.append([name for batch in data.batches(4, rank=rank, ranks=ranks) for name in names_of(batch)])
        assert own[-1] == whole[rank::ranks]
    assert sorted(chain(*seen)) == sorted(chain(*own)) == sorted(whole)


def test_batches_are_the_samples_in_one_piece(cohort):
    options = {"seed": 2, "masked": ["lesion"], "balance": 0.5, "levels": (0, 1)}
    for dtype in (None, "float32"):
        data = PatchDataset(cohort, SIZE, 11, dtype=dtype, **options)
        batches = list(data.batches(4, threads=2))
        at = 0
        for batch in batches:
            assert batch["image"].is_pinned() == torch.cuda.is_available()
            assert batch["image"].dtype == (torch.int16 if dtype is None else torch.float32)
            for row in range(len(batch["case_id"])):
                sample = data[at]
                for key in ("image", "mask", "image_1", "mask_1", "start"):
                    assert torch.equal(batch[key][row], sample[key]), key
                assert batch["case_id"][row] == sample["case_id"]
                at += 1
        assert at == 11
        assert len(list(data.batches(4, drop_last=True))) == 2


@pytest.mark.gpu
def test_batches_on_a_device(cohort):
    data = PatchDataset(cohort, SIZE, 41, seed=2, masked=["lesion"], levels=(0, 1))
    here, there = (list(data.batches(4, device=device, threads=3)) for device in (None, "cuda"))
    assert len(here) == len(there) == 11
    for one, other in zip(here, there, strict=True):
        assert names_of(one) == names_of(other)
        for key in ("image", "mask", "image_1", "mask_1"):
            assert one[key].is_pinned()
            assert other[key].is_cuda
            assert torch.equal(one[key], other[key].cpu()), key


def test_batches_of_a_loop_that_stops_early_end_their_threads(cohort):
    import threading

    before = threading.active_count()
    batches = PatchDataset(cohort, SIZE, 100).batches(4, threads=2)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_what_cannot_be_is_told_at_once(cohort):
    for wrong, options in {
        "n": {"n": 0},
        "size": {"size": (4, 4)},
        "balance": {"balance": 2},
        "levels": {"levels": (1, 0)},
        "form": {"form": "jax"},
        "seed": {"seed": -1},
        "masked": {"masked": [3]},
    }.items():
        with pytest.raises(ArgumentError, match=wrong):
            PatchDataset(cohort, **{"size": SIZE, "n": 4, **options})
    data = PatchDataset(cohort, SIZE, 4)
    for wrong, options in {"both": {"rank": 0}, "rank": {"rank": 3, "ranks": 3}, "size": {"size": 0}}.items():
        with pytest.raises(ArgumentError, match=wrong):
            data.batches(**{"size": 2, **options})
    with pytest.raises(ArgumentError, match="no case to draw from with a mask 'liver'"):
        PatchDataset(cohort, SIZE, 4, masked="liver")[0]
    with pytest.raises(ArgumentError, match="larger than case"):
        PatchDataset(cohort, (4, 24, 8), 4, levels=(0, 1))[0]
    with pytest.raises(ArgumentError, match="level"):
        PatchDataset(cohort, SIZE, 4, levels=(0, 5))[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_monai_sees_the_same_voxels_at_the_same_place(cohort):
    monai = pytest.importorskip("monai", reason="MONAI is not installed (pip install monai)")
    from monai.transforms import Compose, RandFlipd, ScaleIntensityd

    plain = PatchDataset(cohort, SIZE, 8, seed=4, masked="lesion")
    data = PatchDataset(cohort, SIZE, 8, seed=4, masked="lesion", form="monai", dtype="float32")
    for number in range(8):
        sample, same = data[number], plain[number]
        assert isinstance(sample["image"], monai.data.MetaTensor)
        np.testing.assert_array_equal(sample["image"].numpy()[0].transpose(2, 1, 0), same["image"][0].numpy())
        case, (z, y, x) = cohort[sample["case_id"]], same["start"].tolist()
        lps = (case.affine @ [z, y, x, 1])[:3]
        np.testing.assert_allclose(sample["image"].affine[:3, 3], lps * [-1, -1, 1])
    steps = Compose([ScaleIntensityd("image"), RandFlipd(["image", "mask"], prob=1.0, spatial_axis=0)])
    data = PatchDataset(cohort, SIZE, 8, seed=4, masked="lesion", form="monai", dtype="float32", transform=steps)
    loader = monai.data.DataLoader(monai.data.Dataset(data), batch_size=4)
    batch = next(iter(loader))
    assert batch["image"].shape == (4, 1, *SIZE[::-1])
    assert float(batch["image"].max()) == 1.0
    flipped = batch["mask"][0, 0].numpy()[::-1].transpose(2, 1, 0)
    np.testing.assert_array_equal(flipped, plain[0]["mask"][0].numpy())


def test_a_distributed_group_is_asked_for_rank_and_ranks(cohort, tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        data = PatchDataset(cohort, SIZE, 6)
        assert [name for batch in data.batches(2) for name in names_of(batch)] == all_of(data)
    finally:
        torch.distributed.destroy_process_group()
