"""Where the KV of threads that are not live is kept: a folder in memory and one on disk, with their budgets.

It makes the folders and clears away what a crash left in memory; it must never know what is put into them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from livethread_server.settings import Settings, SettingsError

log = logging.getLogger(__name__)

MEMORY = Path("/dev/shm")
"""A file system in memory on every Linux; files in it survive the engine, not the machine."""
_DIGESTS = "models.json"
_PREFIX = "livethread-"
_LOCK = "lock"


class Tiers(Struct, frozen=True):
    """The folders ("" for a tier that there is not) and their bytes; ``model_digest`` tells whose KV it is."""

    cache_dir: str = ""
    ram_dir: str = ""
    disk_bytes: int = 0
    ram_bytes: int = 0
    model_digest: str = ""


@contextmanager
def tiers(settings: Settings, model: Path, memory: Path = MEMORY) -> Iterator[Tiers]:
    """The tiers that the settings ask for. What is in memory goes at the end, and what dead servers left there at
    the beginning. `SettingsError` where a folder cannot be made or written."""
    try:
        digest = model_digest(model, settings.state_dir / _DIGESTS)
    except OSError as error:
        raise SettingsError(f"The content of {model} cannot be noted: {error}. Check --state-dir.") from None
    with _ram_folder(settings, memory) as ram_dir:
        yield Tiers(
            cache_dir=str(cache_folder(settings.state_dir)) if settings.disk_cache else "",
            ram_dir=str(ram_dir or ""),
            disk_bytes=settings.disk_cache,
            ram_bytes=_affordable(settings.ram_cache, ram_dir) if ram_dir else 0,
            model_digest=digest,
        )


def cache_folder(state_dir: Path) -> Path:
    """The disk tier of a state folder."""
    return state_dir.absolute() / "cache"


def model_digest(model: Path, known: Path) -> str:
    """The SHA-256 of a model file's content. It is kept in the file ``known`` with the path, size and time of change
    that it was taken at, since a large model takes long to read."""
    about = model.stat()
    stamp = [str(model), about.st_size, about.st_mtime_ns]
    try:
        kept = json.loads(known.read_bytes())
        if kept["of"] == stamp:
            return str(kept["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing is known yet, or nothing that can be read
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    temporary = known.with_suffix(".new")
    temporary.write_text(json.dumps({"of": stamp, "sha256": digest}))
    temporary.replace(known)
    return digest


@contextmanager
def _ram_folder(settings: Settings, memory: Path) -> Iterator[Path | None]:
    if not settings.ram_cache:
        yield None
        return
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        log.warning("There is no %s to keep contexts in: what is not live goes to disk at once.", memory)
        yield None
        return
    for leftover in memory.glob(f"{_PREFIX}*"):
        _clear(leftover)
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=memory))  # for this user alone: mode 0700
    except OSError as error:
        raise SettingsError(
            f"No folder can be made in {memory}: {error.strerror}. Make room there, or use --ram-cache 0."
        ) from None
    with (made / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Only what is locked gets a name that others look for.
        folder = made.rename(memory / made.name.removeprefix("."))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _clear(leftover: Path) -> None:
    """Remove a folder unless its server is alive, or it is somebody else's."""
    try:
        with (leftover / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(leftover, ignore_errors=True)
    except OSError:
        return


def _affordable(asked: int, folder: Path) -> int:
    """What of the bytes asked for fits into the memory file system; containers often have a small one."""
    about = os.statvfs(folder)
    free = about.f_bavail * about.f_frsize
    if free < asked:
        log.warning("--ram-cache is %d bytes, but %s has only %d free: that is used.", asked, folder.parent, free)
    return min(asked, free)
