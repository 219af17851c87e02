from __future__ import annotations

import pytest
from starlette.requests import Request

from livethread.errors import CommandError
from livethread_server.http.conditions import (
    accepts_events,
    etag,
    expected_version,
    idempotency_key,
    is_known,
    prefers_async,
    whole_etag,
)
from tests.fakes import a_thread


def request(*headers: tuple[str, str]) -> Request:
    return Request({"type": "http", "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers]})


@pytest.mark.parametrize(
    ("given", "version"), [('"v0"', 0), ('"v12"', 12), (' "v12.34.e_1" ', 12), ("*", None), (None, None)]
)
def test_a_version_is_read_from_an_etag(given: str | None, version: int | None) -> None:
    assert expected_version(request() if given is None else request(("if-match", given))) == version


@pytest.mark.parametrize(
    "given", ["", "v1", '"1"', '"v-1"', '"v01"', 'W/"v1"', '"v1", "v2"', '"v1".', '"v' + "9" * 40 + '"']
)
def test_what_is_no_etag_of_ours_is_refused(given: str) -> None:
    with pytest.raises(CommandError, match="If-Match must be one ETag") as caught:
        expected_version(request(("if-match", given)))
    assert caught.value.details == {"field": "If-Match"}


@pytest.mark.parametrize("given", ['"v1.2"', '"v1.2.e 1"', '"v1.e_1"'])
def test_a_whole_etag_has_all_its_parts(given: str) -> None:
    with pytest.raises(CommandError, match="If-Match must be one ETag"):
        expected_version(request(("if-match", given)))


def test_two_headers_are_a_list() -> None:
    with pytest.raises(CommandError, match="one ETag"):
        expected_version(request(("if-match", '"v1"'), ("if-match", '"v2"')))
    assert is_known(request(("if-none-match", '"v1"'), ("if-none-match", 'W/"v2"')), etag(2))


def test_an_etag_is_known_only_whole() -> None:
    whole = whole_etag(a_thread(version=2, seq=3, epoch="e_1"))
    assert (whole, etag(2)) == ('"v2.3.e_1"', '"v2"')
    assert is_known(request(("if-none-match", whole)), whole)
    assert not is_known(request(("if-none-match", '"v2"')), whole)
    assert not is_known(request(), whole)
    assert is_known(request(("if-none-match", "*")), whole)


def test_a_key_is_one_and_not_endless() -> None:
    assert idempotency_key(request()) is None
    assert idempotency_key(request(("idempotency-key", "k" * 256))) == "k" * 256
    for bad in (
        [("idempotency-key", "")],
        [("idempotency-key", "k" * 257)],
        [("idempotency-key", "k k")],
        [("idempotency-key", "k")] * 2,
    ):
        with pytest.raises(CommandError, match="1 to 256 visible"):
            idempotency_key(request(*bad))


@pytest.mark.parametrize(
    ("given", "early"), [("respond-async", True), ("wait=5, Respond-Async; x=1", True), ("return=minimal", False)]
)
def test_a_preference_is_found_among_others(given: str, early: bool) -> None:
    assert prefers_async(request(("prefer", given))) is early


@pytest.mark.parametrize(
    ("given", "events"), [("text/event-stream", True), ("a/b, Text/Event-Stream;q=1", True), ("*/*", False)]
)
def test_events_are_streamed_where_they_are_asked_for(given: str, events: bool) -> None:
    assert accepts_events(request(("accept", given))) is events
