"""Show an OME-Zarr group in neuroglancer, in a headless Chromium; everything over loopback.

    python viewer.py CHROMIUM GROUP OUT

Writes into OUT: image.png and image.npy (slice 3 of the image), mask.png and mask.npy (the same of the label image "m"),
and console.txt (what the browser's console said).
"""

from __future__ import annotations

import functools
import http.server
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import neuroglancer
import numpy as np

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=600,600",
    "--enable-logging=stderr",
]


class Files(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, in ranges of bytes, for pages from anywhere."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            self.send_response(404)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = os.path.getsize(path)
        first, last, asked = 0, size - 1, self.headers.get("Range")
        if asked:
            low, high = asked.removeprefix("bytes=").split("-")
            first = int(low) if low else size - int(high)
            last = min(int(high), size - 1) if low and high else size - 1
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Expose-Headers", "*")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if self.command == "GET":
            with open(path, "rb") as file:
                file.seek(first)
                self.wfile.write(file.read(last - first + 1))

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def layers(address):
    """(name, layer) of the two pictures."""
    shader = "#uicontrol invlerp shown(range=[0, 255])\nvoid main() { emitGrayscale(shown()); }"
    yield "image", neuroglancer.ImageLayer(source=f"{address}/|zarr3:", shader=shader, opacity=1)
    yield (
        "mask",
        neuroglancer.SegmentationLayer(
            source=f"{address}/labels/m/|zarr3:", segments=[1], segment_colors={1: "#ff0000"}, selected_alpha=1
        ),
    )


def main(chromium, group, out):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=group))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    neuroglancer.set_server_bind_address("127.0.0.1")
    viewer = neuroglancer.Viewer()
    with tempfile.TemporaryDirectory() as profile, open(out / "browser.txt", "wb") as log:
        command = [chromium, *FLAGS, f"--user-data-dir={profile}", str(viewer)]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
        try:
            for name, layer in layers(address):
                with viewer.txn() as state:
                    state.layers.clear()
                    state.layers[name] = layer
                    state.dimensions = neuroglancer.CoordinateSpace(names=["x", "y", "z"], scales=[1e-3] * 3, units="m")
                    state.position = [24.5, 32.5, 6.5]  # mm; z 6.5 lies in slice 3
                    state.layout = "xy"
                    state.cross_section_scale = 0.25
                    state.cross_section_background_color = "#0000ff"
                    state.show_axis_lines = state.show_scale_bar = state.show_default_annotations = False
                    state.prefetch = False
                shot = viewer.screenshot(size=[400, 400]).screenshot
                (out / f"{name}.png").write_bytes(shot.image)
                np.save(out / f"{name}.npy", shot.image_pixels)
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
            time.sleep(0.2)  # its children let go of the profile
    lines = (out / "browser.txt").read_text(errors="replace").splitlines()
    (out / "console.txt").write_text("\n".join(line for line in lines if ":CONSOLE:" in line))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
