"""One run from its submission to its end, over as many lives of the engine process as that takes.

This module must never know the process, or the runs beside.
"""

from __future__ import annotations

import time

import msgspec

from livethread_server.engine.outputs import RunOutputs
from livethread_server.engine.wire import Delta, Finished, Output, Submit

SUSPECT = 2
"""Deaths of the engine with a run in it, after which the run goes on with nothing beside it."""
TRUSTED = 32
"""New tokens after which a run's deaths are forgotten."""


class Ongoing:
    """What a run was asked and what it has told, so that another process can go on where one died.

    ``outputs`` is for its reader, who sees one run: one start with the figures of the first one, no text twice.
    ``cancelled`` is set while the process has been asked to end it.
    """

    def __init__(self, submit: Submit) -> None:
        self.outputs = RunOutputs(submit.run, told=len(submit.generated))
        self.cancelled = False
        self._submit = submit
        self._tokens = list(submit.generated)
        self._characters = submit.said
        self._started = False
        self._first_at: float | None = None
        self._deaths = 0
        self._since_death = 0

    @property
    def suspect(self) -> bool:
        """Whether the engine has died so often with it that nothing should be beside it."""
        return self._deaths >= SUSPECT

    def rest(self) -> Submit:
        """What to submit so that it goes on where it is."""
        return msgspec.structs.replace(self._submit, generated=tuple(self._tokens), said=self._characters)

    def wait(self, position: int) -> None:
        """It waits for the engine at this place; one that has started does so unseen."""
        self.outputs.position = 0 if self._started else position

    def died(self) -> None:
        """The process died with the run in it."""
        self._deaths += 1
        self._since_death = 0

    def hear(self, output: Output) -> None:
        """The process said something about the run; tell of it what is new."""
        if output.delta is not None and (output.started, output.progress, output.finished) == (None, None, None):
            self._note(output.delta)  # the usual case, at every token of every run
            self.outputs.put(output)
            return
        fresh = msgspec.structs.replace(
            output,
            started=None if self._started else output.started,
            progress=None if self._tokens else output.progress,
            finished=None if output.finished is None else self._whole(output.finished),
        )
        self._started = self._started or output.started is not None
        if output.delta is not None:
            self._note(output.delta)
        if fresh != Output(output.run):
            self.outputs.put(fresh)

    def _note(self, delta: Delta) -> None:
        self._first_at = self._first_at or time.monotonic()
        self._tokens += delta.tokens
        self._characters += len(delta.text)
        self._since_death += len(delta.tokens)
        if self._since_death >= TRUSTED:
            self._deaths = 0

    def _whole(self, finished: Finished) -> Finished:
        """The end as of one life: a later process knows neither when the first token came nor, where it failed
        early, how many there were.
        """
        moments = [at for at in (self._first_at, finished.first_at) if at is not None]
        return msgspec.structs.replace(
            finished,
            completion=max(finished.completion, len(self._tokens)),
            first_at=min(moments, default=None),
        )
