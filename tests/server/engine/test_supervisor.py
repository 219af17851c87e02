from __future__ import annotations

import asyncio
import logging
import sys
import textwrap
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil
import pytest

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine import supervisor as module
from livethread_server.engine.supervisor import DEATHS, Supervisor
from livethread_server.engine.wire import Configure, Ready, Up

CONFIGURE = Configure(model_path="m", context=8, sequences=1)

PRELUDE = """
import os, signal, sys
from livethread_server.engine.packing import pack, unpack_down
from livethread_server.engine.wire import Failed, Moved, Output, Ready, Step

def hear():
    for message in unpacker.feed(os.read(0, 65536)):
        return message

def say(message):
    os.write(1, pack(message))

unpacker = unpack_down()
ready = Ready(context=8, trained_context=8, sequences=1, cells=8, vocabulary=9, description="d", cuttable=True)
configure = hear()
"""


class Kept:
    """A supervisor over a process that follows a script, and what it told."""

    def __init__(self, script: str, *command: str) -> None:
        self.heard: list[Up] = []
        self.deaths: list[str] = []
        self.troubles: list[CommandError] = []
        self.owes = False
        self._died = asyncio.Event()
        self.breaks: Exception | None = None
        self.supervisor = Supervisor(
            CONFIGURE,
            heard=self._hear,
            died=self._note,
            gave_up=self.troubles.append,
            owes=lambda: self.owes,
            watchdog=0.1,
            command=command or (sys.executable, "-c", PRELUDE + textwrap.dedent(script)),
        )

    def _hear(self, message: Up) -> None:
        self.heard.append(message)
        if self.breaks is not None:
            raise self.breaks

    def _note(self, sentence: str) -> None:
        self.deaths.append(sentence)
        self._died.set()

    async def died(self, times: int) -> None:
        while len(self.deaths) < times:
            self._died.clear()
            await self._died.wait()

    async def run(self, scenario: Callable[[Kept], Awaitable[None]]) -> None:
        task = asyncio.create_task(self.supervisor.run())
        await scenario(self)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert self.supervisor.pid is None


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)


def trouble(kept: Kept) -> CommandError:
    assert kept.supervisor.trouble is not None
    return kept.supervisor.trouble


async def test_a_ready_process_is_no_trouble_and_ends_with_its_pipe() -> None:
    async def scenario(kept: Kept) -> None:
        assert trouble(kept).code is ErrorCode.MODEL_LOADING
        await kept.supervisor.settled()
        assert kept.supervisor.trouble is None
        assert isinstance(kept.supervisor.ready, Ready)

    kept = Kept("say(ready)\nwhile os.read(0, 100): pass")
    await kept.run(scenario)
    assert trouble(kept).code is ErrorCode.MODEL_UNAVAILABLE


async def test_a_death_before_ready_is_answered_by_one_try_without_extra_bufts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(kept: Kept) -> None:
        await kept.supervisor.settled()
        assert kept.supervisor.trouble is None
        assert kept.supervisor.restarts == 0

    with caplog.at_level(logging.WARNING):
        await Kept(
            """
            if configure.extra_bufts:
                os.kill(os.getpid(), signal.SIGSEGV)
            say(ready)
            while os.read(0, 100): pass
            """
        ).run(scenario)
    assert len([record for record in caplog.records if "repacked" in record.message]) == 1
    assert "SIGSEGV" in caplog.text


async def test_a_process_that_was_ready_is_started_again_and_its_death_told() -> None:
    async def scenario(kept: Kept) -> None:
        await kept.died(2)
        assert kept.supervisor.restarts >= 2

    kept = Kept("say(ready)\nsay(Step((), (Moved('t', 'live', 1),)))\nos.kill(os.getpid(), signal.SIGKILL)")
    await kept.run(scenario)
    assert "SIGKILL" in kept.deaths[0]


async def test_steps_between_deaths_keep_the_model_available() -> None:
    async def scenario(kept: Kept) -> None:
        await kept.died(DEATHS + 2)
        assert kept.supervisor.trouble is None or trouble(kept).code is ErrorCode.MODEL_LOADING

    await Kept("say(ready)\nsay(Step((Output('r'),)))\nsys.exit(3)").run(scenario)


async def test_a_process_that_only_tells_what_it_found_counts_as_dying_in_a_row() -> None:
    async def scenario(kept: Kept) -> None:
        await kept.died(DEATHS)
        await kept.supervisor.settled()
        assert trouble(kept).code is ErrorCode.MODEL_UNAVAILABLE

    await Kept("say(ready)\nsay(Step((), (Moved('t', 'disk', 1),)))\nsys.exit(3)").run(scenario)


