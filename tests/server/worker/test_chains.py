from __future__ import annotations

from livethread_server.worker.chains import Chains
from tests.kept import ALICE, BOB, NAMER, tokens


def chains(*contexts: bytes, scope: bytes = ALICE, shared: int = 0) -> Chains:
    made = Chains()
    for data in contexts:
        for head in NAMER.chain(data, scope, shared):
            if head.name not in made:
                made.enter(head)
    return made


def found(made: Chains, data: bytes, scope: bytes = ALICE, limit: int | None = None) -> list[tuple[int, int]]:
    parts = made.find(data, scope, len(data) // 4 if limit is None else limit)
    return [(part.start, part.count) for part in parts]


def test_a_context_is_found_as_far_as_it_is_equal() -> None:
    made = chains(tokens(600))
    assert found(made, tokens(600)) == [(0, 256), (256, 256), (512, 88)]
    assert found(made, tokens(700)) == [(0, 256), (256, 256), (512, 88)]
    assert found(made, tokens(300) + tokens(300, first=9000)) == [(0, 256), (256, 44)]
    assert found(made, tokens(600, first=1)) == []


def test_no_more_than_the_limit_is_found() -> None:
    made = chains(tokens(600))
    assert found(made, tokens(600), limit=300) == [(0, 256), (256, 44)]
    assert found(made, tokens(600), limit=256) == [(0, 256)]
    assert found(made, tokens(600), limit=0) == []


def test_of_several_tails_the_one_with_most_in_common_is_found() -> None:
    made = chains(
        tokens(256) + tokens(10, first=256), tokens(256) + tokens(200, first=256), tokens(256) + tokens(99, first=7000)
    )
    assert found(made, tokens(400)) == [(0, 256), (256, 144)]


def test_another_scope_is_found_only_where_it_is_shared() -> None:
    made = chains(tokens(600), shared=300)
    assert found(made, tokens(600), scope=BOB) == [(0, 256), (256, 44)]
    assert found(made, tokens(600)) == [(0, 256), (256, 44), (300, 256), (556, 44)]


def test_a_whole_state_serves_only_what_begins_with_all_of_it() -> None:
    made = Chains()
    for count in (40, 50):
        made.enter(NAMER.whole(tokens(count), ALICE, 777))
    assert found(made, tokens(60)) == [(0, 50)]
    assert found(made, tokens(49)) == [(0, 40)]
    assert found(made, tokens(50), limit=48) == [(0, 40)]
    assert found(made, tokens(39)) == []


def test_what_was_removed_is_not_found_nor_what_follows_it() -> None:
    made = chains(tokens(600))
    first, second, _ = NAMER.chain(tokens(600), ALICE, 0)
    entry = made.get(second.name)
    assert entry is not None
    assert made.remove(entry)
    assert not made.remove(entry)
    assert found(made, tokens(600)) == [(0, 256)]
    assert second.name not in made
    assert [each.head for each in made.of([first.name, second.name])] == [first]
    assert len(list(made)) == 2
