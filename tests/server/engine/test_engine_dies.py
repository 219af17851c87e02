"""What becomes of runs when the process under them dies, with a process that does so to order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import string
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling
from livethread_server.engine import supervisor
from livethread_server.engine.engine import Engine
from livethread_server.engine.ongoing import TRUSTED
from livethread_server.engine.outputs import RunOutputs
from livethread_server.engine.wire import Configure, Moved, Output, Submit, merged
from tests.fake_worker import SLOTS, TASKS, submits

CONFIGURE = Configure(model_path="m", context=100, sequences=SLOTS, extra_bufts=False)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.05)


@asynccontextmanager
async def engine_of(folder: Path, *, watchdog: float = 60.0, **plan: Any) -> AsyncIterator[Engine]:
    command = (sys.executable, "-m", "tests.fake_worker", str(folder), json.dumps(plan))
    engine = Engine(CONFIGURE, queued_runs=100, watchdog=watchdog, command=command)
    await engine.start()
    await engine.wait_ready()
    yield engine
    await engine.stop()


def submit(engine: Engine, run: str, most: int = 10, **fields: Any) -> RunOutputs:
    sampling = Sampling(max_tokens=most)
    return engine.submit(Submit(run=run, thread=run, tenant="x", tokens=(1, 2, 3), sampling=sampling, **fields))


async def whole(outputs: RunOutputs) -> Output:
    """Everything a run says, as one output; checks that it started once and ended once."""
    every = [output async for output in outputs]
    assert [bool(output.finished) for output in every] == [False] * (len(every) - 1) + [True]
    assert sum(output.started is not None for output in every) <= 1
    said = every[0]
    for output in every[1:]:
        said = merged(said, output)
    return said


async def until_it_said(outputs: RunOutputs, tokens: int) -> None:
    said = 0
    async for output in outputs:
        said += len(output.delta.tokens) if output.delta else 0
        if said >= tokens:
            return


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.005)


def check_text(said: Output, most: int = 10) -> None:
    assert said.delta is not None
    assert said.delta.tokens == tuple(range(most))
    assert said.delta.text == string.ascii_letters[:most]
    assert said.finished is not None
    assert (said.finished.reason, said.finished.completion) == ("length", most)


async def test_runs_go_on_where_they_were_and_nobody_sees_it(tmp_path: Path) -> None:
    async with engine_of(tmp_path, die=[4]) as engine:
        runs = [submit(engine, f"r{number}") for number in range(6)]
        for said in await asyncio.gather(*map(whole, runs)):
            check_text(said)
            assert said.started is not None
            assert said.started.reused == (0 if said.run in ("r0", "r1", "r2", "r3") else 1)
        assert engine.restarts == 1
    given = submits(tmp_path)
    assert [run for life, run, *_ in given if life == 1] == ["r0", "r1", "r2", "r3", "r4", "r5"]
    assert all(known == said > 0 for life, run, known, said, _ in given if life == 1 and run < "r4")


async def test_the_time_of_the_first_token_is_that_of_the_first_life(tmp_path: Path) -> None:
    async with engine_of(tmp_path, die=[4]) as engine:
        said = await whole(submit(engine, "r"))
        assert said.finished is not None
        assert said.finished.first_at is not None
        assert said.finished.first_at < said.finished.at


async def test_after_a_second_death_runs_go_on_one_at_a_time(tmp_path: Path) -> None:
    async with engine_of(tmp_path, die=[3, 3]) as engine:
        runs = [submit(engine, f"r{number}", 50) for number in range(3)]
        for said in await asyncio.gather(*map(whole, runs)):
            check_text(said, 50)
        assert engine.restarts == 2
    third = {run: set(beside) for life, run, _, _, beside in submits(tmp_path) if life == 2}
    assert list(third) == ["r0", "r1", "r2"]
    assert third["r0"] == set()
    assert third["r1"] <= {"r0"}  # which may be there again, once it is trusted


async def test_only_the_run_that_kills_the_engine_ends_with_an_error(tmp_path: Path) -> None:
    async with engine_of(tmp_path, poison={"bad": 5}) as engine:
        runs = [submit(engine, run) for run in ("one", "bad", "two", "three", "late")]
        one, bad, two, three, late = await asyncio.gather(*map(whole, runs))
        for said in (one, two, three, late):
            check_text(said)
        assert bad.delta is not None
        assert bad.delta.tokens == (0, 1, 2, 3, 4)
        assert bad.finished is not None
        assert (bad.finished.reason, bad.finished.completion) == ("error", 5)
        assert bad.finished.code is ErrorCode.INTERNAL
        assert "SIGKILL" in (bad.finished.error or "")
        assert engine.restarts == 3


async def test_deaths_are_forgotten_once_a_run_has_gone_on(tmp_path: Path) -> None:
    async with engine_of(tmp_path, die=[2, TRUSTED + 1, 2]) as engine:
        check_text(await whole(submit(engine, "r", 50)), 50)
        assert engine.restarts == 3


async def test_a_run_whose_tokens_come_from_before_the_server_counts_them(tmp_path: Path) -> None:
    async with engine_of(tmp_path, die=[2], refuse_from=1) as engine:
        said = await whole(submit(engine, "r", generated=(0, 1, 2), said=3))
        assert said.delta is not None
        assert said.delta.text == "de"
        assert said.finished is not None
        assert said.finished.completion == 5


async def test_cancel_while_the_engine_is_down_ends_the_run_at_once(tmp_path: Path) -> None:
    async with engine_of(tmp_path, die=[3], refuse_from=1) as engine:
        runs = [submit(engine, f"r{number}") for number in range(5)]
        await until(lambda: engine.ready is None)
        for number in range(5):
            engine.cancel(f"r{number}")
            engine.cancel(f"r{number}")
        for said in await asyncio.gather(*map(whole, runs)):
            assert said.finished is not None
            assert said.finished.reason == "cancelled"


async def test_a_run_that_was_being_cancelled_when_the_engine_died_is_over(tmp_path: Path) -> None:
    async with engine_of(tmp_path) as engine:
        run = submit(engine, "r", 90)
        await until_it_said(run, 2)
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGSTOP)
        engine.cancel("r")
        os.kill(engine.pid, signal.SIGKILL)
        said = await whole(run)
        assert said.finished is not None
        assert said.finished.reason == "cancelled"
        await engine.wait_ready()
        check_text(await whole(submit(engine, "again")))


async def test_when_the_model_becomes_unavailable_what_waits_ends_with_that(tmp_path: Path) -> None:
    async with engine_of(tmp_path, die=[3], refuse_from=1) as engine:
        runs = [submit(engine, f"r{number}") for number in range(6)]
        for said in await asyncio.gather(*map(whole, runs)):
            assert said.finished is not None
            assert (said.finished.reason, said.finished.code) == ("error", ErrorCode.MODEL_UNAVAILABLE)
            assert "times in a row" in (said.finished.error or "")
        with pytest.raises(CommandError) as refused:
            submit(engine, "late")
        assert refused.value.code is ErrorCode.MODEL_UNAVAILABLE
        engine.forget("r0")
        engine.cancel("r0")
        with pytest.raises(CommandError):
            await engine.stats()


async def test_an_engine_that_hangs_is_ended_and_its_runs_go_on(tmp_path: Path) -> None:
    async with engine_of(tmp_path, hang=[4], watchdog=0.2) as engine:
        pid = engine.pid
        runs = [submit(engine, f"r{number}") for number in range(2)]
        for said in await asyncio.gather(*map(whole, runs)):
            check_text(said)
        assert engine.restarts == 1
        assert pid is not None
        assert not psutil.pid_exists(pid)


async def test_an_engine_that_does_not_answer_a_question_is_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine_of(tmp_path, hang=[0], watchdog=0.2) as engine:
        with pytest.raises(CommandError, match="ended before it answered") as refused:
            await engine.stats()
        assert refused.value.code is ErrorCode.MODEL_UNAVAILABLE
        await until(lambda: engine.restarts == 1)
        assert "did not answer for 0.2 s" in caplog.text
        await engine.wait_ready()
        assert await engine.stats() == {}


async def test_an_engine_that_has_nothing_to_say_may_be_silent(tmp_path: Path) -> None:
    async with engine_of(tmp_path, watchdog=0.05) as engine:
        await asyncio.sleep(0.3)
        assert engine.restarts == 0
        check_text(await whole(submit(engine, "r")))


class Breaking:
    """Hears where threads are, and raises so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, moved: Moved) -> None:
        self.left -= 1
        if self.left >= 0:
            raise KeyError(moved.thread)


