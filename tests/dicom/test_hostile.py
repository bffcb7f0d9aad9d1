"""Files made to break a reader: no death, no hang, no memory beyond a multiple of the file, always an error by name."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_maker import compressed, element, header, image, part10, save
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.dicom import _native

PYDICOM = Path(pydicom.__file__).parent / "data"
SHIPPED = sorted(p for p in PYDICOM.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc", ".gz", ".json"))
RLE = "1.2.840.10008.1.2.5"


def everything(path):
    """All that the library does with a file; only its own errors may come out."""
    with contextlib.suppress(fi.errors.FastimgError):
        fi.dicom.pixels(path, threads=1)
    with contextlib.suppress(fi.errors.FastimgError):
        fi.dicom.read(path, threads=1, tolerate=["no-geometry", "duplicate-position"])
    with contextlib.suppress(fi.errors.FastimgError):
        fi.dicom.read(path, threads=1, dtype="exact", tolerate=["no-geometry", "missing-slice", "uneven-spacing"])


def mutate(data, rng):
    """Bit flips, cuts, lies about lengths and dimensions, bytes removed and put in."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(0, len(data)))
        match int(rng.integers(0, 7)):
            case 0:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                del data[max(at, 140) :]
            case 2:
                data[at : at + 4] = struct.pack(
                    "<I", int(rng.choice([0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 8]))
                )
            case 3:
                where = data.find(
                    rng.choice([b"\x28\0\x10\0", b"\x28\0\x11\0", b"\x28\0\x08\0", b"\x28\0\x00\1", b"\x28\0\2\0"])
                )
                if where >= 0:
                    data[where + 8 : where + 10] = struct.pack("<H", int(rng.choice([0, 1, 65535, 32767, 255])))
            case 4:
                del data[at : at + int(rng.integers(1, 40))]
            case 5:
                data[at:at] = rng.bytes(int(rng.integers(1, 40)))
            case 6:
                data[at : at + 8] = struct.pack(
                    "<HHI", 0xFFFE, int(rng.choice([0xE000, 0xE00D, 0xE0DD])), int(rng.choice([0, 0xFFFFFFFF]))
                )
        if len(data) < 8:
            break
    return bytes(data)


@contextlib.contextmanager
def bounded(megabytes, what=""):
    """Memory of this process never grows by more than so much within the block; the kernel's record starts anew."""

    def told(name):
        return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])

    Path("/proc/self/clear_refs").write_text("5")
    before = told("VmRSS")
    yield
    assert told("VmHWM") - before < megabytes << 10, what


def storm(folder, seed, count):
    """Mutants of each file through everything(); the slowest and the peak of memory are checked."""
    rng = np.random.default_rng(seed)
    path = folder / "mutant"
    everything(PYDICOM / "test_files" / "examples_jpeg2k.dcm")  # what is imported at first use
    for source in SHIPPED:
        original = source.read_bytes()
        for _ in range(count):
            path.write_bytes(mutate(original, rng))
            start = time.perf_counter()
            with fi.config.use(memory_limit=64 << 20), bounded(192, source.name):  # a deflated header 64, results 64
                everything(path)
            assert time.perf_counter() - start < 5, source.name


def test_mutants_of_shipped_files(tmp_path):
    storm(tmp_path, 1, 1)


@pytest.mark.soak
def test_many_mutants(tmp_path, soak_minutes):
    until, seed = time.monotonic() + 60 * soak_minutes, 100
    while time.monotonic() < until:
        storm(tmp_path, seed, 1)
        seed += 1
    assert seed > 101


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_behind_a_preamble(tmp_path_factory, body):
    path = tmp_path_factory.getbasetemp() / "any"
    for syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", RLE):
        path.write_bytes(part10(body, syntax))
        everything(path)


def limited(code, folder, limit_mb=600):
    """Run code in a process whose memory is limited; a death or an error is a failure."""
    script = textwrap.dedent(
        f"""
        import resource, sys
        from pathlib import Path
        import numpy, pyarrow, imagecodecs, pydicom, fastimg as fi
        folder = Path({str(folder)!r})
        fi.dicom.scan(folder)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ({limit_mb} << 20),) * 2)
        """
    ) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


