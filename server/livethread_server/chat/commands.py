"""What a person can do beside talking: lines that begin with a slash.

This module must never know how a screen is drawn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from livethread import Edit, Thread, Truncate
from livethread.messages import ShareRole
from livethread_server.chat.talk import Talk
from livethread_server.chat.words import one_line

LISTED = 20
"""How many threads ``/threads`` shows."""

ROLES: dict[str, ShareRole] = {"viewer": "viewer", "participant": "participant", "owner": "owner"}


class SlashCommand(Struct, frozen=True):
    """``takes`` is what stands behind the name, for the help."""

    takes: str
    help: str
    do: Callable[[Talk, str], Awaitable[None]]


async def do(talk: Talk, line: str) -> None:
    """Carry out a line such as ``/title Rome``. `CommandError` where the server refuses."""
    name, _, rest = line[1:].partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        talk.screen.error(f"There is no /{name}. Known: {', '.join('/' + one for one in COMMANDS)}.")
    elif command.takes.isupper() and not rest.strip():
        talk.screen.error(f"/{name} needs something behind it: /{name} {command.takes}.")
    else:
        await command.do(talk, rest.strip())


async def _help(talk: Talk, _: str) -> None:
    for name, command in COMMANDS.items():
        talk.screen.notice(f"{f'/{name} {command.takes}':<20} {command.help}")
    talk.screen.notice("Ctrl-C ends the reply that is being written, Ctrl-D leaves.")


async def _new(talk: Talk, title: str) -> None:
    await talk.open(await talk.client.create(title=title or None))


async def _threads(talk: Talk, _: str) -> None:
    for number, thread in enumerate(await _latest(talk), start=1):
        mark = "*" if thread.id == talk.thread.id else " "
        talk.screen.notice(f"{mark}{number:3}  {thread.updated_at[:16]}  {one_line(thread.title or thread.id)}")


async def _open(talk: Talk, which: str) -> None:
    threads = await _latest(talk) if which.isdecimal() else []
    if which.isdecimal() and 0 < int(which) <= len(threads):
        which = threads[int(which) - 1].id
    await talk.open(talk.client.thread(which))


async def _fork(talk: Talk, title: str) -> None:
    await talk.open(await talk.thread.fork(title=title or None))


async def _regenerate(talk: Talk, _: str) -> None:
    await talk.write(mode="regenerate")


async def _undo(talk: Talk, _: str) -> None:
    last = _last_question(talk)
    if last is not None:
        await talk.thread.truncate(talk.thread.messages[last - 1].id if last else None)


async def _edit(talk: Talk, text: str) -> None:
    last = _last_question(talk)
    if last is not None:
        message = talk.thread.messages[last].id
        await talk.write(Truncate(message), Edit(message, text))


async def _title(talk: Talk, title: str) -> None:
    await talk.thread.update(title=title or None)


async def _who(talk: Talk, _: str) -> None:
    names = [one_line(one.name) + (" (typing)" if one.typing else "") for one in talk.thread.here]
    talk.screen.notice(f"Here: {', '.join(names) or 'nobody who says so'}.")


async def _invite(talk: Talk, role: str) -> None:
    if role and role not in ROLES:
        talk.screen.error(f"{role!r} is no role. There are: {', '.join(ROLES)}.")
        return
    ok = await talk.thread.share(ROLES.get(role, "participant"), invite=True)
    talk.screen.notice(f"Whoever types this may join, until {ok.expires_at}: /join {talk.thread.id} {ok.invite}")


async def _join(talk: Talk, rest: str) -> None:
    name, _, invite = rest.partition(" ")
    thread = talk.client.thread(name)
    await thread.share(invite=invite.strip())
    await talk.open(thread)


async def _quit(talk: Talk, _: str) -> None:
    talk.left = True


def _last_question(talk: Talk) -> int | None:
    """The index of the last message of a user; None, and the person is told, where there is none."""
    for index in range(len(talk.thread.messages) - 1, -1, -1):
        if talk.thread.messages[index].role == "user":
            if index == 0 and talk.thread.more:
                break
            return index
    talk.screen.error("There is no message of yours to change here.")
    return None


async def _latest(talk: Talk) -> Sequence[Thread]:
    latest: list[Thread] = []
    async for thread in talk.client.threads(page=LISTED):
        latest.append(thread)
        if len(latest) == LISTED:
            break
    return latest


COMMANDS = {
    "help": SlashCommand("", "this list", _help),
    "new": SlashCommand("[title]", "begin a new thread", _new),
    "threads": SlashCommand("", "the threads that changed last", _threads),
    "open": SlashCommand("NUMBER", "go to a thread of that list, or to one by its id", _open),
    "fork": SlashCommand("[title]", "go on in a copy of this thread", _fork),
    "regenerate": SlashCommand("", "another reply instead of the last one", _regenerate),
    "edit": SlashCommand("TEXT", "put this in the place of your last message", _edit),
    "undo": SlashCommand("", "take out your last message and what came after it", _undo),
    "title": SlashCommand("TITLE", "give the thread a title", _title),
    "who": SlashCommand("", "who looks at this thread", _who),
    "invite": SlashCommand("[role]", "let somebody join: a viewer, participant or owner", _invite),
    "join": SlashCommand("THREAD INVITE", "take up an invitation", _join),
    "quit": SlashCommand("", "leave", _quit),
}
"""Every command by its name; what it takes is in capitals where it must be there."""
