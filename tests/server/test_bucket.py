from __future__ import annotations

from livethread_server.bucket import Bucket


def test_a_bucket_is_full_at_first_and_says_how_far_it_is_overdrawn() -> None:
    bucket = Bucket(rate=10, burst=3, now=100.0)
    assert [bucket.take(1, 100.0) for _ in range(5)] == [2, 1, 0, -1, -2]


def test_a_bucket_fills_with_time_but_never_above_its_burst() -> None:
    bucket = Bucket(rate=2, burst=3, now=100.0)
    assert bucket.take(3, 100.0) == 0
    assert bucket.take(1, 101.0) == 1
    assert bucket.take(1, 200.0) == 2