def test_lengths_that_the_file_cannot_hold_allocate_nothing(tmp_path):
    """CVE class: an unchecked 32-bit length, in the meta group and in the data set, makes a reader allocate 4 GB."""
    huge = 0xFFFFFFF0
    meta = element(2, 0x10, "UI", b"1.2.840.10008.1.2.1\0")
    (tmp_path / "meta").write_bytes(b"\0" * 128 + b"DICM" + meta + element(2, 0x102, "OB", b"x", length=huge))
    (tmp_path / "badvr").write_bytes(
        b"\0" * 128 + b"DICM" + meta + struct.pack("<HH2sHI", 2, 0x102, b"ZZ", 0xFFFF, huge) + b"x" * 20
    )
    (tmp_path / "value").write_bytes(
        part10(element(8, 0x16, "UI", b"1.2\0") + element(9, 0x10, "UN", b"x", length=huge))
    )
    (tmp_path / "pixels").write_bytes(part10(header() + element(0x7FE0, 0x10, "OW", b"x" * 8, length=huge)))
    for name in ("meta", "badvr", "value", "pixels"):
        (tmp_path / name).rename(tmp_path / f"{name}.dcm")
    out = limited(
        """
        print(*fi.dicom.scan(folder)["status"].to_pylist())
        for path in sorted(folder.iterdir()):
            try:
                fi.dicom.pixels(path)
            except fi.errors.FastimgError:
                pass
        """,
        tmp_path,
        200,
    )
    assert out == ["damaged"] * 4


def test_a_meta_group_cut_anywhere_or_of_a_false_length(tmp_path):
    """CVE class: a meta header that ends within an element, or whose group length lies, is read beyond the buffer's end."""
    whole = (PYDICOM / "test_files" / "CT_small.dcm").read_bytes()
    length = struct.unpack_from("<I", whole, 140)[0]
    assert whole[132:140] == struct.pack("<HH2sH", 2, 0, b"UL", 4)
    for cut in range(128, 144 + length + 16):
        (tmp_path / f"{cut:04d}").write_bytes(whole[:cut])
    kinds = fi.dicom.scan(tmp_path)["status"].to_pylist()
    assert set(kinds) <= {"skipped", "damaged", "other"}
    assert "damaged" in kinds
    for claim in (0, 1, length - 1, length + 1, len(whole), 0x7FFFFFFF, 0xFFFFFFFF):
        path = tmp_path / "lies" / f"{claim}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(whole[:140] + struct.pack("<I", claim) + whole[144:])
        with contextlib.suppress(fi.errors.FastimgError):  # the elements themselves say where the group ends
            np.testing.assert_array_equal(
                fi.dicom.pixels(path), fi.dicom.pixels(PYDICOM / "test_files" / "CT_small.dcm")
            )


def test_dimensions_that_overflow_32_bits(tmp_path):
    """CVE class: rows x columns x frames x bytes computed in 32 bits is small, the loops then are not."""
    for number, (rows, columns, frames, bits) in enumerate(
        [(65535, 65535, 2, 16), (65535, 65535, 2**31 - 1, 64), (32768, 32768, 4, 8)]
    ):
        body = header(rows, columns, bits, frames=frames, samples=3) + element(0x7FE0, 0x10, "OW", bytes(64))
        (tmp_path / f"{number}").write_bytes(part10(body))
    assert fi.dicom.scan(tmp_path)["status"].to_pylist() == ["damaged"] * 3
    for path in tmp_path.iterdir():
        with pytest.raises(fi.errors.FormatError, match="damaged-file"):
            fi.dicom.pixels(path)


def test_compressed_dimensions_beyond_the_memory_limit(tmp_path):
    """A small RLE file that claims 4 billion pixels: refused by its length or by the limit, before it is decoded."""
    body = header(65535, 65535, 16) + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
    body += (
        struct.pack("<HHI", 0xFFFE, 0xE000, 0)
        + struct.pack("<HHI", 0xFFFE, 0xE000, 64)
        + struct.pack("<I", 2)
        + bytes(60)
    )
    (tmp_path / "x").write_bytes(part10(body + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), RLE))
    with fi.config.use(memory_limit=1 << 30), pytest.raises(fi.errors.FastimgError, match="memory limit"):
        fi.dicom.pixels(tmp_path / "x")


