"""How many contexts are where: of threads, and of tasks apart from them.

This module must never know how contexts are saved or moved.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from livethread.model import Residency
from livethread_server.worker.llama import Context
from livethread_server.worker.slots import Slots


def census(context: Context, slots: Slots, threads: Iterable[Residency], kept: int) -> dict[str, Any]:
    """``threads`` by residency; ``live``, the sequences of threads; ``tasks``, theirs, and how many contexts of theirs
    are ``kept`` in RAM or on disk.
    """
    by_residency = {"live": 0, "ram": 0, "disk": 0}
    for residency in threads:
        by_residency[residency] += 1
    cells = context.cells - slots.tasks * context.length
    return {
        "threads": by_residency,
        "live": {**_live(slots, side=False), "of": context.sequences - slots.tasks, "cells": cells},
        "tasks": {**_live(slots, side=True), "of": slots.tasks, "kept": kept},
    }


def _live(slots: Slots, *, side: bool) -> dict[str, int]:
    held = [slot for slot in slots if slot.held and slot.side == side]
    return {
        "sequences": sum(slot.thread is not None for slot in held),
        "running": sum(not slot.idle for slot in held),
        "tokens": sum(slot.in_kv for slot in held if slot.thread is not None),
    }
