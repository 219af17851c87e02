"""Who may do what with a thread: roles, shares and invites, as pure rules.

A viewer reads, subscribes and watches. A participant also changes messages, generates, cancels runs, sends
drafts and says that he is there. An owner also changes settings, shares, deletes, warms and evicts. The
thread's own owner stays one, whatever happens: it is his contexts and his list that the thread is in. This
module must never know commands, stores or the clock.
"""

from __future__ import annotations

import hmac

from msgspec.structs import replace

from livethread.errors import CommandError, ErrorCode
from livethread.model import Thread
from livethread_server.store.base import Access, Invite, Role

RANKS: dict[Role, int] = {"viewer": 1, "participant": 2, "owner": 3}


def role_of(thread: Thread, access: Access, principal: str) -> Role | None:
    """What the principal may do with the thread; None where it is nothing at all."""
    return "owner" if thread.owner == principal else access.shares.get(principal)


def suffices(role: Role | None, need: Role) -> bool:
    """Whether a role allows what ``need`` is needed for."""
    return role is not None and RANKS[role] >= RANKS[need]


def forbidden(thread: str, role: Role, need: Role) -> CommandError:
    """The answer to somebody who may see a thread, but not do this with it."""
    return CommandError(
        ErrorCode.FORBIDDEN,
        f"You are a {role} of thread {thread!r}, and this is for a{'n' if need == 'owner' else ''} {need}. "
        "Ask an owner of it for that role.",
        thread=thread,
        role=role,
        need=need,
    )


def give(thread: Thread, access: Access, principal: str, role: Role | None, most: int) -> Access:
    """The principal has ``role`` from now on, or none. `CommandError` ``forbidden`` for the thread's own owner."""
    if principal == thread.owner:
        if role == "owner":
            return access
        raise CommandError(
            ErrorCode.FORBIDDEN,
            f"{principal!r} owns thread {thread.id!r} and stays its owner. Delete the thread, or leave it to him.",
            field="principal",
            thread=thread.id,
        )
    others = {who: given for who, given in access.shares.items() if who != principal}
    if role is None:
        return replace(access, shares=others)
    if principal not in access.shares:
        _check_room(thread, access, most)
    return replace(access, shares=others | {principal: role})


def invite(thread: Thread, access: Access, new: Invite, now: float, most: int) -> Access:
    """There is one more invite; those that expired before ``now`` (Unix seconds) are forgotten."""
    access = replace(access, invites=tuple(one for one in access.invites if one.expires > now))
    _check_room(thread, access, most)
    return replace(access, invites=(*access.invites, new))


def take_up(thread: Thread, access: Access, digest: str, principal: str, now: float, most: int) -> Access | None:
    """The principal has at least the role of the invite; None where there is none that holds at ``now``."""
    found = _invite_of(access, digest)
    if found is None or found.expires <= now:
        return None
    if suffices(role_of(thread, access, principal), found.role):
        return access
    return give(thread, access, principal, found.role, most)


def revoke(access: Access, digest: str) -> Access | None:
    """The invite is worth nothing any more, what it gave stays; None where there is no such invite."""
    found = _invite_of(access, digest)
    if found is None:
        return None
    return replace(access, invites=tuple(one for one in access.invites if one is not found))


def _invite_of(access: Access, digest: str) -> Invite | None:
    return next((one for one in access.invites if hmac.compare_digest(one.digest, digest)), None)


def _check_room(thread: Thread, access: Access, most: int) -> None:
    if len(access.shares) + len(access.invites) >= most:
        raise CommandError(
            ErrorCode.RATE_LIMITED,
            f"Thread {thread.id!r} is shared with as many people and invites as may be: {most}. Take one back first.",
            shares=most,
        )
