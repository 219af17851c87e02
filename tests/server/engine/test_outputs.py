from __future__ import annotations

import asyncio

from livethread.errors import ErrorCode
from livethread_server.engine.outputs import RunOutputs
from livethread_server.engine.wire import Delta, Finished, Output, Progress, Started


async def test_outputs_that_wait_for_a_slow_reader_are_merged() -> None:
    outputs = RunOutputs("r")
    outputs.put(Output("r", started=Started(9, 2, 0.0, 1.0)))
    outputs.put(Output("r", progress=Progress(2, 3, 9)))
    outputs.put(Output("r", progress=Progress(2, 5, 9)))
    outputs.put(Output("r", delta=Delta((1, 2), "ab")))
    outputs.put(Output("r", delta=Delta((3,), "c")))
    outputs.put(Output("r", finished=Finished("stop", 4, 2.0, 3.0)))
    (output,) = [output async for output in outputs]
    assert output == Output(
        "r", Started(9, 2, 0.0, 1.0), Progress(2, 5, 9), Delta((1, 2, 3), "abc"), Finished("stop", 4, 2.0, 3.0)
    )


async def test_a_waiting_reader_gets_each_output_as_it_comes() -> None:
    outputs = RunOutputs("r")
    reader = asyncio.create_task(anext(outputs))
    await asyncio.sleep(0)
    outputs.put(Output("r", delta=Delta((1,), "a")))
    assert await reader == Output("r", delta=Delta((1,), "a"))
    outputs.put(Output("r", delta=Delta((2,), "b")))
    assert await anext(outputs) == Output("r", delta=Delta((2,), "b"))


async def test_nothing_comes_after_the_end() -> None:
    outputs = RunOutputs("r")
    outputs.end("cancelled")
    outputs.end("error", "too late")
    outputs.put(Output("r", delta=Delta((1,), "a")))
    seen = [output async for output in outputs]
    assert [output.finished.reason for output in seen if output.finished] == ["cancelled"]
    assert seen[0].delta is None
    assert [output async for output in outputs] == []


async def test_an_end_without_the_worker_counts_what_was_told() -> None:
    outputs = RunOutputs("r")
    outputs.put(Output("r", delta=Delta((1, 2), "ab")))
    outputs.end("error", "The engine died.")
    (output,) = [output async for output in outputs]
    assert output.finished is not None
    assert (output.finished.completion, output.finished.error) == (2, "The engine died.")
    assert output.finished.first_at is not None


async def test_an_end_counts_what_was_told_before_and_may_have_a_code() -> None:
    outputs = RunOutputs("r", told=3)
    outputs.put(Output("r", delta=Delta((1, 2), "ab")))
    outputs.end("error", "No more.", ErrorCode.MODEL_UNAVAILABLE)
    (output,) = [output async for output in outputs]
    assert output.finished is not None
    assert (output.finished.completion, output.finished.code) == (5, ErrorCode.MODEL_UNAVAILABLE)
