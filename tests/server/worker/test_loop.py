from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livethread_server.engine.wire import CancelRun, Configure, Forget, Moved, Output
from livethread_server.worker import canary, loop
from livethread_server.worker.llama import Context, Model, loaded, quiet
from livethread_server.worker.scheduler import Costs
from tests.driven import Driven, reused, tokens_of, words

LENGTH, SEQUENCES = 256, 4
CONFIGURE = Configure(model_path=__file__, context=LENGTH, sequences=SEQUENCES)
NO_END = dict.fromkeys((0, 2, 4), -1000.0)


@pytest.fixture(scope="module")
def shared(model_path: Path) -> Iterator[tuple[Context, Costs]]:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    with loaded(model, Context(model, length=LENGTH, sequences=SEQUENCES, threads=2)) as context:
        yield context, canary.prove(context)


@pytest.fixture
def driven(shared: tuple[Context, Costs]) -> Iterator[Driven]:
    for sequence in range(SEQUENCES):
        shared[0].drop(sequence)
    driven = Driven(*shared, CONFIGURE)
    yield driven
    driven.tiers.files.close()


def reason(output: Output) -> str:
    assert output.finished is not None
    return output.finished.reason


def test_a_run_starts_tells_its_text_and_ends(driven: Driven) -> None:
    output = driven.ask("r", words(1))
    assert output.started is not None
    assert (output.started.prompt, output.started.reused) == (50, 0)
    assert len(tokens_of(output)) == 12
    assert reason(output) == "length"
    text = b"".join(driven.context.model.piece(token) for token in tokens_of(output))
    assert output.delta is not None
    assert output.delta.text == text.decode("utf-8", "replace")
    assert driven.moved == [Moved("r", "live", 0), Moved("r", "live", 50 + 11)]


def test_the_next_turn_reuses_everything_in_kv(driven: Driven) -> None:
    first = driven.ask("r1", words(1), "t")
    again = driven.ask("r2", words(1) + tokens_of(first) + words(2, 5), "t")
    assert reused(again) == 50 + 11


def test_an_edit_reuses_up_to_the_first_difference(driven: Driven) -> None:
    driven.ask("r1", words(1), "t")
    assert reused(driven.ask("r2", words(1)[:30] + words(2, 9), "t")) == 30


def test_regenerate_leaves_two_tokens_to_decode_and_says_the_same(driven: Driven) -> None:
    first = driven.ask("r1", words(1), "t")
    again = driven.ask("r2", words(1), "t")
    assert reused(again) == 48
    assert tokens_of(again) == tokens_of(first)


def test_a_fork_copies_the_prefix_and_leaves_its_source_alone(driven: Driven) -> None:
    driven.ask("r1", words(1), "t")
    fork = driven.ask("r2", words(1)[:40] + words(3, 9), "fork")
    assert reused(fork) == 40
    assert reused(driven.ask("r3", words(1) + words(4, 3), "t")) == 50
    clean = driven.ask("r4", words(1)[:40] + words(3, 9), "other", tenant="y")
    assert reused(clean) == 0
    assert tokens_of(clean) == tokens_of(fork)


def test_a_running_thread_can_be_forked(driven: Driven) -> None:
    driven.submit("r1", words(1), max_tokens=40)
    while "r1" not in driven.said or not driven.said["r1"].delta:
        driven.step()
    assert reused(driven.ask("r2", words(1) + words(3, 4))) == 50
    assert reason(driven.finish("r1")[0]) == "length"


def test_another_tenant_reuses_nothing(driven: Driven) -> None:
    driven.ask("r1", words(1), tenant="x")
    assert reused(driven.ask("r2", words(1), tenant="y")) == 0


def test_greedy_tokens_are_the_same_alone_batched_and_with_foreign_cells(driven: Driven) -> None:
    prompts = {f"r{number}": words(number, 20 + 9 * number) for number in range(SEQUENCES)}
    for run, tokens in prompts.items():
        driven.submit(run, tokens, tenant=run)
    together = [tokens_of(output) for output in driven.finish(*prompts)]
    alone = [tokens_of(driven.ask(f"{run}-alone", tokens, tenant=f"{run}-alone")) for run, tokens in prompts.items()]
    assert together == alone