async def test_too_many_deaths_in_a_row_make_the_model_unavailable() -> None:
    async def scenario(kept: Kept) -> None:
        await kept.supervisor.settled()
        assert trouble(kept).code is ErrorCode.MODEL_UNAVAILABLE
        assert "status 3" in trouble(kept).message
        assert kept.supervisor.restarts == DEATHS
        assert [each.message for each in kept.troubles] == [trouble(kept).message]

    await Kept("sys.exit(3)").run(scenario)


async def test_a_model_that_cannot_be_loaded_is_said_in_its_own_words() -> None:
    async def scenario(kept: Kept) -> None:
        await kept.supervisor.settled()
        assert trouble(kept).code is ErrorCode.MODEL_UNAVAILABLE
        assert trouble(kept).message == "No such file."
        assert kept.deaths == []
        assert [each.message for each in kept.troubles] == ["No such file."]

    await Kept("say(Failed('No such file.'))\nsys.exit(1)").run(scenario)


async def test_a_model_that_was_unavailable_and_is_loaded_again_is_waited_for() -> None:
    supervisor = Kept("").supervisor
    supervisor._give_up("No such file.")
    await supervisor.settled()
    supervisor._load("It is being started again.")
    waiting = asyncio.ensure_future(supervisor.settled())
    await asyncio.sleep(0)
    assert not waiting.done()
    supervisor._give_up("No such file.")
    await waiting


async def test_a_process_that_ignores_its_pipe_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)

    async def scenario(kept: Kept) -> None:
        await kept.supervisor.settled()

    await Kept("say(ready)\nimport time\ntime.sleep(1000)").run(scenario)


@pytest.mark.parametrize("turns", range(1, 8))
async def test_a_process_that_is_wanted_no_more_while_it_starts_is_not_left_behind(turns: int) -> None:
    before = set(psutil.Process().children())
    keeping = asyncio.create_task(Kept("hear()").supervisor.run())
    for _ in range(turns):
        await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.wait([keeping])
    assert keeping.cancelled()
    assert set(psutil.Process().children()) <= before


async def test_what_cannot_be_read_is_a_death() -> None:
    async def scenario(kept: Kept) -> None:
        await kept.died(1)

    await Kept("say(ready)\nos.write(1, bytes([0xc1]) * 9)\nwhile os.read(0, 100): pass").run(scenario)


async def test_a_process_that_owes_a_word_and_is_silent_is_killed() -> None:
    async def scenario(kept: Kept) -> None:
        await kept.supervisor.settled()
        await asyncio.sleep(0.3)
        assert kept.deaths == []
        kept.owes = True
        await kept.died(1)
        kept.owes = False
        assert kept.deaths[0].startswith("The engine did not answer for 0.1 s")
        assert kept.troubles == []

    await Kept("say(ready)\nwhile os.read(0, 100): pass").run(scenario)


async def test_a_process_that_owes_a_word_and_says_that_it_works_lives() -> None:
    async def scenario(kept: Kept) -> None:
        kept.owes = True
        await kept.supervisor.settled()
        while len(kept.heard) < 30:  # noqa: ASYNC110 - the process tells nobody but the supervisor
            await asyncio.sleep(0.01)
        assert kept.deaths == []

    await Kept(
        """
        import select
        say(ready)
        while not select.select([0], [], [], 0.02)[0] or os.read(0, 100):
            say(Step(()))
        """
    ).run(scenario)


async def test_a_process_that_cannot_be_started_makes_the_model_unavailable_and_is_tried_again() -> None:
    async def scenario(kept: Kept) -> None:
        await kept.supervisor.settled()
        assert trouble(kept).code is ErrorCode.MODEL_UNAVAILABLE
        assert "/no/such/engine" in trouble(kept).message
        while kept.supervisor.restarts < 2:  # noqa: ASYNC110 - trying again tells nobody
            await asyncio.sleep(0.01)

    await Kept("", "/no/such/engine").run(scenario)


async def test_whatever_breaks_while_the_process_is_heard_is_a_death_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(kept: Kept) -> None:
        kept.breaks = KeyError("r")
        await kept.died(2)
        kept.breaks = None
        await kept.supervisor.settled()
        assert kept.supervisor.trouble is None

    kept = Kept("say(ready)\nwhile os.read(0, 100): pass")
    await kept.run(scenario)
    assert kept.deaths[0].startswith("The engine said what could not be dealt with (KeyError)")
    assert any(record.exc_info and record.exc_info[0] is KeyError for record in caplog.records)
    assert "repacked" not in caplog.text


async def test_a_process_that_is_not_done_loading_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOADING_SECONDS", 0.2)

    async def scenario(kept: Kept) -> None:
        await kept.supervisor.settled()
        assert trouble(kept).code is ErrorCode.MODEL_UNAVAILABLE
        assert "did not answer for 0.2 s" in trouble(kept).message
        assert kept.deaths == []

    await Kept("while os.read(0, 100): pass").run(scenario)
