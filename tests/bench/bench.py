"""What every row is measured with: a server, a client, a bare loop, and how thorough to be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from msgspec import Struct

from tests.bench.bare import NEVER, Bare
from tests.bench.jobs import Ask
from tests.bench.processes import Load, Server
from tests.bench.prompts import text
from tests.bench.report import Row

SEQUENCES = 16
CONTEXT = 4096
STEP_MS = 100.0


class Bench:
    """The things that rows share. ``say`` tells the person who waits how far it is."""

    def __init__(
        self,
        server: Server,
        load: Load,
        model: Path,
        *,
        extra_bufts: bool,
        threads: int,
        quick: bool,
        say: Callable[[str], None],
    ) -> None:
        self.server = server
        self.load = load
        self.quick = quick
        self.say = say
        self.bare = Bare(
            str(model), sequences=SEQUENCES, length=CONTEXT, extra_bufts=extra_bufts, threads=threads, endless=True
        )
        self.biases = dict.fromkeys(self.bare.end_tokens(), NEVER)
        self._numbers = itertools.count(1)

    def ask(self, *, words: int, max_tokens: int) -> Ask:
        """Something to say on a fresh thread that shares no text with any other."""
        number = next(self._numbers)
        return Ask(
            thread=f"bench-{number}", system=f"{number}.", content=text(words, seed=number), max_tokens=max_tokens
        )

    def processes(self) -> dict[str, psutil.Process]:
        """All that work while the client is served."""
        return {"client": self.load.process, **self.server.processes()}


class Group(Struct, frozen=True):
    """Rows that are measured together. ``measure`` yields those whose names it is given."""

    names: tuple[str, ...]
    measure: Callable[[Bench, frozenset[str]], Iterator[Row]]
