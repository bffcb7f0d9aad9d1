"""Which masks belong to which series, against the obvious search over everything."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fastimg.pipeline import _references
from fastimg.pipeline._parts import Parts


@dataclass
class Volume:
    uid: str
    study_uid: str
    attributes: dict = field(default_factory=dict)
    refers: tuple = ((), ())


def slow(images, masks, slices):
    """Volume's uid -> numbers of masks; and the masks without one."""
    found, unmatched = {image.uid: [] for image in images}, []
    for number, mask in enumerate(masks):
        uids, instances = mask.refers
        wanted = {*uids, *(slices.get(instance) for instance in instances)}
        targets = [image for image in images if image.attributes["series_uid"] in wanted]
        if not targets:
            frame = mask.attributes["frame_of_reference_uid"]
            targets = [
                image
                for image in images
                if frame and (image.study_uid, image.attributes["frame_of_reference_uid"]) == (mask.study_uid, frame)
            ]
            targets = targets if len(targets) == 1 else []
        for image in targets:
            found[image.uid].append(number)
        if not targets:
            unmatched.append(number)
    return found, unmatched


@given(st.data())
def test_masks_find_their_series(data):
    few = st.integers(0, 3)
    frames = st.sampled_from([None, "f1", "f2"])
    images, slices = [], {}
    for number in range(data.draw(st.integers(0, 5), "images")):
        base = data.draw(few)
        attributes = {"series_uid": f"s{base}", "frame_of_reference_uid": data.draw(frames)}
        images.append(Volume(f"s{base}:{number}", f"t{data.draw(st.integers(0, 1))}", attributes))
        for _ in range(data.draw(few)):
            slices[f"i{len(slices)}"] = f"s{base}"
    some = lambda letter: st.lists(st.integers(0, 5).map(lambda n: f"{letter}{n}"), max_size=3)  # noqa: E731
    masks = []
    for number in range(data.draw(st.integers(0, 5), "masks")):
        refers = data.draw(some("s")), data.draw(some("i"))
        attributes = {"frame_of_reference_uid": data.draw(frames)}
        masks.append(Volume(f"m{number}", f"t{data.draw(st.integers(0, 1))}", attributes, refers))
    read, _references.referenced = _references.referenced, lambda mask: mask.refers
    try:
        references = _references.References()
        for mask in masks:
            references.add(mask)
    finally:
        _references.referenced = read
    rows = {"sop_instance_uid": [*slices, None], "series_uid": [*slices.values(), None]}
    references.look(pa.table(rows, pa.schema([(name, pa.string()) for name in rows])))
    found = {image.uid: references.place(image, image.uid) for image in images}
    unmatched = []
    for number, alone, tag in references.left():
        if alone:
            found[tag] = sorted([*found[tag], number])
        else:
            unmatched.append(number)
    assert (found, unmatched) == slow(images, masks, slices)


@given(st.lists(st.lists(st.one_of(st.none(), st.integers(0, 90).map(str)), max_size=20), max_size=6))
def test_parts_bring_series_together(parts):
    kept, at = Parts(), 0
    expected = {}
    for uids in parts:
        rows = list(range(at, at + len(uids)))
        at += len(uids)
        kept.add(pa.table({"series_uid": pa.array(uids, pa.string()), "row": pa.array(rows, pa.int64())}))
        for uid, row in zip(uids, rows, strict=True):
            if uid is not None:
                expected.setdefault(uid, []).append(row)
    found = {}
    for table in kept:
        uids = table["series_uid"].to_pylist()
        assert not set(uids) & set(found)
        for uid, row in zip(uids, table["row"].to_pylist(), strict=True):
            found.setdefault(uid, []).append(row)
    assert found == expected
