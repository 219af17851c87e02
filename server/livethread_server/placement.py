"""Where a run's message goes, and what unfinished runs stand in the way: pure rules.

It knows turns and modes; it must never know stores, engines or events.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread.model import Message, Mode, Principal
from livethread_server.mutation import Mutation, append, remove, replace, then
from livethread_server.stamps import new_id
from livethread_server.store.base import Turn


class Placement(Struct, frozen=True):
    """The mutation that puts the run's message where it belongs.

    ``before`` is the turn it goes on with or takes the place of, None for a reply.
    """

    mutation: Mutation
    message: Message
    mode: Mode
    before: Turn | None = None


def place(turns: Sequence[Turn], mode: Mode, run: str, by: Principal, now: str) -> Placement:
    """Place the message of ``run`` after ``turns``. `CommandError` where the mode does not fit them."""
    last = turns[-1] if turns else None
    written = last is not None and last.message.role == "assistant"
    if mode == "continue":
        if last is None or not written:
            raise CommandError(
                ErrorCode.BAD_REQUEST,
                "Mode 'continue' goes on with a last message of the assistant, and there is none. Use 'reply'.",
                field="mode",
            )
        return _continue(turns, last, run)
    message = Message(id=new_id("m"), role="assistant", content="", state="queued", by=by, run=run, created_at=now)
    if mode == "regenerate" and last is not None and written:
        removed = remove(turns, last.message.id)
        return Placement(then(removed, append(removed.turns, message)), message, mode, last)
    return Placement(append(turns, message), message, "reply")


def touches(before: Sequence[Turn], after: Sequence[Turn], unfinished: int) -> bool:
    """Whether anything before or on an unfinished message differs; it is among the first ``unfinished``."""
    return any(old is not new for old, new in zip(before[:unfinished], after, strict=False)) or (
        len(after) < unfinished
    )


def busy(runs: Sequence[str]) -> CommandError:
    """The answer to what an unfinished run stands in the way of."""
    return CommandError(
        ErrorCode.BUSY,
        f"Run {runs[0]!r} of this thread has not ended. Wait for its run.finished, cancel it, or choose another "
        "if_busy.",
        runs=list(runs),
    )


def _continue(turns: Sequence[Turn], last: Turn, run: str) -> Placement:
    message = msgspec.structs.replace(last.message, state="queued", run=run, reason=None, usage=None, timings=None)
    turn = msgspec.structs.replace(last, message=message)
    return Placement(replace(turns, turn), message, "continue", last)
