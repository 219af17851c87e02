"""livethread: talk to threads that live on a server.

```python
async with livethread.connect("ws://127.0.0.1:8000/v1/ws") as client:
    thread = await client.create()
    async for piece in thread.say("Hello"):
        print(piece, end="")
```
"""

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
)
from livethread.messages import Append, Delete, Draft, Edit, Event, Insert, Op, Truncate
from livethread.model import Message, Principal, Run, Sampling, Thread, Timings, Usage
from livethread.run_stream import RunStream

__all__ = [
    "Append",
    "Client",
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
    "Principal",
    "Run",
    "RunFailed",
    "RunStream",
    "Sampling",
    "Thread",
    "Timings",
    "Truncate",
    "Usage",
    "connect",
]