def test_running_sequences_come_to_lie_side_by_side_and_say_the_same(driven: Driven) -> None:
    lengths = {"a": 60, "b": 4, "c": 60}
    for run, most in lengths.items():
        driven.submit(run, words(7), max_tokens=most, tenant=run)
    outputs = driven.finish("a", "b", "c")
    assert tokens_of(outputs[0]) == tokens_of(outputs[2])
    clean = driven.ask("d", words(7), max_tokens=60, tenant="d")
    assert tokens_of(clean) == tokens_of(outputs[0])


def test_the_thread_used_longest_ago_makes_room_and_is_cold(driven: Driven) -> None:
    for number in range(SEQUENCES + 1):
        driven.ask(f"r{number}", words(number), tenant=f"x{number}", max_tokens=2)
    assert driven.moved.count(Moved("r0", "cold", 0)) == 1
    assert reused(driven.ask("again", words(1), "r1", tenant="x1")) == 48
    assert reused(driven.ask("lost", words(0), "r0", tenant="x0")) == 0


def test_a_forgotten_thread_leaves_nothing_behind(driven: Driven) -> None:
    driven.ask("r1", words(1), "t")
    driven.step(Forget("t"))
    assert driven.moved[-1] == Moved("t", "cold", 0)
    assert reused(driven.ask("r2", words(1), "t")) == 0


def test_a_thread_forgotten_while_it_runs_is_dropped_at_the_end(driven: Driven) -> None:
    driven.submit("r1", words(1), "t", max_tokens=100)
    driven.step()
    driven.step(CancelRun("r1"), Forget("t"))
    assert reason(driven.finish("r1")[0]) == "cancelled"
    assert reused(driven.ask("r2", words(1), "t")) == 0


def test_cancel_ends_a_run_in_the_next_step_whatever_it_does(driven: Driven) -> None:
    driven.submit("ingesting", words(1, 200))
    driven.step()
    driven.step(CancelRun("ingesting"))
    assert reason(driven.said["ingesting"]) == "cancelled"
    driven.submit("generating", words(2, 4), max_tokens=100)
    while "generating" not in driven.said or not driven.said["generating"].delta:
        driven.step()
    driven.step(CancelRun("generating"))
    assert reason(driven.said["generating"]) == "cancelled"


def test_cancel_finds_a_run_that_has_no_sequence_yet_and_ignores_an_unknown_one(driven: Driven) -> None:
    driven.submit("r", words(1))
    driven.step(CancelRun("r"), CancelRun("nobody"))
    output = driven.said["r"]
    assert output.started is None
    assert reason(output) == "cancelled"


def test_progress_is_told_once_a_step_while_more_is_to_come(driven: Driven) -> None:
    output = driven.ask("r", words(1, 200))
    assert output.progress is not None
    assert output.progress.total == 200
    assert output.progress.cached + output.progress.processed < 200
    assert driven.progress["r"] >= 1
    assert driven.ask("short", words(2, 3)).progress is None


def test_the_same_seed_gives_the_same_tokens(driven: Driven) -> None:
    runs = [
        driven.ask(f"r{number}", words(1), tenant=f"{number}", temperature=1.0, top_k=40, seed=seed)
        for number, seed in enumerate((5, 5, 6))
    ]
    assert tokens_of(runs[0]) == tokens_of(runs[1])
    assert tokens_of(runs[0]) != tokens_of(runs[2])


def test_a_logit_bias_on_the_end_token_ends_the_run(driven: Driven) -> None:
    end = next(token for token in range(1000) if driven.context.model.is_end(token))
    output = driven.ask("r", words(1), logit_bias={end: 1000.0})
    assert reason(output) == "stop"
    assert output.delta is None
    assert output.finished is not None
    assert output.finished.completion == 1


def test_a_grammar_shapes_the_text(driven: Driven) -> None:
    output = driven.ask("r", words(1), grammar='root ::= "[" [0-9] [0-9] "]"')
    assert output.delta is not None
    assert len(output.delta.text) == 4
    assert output.delta.text[0] + output.delta.text[-1] == "[]"
    assert output.delta.text[1:3].isdigit()
    assert reason(output) == "stop"