async def test_what_breaks_while_the_process_is_heard_costs_no_run(tmp_path: Path) -> None:
    async with engine_of(tmp_path, moves=True) as engine:
        engine.on_moved = Breaking(1)
        check_text(await whole(submit(engine, "r")))
        assert engine.restarts == 1


async def test_runs_end_where_nobody_keeps_the_process_running_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine_of(tmp_path, moves=True) as engine:
        engine.on_moved = Breaking(2)  # the second time when the first has ended the process
        said = await whole(submit(engine, "r"))
        assert said.finished is not None
        assert (said.finished.reason, said.finished.code) == ("error", ErrorCode.MODEL_UNAVAILABLE)
        assert engine.trouble is not None
        assert engine.trouble.code is ErrorCode.MODEL_UNAVAILABLE
    assert any(record.levelname == "CRITICAL" for record in caplog.records)


async def test_runs_of_tasks_go_on_too_and_wait_in_a_line_of_their_own(tmp_path: Path) -> None:
    async with engine_of(tmp_path, die=[4], moves=True) as engine:
        moved: list[Moved] = []
        engine.on_moved = moved.append
        tasks = [submit(engine, f"~{number}", side=True) for number in range(TASKS + 2)]
        run = submit(engine, "r")
        assert [each.position for each in (*tasks, run)] == [*[0] * TASKS, 1, 2, 0]
        for said in await asyncio.gather(*map(whole, (*tasks, run))):
            check_text(said)
        assert {each.thread for each in moved} == {"r"}


