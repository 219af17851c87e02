"""A conversation with a program: every line of its input is a message, the replies are its output, and nothing else.

Lines that begin with a slash are messages like any other. This module must never know terminals.
"""

from __future__ import annotations

from collections.abc import Callable

from livethread import Append, ClientThread, CommandError, Draft, RunFailed
from livethread_server.chat.lines import Lines
from livethread_server.chat.words import readable


async def talk_through(
    thread: ClientThread, lines: Lines, write: Callable[[str], object], complain: Callable[[str], object]
) -> bool:
    """Answer line by line until there are no more; whether every line got its reply.

    ``write`` gets the text of the replies as it comes, ``complain`` a sentence where there is none.
    """
    good = True
    while (line := await lines.next()) is not None:
        if not line.strip():
            continue
        try:
            async for piece in thread.generate(Append(Draft("user", line)), if_busy="enqueue").pieces():
                write(readable(f"\n{piece.text}" if piece.anew else piece.text))
        except (CommandError, RunFailed) as error:
            complain(str(error))
            good = False
        write("\n")
    return good
