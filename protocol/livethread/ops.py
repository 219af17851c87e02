"""What changes the messages of a thread: ops as a client asks for them, and as they were applied.

This module must never know which command or event carries them.
"""

from __future__ import annotations

from msgspec import Struct

from livethread.model import Id, Message, Metadata, Role


class Draft(Struct, frozen=True, forbid_unknown_fields=True):
    """A message as a client writes it (``M`` in the contract)."""

    role: Role
    content: str
    id: Id | None = None
    metadata: Metadata | None = None


# Ops, as a client asks for them


class Append(Struct, frozen=True, tag_field="op", tag="append", forbid_unknown_fields=True):
    """Put a message at the end."""

    message: Draft


class Insert(Struct, frozen=True, tag_field="op", tag="insert", forbid_unknown_fields=True):
    """Put a message before another."""

    before: Id
    message: Draft


class Edit(Struct, frozen=True, tag_field="op", tag="edit", forbid_unknown_fields=True):
    """Replace the content of a message; its token ids are dropped."""

    message: Id
    content: str


class Delete(Struct, frozen=True, tag_field="op", tag="delete", forbid_unknown_fields=True):
    """Take a message out."""

    message: Id


class Truncate(Struct, frozen=True, tag_field="op", tag="truncate", forbid_unknown_fields=True):
    """Take out everything after a message; ``after: null`` takes out everything."""

    after: Id | None


Op = Append | Insert | Edit | Delete | Truncate


# Ops, as applied and told to subscribers


class Appended(Struct, frozen=True, tag_field="op", tag="append"):
    """A whole message was put at the end."""

    message: Message


class Inserted(Struct, frozen=True, tag_field="op", tag="insert"):
    """A whole message was put before another."""

    before: str
    message: Message


class Edited(Struct, frozen=True, tag_field="op", tag="edit"):
    """The message with this id now is this whole message."""

    message: Message


class Deleted(Struct, frozen=True, tag_field="op", tag="delete"):
    """A message was taken out."""

    message: str


class Truncated(Struct, frozen=True, tag_field="op", tag="truncate"):
    """Everything after a message was taken out."""

    after: str | None


AppliedOp = Appended | Inserted | Edited | Deleted | Truncated
