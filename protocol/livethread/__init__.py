"""livethread: talk to threads that live on a server.

```python
async with livethread.connect("ws://127.0.0.1:8000/v1/ws") as client:
    thread = await client.create()
    async for piece in thread.say("Hello"):
        print(piece, end="")
```

Names are loaded when they are first used: who needs only the model does not pay for sockets.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from livethread.backoff import Backoff
    from livethread.client import Client, connect
    from livethread.client_thread import ClientThread
    from livethread.errors import (
        CommandError,
        ConnectError,
        ConnectionClosed,
        ErrorCode,
        FellBehind,
        LivethreadError,
        RunFailed,
        TaskStopped,
        TextReplaced,
    )
    from livethread.messages import Append, Delete, Draft, Edit, Event, Insert, Op, Truncate
    from livethread.missed import ThreadReplaced
    from livethread.model import (
        Alternative,
        Message,
        Principal,
        Run,
        Sampling,
        Thread,
        Timings,
        TokenLogprob,
        Usage,
    )
    from livethread.run_stream import RunStream
    from livethread.states import ClientState
    from livethread.task_stream import TaskStream
    from livethread.told import Piece

__all__ = [
    "Alternative",
    "Append",
    "Backoff",
    "Client",
    "ClientState",
    "ClientThread",
    "CommandError",
    "ConnectError",
    "ConnectionClosed",
    "Delete",
    "Draft",
    "Edit",
    "ErrorCode",
    "Event",
    "FellBehind",
    "Insert",
    "LivethreadError",
    "Message",
    "Op",
    "Piece",
    "Principal",
    "Run",
    "RunFailed",
    "RunStream",
    "Sampling",
    "TaskStopped",
    "TaskStream",
    "TextReplaced",
    "Thread",
    "ThreadReplaced",
    "Timings",
    "TokenLogprob",
    "Truncate",
    "Usage",
    "connect",
]

_HOME = {
    name: module
    for module, names in {
        "livethread.backoff": ("Backoff",),
        "livethread.client": ("Client", "connect"),
        "livethread.client_thread": ("ClientThread",),
        "livethread.errors": (
            "CommandError",
            "ConnectError",
            "ConnectionClosed",
            "ErrorCode",
            "FellBehind",
            "LivethreadError",
            "RunFailed",
            "TaskStopped",
            "TextReplaced",
        ),
        "livethread.messages": ("Append", "Delete", "Draft", "Edit", "Event", "Insert", "Op", "Truncate"),
        "livethread.model": (
            "Alternative",
            "Message",
            "Principal",
            "Run",
            "Sampling",
            "Thread",
            "Timings",
            "TokenLogprob",
            "Usage",
        ),
        "livethread.missed": ("ThreadReplaced",),
        "livethread.run_stream": ("RunStream",),
        "livethread.states": ("ClientState",),
        "livethread.task_stream": ("TaskStream",),
        "livethread.told": ("Piece",),
    }.items()
    for name in names
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    try:
        return getattr(importlib.import_module(_HOME[name]), name)
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
