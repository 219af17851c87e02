"""The grammar process, with a laboratory that says how many children there are."""

from __future__ import annotations

import os
import subprocess
import sys

from livethread_server.engine.grammar_wire import AT_ONCE, GrammarQuestion, GrammarVerdict, unpack_verdicts
from livethread_server.engine.packing import pack

PROGRAM = """
import os, time
import psutil
from livethread_server.worker.grammar.process import GrammarProcess

class Counting:
    def prove(self, grammar, json_schema):
        time.sleep(0.02)
        return str(len(psutil.Process(os.getppid()).children()))

GrammarProcess(Counting()).serve()
"""


def test_only_so_many_children_are_there_at_once_and_all_questions_are_answered() -> None:
    asked = 3 * AT_ONCE
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"".join(pack(GrammarQuestion(number, "", None)) for number in range(asked)))
    process.stdin.flush()
    verdicts: list[GrammarVerdict] = []
    unpacker = unpack_verdicts()
    while len(verdicts) < asked:
        data = os.read(process.stdout.fileno(), 1 << 16)
        assert data
        verdicts += unpacker.feed(data)
    process.communicate()
    assert sorted(verdict.number for verdict in verdicts) == list(range(asked))
    assert max(int(verdict.gbnf or 0) for verdict in verdicts) <= AT_ONCE