def test_a_stop_string_ends_the_run_before_it(driven: Driven) -> None:
    plain = driven.ask("r1", words(1))
    assert plain.delta is not None
    stop = plain.delta.text[5:8]
    output = driven.ask("r2", words(1), stop=(stop,))
    assert reason(output) == "stop_string"
    assert (output.delta.text if output.delta else "") == plain.delta.text[: plain.delta.text.index(stop)]


def test_a_full_context_ends_the_run(driven: Driven) -> None:
    output = driven.ask("r", words(1, LENGTH - 5), max_tokens=None, logit_bias={0: -1000.0, 2: -1000.0})
    assert reason(output) == "context"
    assert output.finished is not None
    assert output.finished.completion == 5


@pytest.mark.parametrize(
    ("tokens", "fields", "sentence"),
    [
        ((), {}, "0 tokens"),
        (words(1, LENGTH + 1), {}, "257 tokens"),
        ((1, 1 << 30), {}, "outside the vocabulary"),
        ((1, -1), {}, "outside the vocabulary"),
        ((1, 2), {"grammar": "root ::= ("}, "grammar"),
        ((1, 2), {"temperature": float("nan")}, "temperature"),
    ],
)
def test_what_must_not_reach_c_ends_with_a_sentence_and_harms_nobody(
    driven: Driven, tokens: tuple[int, ...], fields: dict[str, Any], sentence: str
) -> None:
    driven.submit("good", words(1))
    driven.submit("bad", tokens, **fields)
    good, bad = driven.finish("good", "bad")
    assert bad.finished is not None
    assert sentence in (bad.finished.error or "")
    assert reason(good) == "length"


def test_a_prompt_of_one_token_is_answered(driven: Driven) -> None:
    assert len(tokens_of(driven.ask("r", (500,)))) > 0


def test_more_runs_than_sequences_wait_their_turn(driven: Driven) -> None:
    runs = [f"r{number}" for number in range(SEQUENCES + 3)]
    for number, run in enumerate(runs):
        driven.submit(run, words(number, 10), max_tokens=3)
    assert {reason(output) for output in driven.finish(*runs)} == {"length"}


DRAWS = {
    "greedy": {},
    "temperature": {"temperature": 0.9, "top_p": 0.95, "seed": 7},
    "a narrow choice": {"temperature": 0.7, "top_k": 5, "top_p": 0.3, "min_p": 0.2, "seed": 8},
    "penalties": {
        "temperature": 0.8,
        "repeat_penalty": 1.3,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
        "seed": 9,
    },
    "dry": {"temperature": 0.8, "dry_multiplier": 0.9, "dry_allowed_length": 1, "seed": 10},
    "a grammar": {"temperature": 1.0, "grammar": "root ::= [a-z ]+", "seed": 11},
    "xtc": {"temperature": 1.0, "xtc_probability": 0.5, "xtc_threshold": 0.05, "seed": 12},
    "mirostat": {"temperature": 1.0, "mirostat": 2, "seed": 13},
}
MOST = 14


@pytest.mark.parametrize("fields", DRAWS.values(), ids=DRAWS)
def test_a_run_goes_on_as_if_the_engine_had_not_died(driven: Driven, fields: dict[str, Any]) -> None:
    known = 9
    whole = tokens_of(driven.ask("r1", words(1, 20), tenant="a", max_tokens=MOST, logit_bias=NO_END, **fields))
    driven.submit("beside", words(2, 20), tenant="b", max_tokens=MOST)
    again = driven.ask(
        "r2", words(1, 20), tenant="c", max_tokens=MOST, logit_bias=NO_END, generated=whole[:known], **fields
    )
    assert tokens_of(again) == whole[known:]
    assert again.finished is not None
    assert (again.finished.reason, again.finished.completion) == ("length", MOST)


