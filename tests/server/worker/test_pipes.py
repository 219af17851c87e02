from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from livethread_server.engine.packing import pack, unpack_down, unpack_up
from livethread_server.engine.wire import CancelRun, Configure, Delta, Finished, Forget, Moved, Output, Step
from livethread_server.worker.pipes import Outbox, PipeInbox

CONFIGURE = Configure(model_path="m", context=8, sequences=1)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


def test_commands_arrive_in_order_behind_the_first_message(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, pack(CONFIGURE) + pack(CancelRun("r")))
    inbox = PipeInbox(reading, unpack_down())
    assert inbox.read_first() == CONFIGURE
    os.write(writing, pack(Forget("t")))
    os.close(writing)
    inbox.read()
    assert inbox.take(None) is None
    assert inbox.take(None) is None, "the end is the end, however often somebody asks"


def test_commands_that_are_there_are_taken_together(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, pack(CONFIGURE) + pack(CancelRun("r")) + pack(Forget("t")))
    inbox = PipeInbox(reading, unpack_down())
    inbox.read_first()
    taken = inbox.take(None)
    assert taken is not None
    assert [command for _, command in taken] == [CancelRun("r"), Forget("t")]
    assert inbox.take(0) == []


def test_a_pipe_that_ends_at_once_has_no_first_message(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(writing)
    assert PipeInbox(reading, unpack_down()).read_first() is None


def test_steps_that_wait_for_a_full_pipe_are_merged_and_nothing_is_lost(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outbox = Outbox(writing)
    for number in range(1000):
        outbox.put(Step((Output("r", delta=Delta((number,), "x")),), (Moved("t", "live", number),)))
    outbox.put(Step((Output("r", finished=Finished("stop", 1000, None, 1.0)),)))
    threading.Thread(target=outbox.write, daemon=True).start()
    (step,) = unpack_up().feed(os.read(reading, 1 << 20))
    assert len(step.outputs) == 1
    assert step.outputs[0].delta == Delta(tuple(range(1000)), "x" * 1000)
    assert step.outputs[0].finished is not None
    assert step.moved == (Moved("t", "live", 999),)


def test_writing_ends_when_nobody_reads_any_more(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(reading)
    outbox = Outbox(writing)
    outbox.put(Step((), (Moved("t", "cold", 0),)))
    outbox.write()


def test_a_step_that_only_says_that_there_is_work_is_written(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outbox = Outbox(writing)
    outbox.put(Step(()))
    threading.Thread(target=outbox.write, daemon=True).start()
    assert list(unpack_up().feed(os.read(reading, 1 << 20))) == [Step(())]
