"""What a grammar's text says before any C reads it."""

from __future__ import annotations

import pytest

from livethread_server.worker.grammar.gbnf import GBNF_BYTES, NESTING, REPETITIONS, Refused, check_text

VOCABULARY = 1000


def _refusal(gbnf: str) -> str:
    with pytest.raises(Refused) as caught:
        check_text(gbnf, VOCABULARY)
    return str(caught.value)


@pytest.mark.parametrize(
    "gbnf",
    [
        'root ::= "a"',
        "  root  ::= [a-z]+ # a comment (((",
        '# first\nroot ::= x\nx ::= "(((" [(\\]] ")"',
        'root ::= "\\\\x00" [^\\x00-\\x1f]',
        "root ::= <[999]> !<[0]> <think>",
        f'root ::= "a"{{0,{REPETITIONS}}} "{{1,99999}}"',
        "root ::= " + "(" * NESTING + '"a"' + ")" * NESTING,
        "root ::= " + '("a") ' * 1000,
        'other ::= "x"\r\nroot ::= other',
    ],
)
def test_ordinary_grammars_pass(gbnf: str) -> None:
    check_text(gbnf, VOCABULARY)


@pytest.mark.parametrize(
    ("gbnf", "why"),
    [
        ("", "'root'"),
        (" \n", "'root'"),
        ("# root ::= x", "'root'"),
        ('toor ::= "a"', "'root'"),
        ('root ::= "a\0b"', "NUL character"),
        ('root ::= "\\x00"', "literal character NUL"),
        ('root ::= "a\\u0000"', "literal character NUL"),
        ('root ::= "\\U00000000"', "literal character NUL"),
        ('root ::= "\\\\\\x00"', "literal character NUL"),
        ("root ::= <[1000]>", "token 1000, but the vocabulary ends at 999"),
        ("root ::= !<[" + "9" * 5000 + "]>", "token 99999999999999999999,"),
        (f'root ::= "a"{{0,{REPETITIONS + 1}}}', "counts to 2001"),
        ('root ::= "a"{ 1 , 99999999999999999999 }', "counts to 99999999999999999999"),
        ("root ::= " + "(" * (NESTING + 1) + '"a"' + ")" * (NESTING + 1), "nest deeper"),
        ('root ::= "a" # "\n(' + "(" * NESTING, "nest deeper"),
        ('root ::= "' + "a" * GBNF_BYTES + '"', "bytes of GBNF"),
        ("root ::= " + "é" * (GBNF_BYTES // 2), "bytes of GBNF"),
        ('root ::= "\ud800"', "surrogate"),
    ],
)
def test_what_can_be_seen_to_be_bad_is_refused_with_a_reason(gbnf: str, why: str) -> None:
    assert why in _refusal(gbnf)
