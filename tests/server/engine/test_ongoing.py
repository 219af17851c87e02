from __future__ import annotations

from livethread.model import Sampling
from livethread_server.engine.ongoing import SUSPECT, TRUSTED, Ongoing
from livethread_server.engine.wire import Delta, Finished, Logprob, Output, Progress, Started, Submit

SUBMIT = Submit(run="r", thread="t", tenant="x", tokens=(1, 2), sampling=Sampling())


def started(reused: int) -> Output:
    return Output("r", started=Started(2, reused, 0.0, 0.0))


def delta(*tokens: int, text: str = "") -> Output:
    return Output("r", delta=Delta(tokens, text))


async def heard(run: Ongoing) -> Output:
    return await anext(run.outputs)


def test_what_is_left_is_the_whole_run_until_it_has_said_something() -> None:
    run = Ongoing(SUBMIT)
    run.hear(started(0))
    assert run.rest() == SUBMIT


def test_what_is_left_begins_behind_what_was_told() -> None:
    run = Ongoing(SUBMIT)
    run.hear(delta(7, 8, text="abc"))
    run.hear(delta(text="d"))
    assert (run.rest().generated, run.rest().said) == ((7, 8), 4)


def test_what_was_told_before_the_server_started_is_kept() -> None:
    run = Ongoing(Submit(run="r", thread="t", tenant="x", tokens=(1,), sampling=Sampling(), generated=(5,), said=2))
    run.hear(delta(6, text="c"))
    assert (run.rest().generated, run.rest().said) == ((5, 6), 3)


async def test_logprobs_wait_with_their_tokens() -> None:
    run = Ongoing(SUBMIT)
    for token in (7, 8):
        run.hear(Output("r", delta=Delta((token,), "a", (Logprob(-float(token)),))))
    assert (await heard(run)).delta == Delta((7, 8), "aa", (Logprob(-7.0), Logprob(-8.0)))


async def test_a_second_start_is_not_told() -> None:
    run = Ongoing(SUBMIT)
    run.hear(started(0))
    run.died()
    run.hear(started(1))
    run.hear(delta(7, text="a"))
    said = await heard(run)
    assert said.started is not None
    assert said.started.reused == 0


async def test_reading_the_prompt_again_is_told_only_while_there_is_no_text() -> None:
    run = Ongoing(SUBMIT)
    run.hear(Output("r", progress=Progress(0, 1, 2)))
    assert (await heard(run)).progress == Progress(0, 1, 2)
    run.hear(delta(7, text="a"))
    run.died()
    run.hear(Output("r", progress=Progress(0, 1, 2)))
    said = await heard(run)
    assert (said.progress, said.delta) == (None, Delta((7,), "a"))


async def test_the_end_counts_all_lives_and_begins_with_the_first() -> None:
    run = Ongoing(SUBMIT)
    run.hear(delta(7, 8, 9, text="abc"))
    run.died()
    run.hear(Output("r", finished=Finished("error", 1, 1e12, 1e12, "It failed early.")))
    finished = (await heard(run)).finished
    assert finished is not None
    assert finished.completion == 3
    assert finished.first_at is not None
    assert finished.first_at < 1e12


def test_a_run_is_suspect_after_some_deaths_until_it_has_gone_on() -> None:
    run = Ongoing(SUBMIT)
    for _ in range(SUSPECT):
        assert not run.suspect
        run.died()
    assert run.suspect
    run.hear(delta(*range(TRUSTED - 1)))
    assert run.suspect
    run.hear(delta(1))
    assert not run.suspect


def test_tokens_between_two_deaths_do_not_add_up() -> None:
    run = Ongoing(SUBMIT)
    for _ in range(SUSPECT):
        run.hear(delta(*range(TRUSTED - 1)))
        run.died()
    assert run.suspect


def test_a_run_that_has_started_waits_unseen() -> None:
    run = Ongoing(SUBMIT)
    run.wait(3)
    assert run.outputs.position == 3
    run.hear(started(0))
    run.wait(3)
    assert run.outputs.position == 0
