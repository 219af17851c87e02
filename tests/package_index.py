"""A package index on loopback with wheels of our own making: pip asks it, and nobody else."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class PackageIndex:
    """An index whose wheels are offered one by one.

    ``asked`` holds the paths of the requests, ``ranges`` which part of a wheel was asked for; the next answer with a
    wheel ends after ``cut`` bytes.
    """

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.cut: int | None = None
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                page = index.pages.get(self.path)
                start = int((self.headers["Range"] or "").removeprefix("bytes=").rstrip("-") or 0)
                self.send_response(404 if page is None else 206 if start else 200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(page or b"") - start))
                self.send_header("ETag", '"1"')
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(page or b'') - 1}/{len(page or b'')}")
                self.end_headers()
                end = None
                if self.path.endswith(".whl"):
                    index.ranges.append(self.headers["Range"] or "")
                    end, index.cut = index.cut, None
                self.wfile.write((page or b"")[start:end])

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/simple"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def offer(self, package: str, wheel: bytes, version: str = "1.0") -> str:
        """Offer a package's only wheel; the answer is its path."""
        path = f"/files/{package.replace('-', '_')}-{version}-py3-none-any.whl"
        self.pages[f"/simple/{package}/"] = f'<a href="{path}">wheel</a>'.encode()
        self.pages[path] = wheel
        return path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def package_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """An index that is the only one pip knows inside the ``with``."""
    index = PackageIndex()
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_CERT", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    settings = {"CONFIG_FILE": "/dev/null", "NO_CACHE_DIR": "1", "RETRIES": "0", "INDEX_URL": index.url}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    try:
        yield index
    finally:
        index.close()


def wheel(package: str, files: dict[str, bytes], version: str = "1.0") -> bytes:
    """A wheel with the given files."""
    name = f"{package.replace('-', '_')}-{version}.dist-info"
    info = {
        f"{name}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode(),
        f"{name}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in (files | info).items():
            archive.writestr(path, data)
    return buffer.getvalue()
