"""The memory of one engine, put together: files, shelves, archive, residencies, and what is done ahead.

This module must never know runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from livethread_server.engine.wire import Configure
from livethread_server.worker.ahead import Ahead
from livethread_server.worker.archive import Archive
from livethread_server.worker.chunk import Namer, fingerprint_of
from livethread_server.worker.files import Files
from livethread_server.worker.llama import Context
from livethread_server.worker.residency import Residencies
from livethread_server.worker.restore import Restores
from livethread_server.worker.rows import Malformed, Shape, parse, state_size
from livethread_server.worker.sequence import Sequence
from livethread_server.worker.shelf import Shelf, key_in
from livethread_server.worker.tier import Tier

LAST_SECONDS = 8.0
"""How long writing to disk may take when the server stops."""
READY = 48 << 20
"""Bytes that are made ready for the first state that is restored, and for the first that is saved, at most."""
PASSING = 16
"""Contexts of tasks that are kept beyond the live ones, for each of their sequences."""
_PROBE = 3
"""Tokens whose state tells its shape."""

_log = logging.getLogger(__name__)


class Tiers:
    """What the loop needs to know of memory that is not live. ``tokens`` counts those of threads' prompts by
    source, ``task_tokens`` those of tasks'.
    """

    def __init__(
        self,
        context: Context,
        configure: Configure,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tokens = {"live": 0, "ram": 0, "disk": 0, "computed": 0}
        self.task_tokens = dict(self.tokens)
        self.files = Files(wake)
        shape = _shape(context)
        namer = Namer(_fingerprint(context, configure, shape), shape.width if shape else 0)
        self.archive = Archive(
            _tiers(configure), self.files, namer.fingerprint, passing=PASSING * configure.task_sequences
        )
        self.residencies = Residencies(
            context,
            self.archive,
            namer,
            shape,
            idle_after=configure.idle_after,
            clock=clock,
            tasks=configure.task_sequences,
        )
        self.restores = Restores(self.archive, shape, context.streams)
        if shape and not self.archive.empty:
            self._prepare(context, shape)

        def may_give_up(slot: Sequence) -> bool:
            return not slot.dirty or clock() - slot.used_at >= configure.idle_after

        self.ahead = Ahead(self.residencies, self.restores, budget=configure.ingest_tokens, may_give_up=may_give_up)

    def _prepare(self, context: Context, shape: Shape) -> None:
        """Have the memory touched that the first restore and the first save need: fresh pages may take ten times as
        long as either, most of all in a virtual machine.
        """
        size = min(READY, state_size(shape, context.streams, context.length))
        self.files.read(lambda: np.ones(size, np.uint8), self.restores.keep)
        self.archive.prepare(shape.width)
        self.files.read(lambda: np.ones(size, np.uint8), context.export_into)

    def count(self, *, live: int, ram: int, disk: int, computed: int, side: bool = False) -> None:
        """A run's prompt came from there."""
        counted = self.task_tokens if side else self.tokens
        for source, tokens in {"live": live, "ram": ram, "disk": disk, "computed": computed}.items():
            counted[source] += tokens

    def close(self, seconds: float = LAST_SECONDS) -> None:
        """Write what is only live or in RAM to disk, as far as that is possible in the time."""
        self.residencies.close()
        if not self.files.settle(seconds):
            _log.warning("Not all KV could be written to disk within %.0f s; it will be computed again.", seconds)
        self.files.close()


def _tiers(configure: Configure) -> list[Tier]:
    """The shelves that can be used: one whose folder cannot be is done without, with a warning."""
    tiers: list[Tier] = []
    try:
        if configure.ram_dir and configure.ram_bytes > 0:
            folder = Path(configure.ram_dir)
            shelf = Shelf(folder, key=key_in(folder), durable=False)
            tiers.append(Tier("ram", shelf, configure.ram_bytes))
    except OSError as error:
        _log.warning("There is no RAM cache: %s.", error)
    try:
        if configure.cache_dir and configure.disk_bytes > 0:
            folder = Path(configure.cache_dir)
            tiers.append(Tier("disk", Shelf(folder, key=key_in(folder), durable=True), configure.disk_bytes))
    except OSError as error:
        _log.warning("There is no disk cache: %s.", error)
    return tiers


def _fingerprint(context: Context, configure: Configure, shape: Shape | None) -> bytes:
    digest = configure.model_digest
    if not digest:
        about = Path(configure.model_path).stat()
        digest = f"{configure.model_path} {about.st_size} {about.st_mtime_ns}"
    return fingerprint_of({**context.facts, "model": digest, "shape": shape})


def _shape(context: Context) -> Shape | None:
    """What states of this context look like; None where they cannot be taken apart into rows."""
    if not context.model.cuttable:
        return None
    context.ingest(0, 0, range(_PROBE), last=False)
    try:
        return parse(context.export(0)).shape
    except Malformed as error:
        _log.warning("KV is kept as whole states, since it cannot be taken apart: %s", error)
        return None
    finally:
        context.drop(0)
