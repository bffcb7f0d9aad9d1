"""A real viewer shows what was stored: neuroglancer, in a headless Chromium, over loopback. Pictures: out/viewer."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg.report._view import FileServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(find_spec("neuroglancer") is None, reason="neuroglancer is not installed (make peers)")
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
def test_neuroglancer_shows_image_and_mask(tmp_path, request):
    k, j, i = np.ogrid[:8, :64, :48]
    image = fi.Image(((7 * i + 3 * j * j + 31 * k) % 256).astype(np.int16), spacing=(2, 1, 1), unit="HU")
    mask = ((i - 20) ** 2 + (j - 30) ** 2 < 15**2) & (k > 0)
    fi.Cohort.create(tmp_path / "c").add("a", image, {"m": mask})
    out = Path(request.config.rootpath) / "out" / "viewer"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    script = Path(__file__).with_name("viewer.py")
    command = [sys.executable, str(script), CHROMIUM, str(tmp_path / "c"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    console = (out / "console.txt").read_text()
    assert "event source connected" in console  # the page ran
    assert not [line for line in console.splitlines() if "ERROR" in line or "Uncaught" in line or "WebGL" in line]
    shown = np.load(out / "image.npy")
    rows, columns = np.nonzero((shown[..., :3] != (0, 0, 255)).any(2))
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert shown[box].shape[:2] == (4 * 64, 4 * 48)  # four pixels a voxel
    expected = np.repeat(image.array[3][:, :, None], 3, 2)
    np.testing.assert_array_equal(shown[box][1::4, 1::4, :3], expected)
    np.testing.assert_array_equal(shown[box][2::4, 2::4, :3], expected)
    red = (np.load(out / "m.npy")[box][..., :3] == (255, 0, 0)).all(2)
    np.testing.assert_array_equal(red[1::4, 1::4], mask[3])
    assert (out / "image.png").stat().st_size > 1000


def fetch(address, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def test_the_server_gives_files_to_who_knows_the_token(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(bytes(range(10)))
    (tmp_path / "secret").write_text("no")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    server = FileServer(tmp_path / "in", "http://127.0.0.1:9")
    try:
        status, body, headers = fetch(f"{server.address}/a")
        assert (status, body, headers["Access-Control-Allow-Origin"]) == (200, bytes(range(10)), "http://127.0.0.1:9")
        assert fetch(f"{server.address}/a", Range="bytes=2-4")[:2] == (206, b"\x02\x03\x04")
        assert fetch(f"{server.address}/a", Range="bytes=-3")[:2] == (206, b"\x07\x08\x09")
        assert fetch(f"{server.address}/a", Range="bytes=8-")[:2] == (206, b"\x08\x09")
        for wrong in ("bytes=10-", "bytes=5-2", "bytes=-", "pages=1-2", "bytes=1-2,4-5", "bytes=x-"):
            assert fetch(f"{server.address}/a", Range=wrong)[:2] == (416, b""), wrong
        for missing in ("b", "link", "../secret", "%2e%2e/secret", ""):
            assert fetch(f"{server.address}/{missing}")[:2] == (404, b""), missing
        root = server.address.rsplit("/", 1)[0]
        for stranger in (f"{root}/a", f"{root}/", f"{root}/{'x' * 32}/a", f"{root}//a"):
            assert fetch(stranger)[:2] == (403, b""), stranger
        request = urllib.request.Request(f"{server.address}/a", data=b"new", method="PUT")
        with pytest.raises(urllib.error.HTTPError, match="501"):
            urllib.request.urlopen(request)
        assert "127.0.0.1" in server.address
    finally:
        server.close()


def test_wrong_arguments(tmp_path, monkeypatch):
    case = fi.Cohort.create(tmp_path / "c").add("a", fi.Image(np.zeros((4, 8, 8), np.int16), unit="HU"))
    if find_spec("neuroglancer"):
        with pytest.raises(fi.errors.ArgumentError, match="no mask 'x'"):
            fi.report.view(case, masks=("x",))
        with pytest.raises(fi.errors.ArgumentError, match="low must be below high"):
            fi.report.view(case, low=3, high=3)
    monkeypatch.setitem(sys.modules, "neuroglancer", None)
    with pytest.raises(fi.errors.MissingError, match="view"):
        fi.report.view(case)


@pytest.mark.skipif(find_spec("neuroglancer") is None, reason="neuroglancer is not installed (make peers)")
def test_the_command_serves_until_it_is_interrupted(tmp_path):
    fi.Cohort.create(tmp_path / "c").add("a", fi.Image(np.zeros((4, 8, 8), np.int16), unit="HU"))
    command = [sys.executable, "-m", "fastimg", "view", str(tmp_path / "c"), "--no-browser"]
    # A shell's job in the background ignores SIGINT, and what it starts inherits that.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heard)
    try:
        address = running.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        assert fetch(address)[0] == 200
        running.send_signal(signal.SIGINT)
        assert running.wait(120) == 0
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
