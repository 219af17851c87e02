"""Grammars from strangers, with the real vocabulary: what is proved, what is refused, and that nothing dies of it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.grammar import REMEMBERED, GrammarCheck
from livethread_server.engine.grammar_wire import AT_ONCE

DOUBLING = "\n".join(f'r{level} ::= r{level + 1} | r{level + 1} "a"' for level in range(30)) + '\nr30 ::= "a"'
LATE = "\n".join(f'r{level} ::= r{level + 1} | r{level + 1} "a"' for level in range(14)) + '\nr14 ::= "b"'
SLOW = "simpler|takes too long"
"""Which limit of time is met first depends on the machine."""
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 400},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 300},
        "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{1,3}$"},
    },
    "required": ["name", "age"],
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def check(model_path: Path) -> AsyncIterator[GrammarCheck]:
    """One process for all tests that leave it alive."""
    check = GrammarCheck(model_path)
    yield check
    await check.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def mortal(model_path: Path) -> AsyncIterator[GrammarCheck]:
    """A process of the test's own."""
    mortal = GrammarCheck(model_path)
    yield mortal
    await mortal.stop()


async def _grammar(check: GrammarCheck, grammar: str) -> str:
    return await check.compile(grammar=grammar, json_schema=None)


async def _schema(check: GrammarCheck, schema: dict[str, Any]) -> str:
    return await check.compile(grammar=None, json_schema=schema)


async def _refused(check: GrammarCheck, *, grammar: str | None = None, schema: dict[str, Any] | None = None) -> str:
    with pytest.raises(CommandError) as caught:
        await check.compile(grammar=grammar, json_schema=schema)
    assert caught.value.code is ErrorCode.BAD_REQUEST
    assert caught.value.details == {"field": "sampling.json_schema" if grammar is None else "sampling.grammar"}
    assert "\n" not in caught.value.message
    return caught.value.message


def _process() -> psutil.Process:
    """The grammar process that was started last."""
    children = psutil.Process().children()
    ours = [child for child in children if "livethread_server.worker.grammar" in child.cmdline()]
    return max(ours, key=lambda child: (child.create_time(), child.pid))


async def test_a_grammar_comes_back_as_it_was(check: GrammarCheck) -> None:
    grammar = 'root ::= "yes" | "no" # decide'
    assert await _grammar(check, grammar) == grammar


async def test_constants_are_written_as_json_writes_them(check: GrammarCheck) -> None:
    gbnf = await _schema(check, {"enum": ['say "é"', "back\\slash\n", "\0"]})
    assert r'"\"say \\\"é\\\"\""' in gbnf
    assert r'"\"back\\\\slash\\n\""' in gbnf
    assert r'"\"\\u0000\""' in gbnf


async def test_a_schema_becomes_a_grammar(check: GrammarCheck) -> None:
    gbnf = await _schema(check, PERSON)
    assert "root ::= " in gbnf
    assert "char{1,400}" in gbnf
    assert await _grammar(check, gbnf) == gbnf


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ({"type": "array", "items": {"type": "null"}, "maxItems": 0}, '"[" space  "]" space'),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 1}, "(null)?"),
        ({"type": "array", "items": {"type": "null"}}, '(null ("," space null)*)?'),
        ({"type": "array", "items": {"type": "null"}, "minItems": 1}, 'null ("," space null)*'),
        ({"type": "array", "items": {"type": "null"}, "minItems": 2}, 'null ("," space null)+'),
        ({"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 5}, 'null ("," space null){1,4}'),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 5}, '(null ("," space null){0,4})?'),
        ({"type": "string", "minLength": 3}, "char{3,}"),
        ({"type": "string", "maxLength": 2000}, "char{0,2000}"),
    ],
)
async def test_repetitions_are_counted_not_nested(check: GrammarCheck, schema: dict[str, Any], part: str) -> None:
    assert part in await _schema(check, schema)


@pytest.mark.parametrize(
    "schema",
    [{}, {"type": "boolean"}, {"const": 'a"b\\c\n'}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}, PERSON],
)
async def test_ordinary_schemas_pass(check: GrammarCheck, schema: dict[str, Any]) -> None:
    assert await _schema(check, schema)


