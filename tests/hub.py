"""A stand-in for the Hugging Face Hub: the few routes that huggingface_hub uses to fetch a file, over real HTTP.

As there, a repository's address leads to another host that has the bytes and must not see tokens: here that host is
``localhost``, and the hub is ``127.0.0.1``.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from msgspec import Struct

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "maker/Tiny-GGUF"


class Asked(Struct):
    """A request as it came, and the bytes of content that it was answered with."""

    method: str
    path: str
    token: str
    range: str
    sent: int = 0


class Hub:
    """A hub with one repository, whose ``files`` are by their paths.

    ``etag`` and ``size`` are promised instead of the content's SHA-256 and length; ``token`` is wanted where there is
    one; ``cut`` ends answers with content after so many bytes each; ``stall`` sends so many, then sets ``stalled`` and
    waits for ``go_on``; ``error`` is a status and an error code that everything but content is answered with.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etag: str | None = None
        self.size: int | None = None
        self.asked: list[Asked] = []
        self.token = ""
        self.cut: list[int] = []
        self.stall = 0
        self.stalled, self.go_on = threading.Event(), threading.Event()
        self.error: tuple[int, str] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def downloads(self) -> list[Asked]:
        """The requests for content."""
        return [asked for asked in self.asked if asked.method == "GET" and asked.path.startswith("/bytes/")]

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that HF_ENDPOINT names inside the ``with``."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Hub()
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    try:
        yield made
    finally:
        made.close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            headers = self.headers
            asked = Asked(self.command, self.path, headers["Authorization"] or "", headers["Range"] or "")
            hub.asked.append(asked)
            if self.path.startswith("/bytes/"):
                self._content(asked, hub.files[self.path.removeprefix("/bytes/")])
            elif refusal := self._refusal(asked):
                self._head(refusal[0], {"X-Error-Code": refusal[1], "Content-Length": "0"})
            else:
                self._describe(self.path.rpartition(f"/{REPO}/resolve/")[2].partition("/")[2])

        def _refusal(self, asked: Asked) -> tuple[int, str] | None:
            _, known, rest = self.path.partition(f"/{REPO}/resolve/")
            revision, _, file = rest.partition("/")
            if hub.error:
                return hub.error
            if not known or (hub.token and asked.token != f"Bearer {hub.token}"):
                return (401, "RepoNotFound")
            if revision not in ("main", COMMIT):
                return (404, "RevisionNotFound")
            return None if file in hub.files else (404, "EntryNotFound")

        def _describe(self, file: str) -> None:
            content = hub.files[file]
            etag = hub.etag or hashlib.sha256(content).hexdigest()
            self._head(
                302,
                {
                    "X-Repo-Commit": COMMIT,
                    "X-Linked-ETag": f'"{etag}"',
                    "X-Linked-Size": str(hub.size or len(content)),
                    "Location": f"http://localhost:{hub.port}/bytes/{file}",
                    "Content-Length": "0",
                },
            )

        def _content(self, asked: Asked, content: bytes) -> None:
            start = int(asked.range.removeprefix("bytes=").rstrip("-") or 0)
            span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
            self._head(206 if start else 200, {"Content-Length": str(len(content) - start), **span})
            end = min(len(content), start + hub.cut.pop(0)) if hub.cut else len(content)
            if hub.stall:
                end = hub.stall
            self.wfile.write(content[start:end])
            asked.sent = end - start
            if hub.stall:
                hub.stalled.set()
                hub.go_on.wait()
            self.close_connection = True

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
