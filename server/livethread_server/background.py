"""Work that goes on beside whoever began it. What ends it early is logged: nobody waits for it who could be told.

It must never know what the work is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any


def begin(work: Coroutine[Any, Any, None], log: logging.Logger, sentence: str) -> asyncio.Task[None]:
    """Begin the work; ``sentence`` says in ``log`` that it failed, should it raise."""
    task = asyncio.create_task(work)
    task.add_done_callback(partial(_ended, log, sentence))
    return task


def _ended(log: logging.Logger, sentence: str, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error(sentence, exc_info=task.exception())
