"""Runs on their way to a sequence: their chunks looked for and read, then let in one after the other.

This module must never know how batches are put together, or how tokens are drawn or told.
"""

from __future__ import annotations

import time

from livethread.model import Reason
from livethread_server.engine.wire import Finished, Output, Submit
from livethread_server.worker.cache import Place, most_reusable, upcoming, worth
from livethread_server.worker.chunk import scope_of
from livethread_server.worker.llama import Candidates, Context, DecodeFailed
from livethread_server.worker.residency import packed
from livethread_server.worker.restore import Fetch
from livethread_server.worker.run import Run
from livethread_server.worker.sampling import Sampler, Unusable
from livethread_server.worker.sequence import Sequence
from livethread_server.worker.tiers import Tiers

MOVED = 512
"""Tokens whose KV is copied, put back or saved for new runs before the others have their next step."""
TRIES = 3
"""How often chunks are looked for again for a run when some turned out to be bad."""


class _Asked:
    """A run that waits for a sequence, and maybe for chunks that are being read for it. ``hurries`` while what it is to
    copy is there for this step only.
    """

    def __init__(self, arrived_at: float, submit: Submit, fetch: Fetch | None) -> None:
        self.arrived_at = arrived_at
        self.submit = submit
        self.fetch = fetch
        self.tries = 0
        self.looked = fetch is not None
        self.follows: tuple[Run, int] | None = None
        self.hurries = False

    @property
    def ready(self) -> bool:
        """Whether nothing is being read for it."""
        return self.fetch is None or self.fetch.done


