"""What a client's program asks about one thread, apart from reading along: each a command and its answer.

This module must never know sockets, or the copy that is kept of the thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from livethread.messages import (
    Append,
    Cancel,
    CancelOk,
    Delete,
    Draft,
    Edit,
    Empty,
    Evict,
    IfBusyMutate,
    Mutate,
    MutateOk,
    Op,
    Presence,
    ReadDraft,
    ResidencyOk,
    Runs,
    RunsOk,
    ShareOk,
    ShareRole,
    ThreadDelete,
    ThreadFork,
    ThreadOk,
    ThreadShare,
    ThreadUpdate,
    Truncate,
    VersionOk,
    Warm,
)
from livethread.model import Metadata, Residency, Role, Run

if TYPE_CHECKING:
    from livethread.client import Client
    from livethread.client_thread import ClientThread


class ThreadCommands:
    """The commands of one thread. Each raises `CommandError` where the server refuses, and waits while the client has
    no connection; `ConnectionClosed` where it does not come back.
    """

    def __init__(self, client: Client, thread: str) -> None:
        self.client = client
        self.id = thread

    # Changing the thread

    async def append(
        self,
        content: str,
        role: Role = "user",
        *,
        message: str | None = None,
        metadata: Metadata | None = None,
    ) -> str:
        """Put a message at the end, with ``message`` as its id where given; its id."""
        return (await self.mutate([Append(Draft(role, content, message, metadata))])).messages[0]

    async def edit(self, message: str, content: str) -> MutateOk:
        """Replace the content of a message."""
        return await self.mutate([Edit(message, content)])

    async def delete_message(self, message: str) -> MutateOk:
        """Take a message out."""
        return await self.mutate([Delete(message)])

    async def truncate(self, after: str | None) -> MutateOk:
        """Take out everything after a message; everything where ``after`` is None."""
        return await self.mutate([Truncate(after)])

    async def mutate(
        self,
        ops: Iterable[Op],
        *,
        expect_version: int | None = None,
        key: str | None = None,
        if_busy: IfBusyMutate = "reject",
    ) -> MutateOk:
        """Apply ops, all or none, in order."""
        command = Mutate(
            id=0,
            thread=self.id,
            ops=tuple(ops),
            expect_version=expect_version,
            key=key,
            if_busy=if_busy,
        )
        return await self.client.call(command, MutateOk)

    async def update(self, **fields: Any) -> int:
        """Change settings (``title``, ``model``, ``sampling``, ``metadata``, ``overflow``, ``pinned``;
        ``expect_version``); None clears one. The thread's new version."""
        return (await self.client.call(ThreadUpdate(id=0, thread=self.id, **fields), VersionOk)).version

    async def fork(
        self, at: str | None = None, *, new_thread: str | None = None, title: str | None = None
    ) -> ClientThread:
        """A new thread that holds this one's messages up to and with ``at``."""
        command = ThreadFork(id=0, thread=self.id, at=at, new_thread=new_thread, title=title)
        return self.client.adopt((await self.client.call(command, ThreadOk)).thread)

    async def delete(self) -> None:
        """Delete the thread on the server, with everything that is kept of it."""
        await self.client.call(ThreadDelete(id=0, thread=self.id), Empty)

    # Its runs

    async def cancel(self, run: str) -> CancelOk:
        """End a run; its state, also where it had ended before."""
        return await self.client.call(Cancel(id=0, run=run), CancelOk)

    async def runs(self) -> tuple[Run, ...]:
        """The runs of this thread: unfinished ones first."""
        return (await self.client.call(Runs(id=0, thread=self.id), RunsOk)).runs

    # Other people

    async def share(
        self,
        role: ShareRole | None = None,
        *,
        principal: str | None = None,
        invite: bool | str | None = None,
        expires_s: int | None = None,
    ) -> ShareOk:
        """Give a ``principal`` a role on the thread, or take it away: ``none``. With ``invite=True`` the answer holds
        a token that gives the role to whoever takes it up with ``share(invite=token)``."""
        command = ThreadShare(id=0, thread=self.id, principal=principal, invite=invite, role=role, expires_s=expires_s)
        return await self.client.call(command, ShareOk)

    async def presence(self, typing: bool = False) -> None:
        """Let the others see that somebody looks at the thread, and whether he is typing: say that again every few
        seconds. It holds until the thread is unsubscribed from; `attach` first."""
        await self.client.call(Presence(id=0, thread=self.id, typing=typing), Empty)

    # The thread's context

    async def draft(self, text: str) -> None:
        """Have the model read ahead what a person is typing as the next message; it is not kept."""
        await self.client.call(ReadDraft(id=0, thread=self.id, text=text), Empty)

    async def warm(self) -> Residency:
        """Make the thread's context live; where it is then."""
        return (await self.client.call(Warm(id=0, thread=self.id), ResidencyOk)).residency

    async def evict(self) -> Residency:
        """Put the thread's context on disk, from where it can be restored; where it is then."""
        return (await self.client.call(Evict(id=0, thread=self.id), ResidencyOk)).residency
