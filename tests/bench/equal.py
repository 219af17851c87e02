"""Conversations that are evicted and restored between all turns say what those that stay live say.

Both run one after the other under the same words; the first is deleted before the second begins, or it would
lend its KV. Every turn of the evicted one must have come from disk, else nothing is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct

from tests.bench.bench import Bench
from tests.bench.jobs import Story
from tests.bench.report import Row
from tests.bench.visits import Visitor, visiting

EQUAL = "equal-text"
NAMES = (EQUAL,)
CONVERSATIONS, TURNS = 20, 6
ANSWER = 24


class Pair(Struct, frozen=True):
    """The same turn in both conversations."""

    live: Story
    evicted: Story

    @property
    def differs(self) -> bool:
        """Whether they are not token for token the same."""
        one, other = self.live, self.evicted
        return (one.text, one.completion_tokens, one.prompt_tokens) != (
            other.text,
            other.completion_tokens,
            other.prompt_tokens,
        )


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """One row: turns that differ."""
    if EQUAL not in names:
        return
    pairs: list[Pair] = []
    with bench.serving() as server, visiting(bench, server) as visitor:
        for number in range(2 if bench.quick else CONVERSATIONS):
            words = [visitor.text(12 + 17 * turn) for turn in range(TURNS)]
            live = _conversation(visitor, words, evict=False)
            evicted = _conversation(visitor, words, evict=True)
            pairs += [Pair(*turns) for turns in zip(live, evicted, strict=True)]
            bench.say(f"{EQUAL}: {number + 1} conversations, {sum(pair.differs for pair in pairs)} turns differ")
    yield _row(pairs)


def _conversation(visitor: Visitor, words: list[str], *, evict: bool) -> list[Story]:
    thread = visitor.thread(system="You are a storyteller.")
    stories = []
    for content in words:
        stories.append(visitor.answer(thread, content=content, max_tokens=ANSWER))
        if evict:
            visitor.evict(thread)
    visitor.talk.ask("thread.delete", thread=thread)
    _check(stories, "disk" if evict else "live")
    return stories


def _check(stories: list[Story], source: str) -> None:
    for before, story in pairwise(stories):
        if story.sources[source] < before.prompt_tokens:
            raise RuntimeError(f"A turn's tokens came from {story.sources} and not from {source}.")


def _row(pairs: list[Pair]) -> Row:
    tokens = sum(pair.evicted.sources["disk"] for pair in pairs)
    return Row(
        name=EQUAL,
        claim="greedy turns of conversations evicted and restored between all turns that differ from live ones",
        measured=sum(pair.differs for pair in pairs),
        bound=0,
        at_least=False,
        notes=f"{len(pairs)} turns of {len(pairs) // TURNS} conversations, {ANSWER} tokens each; "
        f"{tokens} tokens came from disk",
        raw=pairs,
    )
