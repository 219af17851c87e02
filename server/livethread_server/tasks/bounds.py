"""How many tasks there may be and how long they stay, in one frozen value.

It must never know what happens where a bound is passed.
"""

from __future__ import annotations

from msgspec import Struct


class TaskBounds(Struct, frozen=True):
    """A finished task stays for ``task_results`` seconds; at most ``tasks_kept`` finished ones stay, and as many as
    make ``task_result_bytes``; the oldest go first, of those principals who have more than an equal share. One
    principal has ``tasks_per_principal`` unfinished ones at most.
    """

    task_results: float = 600.0
    tasks_kept: int = 10_000
    task_result_bytes: int = 256 << 20
    tasks_per_principal: int = 256
