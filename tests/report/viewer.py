"""Show case "a" of a cohort by `fi.report.view` in a headless Chromium; everything over loopback.

    python viewer.py CHROMIUM COHORT OUT

Writes into OUT: image.png and image.npy (slice 3 of the image), m.png and m.npy (the same of the mask "m"),
and console.txt (what the browser's console said).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import neuroglancer
import numpy as np
from neuroglancer.viewer_state import make_layer

import fastimg as fi

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


def main(chromium, cohort, out):
    case = fi.Cohort.open(cohort)["a"]
    shown = fi.report.view(case, low=0, high=255)
    viewer = shown.viewer
    layers = {layer.name: make_layer(layer.layer.to_json()) for layer in viewer.state.layers}
    layers["m"].selected_alpha, layers["m"].segment_colors = 1, {1: "#ff0000"}
    with tempfile.TemporaryDirectory() as profile, open(out / "browser.txt", "wb") as log:
        command = [chromium, *FLAGS, f"--user-data-dir={profile}", shown.url]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
        try:
            for name, layer in layers.items():
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
