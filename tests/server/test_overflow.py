from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread_server.overflow import KEPT, Cut, Cuts, fit
from livethread_server.prompt import Prompt, PromptTurn

CONTEXT = 100
HEADER = 2


def turn(name: str, role: str, size: int) -> PromptTurn:
    return PromptTurn(name, role, "x" * size, None)


def render(turns: Sequence[PromptTurn]) -> Prompt:
    """A template of two tokens before each content, and of two before the answer; a character is a token."""
    starts, ends, end = {}, {}, 0
    for one in turns:
        starts[one.id] = end + HEADER
        end = ends[one.id] = starts[one.id] + len(one.content)
    return Prompt(tuple(range(end + HEADER)), starts, ends)


def vague(turns: Sequence[PromptTurn]) -> Prompt:
    """A template whose prompts do not tell where contents are."""
    prompt = render(turns)
    return Prompt(prompt.tokens, dict.fromkeys(prompt.starts, 0), dict.fromkeys(prompt.ends, 0))


def talk(turns: int, size: int = 8, system: int = 0) -> list[PromptTurn]:
    """A conversation that ends with a user's message."""
    said = [turn("s", "system", system)] if system else []
    for number in range(turns):
        said += [turn(f"u{number}", "user", size), turn(f"a{number}", "assistant", size)]
    return said[:-1]


def kept(prompt: Prompt) -> list[str]:
    return list(prompt.starts)


def test_what_fits_is_left_as_it_is() -> None:
    turns = talk(4)
    prompt, cut = fit(turns, render, CONTEXT, None, settled=len(turns))
    assert (prompt, cut) == (render(turns), None)


def test_whole_oldest_turns_go_and_the_system_message_stays() -> None:
    turns = talk(7, system=10)
    prompt, cut = fit(turns, render, CONTEXT, None, settled=len(turns))
    assert kept(prompt)[:2] == ["s", "u4"]
    assert (prompt.dropped, cut and cut.first) == (8, 9)
    assert len(prompt.tokens) <= KEPT * CONTEXT


def test_what_was_dropped_stays_dropped_until_the_rest_does_not_fit() -> None:
    cuts = []
    for length in range(1, 40):
        turns = talk(length, system=10)
        prompt, _ = fit(turns, render, CONTEXT, None, settled=len(turns))
        assert len(prompt.tokens) < CONTEXT
        cuts.append(prompt.dropped)
    moves = [before for before, after in pairwise(cuts) if before != after]
    assert cuts == sorted(cuts)
    assert len(moves) < len(cuts) / 1.5
    assert moves


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.integers(0, 20),
    st.sampled_from([render, vague]),
)
def test_a_remembered_cut_changes_nothing_where_prompts_tell_their_places(
    sizes: list[int], system: int, how: object
) -> None:
    said = [turn("s", "system", system)] if system else []
    cut: Cut | None = None
    for number, size in enumerate(sizes):
        said.append(turn(f"u{number}", "user", size))
        template = render if how is render else vague
        with_memory, cut = fit(said, template, CONTEXT, cut, settled=len(said))
        assert len(with_memory.tokens) < CONTEXT or kept(with_memory)[-1] == f"u{number}"
        if how is render:
            assert fit(said, template, CONTEXT, None, settled=len(said))[0] == with_memory
        said.append(turn(f"a{number}", "assistant", min(size, 10)))


def test_a_last_turn_that_is_too_long_alone_is_all_that_is_left() -> None:
    turns = [*talk(3)[:-1], turn("long", "user", 200)]
    prompt, _ = fit(turns, render, CONTEXT, None, settled=len(turns))
    assert kept(prompt) == ["long"]
    assert len(prompt.tokens) > CONTEXT


def test_a_thread_that_was_cut_short_gets_its_beginning_back() -> None:
    long = talk(9)
    _, cut = fit(long, render, CONTEXT, None, settled=len(long))
    assert cut is not None
    short = talk(3)
    assert fit(short, render, CONTEXT, cut, settled=len(short)) == (render(short), None)


def test_a_message_to_be_continued_stays_and_does_not_settle_the_cut() -> None:
    turns = [*talk(7), turn("open", "assistant", 3)]
    prompt, cut = fit(turns, render, CONTEXT, None, settled=len(turns) - 1)
    assert kept(prompt)[-1] == "open"
    assert cut is not None
    assert cut.known == tuple(turns[:-1])
    longer = [*turns[:-1], turn("open", "assistant", 9)]
    assert cut.holds(longer)


@pytest.mark.parametrize("number", [1, 1500])
def test_cuts_are_remembered_for_the_threads_used_last(number: int) -> None:
    cuts = Cuts()
    for thread in range(number):
        cuts.put(str(thread), Cut(1, ()))
    assert cuts.get(str(number - 1)) == Cut(1, ())
    assert (cuts.get("0") is None) is (number > 1024)
    cuts.put(str(number - 1), None)
    assert cuts.get(str(number - 1)) is None
