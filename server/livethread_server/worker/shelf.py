"""One tier: a folder of chunk files and of notes which chunks make a thread's context.

Reading and writing may be done by any OS thread; which file may be dropped is decided elsewhere. A file is
there whole or not at all: it is renamed to its name when it is complete. This module must never know what
rows mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct

from livethread_server.worker.chunk import (
    FIXED_SIZE,
    TAG_SIZE,
    BadChunk,
    Bytes,
    Head,
    head_size,
    tag,
    unpack_head,
    verify,
)

KEY_SIZE = 32
_FIRST_READ = FIXED_SIZE + 4 * 256
TEMPORARY = ".new"
"""How the names of files end that are being written."""

_log = logging.getLogger(__name__)


class Note(Struct, frozen=True, array_like=True):
    """Which chunks, by name and in order, make a thread's context."""

    thread: str
    names: tuple[bytes, ...]


class Shelf:
    """``folder`` is made where it is missing. Files of a ``durable`` shelf survive a loss of power; the tags of others
    are made quickly. Raises OSError where the folder cannot be made or looked into.
    """

    def __init__(self, folder: Path, *, key: bytes, durable: bool) -> None:
        self._chunks, self._notes = folder / "chunks", folder / "threads"
        self._make()
        for each in (folder, self._chunks, self._notes):
            os.scandir(each).close()
        self._key = key
        self._durable = durable
        self.refused = 0

    def _make(self) -> None:
        for each in (self._chunks.parent, self._chunks, self._notes):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)

    def scan(self, fingerprint: bytes) -> list[tuple[float, Head]]:
        """The chunks that are there with the times of their last use; what is no chunk of ours is removed."""
        found: list[tuple[float, Head]] = []
        foreign = 0
        for path in self._files(self._chunks):
            try:
                used, head = _read_head(path)
            except (BadChunk, OSError) as error:
                self._refuse(path, error)
                continue
            if head.fingerprint != fingerprint:
                foreign += 1
                _discard(path)
            else:
                found.append((used, head))
        if foreign:
            _log.warning("%d cached chunks in %s were removed: other model or settings.", foreign, self._chunks)
        return sorted(found, key=lambda each: each[0])

    def read(self, head: Head, buffer: Bytes | None = None) -> Bytes:
        """The rows of a chunk, into ``buffer`` where that is large enough.

        Raises FileNotFoundError where it is gone, `BadChunk` or OSError where it is not whole; then the file
        was removed.
        """
        path = self._path(head.name)
        try:
            rows = self._read(path, head, buffer)
            os.utime(path)
        except FileNotFoundError:
            raise
        except (BadChunk, OSError) as error:
            self._refuse(path, error)
            raise
        return rows

    def _read(self, path: Path, head: Head, buffer: Bytes | None) -> Bytes:
        expected = head.pack()
        rest = head.size + TAG_SIZE
        body = buffer[:rest] if buffer is not None and len(buffer) >= rest else np.empty(rest, np.uint8)
        with _open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size != head.file_size:
                raise BadChunk("its size is not what it was")
            if file.read(len(expected)) != expected:
                raise BadChunk("it is another chunk than its name says")
            _fill(file.fileno(), body)
        rows = body[: head.size]
        verify(self._key, expected, rows, body[head.size :].tobytes(), quick=not self._durable)
        return rows

    def write(self, head: Head, rows: Bytes) -> None:
        """Put a chunk in. Raises OSError; then nothing is there, and a folder that was gone is there again."""
        beginning = head.pack()
        end = tag(self._key, beginning, rows, quick=not self._durable)
        self._put(self._path(head.name), [beginning, rows, end], durable=self._durable)

    def remove(self, name: bytes) -> None:
        """Take a chunk out."""
        self._path(name).unlink(missing_ok=True)

    def notes(self) -> Iterator[Note]:
        """The notes that are there; what is no note is removed."""
        for path in self._files(self._notes):
            try:
                data = path.read_bytes()
                if data[:TAG_SIZE] != self._note_tag(data[TAG_SIZE:]):
                    raise BadChunk("its tag does not fit what it holds")
                note = msgspec.msgpack.decode(data[TAG_SIZE:], type=Note)
                if self._note_path(note.thread) != path:
                    raise BadChunk("it is about another thread than its name says")
            except (ValueError, msgspec.MsgspecError, OSError) as error:
                self._refuse(path, error)
            else:
                yield note

    def write_note(self, note: Note, *, durable: bool = False) -> None:
        """Put a thread's note in, over the one before. Raises OSError."""
        data = msgspec.msgpack.encode(note)
        self._put(self._note_path(note.thread), [self._note_tag(data), data], durable=durable and self._durable)

    def remove_note(self, thread: str) -> None:
        """Take a thread's note out."""
        self._note_path(thread).unlink(missing_ok=True)

    def _put(self, path: Path, parts: list[bytes | Bytes], *, durable: bool) -> None:
        temporary = path.with_suffix(TEMPORARY)
        try:
            _remove(temporary)  # whatever it is: a link must not be written through
            with _open(temporary, "xb") as file:
                for part in parts:
                    _write(file.fileno(), part)
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                _remove(temporary)
                if isinstance(error, FileNotFoundError):  # somebody took the folder away: there is one again next time
                    self._make()
            raise

    def _refuse(self, path: Path, error: Exception) -> None:
        """One log line for what is not what it should be; and away with it."""
        self.refused += 1
        _log.warning("The cached file %s was removed, since %s.", path, error)
        _discard(path)

    def _files(self, folder: Path) -> Iterator[Path]:
        """The files of a folder; what a death left half written is removed, and what is no file too."""
        for entry in list(os.scandir(folder)):
            path = Path(entry.path)
            if path.suffix == TEMPORARY:
                _discard(path)
            elif entry.is_file(follow_symlinks=False):
                yield path
            else:
                self._refuse(path, BadChunk("it is no file"))

    def _note_tag(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=TAG_SIZE, key=self._key).digest()

    def _path(self, name: bytes) -> Path:
        return self._chunks / name.hex()

    def _note_path(self, thread: str) -> Path:
        return self._notes / hashlib.blake2b(thread.encode(), digest_size=16).hexdigest()


