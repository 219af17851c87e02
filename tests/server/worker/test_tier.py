from __future__ import annotations

from pathlib import Path

import pytest

from livethread_server.worker.tier import Entry, Tier
from tests.kept import ALICE, NAMER, tier_in, tokens


def entries(count: int) -> list[Entry]:
    made = [Entry(NAMER.chain(tokens(10, first=100 * number), ALICE, 0)[0]) for number in range(count)]
    for entry in made:
        entry.there.add("disk")
    return made


@pytest.fixture
def tier(tmp_path: Path) -> Tier:
    return tier_in(tmp_path, "disk", 5000)


def test_what_is_counted_in_can_be_counted_out_once(tier: Tier) -> None:
    (entry,) = entries(1)
    tier.add(entry)
    assert (len(tier), tier.used) == (1, entry.head.file_size)
    tier.remove(entry)
    tier.remove(entry)
    assert (len(tier), tier.used) == (0, 0)


def test_what_was_used_longest_ago_goes_first_and_what_is_spared_last(tier: Tier) -> None:
    one, two, three = entries(3)
    for entry in (one, two, three):
        tier.add(entry)
    tier.touch(one)
    tier.touch(Entry(NAMER.chain(tokens(5), ALICE, 0)[0]))  # one that is not there
    assert tier.oldest(lambda _: False) == [two, three, one]
    assert tier.oldest(lambda entry: entry is two) == [three, one, two]


def test_what_only_tasks_hold_goes_before_all_else(tier: Tier) -> None:
    one, two, three, four = entries(4)
    for entry, holders in ((one, {"t"}), (two, set[str]()), (three, {"~1", "t"}), (four, {"~1", "~2"})):
        entry.holders |= holders
        tier.add(entry)
    assert [each.side for each in (one, two, three, four)] == [False, False, False, True]
    assert tier.oldest(lambda entry: entry in (one, four)) == [four, two, three, one]


def test_what_is_still_being_written_does_not_go(tier: Tier) -> None:
    one, two = entries(2)
    one.there.clear()
    one.coming.add("disk")
    for entry in (one, two):
        tier.add(entry)
    assert tier.oldest(lambda _: False) == [two]


def test_a_tier_says_what_it_lacks(tier: Tier) -> None:
    (entry,) = entries(1)
    tier.add(entry)
    room = tier.budget - entry.head.file_size
    assert tier.lacks(room) == 0
    assert tier.lacks(room + 7) == 7


def test_an_entry_knows_where_it_is() -> None:
    (entry,) = entries(1)
    assert entry.on("disk")
    assert entry.sunk
    assert entry.is_tail
    entry.coming.add("ram")
    assert not entry.sunk
    entry.there.clear()
    assert not entry.lost
    entry.coming.clear()
    assert entry.lost
    assert not Entry(NAMER.chain(tokens(256), ALICE, 0)[0]).is_tail
    assert Entry(NAMER.whole(tokens(256), ALICE, 9)).is_tail


def test_an_entry_that_is_gone_takes_no_other_of_its_name_with_it(tier: Tier) -> None:
    (before,), (after,) = entries(1), entries(1)
    assert before.head.name == after.head.name
    tier.add(before)
    tier.remove(before)
    tier.add(after)
    tier.remove(before)
    assert (len(tier), tier.used) == (1, after.head.file_size)
