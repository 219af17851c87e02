from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread.model import Reason, Sampling
from livethread_server.engine.wire import Delta, Logprob, Output, Progress, Started, Submit, merged
from livethread_server.worker.run import Run


class Counted:
    """A sampler that counts how often it was freed."""

    def __init__(self) -> None:
        self.closed = 0

    def draw(self, logits: object, known: int | None = None) -> int:
        return 0

    def close(self) -> None:
        self.closed += 1


def a_run(
    generated: tuple[int, ...] = (), told: int = 0, forced: tuple[int, ...] = (), **sampling: object
) -> tuple[Run, Counted]:
    sampler = Counted()
    asked = Sampling(**sampling)  # type: ignore[arg-type]
    submit = Submit(
        run="r",
        thread="t",
        tenant="x",
        tokens=(1, 2, 3),
        sampling=asked,
        generated=generated,
        said=told,
        forced=forced,
    )
    return Run(submit, sampler, reused=1, arrived_at=1.0, at=2.0), sampler


def said(run: Run) -> Output:
    output = run.output(9.0)
    assert output is not None
    return output


def test_the_first_output_tells_what_was_reused() -> None:
    run, _ = a_run()
    assert said(run).started == Started(3, 1, 1.0, 2.0, live=1)
    assert run.output(9.0) is None


def test_progress_counts_what_was_processed_beside_what_was_cached() -> None:
    run, _ = a_run()
    run.progressed(2)
    assert said(run).progress == Progress(1, 1, 3)


def test_tokens_leave_as_deltas_and_the_last_one_allowed_ends_the_run() -> None:
    run, sampler = a_run(max_tokens=2)
    run.took(5, b"a", 3.0)
    assert said(run).delta == Delta((5,), "a")
    run.took(6, b"b", 4.0)
    output = said(run)
    assert output.delta == Delta((6,), "b")
    assert output.finished is not None
    assert (output.finished.reason, output.finished.completion, output.finished.first_at) == ("length", 2, 3.0)
    assert sampler.closed == 1


def test_a_stop_string_ends_the_run_and_stays_out_of_the_text() -> None:
    run, _ = a_run(stop=("!",))
    run.took(5, b"a!b", 3.0)
    output = said(run)
    assert output.delta == Delta((), "a")
    assert output.finished is not None
    assert output.finished.reason == "stop_string"


def test_an_end_token_counts_but_has_no_text() -> None:
    run, _ = a_run()
    run.took_end(3.0)
    output = said(run)
    assert output.delta is None
    assert output.finished is not None
    assert (output.finished.reason, output.finished.completion) == ("stop", 1)


@pytest.mark.parametrize(("reason", "text"), [("cancelled", None), ("error", "<"), ("context", "<")])
def test_held_text_leaves_at_the_end_unless_the_run_was_cancelled(reason: Reason, text: str | None) -> None:
    run, _ = a_run(stop=("<end>",))
    run.took(5, b"<", 3.0)
    run.end(reason)
    delta = said(run).delta
    assert (delta.text if delta else None) == text


def test_the_first_reason_holds_and_the_sampler_is_freed_once() -> None:
    run, sampler = a_run()
    run.end("cancelled")
    run.end("error", "too late")
    output = said(run)
    assert output.finished is not None
    assert (output.finished.reason, output.finished.error) == ("cancelled", None)
    assert sampler.closed == 1


def test_tokens_from_an_earlier_life_are_taken_first_and_not_told() -> None:
    run, _ = a_run(generated=(5, 6))
    said(run)
    assert run.known == 5
    run.took(5, b"a", 3.0)
    assert run.known == 6
    run.took(6, b"b", 3.0)
    assert run.known is None
    assert run.output(9.0) is None
    run.took(7, b"c", 4.0)
    assert said(run).delta == Delta((7,), "c")
    assert run.completion == 3


def test_text_that_was_out_before_its_token_is_not_told_twice() -> None:
    first, _ = a_run(stop=("!?",))
    first.took(5, b"a", 3.0)
    first.took(6, b"b!", 3.0)
    assert said(first).delta == Delta((5,), "ab")
    again, _ = a_run(stop=("!?",), generated=(5,), told=2)
    again.took(5, b"a", 3.0)
    again.took(6, b"b!", 3.0)
    assert said(again).delta is None
    again.took(7, b"c", 3.0)
    assert said(again).delta == Delta((6, 7), "!c")


def test_half_a_character_that_was_told_with_its_other_half_is_told_once() -> None:
    pieces = {5: b"a\xc3", 6: b"\xa4\xc3", 7: b"\xb6c"}
    first, _ = a_run()
    for token in (5, 6):
        first.took(token, pieces[token], 3.0)
    assert said(first).delta == Delta((5,), "a\u00e4")
    again, _ = a_run(generated=(5,), told=2)
    for token, piece in pieces.items():
        again.took(token, piece, 3.0)
    assert said(again).delta == Delta((6, 7), "\u00f6c")