async def test_forced_tokens_go_on_behind_those_that_were_told(tmp_path: Path) -> None:
    async with engine_of(tmp_path, die=[3]) as engine:
        said = await whole(submit(engine, "~1", side=True, forced=tuple(range(10)), most=1))
        check_text(said)
        assert [known for _, _, known, _, _ in submits(tmp_path)] == [0, 3]


async def test_without_sequences_for_tasks_their_runs_are_unsupported(tmp_path: Path) -> None:
    async with engine_of(tmp_path, tasks=0) as engine:
        with pytest.raises(CommandError, match="--task-sequences 1 or more") as refused:
            submit(engine, "~1", side=True)
        assert refused.value.code is ErrorCode.UNSUPPORTED
        check_text(await whole(submit(engine, "r")))


async def test_a_task_that_can_never_have_so_many_runs_is_refused_for_good(tmp_path: Path) -> None:
    async with engine_of(tmp_path) as engine:
        engine.check_task(TASKS + 256)
        with pytest.raises(CommandError, match="never room for more than 258") as refused:
            engine.check_task(TASKS + 257)
        assert (refused.value.code, refused.value.details) == (ErrorCode.TOO_LARGE, {"limit": 258, "runs": 259})


async def vectors(engine: Engine, *texts: tuple[int, ...]) -> list[tuple[int, list[list[float]]]]:
    return [(index, rows.tolist()) async for index, rows in engine.embed(texts, "mean", "x")]


async def test_texts_are_embedded_by_the_next_process_and_one_that_kills_is_given_up(tmp_path: Path) -> None:
    async with engine_of(tmp_path, deadly=[7]) as engine:
        poison = asyncio.ensure_future(vectors(engine, (1,), (7,), (2,)))
        others = [asyncio.ensure_future(vectors(engine, (3, 4), (5, 6, 8))) for _ in range(2)]
        with pytest.raises(CommandError, match="had died with these texts before") as given_up:
            await poison
        assert given_up.value.code == ErrorCode.INTERNAL
        for other in others:
            assert [(index, length) for index, ((length, _),) in await other] == [(0, 2), (1, 3)]
        assert (await vectors(engine, (1,)))[0][1][0][1] >= 2
        assert not engine._owes()


async def test_a_run_that_must_be_alone_does_not_end_for_a_text_that_kills(tmp_path: Path) -> None:
    async with engine_of(tmp_path, die=[2, 2], deadly=[7]) as engine:
        run = submit(engine, "r", 50)
        await until(lambda: engine.restarts == 2)
        await engine.wait_ready()
        poison = asyncio.ensure_future(vectors(engine, (7,)))
        check_text(await whole(run), 50)
        with pytest.raises(CommandError, match="now it had nothing else"):
            await poison


async def test_a_text_is_answered_beside_a_run_that_kills(tmp_path: Path) -> None:
    async with engine_of(tmp_path, poison={"bad": 1}, late=[7]) as engine:
        bad = submit(engine, "bad")
        asked = asyncio.ensure_future(vectors(engine, (7,)))
        said = await whole(bad)
        assert said.finished is not None
        assert said.finished.reason == "error"
        assert [index for index, _ in await asked] == [0]


async def test_who_asks_for_vectors_of_a_model_that_is_gone_hears_it(tmp_path: Path) -> None:
    async with engine_of(tmp_path, deadly=[7], refuse_from=1) as engine:
        with pytest.raises(CommandError) as refused:
            await vectors(engine, (7,))
        assert refused.value.code == ErrorCode.MODEL_UNAVAILABLE
        with pytest.raises(CommandError) as again:
            engine.embed([(1,)], "mean", "x")
        assert again.value.code == ErrorCode.MODEL_UNAVAILABLE
