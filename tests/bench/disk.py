"""Bytes on disk: of 200 threads with one system prompt, and of the second eviction of a long thread.

The unique tokens are those of the contents alone (512 once, 256 for each thread); what the chat template puts
around them counts as overhead. A token's bytes are what llama.cpp's own state of a sequence grows by with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from msgspec import Struct

from tests.bench.bare import Bare
from tests.bench.bench import Bench
from tests.bench.processes import Server
from tests.bench.report import Row
from tests.bench.visits import AROUND, Visitor, batches, visiting

SHARED, SECOND = "disk-bytes", "second-eviction"
NAMES = (SHARED, SECOND)
BOUNDS = {SHARED: 1.1, SECOND: 0.15}
THREADS = 200
SYSTEM, OWN = 512, 256
LENGTH, MORE = 2000, 50


class Written(Struct, frozen=True):
    """Bytes written by a first and by a second eviction, and how long the prompts before them were."""

    first: int
    second: int
    lengths: tuple[int, int]


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """Both rows, each on a server of its own."""
    if SHARED in names:
        with bench.serving() as server, visiting(bench, server) as visitor:
            yield _shared_row(bench, server, visitor)
    if SECOND in names:
        with bench.serving() as server, visiting(bench, server) as visitor:
            yield _second_row(bench, server, visitor)


def _shared_row(bench: Bench, server: Server, visitor: Visitor) -> Row:
    count, system = 12 if bench.quick else THREADS, visitor.text(SYSTEM)
    threads = [visitor.thread(system=system, subscribe=False) for _ in range(count)]
    stories = []
    for together in batches(threads):
        for thread in together:
            visitor.talk.ask("subscribe", thread=thread)
        some = [visitor.generate(thread, content=visitor.text(OWN), max_tokens=1) for thread in together]
        visitor.talk.hear_out(some)
        visitor.evict(*together)
        for thread in together:
            visitor.talk.ask("unsubscribe", thread=thread)
        stories += some
        bench.say(f"{SHARED}: {len(stories)} threads")
    held = sum(size for _, size in files(server).values())
    with closing(Bare(str(bench.model), sequences=1, length=512, threads=bench.threads)) as bare:
        width = bare.row_bytes()
    unique = (SYSTEM + count * OWN) * width
    return Row(
        name=SHARED,
        claim=f"bytes on disk of {count} threads with one {SYSTEM}-token system prompt and {OWN} own tokens "
        "÷ bytes of the unique tokens",
        measured=held / unique,
        bound=BOUNDS[SHARED],
        at_least=False,
        notes=f"{held / 1e6:.1f} MB in {len(files(server))} files; {width:.0f} bytes a token; prompts of "
        f"{max(story.prompt_tokens for story in stories)} tokens, {sum(story.computed for story in stories)} of "
        f"{sum(story.prompt_tokens for story in stories)} computed",
        raw={"bytes": held, "unique": unique, "stats": visitor.stats()},
    )


def _second_row(bench: Bench, server: Server, visitor: Visitor) -> Row:
    written = []
    for _ in range(1 if bench.quick else 3):
        written.append(_evict_twice(server, visitor))
        bench.say(f"{SECOND}: {written[-1].first / 1e6:.1f} MB, then {written[-1].second / 1e6:.1f} MB")
    ratios = [one.second / one.first for one in written]
    return Row(
        name=SECOND,
        claim=f"second eviction of a {LENGTH:,}-token thread after {MORE} new tokens: bytes written ÷ the first",
        measured=median(ratios),
        bound=BOUNDS[SECOND],
        at_least=False,
        notes=", ".join(
            f"{one.second / 1e6:.2f} of {one.first / 1e6:.2f} MB at {one.lengths[0]} → {one.lengths[1]} tokens"
            for one in written
        ),
        raw=written,
    )


def _evict_twice(server: Server, visitor: Visitor) -> Written:
    thread = visitor.thread()
    before = set(files(server))
    first = visitor.answer(thread, content=visitor.text(LENGTH - AROUND), max_tokens=1)
    visitor.evict(thread)
    between = files(server)
    second = visitor.answer(thread, content=visitor.text(MORE - AROUND - 1), max_tokens=1)
    visitor.evict(thread)
    after = files(server)
    return Written(
        first=sum(size for file, (_, size) in between.items() if file not in before),
        second=sum(size for file, (_, size) in after.items() if between.get(file, (0, 0))[0] != after[file][0]),
        lengths=(first.prompt_tokens, second.prompt_tokens),
    )


def files(server: Server) -> dict[Path, tuple[int, int]]:
    """Every file of the disk cache: its inode, which a file written anew has not in common with the one before,
    and its bytes.
    """
    found = {}
    for path in (server.folder / "state" / "cache").rglob("*"):
        if path.is_file():
            about = path.stat()
            found[path] = about.st_ino, about.st_size
    return found