def test_text_that_was_held_back_comes_when_it_is_drawn_again() -> None:
    run, _ = a_run(stop=("<end>",), generated=(5,))
    run.took(5, b"a", 3.0)
    run.took(6, b"<e", 3.0)
    assert said(run).delta is None
    run.took(7, b"x", 3.0)
    assert said(run).delta == Delta((6, 7), "<ex")


def test_a_stop_string_is_found_behind_what_was_told() -> None:
    run, _ = a_run(stop=("<end>",), generated=(5,))
    run.took(5, b"a", 3.0)
    run.took(6, b"b<end>", 3.0)
    output = said(run)
    assert output.delta == Delta((), "b")
    assert output.finished is not None
    assert output.finished.reason == "stop_string"


def test_a_run_that_fails_early_in_a_later_life_tells_nothing_twice() -> None:
    run, _ = a_run(stop=("<end>",), generated=(5, 6, 7), told=3)
    run.took(5, b"<", 3.0)
    run.end("error", "no luck")
    assert said(run).delta is None


def test_a_run_that_had_all_its_tokens_ends_without_a_word() -> None:
    run, _ = a_run(generated=(5, 6), max_tokens=2)
    run.took(5, b"a", 3.0)
    run.took(6, b"b", 3.0)
    output = said(run)
    assert output.delta is None
    assert output.finished is not None
    assert (output.finished.reason, output.finished.completion) == ("length", 2)


def likely(token: int) -> Logprob:
    """A logprob that no other token has."""
    return Logprob(-float(token), ((token, -float(token)),))


PIECES = st.lists(
    st.sampled_from([b"", b"a", b"<", b"<e", b"nd>", b"\xc3", b"\xa9", b"\xf0\x9f", b"\xa7\xaa"]), max_size=12
)
STOPS = st.sampled_from([(), ("<end>",), ("<e", "a<"), ("\u00e9",)])


def generated_by(run: Run, pieces: list[bytes], first: int, hear: st.DataObject) -> Output:
    """Let a run take tokens ``first``, … until it stops, asking for its output now and then; all that it said."""
    output = Output("r")
    for token, piece in enumerate(pieces, first):
        run.took(token, piece, 3.0, likely(token))
        if hear.draw(st.booleans()):
            output = merged(output, run.output(9.0) or Output("r"))
        if run.reason is not None:
            break
    run.end("length")
    return merged(output, run.output(9.0) or Output("r"))


@given(PIECES, STOPS, st.data())
def test_every_token_that_is_told_is_told_with_its_own_logprob(
    pieces: list[bytes], stops: tuple[str, ...], hear: st.DataObject
) -> None:
    run, _ = a_run(stop=stops, logprobs=1)
    delta = generated_by(run, pieces, 1, hear).delta or Delta((), "")
    assert delta.logprobs == tuple(likely(token) for token in delta.tokens)


@given(PIECES, STOPS, st.data())
def test_a_later_life_tells_the_logprobs_of_what_was_not_told(
    pieces: list[bytes], stops: tuple[str, ...], hear: st.DataObject
) -> None:
    first, _ = a_run(stop=stops, logprobs=1)
    told, most = Output("r"), hear.draw(st.integers(0, len(pieces)))
    for token, piece in enumerate(pieces[:most], 1):
        first.took(token, piece, 3.0, likely(token))
        if first.reason is not None:
            return  # nothing comes behind that
        told = merged(told, first.output(9.0) or Output("r"))
    before = told.delta or Delta((), "")
    again, _ = a_run(stop=stops, logprobs=1, generated=before.tokens, told=len(before.text))
    after = generated_by(again, pieces, 1, hear).delta or Delta((), "")
    alone, _ = a_run(stop=stops, logprobs=1)
    whole = generated_by(alone, pieces, 1, hear).delta or Delta((), "")
    assert before.logprobs + after.logprobs == whole.logprobs
    assert before.tokens + after.tokens == whole.tokens


def test_forced_tokens_are_known_told_and_end_with_the_last_one() -> None:
    run, _ = a_run(forced=(5, 6, 7), max_tokens=1, stop=("b",))
    for token, piece in ((5, b"a"), (6, b"b"), (7, b"c")):
        assert run.reason is None
        assert run.known == token
        run.took(token, piece, 3.0)
    assert run.known is None
    output = said(run)
    assert output.delta == Delta((5, 6, 7), "abc")
    assert output.finished is not None
    assert (output.finished.reason, output.finished.completion) == ("length", 3)


def test_forced_tokens_that_were_told_before_the_engine_died_come_first_and_unsaid() -> None:
    run, _ = a_run(generated=(5,), told=1, forced=(5, 6))
    assert run.known == 5
    run.took(5, b"a", 3.0)
    assert (run.known, said(run).delta) == (6, None)
    run.took(6, b"b", 4.0)
    assert said(run).delta == Delta((6,), "b")
    assert run.reason == "length"
