from __future__ import annotations

from livethread.model import Sampling
from livethread_server.engine.wire import Submit
from livethread_server.worker.census import census
from livethread_server.worker.run import Run
from livethread_server.worker.slots import Slots
from tests.cells import Cells


class Silent:
    """A sampler that is never asked."""

    def draw(self, logits: object, known: int | None = None) -> int:
        raise AssertionError("nobody draws here")

    def close(self) -> None:
        """Nothing to free."""


def test_threads_and_tasks_are_counted_apart() -> None:
    cells = Cells(5)
    slots = Slots(cells.context, tasks=2)
    for number, thread in enumerate(("t", "~1", "~2")):
        submit = Submit(
            run="r", thread=thread, tenant="x", tokens=(number, 1, 2), sampling=Sampling(), side=thread != "t"
        )
        chosen = slots.choose(submit)
        assert chosen is not None
        slot = slots.take(submit, chosen)
        slot.in_kv = 3
        slot.run = Run(submit, Silent(), reused=0, arrived_at=0, at=0)
    slots.release(slot)
    assert census(cells.context, slots, ("live", "disk", "disk"), 7) == {
        "threads": {"live": 1, "ram": 0, "disk": 2},
        "live": {"sequences": 1, "running": 1, "tokens": 3, "of": 3, "cells": 3 * cells.length},
        "tasks": {"sequences": 2, "running": 1, "tokens": 6, "of": 2, "kept": 7},
    }
