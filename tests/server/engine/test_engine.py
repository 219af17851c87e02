from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling
from livethread_server.engine.engine import Engine
from livethread_server.engine.outputs import RunOutputs
from livethread_server.engine.wire import Configure, Finished, Moved, Output, Submit, merged

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_END = dict.fromkeys((0, 2, 4), -1000.0)


def configure(model_path: Path) -> Configure:
    return Configure(model_path=str(model_path), context=256, sequences=4, extra_bufts=False)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(model_path: Path) -> AsyncIterator[Engine]:
    engine = Engine(configure(model_path), queued_runs=4)
    await engine.start()
    await engine.wait_ready()
    yield engine
    await engine.stop()


def submit(engine: Engine, run: str, *, tokens: int = 20, thread: str = "", **fields: Any) -> RunOutputs:
    settled: dict[str, Any] = {"temperature": 0.0, "max_tokens": 5, "logit_bias": NO_END}
    sampling = Sampling(**(settled | fields))
    words = tuple((sum(run.encode()) * 31 + 17 * index * index + 400) % 40000 for index in range(tokens))
    return engine.submit(Submit(run=run, thread=thread or run, tenant="x", tokens=words, sampling=sampling))


async def whole(outputs: RunOutputs) -> Output:
    """Everything a run says, as one output; checks that exactly one ends it."""
    every = [output async for output in outputs]
    assert [bool(output.finished) for output in every] == [False] * (len(every) - 1) + [True]
    said = every[0]
    for output in every[1:]:
        said = merged(said, output)
    return said


def end(output: Output) -> Finished:
    assert output.finished is not None
    return output.finished


async def first_text(outputs: RunOutputs) -> None:
    async for output in outputs:
        if output.delta:
            return


async def until_text(said: Output, outputs: RunOutputs) -> Output:
    """What a run says until it has said some text."""
    while not said.delta:
        said = merged(said, await anext(outputs))
    return said


async def test_eight_runs_at_once_all_come_to_their_end(engine: Engine) -> None:
    runs = [submit(engine, f"eight-{number}") for number in range(8)]
    assert [outputs.position for outputs in runs] == [0, 0, 0, 0, 1, 2, 3, 4]
    for said in await asyncio.gather(*map(whole, runs)):
        assert end(said).reason == "length"
        assert said.started is not None
        assert said.delta is not None
        assert len(said.delta.tokens) == 5
    assert [outputs.position for outputs in runs] == [0] * 8


async def test_a_full_queue_refuses_with_a_sentence_and_recovers(engine: Engine) -> None:
    runs = [submit(engine, f"full-{number}") for number in range(8)]
    with pytest.raises(CommandError) as refused:
        submit(engine, "one-too-many")
    assert refused.value.code is ErrorCode.QUEUE_FULL
    await asyncio.gather(*map(whole, runs))
    assert end(await whole(submit(engine, "after"))).reason == "length"


async def test_cancel_ends_a_waiting_run_at_once_and_a_running_one_soon(engine: Engine) -> None:
    runs = [submit(engine, f"cancel-{number}", max_tokens=200) for number in range(5)]
    engine.cancel("cancel-4")
    engine.cancel("cancel-4")
    waiting = await whole(runs[4])
    assert (end(waiting).reason, waiting.started) == ("cancelled", None)
    await first_text(runs[0])
    for number in range(4):
        engine.cancel(f"cancel-{number}")
        engine.cancel(f"cancel-{number}")
    assert {end(said).reason for said in await asyncio.gather(*map(whole, runs[:4]))} == {"cancelled"}
    engine.cancel("cancel-0")
    engine.cancel("nobody")


async def test_residency_is_told_and_forgetting_makes_cold(engine: Engine) -> None:
    moved: list[Moved] = []
    engine.on_moved = moved.append
    await whole(submit(engine, "resident"))
    engine.forget("resident")
    await whole(submit(engine, "afterwards"))
    assert [(each.residency, each.tokens) for each in moved if each.thread == "resident"] == [
        ("live", 0),
        ("live", 24),
        ("cold", 0),
    ]


async def test_killed_while_idle_it_comes_back_and_threads_are_cold(engine: Engine) -> None:
    await whole(submit(engine, "idle"))
    lost = asyncio.Event()
    engine.on_moved = lambda moved: lost.set() if moved == Moved("idle", "cold", 0) else None
    restarts, pid = engine.restarts, engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await lost.wait()
    assert engine.trouble is not None
    assert engine.trouble.code is ErrorCode.MODEL_LOADING
    with pytest.raises(CommandError):
        submit(engine, "too-early")
    await engine.wait_ready()
    assert engine.restarts == restarts + 1
    assert end(await whole(submit(engine, "back"))).reason == "length"


async def test_killed_during_runs_they_go_on_and_say_what_they_would_have_said(engine: Engine) -> None:
    undisturbed = [submit(engine, f"kill-{number}", max_tokens=40) for number in range(4)]
    expected = [said.delta for said in await asyncio.gather(*map(whole, undisturbed))]
    runs = [submit(engine, f"kill-{number}", max_tokens=40) for number in range(4)]
    waiting = submit(engine, "waiting", max_tokens=3)
    early = [await anext(outputs) for outputs in runs]
    early[3] = await until_text(early[3], runs[3])
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    later = await asyncio.gather(*map(whole, runs))
    every = [merged(first, rest) for first, rest in zip(early, later, strict=True)]
    assert [said.delta for said in every] == expected
    assert [end(said).completion for said in every] == [40] * 4
    assert [said.started for said in later] == [None] * 4
    said = await whole(waiting)
    assert said.started is not None
    assert end(said).reason == "length"


async def test_signals_for_the_whole_group_do_not_end_it(engine: Engine) -> None:
    assert engine.pid is not None
    restarts = engine.restarts
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(engine.pid, number)
    assert end(await whole(submit(engine, "unmoved"))).reason == "length"
    assert engine.restarts == restarts


async def test_stop_leaves_no_process_and_ends_every_run(model_path: Path) -> None:
    engine = Engine(configure(model_path), queued_runs=4)
    await engine.start()
    await engine.wait_ready()
    runs = [submit(engine, f"stop-{number}", max_tokens=200) for number in range(6)]
    await first_text(runs[0])
    pid = engine.pid
    assert pid is not None
    await engine.stop()
    await engine.stop()
    assert not psutil.pid_exists(pid)
    assert {end(said).reason for said in await asyncio.gather(*map(whole, runs))} == {"error"}
    with pytest.raises(CommandError) as refused:
        submit(engine, "too-late")
    assert refused.value.code is ErrorCode.MODEL_UNAVAILABLE


async def test_a_model_that_cannot_be_loaded_is_trouble_with_a_sentence(tmp_path: Path) -> None:
    engine = Engine(configure(tmp_path / "none.gguf"), queued_runs=4)
    await engine.start()
    with pytest.raises(CommandError, match="no model file") as refused:
        await engine.wait_ready()
    assert refused.value.code is ErrorCode.MODEL_UNAVAILABLE
    await engine.stop()


async def test_the_process_dies_with_the_one_that_started_it(model_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from livethread_server.engine.engine import Engine\n"
        "from livethread_server.engine.wire import Configure\n"
        "async def main():\n"
        f"    engine = Engine(Configure(model_path={str(model_path)!r}, context=256, sequences=1,"
        " extra_bufts=False), queued_runs=1)\n"
        "    await engine.start()\n"
        "    await engine.wait_ready()\n"
        "    print(engine.pid, flush=True)\n"
        "    await asyncio.sleep(1000)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    worker = psutil.Process(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    with suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(worker.wait, 20)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
