"""The folder for all that a server keeps: made if need be, and for one server at a time.

It must never know what is kept in it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from livethread_server.settings import SettingsError


class InUse(SettingsError):  # noqa: N818 - the name says what happened
    """Somebody has locked the folder. ``address`` is where a server with it listens, "" where none says so."""

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(f"Another server uses the state folder {folder}. Stop it, or choose another with --state-dir.")
        self.address = address


def default_state_dir() -> Path:
    """Where a server keeps everything unless the operator says otherwise."""
    return Path(platformdirs.user_state_dir("livethread"))


@contextmanager
def state_folder(folder: Path, address: str = "") -> Iterator[None]:
    """Lock the folder, and note there the address, such as ``127.0.0.1:8000``, that its user listens on.
    `InUse`, or `SettingsError` where it cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise SettingsError(
            f"The state folder {folder} cannot be used: {error.strerror}. Choose another with --state-dir."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise InUse(folder, lock.read(256)) from None
        lock.truncate(0)
        lock.write(address)
        lock.flush()
        yield
