from __future__ import annotations

from pathlib import Path

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.prompter import Prompter
from livethread_server.store.base import Turn
from livethread_server.vocabulary import Vocabulary
from tests.fakes import a_thread, a_turn

USER = a_turn(1, "Hello", id="u")
EMPTY = a_turn(2, "", id="a", role="assistant", state="queued")


@pytest.fixture
def prompter(vocabulary: Vocabulary, model_path: Path) -> Prompter:
    return Prompter("smol", vocabulary, GrammarCheck(model_path), 64)


def test_only_the_served_model_is_known(prompter: Prompter) -> None:
    prompter.check_model("smol")
    with pytest.raises(CommandError, match="'other' is not served here"):
        prompter.check_model("other")


async def test_sampling_is_told_as_asked_and_given_to_the_engine_as_proved(
    vocabulary: Vocabulary, model_path: Path
) -> None:
    grammars = GrammarCheck(model_path)
    prompter = Prompter("smol", vocabulary, grammars, 64)
    try:
        told, proved = await prompter.sampling(a_thread(), Sampling(json_schema={"type": "boolean"}))
    finally:
        await grammars.stop()
    assert (told.json_schema, told.grammar) == ({"type": "boolean"}, None)
    assert proved.json_schema is None
    assert "root ::=" in str(proved.grammar)
    assert proved.seed == told.seed


async def test_sampling_without_a_grammar_is_proved_as_it_is(prompter: Prompter) -> None:
    told, proved = await prompter.sampling(a_thread(sampling=Sampling(top_k=3)), Sampling(seed=1))
    assert told is proved
    assert (told.top_k, told.seed) == (3, 1)


async def test_a_prompt_is_everything_before_the_message_it_is_for(prompter: Prompter, vocabulary: Vocabulary) -> None:
    behind = a_turn(3, "later", id="l")
    prompt = await prompter.prompt(a_thread(), (USER, EMPTY, behind), "a", go_on=False)
    text = vocabulary.text(prompt.tokens, special=True)
    assert "Hello" in text
    assert "later" not in text
    assert set(prompt.starts) == {"u"}


@pytest.mark.parametrize("state", ["cancelled", "interrupted", "failed"])
async def test_what_was_broken_off_counts_only_where_it_has_text(prompter: Prompter, state: str) -> None:
    last = a_turn(9, "", id="x", role="assistant", state="queued")
    plain = await prompter.prompt(a_thread(), (USER, last), "x", go_on=False)
    empty = a_turn(2, "", id="a", role="assistant", state=state)
    part = a_turn(2, "Once", id="a", role="assistant", state=state)
    assert (await prompter.prompt(a_thread(), (USER, empty, last), "x", go_on=False)).tokens == plain.tokens
    assert "a" in (await prompter.prompt(a_thread(), (USER, part, last), "x", go_on=False)).starts


async def test_a_prompt_that_leaves_no_room_for_an_answer_is_refused_with_the_numbers(prompter: Prompter) -> None:
    with pytest.raises(CommandError) as caught:
        await prompter.prompt(a_thread(), (a_turn(1, "word " * 100, id="u"), EMPTY), "a", go_on=False)
    assert caught.value.code is ErrorCode.CONTEXT_OVERFLOW
    assert caught.value.details["context_tokens"] == 64
    assert caught.value.details["prompt_tokens"] > 100


def test_ids_that_spell_the_content_are_kept_those_that_do_not_are_not(
    prompter: Prompter, vocabulary: Vocabulary
) -> None:
    ids = tuple(vocabulary.tokenize("Hello", special=False))
    assert prompter.final_tokens("Hello", ids) == ids
    longer = prompter.final_tokens("Hello you", ids)
    assert longer is not None
    assert longer[: len(ids)] == ids
    assert vocabulary.text(longer) == "Hello you"
    assert prompter.final_tokens("Bye", ids) is None


def talk(turns: int) -> tuple[Turn, ...]:
    said = []
    for number in range(turns):
        said += [a_turn(2 * number, "Tell me more of it.", id=f"u{number}")]
        said += [a_turn(2 * number + 1, "Gladly, there is more.", id=f"a{number}", role="assistant")]
    return tuple(said)


async def test_drop_oldest_leaves_out_whole_turns_and_says_how_many_messages(prompter: Prompter) -> None:
    thread = a_thread(overflow="drop_oldest")
    turns = (a_turn(-1, "Be brief.", id="s", role="system"), *talk(6))
    prompt = await prompter.prompt(thread, turns, "a5", go_on=False)
    assert len(prompt.tokens) < 64
    assert next(iter(prompt.starts)) == "s"
    assert list(prompt.starts)[-1] == "u5"
    assert prompt.dropped == 12 - len(prompt.starts)
    assert prompt.dropped % 2 == 0
    with pytest.raises(CommandError):
        await prompter.prompt(a_thread(), turns, "a5", go_on=False)


async def test_drop_oldest_refuses_a_last_turn_that_is_too_long_alone(prompter: Prompter) -> None:
    turns = (*talk(2), a_turn(9, "word " * 100, id="long"), EMPTY)
    with pytest.raises(CommandError) as caught:
        await prompter.prompt(a_thread(overflow="drop_oldest"), turns, "a", go_on=False)
    assert caught.value.code is ErrorCode.CONTEXT_OVERFLOW


async def test_a_draft_does_not_move_the_cut_that_is_remembered(prompter: Prompter) -> None:
    thread, turns = a_thread(overflow="drop_oldest"), talk(6)
    before = await prompter.prompt(thread, turns, "a5", go_on=False)
    await prompter.ahead(thread, turns, "And then, " * 3)
    assert await prompter.prompt(thread, turns, "a5", go_on=False) == before


async def test_only_the_operators_system_prompt_is_shared(vocabulary: Vocabulary, model_path: Path) -> None:
    prompter = Prompter("smol", vocabulary, GrammarCheck(model_path), 64, "Be brief.")
    system = a_turn(0, "Be brief.", id="s", role="system")
    prompt = await prompter.prompt(a_thread(), (system, USER, EMPTY), "a", go_on=False)
    assert prompt.shared == prompt.ends["s"] > 0
    assert vocabulary.text(prompt.tokens[: prompt.shared], special=True).endswith("Be brief.")
    other = a_turn(0, "Be brief!", id="s", role="system")
    asked = a_turn(0, "Be brief.", id="s")
    for turns in ((other, USER, EMPTY), (USER, EMPTY), (asked, EMPTY), (USER, system, EMPTY)):
        assert (await prompter.prompt(a_thread(), turns, "a", go_on=False)).shared == 0
    alone = await prompter.ahead(a_thread(), (system,))
    assert alone.tokens == prompt.tokens[: prompt.shared]
    assert alone.shared == prompt.shared


def test_the_end_of_a_turn_is_the_one_that_the_template_writes(prompter: Prompter, vocabulary: Vocabulary) -> None:
    assert vocabulary.text([prompter.turn_end() or 0], special=True) == "<|im_end|>"


def test_where_the_template_ends_no_turn_the_text_ends(
    vocabulary: Vocabulary, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "template", "{% for message in messages %}{{ message.content }}\n{% endfor %}")
    prompter = Prompter("smol", vocabulary, GrammarCheck(model_path), 64)
    assert prompter.turn_end() == vocabulary.eos
    monkeypatch.setattr(vocabulary, "eos", None)
    assert prompter.turn_end() is None
