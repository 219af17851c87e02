"""An engine process without a model, which dies when it is told to.

    python -m tests.fake_worker FOLDER PLAN

Each run's n-th token is n, where it is not forced, with the n-th letter as its text. ``PLAN`` is JSON: ``die`` and
``hang`` list after how many steps each life ends or falls silent (null: never), ``poison`` maps runs to the number of
tokens with which they kill it, ``refuse_from`` is the first life that does not come up, ``moves`` has each run tell
where its thread is, ``tasks`` is how many runs of tasks it takes, ``deadly`` are tokens with which a text to be
embedded kills it, ``late`` those with which it is answered once there is no run; others' vectors are their length and
which life it is. Which runs each life got goes to ``FOLDER``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import string
import struct
import sys
import time
from pathlib import Path
from typing import Any

from livethread_server.engine.packing import pack, unpack_down
from livethread_server.engine.wire import (
    AskStats,
    CancelRun,
    Delta,
    Embed,
    Embedded,
    EmbedEnded,
    Finished,
    Moved,
    Output,
    Ready,
    Started,
    Stats,
    Step,
    Submit,
    Up,
)

SLOTS, CONTEXT, TASKS = 4, 100, 2
LOG = "submits.jsonl"


class FakeWorker:
    """One life of the process."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self._log = folder / LOG
        self._plan = plan
        self._life = _count(folder)
        self._unpacker = unpack_down()
        self._runs: dict[str, Submit] = {}
        self._late: list[Embed] = []
        self._tokens: dict[str, int] = {}
        self._steps = 0

    def serve(self) -> int:
        """Live until the pipe ends."""
        if self._life >= self._plan.get("refuse_from", 1000):
            return 3
        os.read(0, 1 << 16)  # the configuration
        _say(
            Ready(
                context=CONTEXT,
                trained_context=CONTEXT,
                sequences=SLOTS,
                cells=SLOTS * CONTEXT,
                vocabulary=1000,
                description="fake",
                cuttable=True,
                task_sequences=self._plan.get("tasks", TASKS),
                dimensions=2,
                embed_tokens=CONTEXT,
            )
        )
        while self._hear():
            if self._runs:
                self._step()
            while self._late and not self._runs:
                self._embed(self._late.pop())
        return 0

    def _hear(self) -> bool:
        patience = 0.001 if self._runs else None
        if not select.select([0], [], [], patience)[0]:
            return True
        data = os.read(0, 1 << 16)
        for command in self._unpacker.feed(data):
            self._obey(command)
        return bool(data)

    def _obey(self, command: object) -> None:
        if isinstance(command, Submit):
            self._note(command)
            self._runs[command.run] = command
            self._tokens[command.run] = len(command.generated)
            moved = (
                (Moved(command.thread, "live", len(command.tokens)),)
                if self._plan.get("moves") and not command.side
                else ()
            )
            started = Started(len(command.tokens), self._life, 0.0, 0.0)
            _say(Step((Output(command.run, started=started),), moved))
        elif isinstance(command, CancelRun) and command.run in self._runs:
            self._finish(command.run, "cancelled")
        elif isinstance(command, Embed):
            if self._runs and {token for text in command.texts for token in text} & set(self._plan.get("late", ())):
                self._late.append(command)
            else:
                self._embed(command)
        elif isinstance(command, AskStats):
            self._give_out()
            _say(Stats(command.ask, {}))

    def _embed(self, embed: Embed) -> None:
        for index, text in enumerate(embed.texts):
            if set(text) & set(self._plan.get("deadly", ())):
                os.kill(os.getpid(), signal.SIGKILL)
            _say(Embedded(embed.ask, index, struct.pack("<2f", len(text), self._life), 1))
        _say(EmbedEnded(embed.ask))

    def _note(self, submit: Submit) -> None:
        with self._log.open("a") as log:
            row = [self._life, submit.run, len(submit.generated), submit.said, sorted(self._runs)]
            log.write(json.dumps(row) + "\n")

    def _step(self) -> None:
        self._give_out()
        self._steps += 1
        for run in list(self._runs):
            number = self._tokens[run]
            if number == self._plan.get("poison", {}).get(run):
                os.kill(os.getpid(), signal.SIGKILL)
            forced = self._runs[run].forced
            token = forced[number] if forced else number
            _say(Step((Output(run, delta=Delta((token,), string.ascii_letters[token % 52])),)))
            self._tokens[run] += 1
            if self._tokens[run] == (len(forced) or self._runs[run].sampling.max_tokens):
                self._finish(run, "length")

    def _give_out(self) -> None:
        """Die or hang, if it is time."""
        if self._steps == self._now("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._steps == self._now("hang"):
            time.sleep(1000)

    def _now(self, what: str) -> int | None:
        plan: list[int | None] = self._plan.get(what, [])
        return plan[self._life] if self._life < len(plan) else None

    def _finish(self, run: str, reason: Any) -> None:
        del self._runs[run]
        _say(Step((Output(run, finished=Finished(reason, self._tokens[run], 1e12, 1e12)),)))


def submits(folder: Path) -> list[tuple[int, str, int, int, list[str]]]:
    """What each life was given: (life, run, tokens known, characters told, runs beside it)."""
    return [tuple(json.loads(line)) for line in (folder / LOG).read_text().splitlines()]


def _count(folder: Path) -> int:
    lives = folder / "lives"
    life = len(lives.read_text()) if lives.exists() else 0
    lives.write_text("x" * (life + 1))
    return life


def _say(message: Up) -> None:
    os.write(1, pack(message))


if __name__ == "__main__":
    sys.exit(FakeWorker(Path(sys.argv[1]), json.loads(sys.argv[2])).serve())
