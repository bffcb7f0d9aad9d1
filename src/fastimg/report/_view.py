"""A case in neuroglancer, a real viewer: everything on loopback, behind a token that changes with each start."""

from __future__ import annotations

import hmac
import http.server
import os
import secrets
import threading
from functools import partial
from pathlib import Path
from typing import Any

from ..cohort import Case
from ..errors import ArgumentError, MissingError

__all__ = ["FileServer", "View", "view"]

_COLOURS = ("#ff5252", "#40c4ff", "#ffd740", "#69f0ae", "#e040fb", "#ff6e40")


class _Files(http.server.SimpleHTTPRequestHandler):
    """Files of one folder in ranges of bytes, to be read by who knows the token."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, token: str, origin: str, **options: Any) -> None:
        self.token, self.origin = token, origin
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        said, _, rest = self.path.removeprefix("/").partition("/")
        if not hmac.compare_digest(said.encode(), self.token.encode()):
            self._answer(403)
            return
        path = Path(self.translate_path("/" + rest))
        root = Path(self.directory).resolve()
        if not path.is_file() or not path.resolve().is_relative_to(root):
            self._answer(404)
            return
        size = path.stat().st_size
        span = _span(self.headers.get("Range"), size)
        if span is None:
            self._answer(416)
            return
        first, last = span
        partial_ = "Range" in self.headers
        headers = {"Content-Range": f"bytes {first}-{last}/{size}"} if partial_ else {}
        self._answer(206 if partial_ else 200, last - first + 1, headers)
        if self.command == "GET":
            with path.open("rb") as file:
                file.seek(first)
                self.wfile.write(file.read(last - first + 1))

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def _answer(self, status: int, length: int = 0, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        common = {
            "Accept-Ranges": "bytes",
            "Access-Control-Allow-Origin": self.origin,
            "Access-Control-Expose-Headers": "Content-Range",
            "Cache-Control": "no-store",
            "Content-Length": str(length),
        }
        for name, value in (common | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """No paths in a terminal's history."""


def _span(asked: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of a single range (RFC 9110, 14.1.2), the whole file without one; None: cannot be had."""
    if asked is None:
        return 0, size - 1
    unit, _, span = asked.partition("=")
    low, dash, high = span.partition("-")
    if (
        unit.strip() != "bytes"
        or not dash
        or not (low or high)
        or not (low + high).isascii()
        or not (low + high).isdigit()
    ):
        return None
    first = int(low) if low else max(0, size - int(high))
    last = min(int(high), size - 1) if low and high else size - 1
    return (first, last) if 0 <= first <= last else None


class FileServer:
    """Serves a folder on 127.0.0.1 to pages of one origin.

    Parameters
    ----------
    folder : path
    origin : str
        Of the page that may read, such as "http://127.0.0.1:9000".
    """

    def __init__(self, folder: str | os.PathLike[str], origin: str) -> None:
        token = secrets.token_urlsafe(24)
        handler = partial(_Files, directory=os.fspath(folder), token=token, origin=origin)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/{token}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class View:
    """A viewer that is open: `url` is for a browser on this machine.

    Parameters
    ----------
    viewer : neuroglancer.Viewer
    files : FileServer
        Serves the case to it.
    """

    def __init__(self, viewer: Any, files: FileServer) -> None:
        self.viewer, self.files, self.url = viewer, files, str(viewer)

    def close(self) -> None:
        """Stop serving the case."""
        self.files.close()

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def view(
    case: Case, *, masks: tuple[str, ...] | None = None, low: float | None = None, high: float | None = None
) -> View:
    """Show a case's image and masks in neuroglancer.

    Parameters
    ----------
    case : Case
        Of a cohort on this machine.
    masks : sequence of str, optional
        Default: all.
    low, high : float, optional
        Black and white, in the image's unit. Default: -160 and 240 for HU, else the 1st and 99th percentile of the middle
        slice.

    Returns
    -------
    View
        Its `url` opens in a browser; `close` ends both servers.

    Raises
    ------
    MissingError
        neuroglancer is not installed.
    ArgumentError
        A mask that the case does not have, or low not below high.

    Notes
    -----
    Both servers listen on 127.0.0.1 alone; both addresses hold a random token. Pages of other origins cannot read. Nothing can
    be written.
    """
    try:
        import neuroglancer
    except ImportError as error:
        raise MissingError("neuroglancer is not installed: pip install 'fastimg[view]'") from error
    if isinstance(case.path, str):
        raise ArgumentError("case: lies in an object store; the viewer shows cohorts on this machine")
    chosen = tuple(case.mask_names) if masks is None else tuple(masks)
    unknown = [name for name in chosen if name not in case.mask_names]
    if unknown:
        raise ArgumentError(
            f"masks: the case has no mask {unknown[0]!r}; it has {', '.join(case.mask_names) or 'none'}"
        )
    low, high = _window(case, low, high)
    neuroglancer.set_server_bind_address("127.0.0.1")
    viewer = neuroglancer.Viewer()
    origin = "/".join(str(viewer).split("/")[:3])
    files = FileServer(case.path, origin)
    shader = f"#uicontrol invlerp shown(range=[{low:.9g}, {high:.9g}])\nvoid main() {{ emitGrayscale(shown()); }}"
    with viewer.txn() as state:
        state.layers["image"] = neuroglancer.ImageLayer(source=f"{files.address}/|zarr3:", shader=shader, opacity=1)
        for number, name in enumerate(chosen):
            state.layers[name] = neuroglancer.SegmentationLayer(
                source=f"{files.address}/labels/{name}/|zarr3:",
                segments=[1],
                segment_colors={1: _COLOURS[number % len(_COLOURS)]},
                selected_alpha=0.4,
            )
        state.layout = "4panel"
    return View(viewer, files)


def _window(case: Case, low: float | None, high: float | None) -> tuple[float, float]:
    import numpy as np

    if low is None or high is None:
        image = case.image()
        black, white = -160.0, 240.0
        if image.unit != "HU":
            middle = np.asarray(image.array[..., image.array.shape[-3] // 2, :, :], np.float64)
            black, white = (float(value) for value in np.nanpercentile(middle, (1, 99)))
        low = black if low is None else low
        high = max(white, low + 1) if high is None else high
    if not low < high:
        raise ArgumentError(f"low, high: low must be below high, got {low:g} and {high:g}")
    return low, high
