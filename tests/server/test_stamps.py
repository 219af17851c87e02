from __future__ import annotations

import re
from datetime import UTC, datetime

from livethread_server.stamps import new_id, new_seed, now, seconds_since


def test_ids_begin_with_their_kind_fit_the_wire_and_never_repeat() -> None:
    ids = {new_id("m") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"m_[0-9a-f]{16}", one) for one in ids)


def test_seeds_leave_out_the_one_that_means_random() -> None:
    assert all(0 <= new_seed() <= 2**32 - 2 for _ in range(1000))


def test_times_are_utc_and_sort_as_text() -> None:
    first, second = now(), now()
    assert first <= second
    assert len(first) == len(second) == len("2026-01-01T00:00:00.000000Z")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(first)).total_seconds()) < 60


def test_the_time_since_a_moment_is_never_negative() -> None:
    assert 0 <= seconds_since(now()) < 60
    assert seconds_since("2026-01-01T00:00:00.000000Z") > 0
    assert seconds_since("2999-01-01T00:00:00.000000Z") == 0