def test_a_deflate_bomb_is_inflated_only_as_far_as_the_header_needs(tmp_path):
    """256 MB of zeros in 256 KB: the scan stops at its limit, the decoder at the pixels' own length."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = header(4, 4) + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 0xFFFFFFF0)
    bomb = packer.compress(raw) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    (tmp_path / "x").write_bytes(part10(bomb, "1.2.840.10008.1.2.1.99"))
    start = time.perf_counter()
    out = limited(
        """
        print(*fi.dicom.scan(folder)["status"].to_pylist())
        try:
            print(fi.dicom.pixels(folder / "x").shape[0])
        except fi.errors.FastimgError as error:
            print(type(error).__name__)
        """,
        tmp_path,
        150,
    )
    assert len(out) == 2
    assert time.perf_counter() - start < 20


def test_a_bomb_before_the_pixels(tmp_path):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = element(8, 0x16, "UI", b"1.2\0") + struct.pack("<HH2sHI", 9, 0x10, b"OB", 0, 0x7FFFFFF0)
    bomb = packer.compress(raw) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    (tmp_path / "x").write_bytes(part10(bomb, "1.2.840.10008.1.2.1.99"))
    assert limited('print(*fi.dicom.scan(folder)["status"].to_pylist())', tmp_path, 250) == ["damaged"]


@pytest.mark.parametrize(
    "offsets", [[2, 0xFFFFFFFF, 64], [2, 64, 10], [2, 200, 64], [15] + [64] * 15, [0], [0xFFFFFFFF], [16] + [64] * 15]
)
def test_rle_segments_outside_their_frame(tmp_path, offsets):
    """CVE class: RLE offsets are used without a check."""
    frame = b"".join(struct.pack("<I", v) for v in offsets).ljust(64, b"\0") + b"\x7f" + bytes(40)
    path = compressed(image(np.zeros((4, 4), np.uint16)), [frame], RLE, tmp_path / "x")
    with pytest.raises(fi.errors.FormatError, match="decode-failed"):
        fi.dicom.pixels(path)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 500), st.integers(1, 3), st.sampled_from([1, 2, 4]))
def test_rle_of_any_bytes(data, pixels, samples, width):
    head = struct.pack("<I", samples * width) + b"".join(struct.pack("<I", 64 + 7 * s) for s in range(15))
    try:
        seen = _native.rle_decode(head + data, pixels, samples, width)
    except RuntimeError:
        return
    assert len(seen) == pixels * samples * width


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 5000))
def test_inflate_of_any_bytes(data, limit):
    try:
        seen = _native.inflate(data, limit)
    except RuntimeError:
        return
    assert len(seen) <= limit + 258
    reference = zlib.decompressobj(-15)
    try:
        wanted = reference.decompress(data)
    except zlib.error:
        return
    assert seen[:limit] == wanted[:limit]


def test_offset_tables_that_point_nowhere(tmp_path):
    """Wrong tables are not believed: the frames are found by their fragments."""
    volume = np.random.default_rng(0).integers(0, 255, (3, 8, 8)).astype(np.uint8)
    from fastimg.testing import dicom as twin

    frames = [twin.rle_frame(frame) for frame in volume]
    for number, table in enumerate([[0, 4, 8], [0, 0xFFFFFFF0, 0xFFFFFFFF], [9, 9, 9], [0]]):
        body = header(8, 8, 8, frames=3) + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
        body += struct.pack("<HHI", 0xFFFE, 0xE000, 4 * len(table)) + struct.pack(f"<{len(table)}I", *table)
        body += b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(f)) + f for f in frames) + struct.pack(
            "<HHI", 0xFFFE, 0xE0DD, 0
        )
        path = tmp_path / f"{number}"
        path.write_bytes(part10(body, RLE))
        try:
            np.testing.assert_array_equal(fi.dicom.pixels(path), volume)
        except fi.errors.FormatError as error:
            assert "decode-failed" in str(error)


def palette_image(pixels, entries, table, *, first=0):
    """A PALETTE COLOR image whose descriptors claim `entries` entries from `first`."""
    ds = image(pixels, PhotometricInterpretation="PALETTE COLOR", RescaleSlope=None, RescaleIntercept=None)
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [entries, first, 16])
        ds[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(ds, f"{name}PaletteColorLookupTableData", table)
    return ds


def test_palette_indices_outside_the_table(tmp_path):
    """CVE class: a stored value is used as an index into a palette without a check."""
    pixels = np.array([[0, 9, 10, 255], [11, 12, 13, 254]], np.uint8)
    table = np.arange(100, 103, dtype=np.uint16)
    path = save(palette_image(pixels, 3, table.tobytes(), first=10), tmp_path / "x")
    seen = fi.dicom.read(path, tolerate="no-geometry").array
    np.testing.assert_array_equal(seen.reshape(3, -1)[0], np.clip(pixels.ravel().astype(int) - 10, 0, 2) + 100)
    for entries in (7, 65535, 0):  # more than there are; 0 stands for 65,536
        path = save(palette_image(pixels, entries, table.tobytes()), tmp_path / "y")
        with pytest.raises(fi.errors.FormatError, match="mixed-attributes"):
            fi.dicom.read(path, tolerate="no-geometry")


def test_a_table_that_is_shorter_than_its_descriptor(tmp_path):
    """CVE class: the modality table's number of entries is believed."""
    lut = element(0x28, 0x3002, "US", struct.pack("<HHH", 0, 0, 16)) + element(0x28, 0x3006, "OW", b"\1\0\2\0")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(lut)) + lut
    body = header(2, 2, 16) + element(0x28, 0x3000, "SQ", item) + element(0x7FE0, 0x10, "OW", b"\xff" * 8)
    (tmp_path / "x").write_bytes(part10(body))
    with pytest.raises(fi.errors.FormatError, match="mixed-attributes"):
        fi.dicom.read(tmp_path / "x", tolerate="no-geometry")