@pytest.mark.parametrize(
    ("grammar", "why"),
    [
        ("root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000, "nest deeper"),
        ("root ::= " + "(" * 20_000, "nest deeper"),
        ("root ::= r0\n" + DOUBLING, SLOW),
        ('root ::= "x" r0\n' + LATE, SLOW),
        ('root ::= "x" (.?){1000}', SLOW),
        ('root ::= "a"{100000000}', "repetitions"),
        ('root ::= "a"{0,10000000}', "repetitions"),
    ],
    ids=["parens", "open parens", "doubling", "late doubling", "optional", "times", "maximum"],
)
async def test_bombs_are_refused_and_the_next_grammar_is_not(check: GrammarCheck, grammar: str, why: str) -> None:
    assert re.search(why, await _refused(check, grammar=grammar))
    assert await _grammar(check, 'root ::= "still here"')


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "array", "items": {"type": "string"}, "maxItems": 10**7}, "repetitions"),
        ({"type": "string", "maxLength": 2001}, "counts to 2001"),
        ({"type": "string", "minLength": -1}, "-1 is not a number of repetitions"),
        ({"type": "string", "minLength": 1.5}, "1.5 is not a number of repetitions"),
        ({"type": "string", "minLength": "a"}, "'a' is not a number of repetitions"),
        ({"type": "string", "minLength": 4, "maxLength": 3}, "exclude each other"),
        ({"type": "string", "pattern": "a("}, "Pattern must start"),
        ({"type": 17}, "Unrecognized schema"),
        ({"$ref": "#/definitions/none"}, "Error resolving ref"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "left recursion"),
        ({"$ref": "https://example.com/schema"}, "remote"),
        ({"allOf": 3}, "cannot be converted"),
        ({"enum": ["\ud800"]}, "surrogate"),
        ({"enum": [f"{number:08d}" for number in range(20_000)]}, "bytes of GBNF"),
        ({"x": float("nan")}, "not JSON"),
        ({"x": b"bytes"}, "not JSON"),
        ({"description": "x" * (1 << 20)}, "Send at most"),
    ],
    ids=lambda value: value if isinstance(value, str) else "schema",
)
async def test_bad_schemas_are_refused_with_a_reason(check: GrammarCheck, schema: dict[str, Any], why: str) -> None:
    assert why in await _refused(check, schema=schema)


@pytest.mark.parametrize(("levels", "why"), [(300, "cannot be used"), (50_000, "not JSON")])
async def test_schemas_inside_schemas_are_refused_with_a_reason(check: GrammarCheck, levels: int, why: str) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    assert why in await _refused(check, schema=schema)


@pytest.mark.parametrize(
    ("grammar", "why"),
    [
        ("", "'root'"),
        ('foo ::= "a"', "'root'"),
        ('root ::= root "a" | "b"', "left recursion"),
        ('root ::= ("a"', "expecting ')' at the end"),
        ("root ::= missing", "Undefined rule identifier 'missing'"),
        ("root ::= <[49152]>", "the vocabulary ends at 49151"),
        ("root ::= <no-such-token>", "invalid token '<no-such-token>'"),
        ('root ::= "\\x00"', "NUL"),
        ("root ::= [\\x00]", "no token of the model fits"),
        ('root ::= "\ud800"', "surrogate"),
        ("x" * ((1 << 20) + 1), "Send at most"),
    ],
    ids=lambda value: value[:24],
)
async def test_bad_grammars_are_refused_with_a_reason(check: GrammarCheck, grammar: str, why: str) -> None:
    assert why in await _refused(check, grammar=grammar)


async def test_tokens_can_be_named(check: GrammarCheck) -> None:
    assert await _grammar(check, "root ::= <|im_start|> <[49151]>")


async def test_exactly_one_of_the_two_is_taken(check: GrammarCheck) -> None:
    for grammar, schema in ((None, None), ('root ::= "a"', {})):
        with pytest.raises(CommandError, match="either a grammar or a json_schema"):
            await check.compile(grammar=grammar, json_schema=schema)


