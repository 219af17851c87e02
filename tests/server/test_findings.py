from __future__ import annotations

import asyncio

from livethread import messages as wire
from livethread_server.engine.wire import Moved
from tests.fakes import UnsteadyStore, a_thread
from tests.house import House


async def looked_up(house: House) -> None:
    async with asyncio.timeout(10):
        while house.findings.waiting:  # noqa: ASYNC110 - the loop is ours
            await asyncio.sleep(0.01)


async def test_what_was_found_of_a_thread_is_shown_and_kept(house: House) -> None:
    await house.store.create(a_thread(), ())
    house.findings.moved(Moved("t", "disk", 100))
    guest = house.guest()
    assert (await guest.ask(wire.ThreadGet)).thread.residency == "disk"
    await looked_up(house)
    assert (house.engine.forgotten, house.engine.pinned) == ([], {})


async def test_what_was_found_of_no_thread_is_forgotten(house: House) -> None:
    for number in range(3):
        house.findings.moved(Moved(f"gone{number}", "disk", 100))
    await looked_up(house)
    assert sorted(house.engine.forgotten) == ["gone0", "gone1", "gone2"]


async def test_what_was_found_of_a_pinned_thread_is_pinned_again(house: House) -> None:
    await house.store.create(a_thread(pinned=True), ())
    house.findings.moved(Moved("t", "disk", 100))
    await looked_up(house)
    assert house.engine.pinned == {"t": True}


async def test_a_thread_in_use_is_not_looked_up(house: House) -> None:
    await house.listener()
    house.findings.moved(Moved("t", "live", 100))
    assert not house.findings.waiting
    house.findings.moved(Moved("u", "cold", 0))
    assert not house.findings.waiting


async def test_what_could_not_be_looked_up_is_looked_up_with_what_is_found_next(
    unsteady_house: House, unsteady: UnsteadyStore
) -> None:
    unsteady.lookups = 1
    for thread in ("gone", "also gone"):
        unsteady_house.findings.moved(Moved(thread, "disk", 100))
        assert unsteady_house.engine.forgotten == []
        await looked_up(unsteady_house)
    assert sorted(unsteady_house.engine.forgotten) == ["also gone", "gone"]
