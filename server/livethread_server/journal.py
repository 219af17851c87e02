"""What the log says of threads and runs: one line for each event that matters to whoever runs the server.

No line holds a message's text. This module must never know who is told of events.
"""

from __future__ import annotations

import logging

from livethread.messages import Event, RunFinished, RunQueued, RunRecovered, RunStarted, ThreadDeleted
from livethread.tasks import Task
from livethread_server.logs import bound

log = logging.getLogger(__name__)


def write(event: Event) -> None:
    """Log an event that was told, at level info."""
    if not log.isEnabledFor(logging.INFO):
        return
    line = _line(event)
    if line is not None:
        with bound(thread=event.thread, **_run(event)):
            log.info("%s", line)


def write_task(task: Task) -> None:
    """Log a stateless task that is over, at level info."""
    if log.isEnabledFor(logging.INFO):
        why = "" if task.reason is None else f" ({task.reason if task.error is None else task.error.code})"
        usage = task.usage
        tokens = "" if usage is None else f": {usage.completion_tokens} tokens, {usage.prompt_tokens} of the prompt"
        with bound(task=task.id):
            log.info("%s %s%s%s", task.kind, task.state, why, tokens)


def _run(event: Event) -> dict[str, str]:
    run = getattr(event, "run", None)
    return {} if run is None else {"run": run}


def _line(event: Event) -> str | None:
    match event:
        case RunQueued():
            return f"run queued at position {event.position}"
        case RunStarted():
            return f"run started: {event.reused_tokens} of {event.prompt_tokens} prompt tokens reused"
        case RunRecovered():
            return f"run recovered at token {event.to}"
        case RunFinished():
            why = f"{event.reason}, {event.error.code}" if hasattr(event.error, "code") else event.reason
            times, tokens = event.timings, event.usage.completion_tokens
            return (
                f"run finished ({why}): {tokens} tokens, the first after {times.first_token_ms:.0f} ms, "
                f"the others in {times.generate_ms:.0f} ms"
            )
        case ThreadDeleted():
            return "thread deleted"
    return None
