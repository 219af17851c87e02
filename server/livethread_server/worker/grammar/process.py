"""Forks a child for each grammar, which may die of it, and tells what became of it.

The process has llama.cpp and the vocabulary loaded, so that a question costs a fork and the trial itself. It
must never know the engine, and never meets a grammar itself.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
from collections import deque
from pathlib import Path

from livethread_server.engine.grammar_wire import AT_ONCE, GrammarQuestion, GrammarVerdict, unpack_questions
from livethread_server.engine.packing import pack
from livethread_server.worker.grammar.gbnf import Refused
from livethread_server.worker.grammar.trial import Laboratory

MEMORY_BYTES = 256 << 20
"""What a trial may take beyond what the process has when it begins."""
CPU_SECONDS = 1.0
"""How much CPU time a trial may take."""
WALL_SECONDS = 4.0
"""How long a trial may take where the machine has other things to do."""
_STACK_BYTES = 2 << 20
"""A quarter of the stack that the engine has: what fits here fits there."""
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_PARSER_PREFIX = "error parsing grammar: "


class GrammarProcess:
    """Forks one child per question, so many at a time, and passes on what it wrote, or what it died of."""

    def __init__(self, laboratory: Laboratory) -> None:
        self._laboratory = laboratory
        self._questions = unpack_questions()
        self._waiting: deque[GrammarQuestion] = deque()
        self._trials = 0
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Answer until standard input ends."""
        self._selector.register(_STDIN, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if isinstance(key.data, _Trial):
                    self._hear(key.data)
                elif not self._read():
                    return

    def _read(self) -> bool:
        data = os.read(_STDIN, 1 << 16)
        self._waiting.extend(self._questions.feed(data))
        self._begin()
        return bool(data)

    def _begin(self) -> None:
        """Try what waits, as far as there may be more children."""
        while self._waiting and self._trials < AT_ONCE:
            trial = _Trial(self._waiting.popleft(), self._laboratory)
            self._trials += 1
            self._selector.register(trial.pipe, selectors.EVENT_READ, trial)

    def _hear(self, trial: _Trial) -> None:
        if trial.hear():
            return
        self._selector.unregister(trial.pipe)
        self._trials -= 1
        _write(_STDOUT, trial.end())
        self._begin()


class _Trial:
    """One child at work. ``pipe`` is the descriptor its packed verdict comes from."""

    def __init__(self, question: GrammarQuestion, laboratory: Laboratory) -> None:
        self._number = question.number
        self._said = b""
        self.pipe, their_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _write(their_end, pack(_try(question, laboratory)))
            finally:
                os._exit(0)
        os.close(their_end)

    def hear(self) -> bool:
        """Take what the child says; False at its end."""
        data = os.read(self.pipe, 1 << 16)
        self._said += data
        return bool(data)

    def end(self) -> bytes:
        """The packed verdict, when there is nothing more to hear."""
        os.close(self.pipe)
        _, status = os.waitpid(self._pid, 0)
        if os.WIFSIGNALED(status):
            return pack(self._death(os.WTERMSIG(status)))
        return self._said or pack(self._death(signal.SIGKILL))

    def _death(self, number: int) -> GrammarVerdict:
        if number == signal.SIGALRM:  # another time the machine may have less to do
            why = f"checking it took longer than {WALL_SECONDS:g} s; try again, or make it simpler"
            return GrammarVerdict(self._number, refusal=why, final=False)
        if number == signal.SIGPROF:
            why = f"checking it takes longer than {CPU_SECONDS:g} s; make it simpler"
        else:
            why = f"it nests too deep, or takes more than {MEMORY_BYTES >> 20} MiB; make it flatter or smaller"
        return GrammarVerdict(self._number, refusal=why)


def _try(question: GrammarQuestion, laboratory: Laboratory) -> GrammarVerdict:
    """In the child: set the limits, then meet the grammar."""
    said = _keep_stderr()
    _limit()
    try:
        gbnf = laboratory.prove(question.grammar, question.json_schema)
    except Refused as refusal:
        return GrammarVerdict(question.number, refusal=str(refusal) or _parser_words(said))
    except MemoryError:
        return GrammarVerdict(question.number, refusal="it takes too much memory; make it smaller")
    return GrammarVerdict(question.number, gbnf=gbnf)


def _limit() -> None:
    # Both signals end the child where it is, be it inside C.
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    for limit, soft in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_STACK, _STACK_BYTES)):
        resource.setrlimit(limit, (soft, resource.getrlimit(limit)[1]))
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere the time alone has to do
        room = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (room, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _keep_stderr() -> int:
    """Let llama.cpp's parser, which prints its errors, write to a pipe; returns where to read it."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    os.set_blocking(theirs, False)  # a full pipe loses words and stops nobody
    os.dup2(theirs, _STDERR)
    os.close(theirs)
    os.close(_STDOUT)
    return ours


def _parser_words(said: int) -> str:
    """The first error of llama.cpp's parser, with a little of the text it stumbled over."""
    try:
        text = os.read(said, 1 << 16).decode("utf-8", "replace")
    except BlockingIOError:  # nothing was said
        return "llama.cpp cannot read it"
    words = text.partition(_PARSER_PREFIX)[2] or text
    line = " ".join(words.partition("\n\n")[0].split())[:200]
    return f"{line} the end" if line.endswith(" at") else line


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
