"""The how-tos as their reader follows them: takes the files out of a page, and runs them as they stand.

A fenced block whose first line names a file, such as ```` ```python bot.py ````, is that file; several of one name
are its parts, in order. All other blocks are only shown.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "how-to"
PATIENCE_SECONDS = 60.0


def files(page: str) -> dict[str, str]:
    """The files of a how-to, by name."""
    found: dict[str, str] = {}
    for name, body in re.findall(r"^```\w+ (\S+)\n((?:.*\n)*?)```$", (FOLDER / page).read_text(), re.MULTILINE):
        found[name] = found[name] + "\n" + body if name in found else body
    return found


def save(page: str, folder: Path, replacing: Mapping[str, str] | None = None) -> None:
    """Write a how-to's files into a folder, each constant in ``replacing`` (it must be there) with its new value."""
    for name, text in files(page).items():
        for old, new in (replacing or {}).items():
            assert old in text, f"{name} of {page} does not say {old!r}."
            text = text.replace(old, new)
        (folder / name).write_text(text)


def run(script: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start a Python file in a process of its own, with pipes; errors come with the output."""
    return subprocess.Popen(
        [sys.executable, "-u", "-W", "error", str(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=script.parent,
        env={**os.environ, **variables},
    )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: a test's output is the test's."""


@contextmanager
def pages(folder: Path, port: int) -> Iterator[None]:
    """Serve a folder as ``python3 -m http.server`` does."""
    with ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Quiet, directory=str(folder))) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield
        server.shutdown()
        serving.join()
