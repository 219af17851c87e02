"""The engine process: started, proved, heard, ended when it hangs, started again when it dies.

This module must never know runs: it carries messages and tells of lives and deaths.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import msgspec

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.packing import pack, unpack_up
from livethread_server.engine.watchdog import Watchdog
from livethread_server.engine.wire import Configure, Down, Embedded, Failed, Ready, Step, Up

DEATHS = 5
"""Deaths in a row, without one successful step between, after which the model counts as unavailable."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 60.0
"""Seconds before the engine is started again: doubled with each death in a row, up to the longest."""
LOADING_SECONDS = 900.0
"""How long an engine may take to load its model, where `--watchdog` does not allow more."""
STOP_SECONDS = 15.0
"""How long the engine may take to end by itself once its pipe is closed; it writes KV to disk."""
_DEFAULTS = {"GOMP_SPINCOUNT": "100000"}
"""libgomp's own count lets two engines on the same CPUs slow each other down a hundredfold at its barriers; a
tenth of this one costs a run that is alone 8 % of its speed."""
_PIECE = 1 << 16
COMMAND = (sys.executable, "-m", "livethread_server.worker.main")
"""How the engine process is started."""

_log = logging.getLogger(__name__)


class Life:
    """What became of one engine process."""

    def __init__(self) -> None:
        self.ready = False
        self.failed: str | None = None
        self.hung: float | None = None
        self.error: Exception | None = None
        self.code = 0

    @property
    def end(self) -> str:
        """How it ended, in words."""
        if self.hung is not None:
            return f"did not answer for {self.hung:g} s"
        if self.error is not None:
            return f"said what could not be dealt with ({type(self.error).__name__})"
        if self.code >= 0:
            return f"ended with status {self.code}"
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-self.code).name}"
        return f"was ended by signal {-self.code}"


