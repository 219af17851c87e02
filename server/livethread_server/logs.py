"""What the log looks like: one line for each thing that happened, as text for people or as JSON for machines.

Whoever logs only says what happened; session, thread and run are bound where they are known (`bound`) and stand in
every line from there. This module must never know what is logged, and no line holds a message's text or a token.
"""

from __future__ import annotations

import logging
import sys
from contextlib import AbstractContextManager
from typing import Literal, TextIO

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name
from structlog.types import Processor

LogFormat = Literal["text", "json"]


def configure(level: str, form: LogFormat, stream: TextIO = sys.stderr) -> None:
    """Have the whole process log to ``stream`` like this, instead of as before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def formatter(form: LogFormat) -> ProcessorFormatter:
    """Turns the standard library's records into lines."""
    return ProcessorFormatter(foreign_pre_chain=_common(), processors=_rendering(form))


def bound(**ids: str) -> AbstractContextManager[None]:
    """Have these ids, such as ``session``, ``thread`` and ``run``, in every line logged inside, by tasks that are
    begun inside too.
    """
    return bound_contextvars(**ids)


def _common() -> list[Processor]:
    return [merge_contextvars, add_log_level, add_logger_name, structlog.processors.TimeStamper(fmt="iso", utc=True)]


def _rendering(form: LogFormat) -> list[Processor]:
    first: list[Processor] = [ProcessorFormatter.remove_processors_meta]
    if form == "json":
        return [*first, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=True)]
    return [
        *first,
        structlog.dev.ConsoleRenderer(
            colors=False,
            pad_event_to=0,
            pad_level=False,
            exception_formatter=structlog.dev.plain_traceback,  # others would show what local names stand for
        ),
    ]
