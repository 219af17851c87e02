from __future__ import annotations

import asyncio

from livethread_server.engine.watchdog import TICKS, Watchdog


async def test_silence_ends_only_once_a_word_has_been_owed_for_long_enough() -> None:
    asked: list[bool] = []

    def owes() -> bool:
        asked.append(len(asked) >= 3)
        return asked[-1]

    await Watchdog(0.01, owes).silence()
    assert asked == [False] * 3 + [True] * (TICKS + 1)


async def test_every_word_begins_the_count_again() -> None:
    asked = 0

    def owes() -> bool:
        nonlocal asked
        asked += 1
        if asked == 5:
            watchdog.heard()
        return True

    watchdog = Watchdog(0.01, owes)
    await watchdog.silence()
    assert asked == 5 + TICKS


async def test_it_waits_as_long_as_nothing_is_owed() -> None:
    silence = asyncio.create_task(Watchdog(0.001, lambda: False).silence())
    await asyncio.sleep(0.05)
    assert not silence.done()
    silence.cancel()