async def test_many_checks_at_once_are_all_answered(check: GrammarCheck) -> None:
    grammars = [f'root ::= "{number}"' for number in range(20)]
    assert await asyncio.gather(*(_grammar(check, grammar) for grammar in grammars)) == grammars


async def test_who_goes_away_leaves_its_trial_its_slot(check: GrammarCheck) -> None:
    await check.start()
    assert check._peer is not None
    asked = 0
    for number in range(5 * AT_ONCE):
        asking = asyncio.create_task(_grammar(check, f'root ::= "gone {number}"'))
        for _ in range(3):
            await asyncio.sleep(0)  # let it ask, where it may
        asking.cancel()
        await asyncio.wait([asking])
        asked = max(asked, len(check._peer._waiting))
    assert 0 < asked <= AT_ONCE
    assert await _grammar(check, 'root ::= "there"') == 'root ::= "there"'
    assert await _grammar(check, 'root ::= "gone 0"') == 'root ::= "gone 0"'


async def test_a_verdict_is_remembered(mortal: GrammarCheck) -> None:
    await _grammar(mortal, 'root ::= "a"')
    await _refused(mortal, grammar="root ::= missing")
    await mortal.stop()
    assert await _grammar(mortal, 'root ::= "a"') == 'root ::= "a"'
    assert "missing" in await _refused(mortal, grammar="root ::= missing")


async def test_only_so_many_verdicts_are_remembered(mortal: GrammarCheck) -> None:
    for number in range(REMEMBERED + 1):
        await _refused(mortal, grammar=f"no root {number}")
    await mortal.stop()
    assert await _refused(mortal, grammar=f"no root {REMEMBERED}")
    with pytest.raises(CommandError) as caught:
        await _grammar(mortal, "no root 0")
    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE


async def test_a_process_that_died_is_started_again(mortal: GrammarCheck) -> None:
    await mortal.start()
    for number in range(3):
        await _grammar(mortal, f'root ::= "{number}"')
        child = _process()
        child.kill()
    assert await _grammar(mortal, 'root ::= "again"')


async def test_a_process_that_dies_over_a_question_is_asked_once_more(mortal: GrammarCheck) -> None:
    await mortal.start()
    child = _process()
    asking = asyncio.create_task(_grammar(mortal, 'root ::= "a"'))
    await asyncio.sleep(0)  # let it ask
    child.kill()
    assert await asking == 'root ::= "a"'


async def test_a_model_that_cannot_be_loaded_is_unavailable(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check = GrammarCheck(tmp_path / "none.gguf")
    with pytest.raises(CommandError) as caught:
        await _grammar(check, 'root ::= "a"')
    assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE
    assert caught.value.retryable
    assert "cannot read the vocabulary" in capfd.readouterr().err
    await check.stop()


async def test_it_ignores_an_interrupt_and_ends_when_stopped(mortal: GrammarCheck) -> None:
    await _grammar(mortal, 'root ::= "a"')
    child = _process()
    os.kill(child.pid, signal.SIGINT)
    assert await _grammar(mortal, 'root ::= "b"')
    assert child.is_running()
    await mortal.stop()
    assert not child.is_running()
    with pytest.raises(CommandError):
        await _grammar(mortal, 'root ::= "c"')


async def test_it_ends_when_its_server_dies(model_path: Path) -> None:
    program = (
        "import asyncio, os, sys; from pathlib import Path\n"
        "from livethread_server.engine.grammar import GrammarCheck\n"
        "async def main():\n"
        "    check = GrammarCheck(Path(sys.argv[1]))\n"
        "    await check.compile(grammar='root ::= \"a\"', json_schema=None)\n"
        "    print(check._peer._process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(model_path)), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout
    orphan = psutil.Process(int(await server.stdout.readline()))
    server.kill()
    await server.wait()
    await asyncio.to_thread(psutil.wait_procs, [orphan], 10)
    assert not orphan.is_running()
