"""A crowd that reads streaming threads is cut off all at once, and comes back as fast as it can.

Everybody says how far he had come, and must then have every token once: each delta goes on where the text before it
ended, and the text at the run's end is the message's. This module must never know how a server recovers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import msgspec
from msgspec import Struct

from livethread.codec import convert, to_event
from livethread.errors import ProtocolError
from livethread.messages import Event, RunFinished, RunSnapshot, SubscribeOk
from livethread.resume import Replica, followed, joined, resumed, since_of
from tests.bench.bench import Bench
from tests.bench.processes import Server
from tests.bench.readers import Reader, Readers, many_files
from tests.bench.report import Row

EXACT, SECONDS = "reconnect", "reconnect-seconds"
NAMES = (EXACT, SECONDS)
CLIENTS, THREADS = 1000, 8
BOUND_SECONDS = 5.0
STREAM_SECONDS = 2.0
"""How long everybody reads before the cut, and after it."""
TOKENS = 3000


class Crowd(Struct, frozen=True, kw_only=True):
    """What came of it: how many were recovered, how many of those in the middle of their run's text, and for how many
    all was there once; the seconds until the last had his answer, and what was wrong with the others."""

    clients: int
    recovered: int
    midway: int
    exact: int
    seconds: float
    faults: tuple[str, ...]


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """Both rows, from one crowd."""
    if not names.intersection(NAMES):
        return
    count = 100 if bench.quick else CLIENTS
    with many_files(4096), bench.serving() as server:
        bench.say(f"{EXACT}: {count} clients on {THREADS} streaming threads")
        crowd = _crowd(bench, server, count)
    makers = {EXACT: _exact_row, SECONDS: _seconds_row}
    yield from (make(crowd) for name, make in makers.items() if name in names)


def _crowd(bench: Bench, server: Server, count: int) -> Crowd:
    threads = _threads(bench, server)
    with closing(Readers(server.ws_url)) as before:
        readers = before.open(count)
        _subscribe(before, readers, [{"thread": threads[number % THREADS]} for number in range(count)])
        _wait(before, readers, _streams)
        _listen(before, STREAM_SECONDS)
    cuts = [_Copy(reader).state for reader in readers]
    with closing(Readers(server.ws_url)) as after:
        began = time.monotonic()
        readers = after.open(count)
        sinces = [{"thread": cut.thread.id, "since": msgspec.to_builtins(since_of(cut))} for cut in cuts]
        _subscribe(after, readers, sinces)
        seconds = time.monotonic() - began
        _listen(after, STREAM_SECONDS)
        for thread in threads:
            readers[0].send("cancel", bench.number(), run=f"run-{thread}")
        _wait(after, readers, _ended)
    return _judged(cuts, readers, seconds)


def _threads(bench: Bench, server: Server) -> list[str]:
    """Threads on which a run streams that does not end by itself."""
    threads = [f"{EXACT}-{bench.number()}" for _ in range(THREADS)]
    biases = {str(token): bias for token, bias in bench.biases.items()}
    sampling = {"temperature": 0.0, "max_tokens": TOKENS, "logit_bias": biases}
    ops = [{"op": "append", "message": {"role": "user", "content": "Tell me a story."}}]
    with closing(Readers(server.ws_url)) as readers:
        asker = readers.open(1)
        for thread in threads:
            readers.ask(asker, "thread.create", bench.number(), thread=thread, sampling=sampling)
            readers.ask(asker, "generate", bench.number(), thread=thread, run=f"run-{thread}", ops=ops)
    return threads


def _subscribe(readers: Readers, crowd: Sequence[Reader], fields: Sequence[dict[str, object]]) -> None:
    """Subscribe on each connection, and come back when all are answered: first of all that comes on it."""
    for reader, more in zip(crowd, fields, strict=True):
        reader.send("subscribe", 1, **more)
    _wait(readers, crowd, lambda reader: bool(reader.heard))


def _wait(readers: Readers, crowd: Sequence[Reader], done: Callable[[Reader], bool]) -> None:
    """Listen until something is so for everybody."""
    waiting = list(crowd)
    while waiting:
        readers.listen(1.0)
        waiting = [reader for reader in waiting if not done(reader)]
        if any(reader.closed for reader in waiting):
            raise ConnectionError("the server closed a connection that was read")


def _listen(readers: Readers, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        readers.listen(left)


def _streams(reader: Reader) -> bool:
    return b"run.delta" in reader.heard[-1].data


def _ended(reader: Reader) -> bool:
    """Whether the run is over; where its context went, and replies, may have come behind that."""
    return any(b"run.finished" in heard.data for heard in reader.heard[-3 - THREADS :])


class _Copy:
    """What a connection's client has in the end. ``fault`` says what did not fit."""

    def __init__(self, reader: Reader, cut: Replica | None = None) -> None:
        answer, *told = (heard.message() for heard in reader.heard)
        self.ok = convert(answer["ok"], SubscribeOk)
        self.fault = ""
        try:
            self.state = joined(self.ok) if cut is None else resumed(cut, self.ok)
            for plain in told:
                event = to_event(plain)
                if event is not None:
                    self._take(event)
        except ProtocolError as error:
            self.fault = str(error)

    @property
    def midway(self) -> bool:
        """Whether the run was taken up in the middle of its text."""
        return isinstance(self.ok.run, RunSnapshot) and self.ok.run.start > 0

    def _take(self, event: Event) -> None:
        if isinstance(event, RunFinished) and self.state.thread.messages[-1].content != event.message.content:
            self.fault = f"The text of {event.run} is not that of its message."
        self.state = followed(self.state, event)


def _judged(cuts: Sequence[Replica], readers: Sequence[Reader], seconds: float) -> Crowd:
    copies = [_Copy(reader, cut) for reader, cut in zip(readers, cuts, strict=True)]
    return Crowd(
        clients=len(copies),
        recovered=sum(copy.ok.recovered for copy in copies),
        midway=sum(copy.midway for copy in copies),
        exact=sum(copy.ok.recovered and not copy.fault for copy in copies),
        seconds=seconds,
        faults=tuple(sorted({copy.fault for copy in copies if copy.fault})[:5]),
    )


def _exact_row(crowd: Crowd) -> Row:
    faults = f"; {' '.join(crowd.faults)}" if crowd.faults else ""
    return Row(
        name=EXACT,
        claim=f"{crowd.clients} clients cut off and back: how many lack nothing and have nothing twice",
        measured=crowd.exact,
        bound=crowd.clients,
        at_least=True,
        notes=f"{crowd.recovered} recovered, {crowd.midway} of them in the middle of a run's text{faults}",
        raw=crowd,
    )


def _seconds_row(crowd: Crowd) -> Row:
    return Row(
        name=SECONDS,
        claim="seconds from the first new handshake to the last answer",
        measured=crowd.seconds,
        bound=BOUND_SECONDS,
        at_least=False,
        unit=" s",
        notes=f"{crowd.clients / crowd.seconds:.0f} a second, while {THREADS} runs stream to them",
    )