def test_logprobs_are_of_the_models_logits_and_change_no_text(driven: Driven) -> None:
    plain = driven.ask("r1", words(1), tenant="a").delta
    said = driven.ask("r2", words(1), tenant="b", logprobs=3).delta
    logits = driven.context.logits(0).astype(np.float64)
    chances = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert plain is not None
    assert said is not None
    assert (said.tokens, said.text, plain.logprobs) == (plain.tokens, plain.text, ())
    assert [likely.top[0] for likely in said.logprobs] == [
        (token, likely.logprob) for token, likely in zip(said.tokens, said.logprobs, strict=True)
    ]
    assert all(likely.top == tuple(sorted(likely.top, key=lambda one: -one[1])) for likely in said.logprobs)
    assert [np.exp(one) for _, one in said.logprobs[-1].top] == pytest.approx(np.sort(chances)[:-4:-1], rel=1e-4)
    again = driven.ask("r3", words(1), tenant="c", logprobs=3, generated=said.tokens[:5]).delta
    assert again is not None
    assert (again.tokens, again.logprobs) == (said.tokens[5:], said.logprobs[5:])


def test_what_a_run_generated_before_is_not_said_again_and_counts(driven: Driven) -> None:
    first = driven.ask("r1", words(1), tenant="a")
    assert first.delta is not None
    known = tokens_of(first)[:5]
    text = b"".join(driven.context.model.piece(token) for token in known).decode()
    again = driven.ask("r2", words(1), tenant="b", generated=known)
    assert again.delta is not None
    assert text + again.delta.text == first.delta.text
    assert again.started is not None
    assert again.started.prompt == 50
    assert driven.moved[-1] == Moved("r2", "live", 50 + 11)


def test_what_was_generated_before_counts_for_every_bound(driven: Driven) -> None:
    known = tokens_of(driven.ask("r1", words(1)))
    length = driven.ask("r2", words(1), generated=known)
    assert (reason(length), length.delta) == ("length", None)
    full = driven.ask("r3", words(1, LENGTH - 12), generated=known)
    assert (reason(full), full.delta) == ("length", None)
    context = driven.ask("r4", words(1, LENGTH - 12), generated=known, max_tokens=None)
    assert (reason(context), context.delta) == ("context", None)
    more = driven.ask("r5", words(1, LENGTH - 11), generated=known)
    assert more.finished is not None
    assert "257 tokens" in (more.finished.error or "")
    alien = driven.ask("r6", words(1), generated=(1 << 30,))
    assert alien.finished is not None
    assert "outside the vocabulary" in (alien.finished.error or "")


def test_a_run_can_be_cancelled_while_it_takes_what_it_generated_before(driven: Driven) -> None:
    known = tokens_of(driven.ask("r1", words(1)))
    driven.submit("r2", words(1), generated=known, max_tokens=100)
    driven.step()
    driven.step(CancelRun("r2"))
    output = driven.finish("r2")[0]
    assert (reason(output), output.delta) == ("cancelled", None)


def test_a_loop_that_has_something_to_do_says_so(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    known = tokens_of(driven.ask("r1", words(1)))
    monkeypatch.setattr(loop, "BEAT", 0.0)
    driven.submit("r2", words(1), generated=known, max_tokens=20)
    before, steps = driven.steps, 0
    while "r2" not in driven.said or not driven.said["r2"].delta:
        driven.step()
        steps += 1
    assert steps > 10
    assert driven.steps - before == steps
    driven.finish("r2")
    after = driven.steps
    driven.step()
    assert driven.steps == after


def test_who_begins_as_a_prompt_that_is_being_read_waits_for_it_and_says_the_same(driven: Driven) -> None:
    fork = words(1, 190) + words(2, 9)
    driven.submit("first", words(1, 200), "t")
    driven.submit("second", fork, "u")
    driven.submit("short", words(1, 100), "v")
    first, second, short = driven.finish("first", "second", "short")
    assert [reused(output) for output in (first, second, short)] == [0, 190, 0]
    assert tokens_of(driven.ask("clean", fork, tenant="y")) == tokens_of(second)


def test_who_waits_for_a_prompt_goes_on_when_that_is_cancelled(driven: Driven) -> None:
    driven.submit("first", words(1, 200), "t")
    driven.submit("second", words(1, 190), "u")
    driven.step()
    driven.step(CancelRun("first"))
    assert reason(driven.finish("second")[0]) == "length"


def test_nobody_waits_for_another_tenants_prompt(driven: Driven) -> None:
    driven.submit("first", words(1, 200), "t", tenant="x")
    driven.submit("second", words(1, 200), "u", tenant="y")
    assert [reused(output) for output in driven.finish("first", "second")] == [0, 0]