def key_in(folder: Path) -> bytes:
    """The secret key of a cache folder, drawn at the first time. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "key"
    if path.exists():
        if len(key := path.read_bytes()) == KEY_SIZE:
            return key
        _log.warning("The key %s was damaged, and another is drawn: nothing that was kept under it can be used.", path)
    key = os.urandom(KEY_SIZE)
    temporary = folder / f"key{TEMPORARY}"
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return key


def _read_head(path: Path) -> tuple[float, Head]:
    """When a file was used last, and its head. Raises `BadChunk`, OSError."""
    with _open(path, "rb") as file:
        about = os.fstat(file.fileno())
        data = file.read(_FIRST_READ) or b""
        if head_size(data) > len(data):
            data += file.read(head_size(data) - len(data)) or b""
    head = unpack_head(data, about.st_size)
    if head.name.hex() != path.name:
        raise BadChunk("it is another chunk than its name says")
    return about.st_mtime, head


def _open(path: Path, mode: Literal["rb", "xb"]) -> FileIO:
    """Open what must be a plain file: neither follow a link nor wait for the other end of a pipe."""
    strict = os.O_NOFOLLOW | os.O_NONBLOCK
    return open(path, mode, buffering=0, opener=lambda name, flags: os.open(name, flags | strict, 0o600))


def _remove(path: Path) -> None:
    """Take away a file, a link or an empty folder, if it is there. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _discard(path: Path) -> None:
    """Take it away, or say why that cannot be done."""
    try:
        _remove(path)
    except OSError as error:
        _log.warning("The cached file %s cannot be removed: %s.", path, error)


def _fill(file: int, body: Bytes) -> None:
    view = body.data
    while view:
        count = os.readv(file, [view])
        if count == 0:
            raise BadChunk("it ends too early")
        view = view[count:]


def _write(file: int, part: bytes | Bytes) -> None:
    view = part.data if isinstance(part, np.ndarray) else memoryview(part)
    while view:
        view = view[os.write(file, view) :]