class Supervisor:
    """Keeps one engine process alive.

    ``heard`` gets every message, ``died`` a sentence whenever a process that was ready has ended, ``gave_up`` the
    trouble whenever the model has become unavailable. ``owes`` says whether a ready process has something to say:
    if it does not say it for ``watchdog`` seconds, it is ended. ``command`` is what to start.
    """

    def __init__(
        self,
        configure: Configure,
        *,
        heard: Callable[[Up], None],
        died: Callable[[str], None],
        gave_up: Callable[[CommandError], None],
        owes: Callable[[], bool],
        watchdog: float,
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self._configure = configure
        self._heard = heard
        self._died = died
        self._gave_up = gave_up
        self._watchdog = Watchdog(watchdog, owes)
        self._command = command
        self._process: Process | None = None
        self._settled = asyncio.Event()
        self._deaths = 0
        self.ready: Ready | None = None
        self.restarts = 0
        self._trouble: tuple[ErrorCode, str] | None = None
        self._load("The model is being loaded. Try again in a moment.")

    @property
    def trouble(self) -> CommandError | None:
        """Why nothing can be asked of the process now; None when it is ready. A new one at each call."""
        return CommandError(*self._trouble) if self._trouble else None

    @property
    def pid(self) -> int | None:
        """The engine's process id, while there is one."""
        return self._process.pid if self._process else None

    async def settled(self) -> None:
        """Return once the model is ready, or known to be unavailable."""
        await self._settled.wait()

    def send(self, message: Down) -> None:
        """Hand a message to the process; dropped while there is none."""
        if self._process and self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.write(pack(message))

    async def run(self) -> None:
        """Keep an engine running until cancelled; then end it."""
        try:
            while True:
                life = await self._live()
                await asyncio.sleep(self._after(life))
        except Exception:
            self._give_up("The engine is kept running no more. Look into the server's log, and start the server again.")
            raise
        except asyncio.CancelledError:
            self._give_up("The engine was stopped with its server.")
            raise

    async def _live(self) -> Life:
        """One life of the process, from its start to its end."""
        life = Life()
        environment = _DEFAULTS | os.environ | {"GGML_NO_BACKTRACE": "1"}
        try:
            self._process = await self._started(environment)
        except Exception as error:  # whatever it is, nobody else would hear of it
            life.failed = (
                f"The engine's process cannot be started: {error}. Give the server's user more of what it lacks."
            )
            return life
        dogs = (self._watchdog, Watchdog(max(self._watchdog.seconds, LOADING_SECONDS), lambda: self.ready is None))
        watches = [asyncio.create_task(self._watch(self._process, life, dog), name="watchdog") for dog in dogs]
        try:
            self.send(self._configure)
            await self._listen(self._process, life)
        except Exception as error:  # a message that cannot be read, or whatever broke where it was heard
            life.error = error
            _log.exception("What the engine said cannot be dealt with.")
        finally:
            for watch in watches:
                watch.cancel()
            self._lose()
            life.code = await _end(self._process)
            self._process = None
        return life

    async def _started(self, environment: dict[str, str]) -> Process:
        """A new process. Where it is wanted no more before it stands, it is ended as any other; asyncio leaves it."""
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE, env=environment)
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):  # it cannot be started anyway
                await _end(await starting)
            raise

    async def _listen(self, process: Process, life: Life) -> None:
        assert process.stdout
        unpacker = unpack_up()
        while data := await process.stdout.read(_PIECE):
            self._watchdog.heard()
            for message in unpacker.feed(data):
                self._note(message, life)
                self._heard(message)

    async def _watch(self, process: Process, life: Life, watchdog: Watchdog) -> None:
        await watchdog.silence()
        life.hung = watchdog.seconds
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            process.kill()

    def _note(self, message: Up, life: Life) -> None:
        match message:
            case Ready():
                life.ready = True
                self.ready, self._trouble = message, None
                self._settled.set()
            case Failed(sentence=sentence):
                life.failed = sentence
            case Embedded():
                self._deaths = 0
            case Step(outputs=outputs) if outputs:  # what it found on disk is told before any step
                self._deaths = 0

    def _lose(self) -> None:
        """The pipe has ended: nothing can be asked of the process any more."""
        self.ready = None
        if self._trouble is None:
            self._load("The engine has just died and is being started again. Try again in a moment.")

    def _after(self, life: Life) -> float:
        """Draw the conclusions of a death; seconds to wait before the next start."""
        if not life.ready and life.failed is None and life.error is None and self._configure.extra_bufts:
            self._do_without_extra_bufts(life)
            return 0.0
        self.restarts += 1
        self._deaths += 1
        self._judge(life)
        if life.ready:
            self._died(f"The engine {life.end}; it is being started again.")
        if (trouble := self.trouble) and trouble.code is ErrorCode.MODEL_UNAVAILABLE:
            self._gave_up(trouble)
        if life.failed is not None:
            return LONGEST_PAUSE
        return min(FIRST_PAUSE * 2.0 ** (self._deaths - 1), LONGEST_PAUSE)

    def _judge(self, life: Life) -> None:
        _log.error("The engine %s (%d in a row). %s", life.end, self._deaths, life.failed or "")
        if life.failed is not None:
            self._give_up(life.failed)
        elif self._deaths >= DEATHS:
            self._give_up(f"The engine {life.end}, {self._deaths} times in a row. Look into the server's log.")
        else:
            self._load(f"The engine {life.end} and is being started again. Try again in a moment.")

    def _load(self, sentence: str) -> None:
        self._trouble = (ErrorCode.MODEL_LOADING, sentence)
        self._settled.clear()

    def _give_up(self, sentence: str) -> None:
        self._trouble = (ErrorCode.MODEL_UNAVAILABLE, sentence)
        self._settled.set()

    def _do_without_extra_bufts(self, life: Life) -> None:
        self._configure = msgspec.structs.replace(self._configure, extra_bufts=False)
        _log.warning(
            "The engine %s while it proved itself with llama.cpp's repacked weights, which do not work on some "
            "machines. It goes on without them, more slowly. Start with --no-repack to begin faster.",
            life.end,
        )


async def _end(process: Process) -> int:
    """Close the pipe, wait, insist; the process's return code."""
    if process.stdin:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()
