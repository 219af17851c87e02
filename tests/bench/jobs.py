"""What the bench asks of its client process, and what that answers: plain values that travel as JSON lines.

All clock readings are ``time.monotonic()`` in seconds, which all processes of a machine share.
"""

from __future__ import annotations

from msgspec import Struct


class Ask(Struct, frozen=True, kw_only=True):
    """Say ``content`` on a fresh thread and let at most ``max_tokens`` be generated.

    ``system`` is the thread's system message; without one the model's chat template may add its own.
    """

    thread: str
    content: str
    max_tokens: int
    system: str | None = None


class Job(Struct, frozen=True, kw_only=True):
    """What to do on one connection. ``biases`` are added to the logits of tokens in every run.

    ``together`` are all asked at once. As soon as each of them streams, ``after`` are asked one by one;
    behind the last of them, what still streams is cancelled. Without any ``after`` all run to their end.
    The threads are deleted in the end.
    """

    together: tuple[Ask, ...] = ()
    after: tuple[Ask, ...] = ()
    biases: dict[int, float] = {}


class Arrival(Struct, frozen=True, array_like=True):
    """A delta came in ``at``; with it the run's first ``to`` tokens are out."""

    at: float
    to: int


class Story(Struct, kw_only=True):
    """What the client saw of one run. ``sent_at`` is read right before ``generate`` is sent. ``text`` is what the
    deltas join to, ``torn`` whether two of them did not touch, ``final`` what the message holds in the end.
    """

    run: str
    sent_at: float
    deltas: list[Arrival] = []
    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    sources: dict[str, int] = {}
    reason: str = ""
    timings: dict[str, float] = {}
    text: str = ""
    torn: bool = False
    final: str = ""
    starts: int = 0

    @property
    def first_at(self) -> float:
        """When the first delta came in."""
        return self.deltas[0].at

    @property
    def first(self) -> float:
        """Seconds to the first token."""
        return self.first_at - self.sent_at

    @property
    def computed(self) -> int:
        """Tokens of the prompt that were not reused."""
        return self.prompt_tokens - self.reused_tokens


class Outcome(Struct, frozen=True, kw_only=True):
    """The stories of a job's runs, in the order of its asks."""

    together: tuple[Story, ...]
    after: tuple[Story, ...]
