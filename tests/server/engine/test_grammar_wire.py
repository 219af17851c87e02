from __future__ import annotations

from livethread_server.engine.grammar_wire import GrammarQuestion, GrammarVerdict, unpack_questions, unpack_verdicts
from livethread_server.engine.packing import pack


def test_questions_and_verdicts_survive_the_pipe() -> None:
    question = GrammarQuestion(7, 'root ::= "\u00e9"', None)
    assert list(unpack_questions().feed(pack(question))) == [question]
    verdict = GrammarVerdict(7, refusal="it is bad; mend it", final=False)
    assert list(unpack_verdicts().feed(pack(verdict))) == [verdict]