def test_private_run_lengths_are_not_followed(tmp_path):
    """CVE class: a scanner's private compression (its own run lengths in a private element) is unpacked without checks."""
    private = element(0x07A1, 0x10, "LO", b"ELSCINT1") + element(0x07A1, 0x1011, "CS", b"PMSCT_RLE1")
    private += element(0x07A1, 0x100A, "OW", b"\xa5\xff\xff\xa5" * 10)
    (tmp_path / "x").write_bytes(part10(header(64, 64) + private))
    assert fi.dicom.scan(tmp_path)["status"].to_pylist() == ["other"]
    with pytest.raises(fi.errors.FormatError, match="not-image"):
        fi.dicom.pixels(tmp_path / "x")


def test_a_dicomdir_leads_nowhere(tmp_path):
    """CVE class: a DICOMDIR that names ../../secret. No path inside it is followed."""
    from pydicom.data import get_testdata_file

    (tmp_path / "in").mkdir()
    raw = Path(get_testdata_file("DICOMDIR")).read_bytes()
    (tmp_path / "in" / "DICOMDIR").write_bytes(raw.replace(b"77654033\\CR1\\6154", b"..\\..\\outside\\xxx"))
    (tmp_path / "outside").mkdir()
    table = fi.dicom.scan(tmp_path / "in")
    assert table["path"].to_pylist() == ["DICOMDIR"]
    assert table["status"].to_pylist() == ["other"]


def test_memory_of_a_scan_is_bounded(tmp_path):
    """A million tiny elements, a huge private value, a list of numbers without end."""
    tiny = element(9, 0x10, "LO", b"")
    (tmp_path / "many").write_bytes(part10(element(8, 0x16, "UI", b"1.2\0") + tiny * 1_000_000))
    (tmp_path / "list").write_bytes(part10(element(0x20, 0x32, "UN", b"1\\" * 10_000_000)))
    (tmp_path / "small").mkdir()
    fi.dicom.scan(tmp_path / "small")  # what is imported at first use
    with bounded(2):
        fi.dicom.scan(tmp_path, threads=1)
