"""``thread.share``: roles are given and taken away, invites are made, taken up and revoked.

Who loses a thread hears no more of it from that moment on. What a role allows is in ``roles``; this module must
never know how anybody proves who he is.
"""

from __future__ import annotations

import secrets
import time

from livethread.errors import CommandError, ErrorCode, bad_request
from livethread.messages import ShareOk, ThreadGone, ThreadShare
from livethread_server.acceptance import Answer
from livethread_server.auth.admission import is_principal
from livethread_server.auth.digest import digest_of
from livethread_server.auth.gate import Gate
from livethread_server.hub import Hub
from livethread_server.lanes import Lane, Lanes
from livethread_server.listening import Listening
from livethread_server.roles import give, invite, revoke, take_up
from livethread_server.session import Session
from livethread_server.stamps import at
from livethread_server.store.base import Access, Invite, Role, Store

INVITE_SECONDS = 7 * 86400
"""How long an invite holds that says nothing of it."""


class Sharing:
    """The shares of all threads; of each at most ``most``, people and invites together."""

    def __init__(self, store: Store, lanes: Lanes, hub: Hub, gate: Gate, listening: Listening, most: int) -> None:
        self._store = store
        self._lanes = lanes
        self._hub = hub
        self._gate = gate
        self._listening = listening
        self._most = most

    async def share(self, session: Session, command: ThreadShare, answer: Answer) -> None:
        """Do what a ``thread.share`` asks for: which of four things that is follows from what is given."""
        _check(command)
        if command.principal is not None:
            await self._give(session, command, command.principal, answer)
        elif command.invite is True:
            await self._invite(session, command, answer)
        elif command.role == "none":
            await self._revoke(session, command, answer)
        else:
            await self._take_up(session, command, answer)

    async def _give(self, session: Session, command: ThreadShare, principal: str, answer: Answer) -> None:
        role = _role(command)
        # Whoever he is, he may go.
        need: Role = "viewer" if role is None and principal == session.principal.id else "owner"
        async with self._lanes.hold(command.thread, session.principal, need) as lane:
            access = give(lane.thread, lane.access, principal, role, self._most)
            await self._change(lane, access, principal, answer)

    async def _invite(self, session: Session, command: ThreadShare, answer: Answer) -> None:
        role, token = _role(command), secrets.token_urlsafe(32)
        assert role is not None
        async with self._lanes.hold(command.thread, session.principal, "owner") as lane:
            now = time.time()
            expires = now + (command.expires_s or INVITE_SECONDS)
            new = Invite(digest_of(token), role, expires)
            await self._lanes.share(lane, invite(lane.thread, lane.access, new, now, self._most))
            answer(ShareOk(invite=token, expires_at=at(expires)))

    async def _revoke(self, session: Session, command: ThreadShare, answer: Answer) -> None:
        async with self._lanes.hold(command.thread, session.principal, "owner") as lane:
            access = revoke(lane.access, digest_of(str(command.invite)))
            if access is None:
                raise _no_invite(command.thread)
            await self._lanes.share(lane, access)
            answer(ShareOk())

    async def _take_up(self, session: Session, command: ThreadShare, answer: Answer) -> None:
        digest, principal = digest_of(str(command.invite)), session.principal.id
        # Looked for before the lane is waited for, so that a stranger cannot tell by the time what there is.
        if await self._store.invite(command.thread, digest) is None:
            raise _no_invite(command.thread)
        async with self._lanes.hold(command.thread, None) as lane:
            access = take_up(lane.thread, lane.access, digest, principal, time.time(), self._most)
            if access is None:
                raise _no_invite(command.thread)
            await self._change(lane, access, principal, answer)

    async def _change(self, lane: Lane, access: Access, principal: str, answer: Answer) -> None:
        """The principal has another role on the thread now: store it, answer, and let those know who listen."""
        before = lane.role(principal)
        if access is not lane.access:
            await self._lanes.share(lane, access)
        answer(ShareOk())
        if lane.role(principal) is None:
            self._end(lane, principal)
        if lane.role(principal) != before:
            self._listening.shared(lane.thread, principal, lane.role(principal))

    def _end(self, lane: Lane, principal: str) -> None:
        """Who may read the thread no more hears nothing of it from now on."""
        for session in self._gate.inside(principal):
            if lane.id in self._hub.threads(session.outbox):
                self._listening.end(session, lane.id)
                session.outbox.offer(session.outbox.codec.encode(ThreadGone(thread=lane.id)))


def _check(command: ThreadShare) -> None:
    """`CommandError` ``bad_request`` where the fields do not go together."""
    if (command.principal is None) is (command.invite is None):
        raise bad_request(
            "principal", "Give either 'principal', who gets the role, or 'invite'; not both, not neither."
        )
    if command.invite is False or command.invite == "":
        raise bad_request("invite", "Field 'invite' is true to make one, or the token of one.")
    taking_up = isinstance(command.invite, str)
    if command.expires_s is not None and command.invite is not True:
        raise bad_request("expires_s", "Only a new invite expires. Leave 'expires_s' out.")
    if taking_up and command.role not in (None, "none"):
        raise bad_request(
            "role", "An invite gives the role that it was made with. Leave 'role' out, or revoke with none."
        )
    if not taking_up and command.role is None:
        raise bad_request("role", "Say which role: viewer, participant or owner; with 'principal' also none.")
    if command.invite is True and command.role == "none":
        raise bad_request("role", "An invite to nothing is none. Say which role it gives, or which invite is revoked.")
    if command.principal is not None and not is_principal(command.principal):
        raise bad_request("principal", "Field 'principal' must be an id of 1 to 256 characters that can be shown.")


def _role(command: ThreadShare) -> Role | None:
    return None if command.role == "none" else command.role


def _no_invite(thread: str) -> CommandError:
    """The same answer for an invite that never was, or holds no more, of a thread that is there or not."""
    return CommandError(
        ErrorCode.NOT_FOUND,
        f"There is no such invite to thread {thread!r}: it was revoked, has expired, or never was. Ask for a new one.",
        field="invite",
        thread=thread,
    )
