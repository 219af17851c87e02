"""Our OpenAI-compatible door ÷ llama-server's: output tokens a second of streamed chats, and embeddings.

Both servers run at the same time and take turns, because the machine's speed drifts: one asks, the other is idle. Each
turn of both is one ratio, the median is reported. A chat's speed is all its streams' tokens from the first request to
the last token. Needs the wheel ``xllamacpp``; without it the rows are left out. With ``--peer`` the same chats go to
any other OpenAI-compatible server instead, below its ``/v1`` where no path is given.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from urllib.parse import urlsplit

from msgspec import Struct

from tests.bench.bench import Bench
from tests.bench.completions import Api, Body, Streamed
from tests.bench.llama_server import LlamaServer
from tests.bench.report import Row

CHATS = {"openai-1": 1, "openai-8": 8, "openai-16": 16}
EMBEDDINGS = "openai-embeddings"
NAMES = (*CHATS, EMBEDDINGS)
BOUND = 0.95
TOKENS = {1: 192, 8: 128, 16: 112}
"""Tokens of each answer by the number of streams: three to ten seconds."""
WORDS = 24
TEXTS, TEXT_TOKENS = 64, 100
CONTEXT = 2048


class Turn(Struct, frozen=True):
    """Both sides' speed in one turn: tokens or texts a second."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """How many times as fast ours is."""
        return self.ours / self.theirs


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """One row for each number of streams, and one for vectors."""
    chats = {name: streams for name, streams in CHATS.items() if name in names}
    if chats:
        with _both(bench, embed=False) as both:
            yield from (_chat_row(bench, name, streams, *both) for name, streams in chats.items())
    if EMBEDDINGS in names and bench.peer is None:
        with _both(bench, embed=True) as both:
            yield from _embedding_row(bench, *both)


@contextmanager
def _both(bench: Bench, *, embed: bool) -> Iterator[tuple[Api, Api] | tuple[()]]:
    """Ours and the other one; nothing where there is no other one."""
    if bench.peer is None and importlib.util.find_spec("xllamacpp") is None:
        bench.say("openai: left out, since llama-server is not here. Install it with: pip install xllamacpp")
        yield ()
        return
    most = max(CHATS.values())
    flags = ("--sequences", "2", "--task-sequences", str(most), "--context", str(CONTEXT))
    with bench.serving(*flags) as server, _peer(bench, most, embed=embed) as base:
        yield Api(f"{server.url}/openai/v1"), Api(base)


@contextmanager
def _peer(bench: Bench, sequences: int, *, embed: bool) -> Iterator[str]:
    if bench.peer is not None:
        yield bench.peer.rstrip("/") + ("" if urlsplit(bench.peer).path.strip("/") else "/v1")
        return
    server = LlamaServer(bench, sequences=sequences, context=CONTEXT, embed=embed)
    server.start()
    try:
        yield f"{server.url}/v1"
    finally:
        server.stop()


def _chat_row(bench: Bench, name: str, streams: int, *both: Api) -> Row:
    tokens = TOKENS[streams] // (2 if bench.quick else 1)
    for api in both:
        api.chats([_body(bench, 8) for _ in range(streams)])  # what is made once is made
    turns = _turns(bench, name, lambda api: speed(api.chats([_body(bench, tokens) for _ in range(streams)])), both)
    plural = "s" if streams > 1 else ""
    return _row(bench, name, f"output tok/s of chat completions, {streams} stream{plural}", turns)


def _embedding_row(bench: Bench, *both: Api) -> Iterator[Row]:
    if not both:
        return
    for api in both:
        api.embed([bench.vocabulary.text(TEXT_TOKENS, bench.number())])
    turns = _turns(bench, EMBEDDINGS, lambda api: TEXTS / api.embed(_texts(bench)), both)
    yield _row(bench, EMBEDDINGS, f"embeddings of {TEXTS} texts of {TEXT_TOKENS} tokens, texts/s", turns)


def _turns(bench: Bench, name: str, speed_of: Callable[[Api], float], both: tuple[Api, ...]) -> list[Turn]:
    turns = []
    for number in range(2 if bench.quick else 7):
        ours, theirs = both if number % 2 == 0 else reversed(both)
        first, second = speed_of(ours), speed_of(theirs)
        turn = Turn(first, second) if number % 2 == 0 else Turn(second, first)
        bench.say(f"{name}: ours {turn.ours:.1f}, theirs {turn.theirs:.1f}, ratio {turn.ratio:.3f}")
        turns.append(turn)
    return turns


def _texts(bench: Bench) -> list[str]:
    return [bench.vocabulary.text(TEXT_TOKENS, bench.number()) for _ in range(TEXTS)]


def _body(bench: Bench, tokens: int) -> Body:
    """A chat that shares no text with any other, and ends by its length alone."""
    number = bench.number()
    messages = [
        {"role": "system", "content": f"{number}."},
        {"role": "user", "content": bench.vocabulary.text(WORDS, number)},
    ]
    biases = {str(token): -100 for token in bench.biases}
    return {"messages": messages, "temperature": 0, "max_tokens": tokens, "logit_bias": biases}


def speed(streams: list[Streamed]) -> float:
    """All streams' tokens a second, from the first request to the last token."""
    began, ended = min(each.sent_at for each in streams), max(each.arrivals[-1] for each in streams)
    return sum(each.completion_tokens for each in streams) / (ended - began)


def _row(bench: Bench, name: str, claim: str, turns: list[Turn]) -> Row:
    ratios = sorted(turn.ratio for turn in turns)
    other = "llama-server's" if bench.peer is None else "the peer's"
    return Row(
        name=name,
        claim=f"{claim}: ours ÷ {other}",
        measured=median(ratios),
        bound=BOUND if bench.peer is None else None,
        at_least=True,
        notes=f"ours {median(turn.ours for turn in turns):.1f}, theirs {median(turn.theirs for turn in turns):.1f}; "
        f"{len(turns)} turns: {ratios[0]:.3f} … {ratios[-1]:.3f}",
        raw=turns,
    )
