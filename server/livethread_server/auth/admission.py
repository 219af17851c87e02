"""What proving who one is comes to: an admission, or a refusal.

This module must never know how a token is checked, and nothing here ever holds one.
"""

from __future__ import annotations

from typing import Protocol, TypeGuard

from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal

TOKEN_CHARACTERS = 16384
"""The longest token that is looked at; `messages.Hello` has the same bound."""
PRINCIPAL_CHARACTERS = 256
"""The longest id and name of a principal."""


class Admission(Struct, frozen=True, kw_only=True):
    """Somebody has proved to be ``principal``, until ``expires`` (Unix seconds; None is for ever). ``proof`` is what
    an authenticator finds the token by again, and no secret."""

    principal: Principal
    proof: str = ""
    expires: float | None = None


class Authenticator(Protocol):
    """Tells who brings a token."""

    async def admit(self, token: str) -> Admission:
        """Who brings it; `CommandError` ``unauthorized`` where it is worth nothing."""

    def refresh(self) -> None:
        """Look whether anything was revoked. Called about once a second while there are sessions."""

    def holds(self, admission: Admission) -> bool:
        """Whether an admission is still worth something now."""


def unauthorized(sentence: str) -> CommandError:
    """A refusal. The sentence never repeats anything of a token."""
    return CommandError(ErrorCode.UNAUTHORIZED, sentence)


def is_principal(text: object) -> TypeGuard[str]:
    """Whether a text may be a principal's id or name: 1 to 256 characters that can be shown."""
    return isinstance(text, str) and 0 < len(text) <= PRINCIPAL_CHARACTERS and text.isprintable()
