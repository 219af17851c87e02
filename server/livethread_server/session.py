"""One connection's identity: who it is, and where its frames go.

A session must never know sockets or what its commands do.
"""

from __future__ import annotations

from livethread.model import Principal
from livethread_server.auth.admission import Admission
from livethread_server.outbox import Outbox
from livethread_server.stamps import new_id

ANYONE = Principal("default", "default")
"""Who everybody is where no authentication is configured."""


class Session:
    """From hello to close. ``principal`` owns what the session creates; ``admission`` is what let it in, None where
    nobody was asked. Once it has ``ended``, commands of it that are under way go on, but nothing may be left behind
    for it. ``counted`` is whether it counts among its principal's."""

    def __init__(self, outbox: Outbox, principal: Principal = ANYONE) -> None:
        self.id = new_id("s")
        self.principal = principal
        self.admission: Admission | None = None
        self.outbox = outbox
        self.ended = False
        self.counted = False
