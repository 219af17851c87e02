"""How many files this process may have open: every socket is one.

It must never know what the sockets are for.
"""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

SPARE = 512
"""Files beside sockets: the database, chunks being read and written, pipes, libraries."""


def room_for(sockets: int) -> int:
    """Raise this process's limit of open files so that ``sockets`` fit beside everything else; how many do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sockets + SPARE
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return sockets
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    fitting = max(1, max(soft, allowed) - SPARE)
    if fitting < sockets:
        log.warning("Only %d of %d sockets fit. Raise 'ulimit -Hn', or set --sockets.", fitting, sockets)
    return min(sockets, fitting)
