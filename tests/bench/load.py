"""The bench's client: a process of its own that takes as little of the CPU as it can.

    python -m tests.bench.load ws://…   (jobs as JSON lines on standard input, outcomes on standard output)

One connection per job for all its threads. This module must never know what is measured.
"""

from __future__ import annotations

import sys
from contextlib import closing

import msgspec

from tests.bench.jobs import Ask, Job, Outcome, Story
from tests.bench.talk import Talk
from tests.bench.wire import Wire


class Conversation:
    """One job on a connection."""

    def __init__(self, talk: Talk, job: Job) -> None:
        self._talk = talk
        self._job = job

    def carry_out(self) -> Outcome:
        """Do what the job says; ValueError where the server refuses a command."""
        asks = self._job.together + self._job.after
        for ask in asks:
            self._open(ask)
        self._talk.settle()
        together = [self._say(ask) for ask in self._job.together]
        self._talk.until(lambda: all(story.deltas for story in together))
        after = [self._hear_out(ask) for ask in self._job.after]
        self._finish(together, cancel=bool(after))
        for ask in asks:
            self._talk.send("thread.delete", thread=ask.thread)
        self._talk.settle()
        return Outcome(together=tuple(together), after=tuple(after))

    def _open(self, ask: Ask) -> None:
        messages = [] if ask.system is None else [{"role": "system", "content": ask.system}]
        biases = {str(token): bias for token, bias in self._job.biases.items()}
        sampling = {"temperature": 0.0, "max_tokens": ask.max_tokens, "logit_bias": biases}
        self._talk.send("thread.create", thread=ask.thread, messages=messages, sampling=sampling)
        self._talk.send("subscribe", thread=ask.thread)

    def _say(self, ask: Ask) -> Story:
        ops = [{"op": "append", "message": {"role": "user", "content": ask.content}}]
        return self._talk.generate(ask.thread, f"run-{ask.thread}", ops=ops)

    def _hear_out(self, ask: Ask) -> Story:
        story = self._say(ask)
        self._finish([story], cancel=False)
        return story

    def _finish(self, stories: list[Story], *, cancel: bool) -> None:
        for story in stories:
            if cancel:
                self._talk.send("cancel", run=story.run)
        self._talk.hear_out(stories)


def main() -> None:
    """Carry out jobs until standard input ends."""
    for line in sys.stdin.buffer:
        with closing(Talk(Wire(sys.argv[1]))) as talk:
            outcome = Conversation(talk, msgspec.json.decode(line, type=Job)).carry_out()
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
