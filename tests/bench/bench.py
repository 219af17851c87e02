"""What every row is measured with: a server, a client, a bare loop, and how thorough to be."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path

import psutil
from msgspec import Struct

from tests.bench.bare import NEVER, Bare
from tests.bench.jobs import Ask
from tests.bench.processes import Load, Server
from tests.bench.prompts import text
from tests.bench.report import Row
from tests.bench.vocabulary import Vocabulary

SEQUENCES = 16
CONTEXT = 4096
STEP_MS = 100.0


class Bench:
    """The things that rows share, each made when it is first asked for. ``say`` tells the person who waits how
    far it is. ``peer`` is another server to compare with, instead of llama-server.
    """

    def __init__(
        self,
        model: Path,
        *,
        extra_bufts: bool,
        threads: int,
        quick: bool,
        say: Callable[[str], None],
        peer: str | None = None,
    ) -> None:
        self.model = model
        self.extra_bufts = extra_bufts
        self.threads = threads
        self.quick = quick
        self.say = say
        self.peer = peer
        self.vocabulary = Vocabulary(model)
        self.biases = dict.fromkeys(self.vocabulary.ends(), NEVER)
        self._shared = ExitStack()
        self._numbers = itertools.count(1)

    def close(self) -> None:
        """Stop and free everything."""
        self.let_go()
        self.vocabulary.close()

    def let_go(self) -> None:
        """Stop and free what rows share, which takes memory."""
        self._shared.close()
        for name in ("server", "load", "bare"):
            self.__dict__.pop(name, None)

    @cached_property
    def server(self) -> Server:
        """A server with nothing special about it."""
        return self._shared.enter_context(self._serving())

    @cached_property
    def load(self) -> Load:
        """The client process of `server`."""
        return self._shared.enter_context(closing(Load(self.server.ws_url)))

    @cached_property
    def bare(self) -> Bare:
        """A loop over the same layout without anything around it."""
        made = Bare(
            str(self.model),
            sequences=SEQUENCES,
            length=CONTEXT,
            extra_bufts=self.extra_bufts,
            threads=self.threads,
            endless=True,
        )
        return self._shared.enter_context(closing(made))

    @contextmanager
    def serving(self, *flags: str) -> Iterator[Server]:
        """A server of one's own, with other flags; nothing else is there at the same time."""
        self.let_go()
        with self._serving(*flags) as server:
            yield server

    @contextmanager
    def _serving(self, *flags: str) -> Iterator[Server]:
        usual = ["--sequences", str(SEQUENCES), "--context", str(CONTEXT), "--step-ms", str(STEP_MS)]
        usual += ["--threads", str(self.threads), "--repack" if self.extra_bufts else "--no-repack"]
        with tempfile.TemporaryDirectory() as folder:
            server = Server(Path(folder), self.model, *usual, *flags)
            self.say(f"starting the server ({' '.join([*usual, *flags])})")
            server.start()
            try:
                yield server
            finally:
                server.stop()

    def number(self) -> int:
        """Another one each time: a seed, a part of a name."""
        return next(self._numbers)

    def ask(self, *, words: int, max_tokens: int) -> Ask:
        """Something to say on a fresh thread that shares no text with any other."""
        number = self.number()
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
