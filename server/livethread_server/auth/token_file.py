"""The file of tokens that we gave out: hashed, for its user alone, and replaced whole at every change.

A token is 256 random bits, so that a plain hash of it cannot be turned back. This module must never know
sessions, nor who may do what.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from livethread_server.settings import SettingsError

BEGINNING = "lt_"
"""What every token begins with, so that scanners for leaked secrets can know it."""
FILE_BYTES = 16 << 20
"""The largest file that is read."""


class TokenRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token that was given out, and what is kept of it. ``name`` is the principal's id; ``created`` and ``expires``
    are Unix seconds."""

    id: str
    name: str
    digest: str
    created: float
    expires: float | None = None


class _Whole(Struct, frozen=True, forbid_unknown_fields=True):
    tokens: tuple[TokenRecord, ...] = ()


Records = Sequence[TokenRecord]
Stamp = tuple[int, int, int, int]


def new_token() -> str:
    """A token nobody can guess, safe in headers and as a WebSocket subprotocol (RFC 9110, 5.6.2)."""
    return BEGINNING + secrets.token_urlsafe(32)


class TokenFile:
    """The file at ``path``; one that is not there holds no tokens. Several processes may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> Stamp | None:
        """Differs whenever the file, or who may use it, was changed; None where there is none. `SettingsError` where
        that cannot be found out."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error.strerror or "it cannot be found") from None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size

    def read(self) -> Records:
        """What the file holds. `SettingsError` where it cannot be read, or others may write to it."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o022:
                    raise self._unusable("others may write to it. Take that right away (chmod 600)")
                return msgspec.json.decode(file.read(FILE_BYTES), type=_Whole).tokens
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unusable(error.strerror or "it cannot be read") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # What is wrong with it might be shown with a piece of it: it is not said.
            raise self._unusable("it is not a file of tokens. Put a backup in its place, or remove it") from None

    def change(self, change: Callable[[Records], Records]) -> None:
        """Replace what the file holds, all or nothing, while nobody else does."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _alone(self.path.parent):
                self._write(msgspec.json.encode(_Whole(tuple(change(self.read())))))
        except OSError as error:
            raise self._unusable(error.strerror or "it cannot be written") from None

    def _write(self, content: bytes) -> None:
        # Made anew each time and for its user alone, whatever rights the old one had.
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.format(content))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        finally:
            new.unlink(missing_ok=True)

    def _unusable(self, why: str) -> SettingsError:
        return SettingsError(f"The file of tokens {self.path} cannot be used: {why}.")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock a folder itself, so that no file is left behind."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