class Entrance:
    """The runs that have no sequence of a context yet, in the order they came."""

    def __init__(self, context: Context, tiers: Tiers) -> None:
        self._context = context
        self._model = context.model
        self._candidates = Candidates(self._model.vocabulary)
        self._tiers = tiers
        self._slots = tiers.residencies.slots
        self._waiting: list[_Asked] = []
        self._refused: list[Output] = []

    @property
    def empty(self) -> bool:
        """Whether no run waits."""
        return not self._waiting

    @property
    def ready(self) -> bool:
        """Whether a run waits for nothing but a sequence."""
        return any(asked.ready for asked in self._waiting)

    @property
    def urgent(self) -> bool:
        """Whether a thread's run waits."""
        return any(not asked.submit.side for asked in self._waiting)

    def ask(self, arrived_at: float, submit: Submit, fetch: Fetch | None) -> None:
        """A run has come. ``fetch`` is what is being read for its thread already; it is used where it serves."""
        self._waiting.append(_Asked(arrived_at, submit, self._adopt(submit, fetch)))

    def withdraw(self, run: str) -> None:
        """Cancel a run, if it waits."""
        for asked in [each for each in self._waiting if each.submit.run == run]:
            self._waiting.remove(asked)
            self._give_back(asked.fetch)
            self._refuse(run, "cancelled")

    def refused(self) -> list[Output]:
        """The ends since the last call of runs that were not let in."""
        refused, self._refused = self._refused, []
        return refused

    def admit(self) -> None:
        """Give sequences to waiting runs, threads' before tasks', until enough KV was moved for one step. Who waits for
        chunks, or for another's prompt that begins as his, is overtaken.
        """
        moved, full = 0, set[bool]()
        for asked in sorted(self._waiting, key=lambda asked: asked.submit.side):
            if self._trouble(asked.submit) is not None:
                self._begin(asked, None)
                continue
            chosen = None if asked.submit.side in full else self._slots.choose(asked.submit)
            if chosen is None:
                full.add(asked.submit.side)
                continue
            if self._must_wait(asked, chosen) or self._follows(asked, chosen):
                continue
            moved += 0 if asked.hurries else self._moving(asked, chosen)
            self._begin(asked, chosen)
            if moved >= MOVED:
                return

    def _moving(self, asked: _Asked, chosen: Place) -> int:
        """Tokens whose KV has to be moved before the run can begin."""
        copied = chosen.source.in_kv if chosen.source else 0
        saved = chosen.target.in_kv if self._slots.must_save(asked.submit, chosen) else 0
        return copied + saved + (asked.fetch.count if asked.fetch else 0)

    def trouble(self, tokens: tuple[int, ...]) -> str | None:
        """Why these tokens cannot be put into KV."""
        count, length, vocabulary = len(tokens), self._context.length, self._model.vocabulary
        if not 0 < count <= length:
            return f"The prompt has {count} tokens; send 1 to {length}."
        if min(tokens) < 0 or max(tokens) >= vocabulary:
            return f"The prompt holds a token outside the vocabulary; tokens end at {vocabulary - 1}."
        return None

    def _trouble(self, submit: Submit) -> str | None:
        tokens = submit.tokens
        return self.trouble(tokens) or self.trouble(tokens + submit.generated) or self.trouble(tokens + submit.forced)

    def _adopt(self, submit: Submit, fetch: Fetch | None) -> Fetch | None:
        """What is being read for the thread already, if it is what the run needs."""
        if fetch and fetch.serves(packed(submit.tokens), scope_of(submit.tenant), most_reusable(submit.tokens)):
            return fetch
        self._give_back(fetch)
        return None

    def _give_back(self, fetch: Fetch | None) -> None:
        if fetch is not None:
            self._tiers.restores.give_back(fetch)

    def _must_wait(self, asked: _Asked, chosen: Place) -> bool:
        """Look for chunks that are worth it; whether they are still being read."""
        if asked.fetch and asked.fetch.done and asked.fetch.failed:
            self._tiers.restores.give_back(asked.fetch)
            asked.fetch, asked.looked = None, asked.tries >= TRIES
        if not asked.looked:
            asked.looked, asked.tries = True, asked.tries + 1
            submit = asked.submit
            asked.fetch = self._tiers.restores.begin(
                packed(submit.tokens),
                scope_of(submit.tenant),
                most_reusable(submit.tokens),
                chosen.reuse + worth(submit.thread),
            )
        return not asked.ready

    def _follows(self, asked: _Asked, chosen: Place) -> bool:
        """Whether somebody is at what the run begins with: to wait for that is cheaper than to do it again."""
        asked.hurries = False
        if asked.follows is None:
            asked.follows = self._upcoming(asked, chosen)
        if asked.follows is None:
            return False
        run, until = asked.follows
        if any(slot.run is run and run.ingesting and slot.in_kv < until for slot in self._slots.running()):
            return True
        asked.follows = None
        asked.hurries = not self._model.cuttable
        return False

    def _upcoming(self, asked: _Asked, chosen: Place) -> tuple[Run, int] | None:
        """Whom to wait for, and until he has how many tokens. Memory that cannot be cut can be copied as it is only:
        then it must be the place where the other's prompt pauses to be marked, as it does where both are the same.
        """
        held = max(chosen.reuse, asked.fetch.count if asked.fetch else 0)
        submit = asked.submit
        found = upcoming(
            self._slots.running(), thread=submit.thread, tenant=submit.tenant, tokens=submit.tokens, held=held
        )
        if found is None or self._model.cuttable:
            return found
        run, until = found
        return found if until == most_reusable(run.submit.tokens) else None

    def _begin(self, asked: _Asked, chosen: Place | None) -> None:
        self._waiting.remove(asked)
        submit, sampler = asked.submit, None
        try:
            sampler = self._sampler(submit)
            assert chosen is not None
            slot, fetch = self._take(asked, chosen)
        except (Unusable, DecodeFailed) as error:
            if sampler is not None:
                sampler.close()
            self._give_back(asked.fetch)
            self._refuse(submit.run, "error", str(error))
            return
        ram, disk = (fetch.ram, fetch.disk) if fetch else (0, 0)
        slot.eager = 0
        self._slots.mark(slot)
        live, computed = slot.in_kv - ram - disk, slot.left
        self._tiers.count(live=live, ram=ram, disk=disk, computed=computed, side=submit.side)
        slot.run = Run(
            submit,
            sampler,
            reused=slot.in_kv,
            arrived_at=asked.arrived_at,
            at=time.monotonic(),
            ram=ram,
            disk=disk,
        )

    def _take(self, asked: _Asked, chosen: Place) -> tuple[Sequence, Fetch | None]:
        """The run's sequence, and the fetch whose state lies under it, if one was better than what is live."""
        fetch = asked.fetch
        try:
            if (
                fetch
                and fetch.state is not None
                and not fetch.failed
                and fetch.count >= chosen.reuse + worth(asked.submit.thread)
            ):
                return self._slots.take(asked.submit, Place(chosen.target, fetch.count), fetch.state), fetch
        except DecodeFailed:  # llama.cpp has no room for it, or does not like it: then it is computed
            return self._slots.take(asked.submit, Place(chosen.target, 0)), None
        finally:
            self._give_back(fetch)
        return self._slots.take(asked.submit, chosen), None

    def _sampler(self, submit: Submit) -> Sampler:
        if trouble := self._trouble(submit):
            raise Unusable(trouble)
        return Sampler(self._model, self._candidates, submit.sampling, submit.tokens, self._context.length)

    def _refuse(self, run: str, reason: Reason, error: str | None = None) -> None:
        self._refused.append(Output(run, finished=Finished(reason, 0, None, time.monotonic(), error)))
