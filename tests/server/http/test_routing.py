"""How requests are let in, read and refused, whatever they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from msgspec import Meta, Struct
from starlette.responses import Response

from livethread_server.bounds import Bounds
from livethread_server.http.call import Call
from livethread_server.http.operation import Method, Operation, json_answer
from tests.house import House
from tests.socketry import opened
from tests.tokens import given_out
from tests.web import asking, problem


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1)] = 5
    on: bool = False
    cursor: str | None = None


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    x: int
    text: str = ""


async def shown(call: Call) -> Response:
    return json_answer(
        {"path": dict(call.path), "query": call.query, "body": call.body, "by": call.session.principal.id}
    )


async def broken(call: Call) -> Response:
    raise ZeroDivisionError


def operation(method: Method, path: str, **more: Any) -> Operation:
    plain: dict[str, Any] = {"id": f"{method} {path}", "tag": "x", "summary": "X.", "handler": shown}
    return Operation(method=method, path=path, **(plain | more))


OPERATIONS = (
    operation("GET", "/v1/x/{one}/{two}", query=Query),
    operation("POST", "/v1/x/{kind}/{two}", body=Body),
    operation("GET", "/v1/open", guarded=False),
    operation("GET", "/v1/broken", handler=broken),
    operation("GET", "/v1/stream", streams=(Body,)),
)


async def test_paths_that_differ_in_names_only_are_one_and_keep_their_names(house: House) -> None:
    async with asking(house, *OPERATIONS) as client:
        got = (await client.get("/v1/x/a/b?limit=3&on=true&cursor=%C3%A4")).json()
        assert got["path"] == {"one": "a", "two": "b"}
        assert got["query"] == {"limit": 3, "on": True, "cursor": "ä"}
        posted = (await client.post("/v1/x/a/b", json={"x": 1})).json()
        assert (posted["path"], posted["body"]) == ({"kind": "a", "two": "b"}, {"x": 1, "text": ""})


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("limit=3&limit=3", "The query has 'limit' more than once. Send it once."),
        ("nothing=1", "There is no query parameter 'nothing'. Leave it out; known here: limit, on, cursor."),
        ("limit=", "Field 'limit' of the query must be an integer, not ''."),
        ("limit=3.0", "Field 'limit' of the query must be an integer, not '3.0'."),
        ("limit=0", "Field 'limit' of the query must be at least 1, not 0."),
        ("limit=" + "9" * 30, f"Field 'limit' of the query must be an integer, not '{'9' * 30}'."),
        ("on=1", "Field 'on' of the query must be true or false, not '1'."),
        ("cursor=%ff", "The query is no list of at most 64 parameters in percent-encoded UTF-8."),
        ("cursor=&" * 70, "The query is no list of at most 64 parameters in percent-encoded UTF-8."),
    ],
)
async def test_a_query_that_does_not_fit_is_refused(house: House, query: str, sentence: str) -> None:
    async with asking(house, *OPERATIONS) as client:
        answer = await client.get(f"/v1/x/a/b?{query}")
        assert problem(answer) == (400, "bad_request")
        assert answer.json()["detail"] == sentence


@pytest.mark.parametrize(
    ("content", "kind", "status", "sentence"),
    [
        (b"", "", 400, "Field 'x' of the body is missing. Add it."),
        (b"{}", "application/json", 400, "Field 'x' of the body is missing. Add it."),
        (b'{"x": "1"}', "application/json; charset=utf-8", 400, "Field 'x' of the body must be an integer, not '1'."),
        (
            b'{"x": 1, "y": 2}',
            "Application/JSON",
            400,
            "There is no field 'y' in the body. Leave it out; known here: x, text.",
        ),
        (b"[1]", "application/json", 400, "The body must be a map, not a list."),
        (b"{", "application/json", 400, "The body is not JSON: Input data was truncated."),
        (b"\xff", "application/json", 400, None),
        (b"[" * 5000, "application/json", 400, None),
        (b'{"x": ' + b"[" * 990 + b"]" * 990 + b"}", "application/json", 400, None),
        (b'{"x": 1.5}', "application/json", 400, "Field 'x' of the body must be an integer, not 1.5."),
        (b'{"x": 1e300}', "application/json", 400, None),
        (b'{"x": NaN}', "application/json", 400, None),
        (b'{"x": 1, "text": "\\ud800"}', "application/json", 400, None),
        (b'{"x": 1}', "", 415, "The body must be JSON. Send it with 'Content-Type: application/json'."),
        (b"x=1", "application/x-www-form-urlencoded", 415, None),
        (b" " * 9000, "application/json", 413, "The body has more than 8192 bytes. Send less at once."),
    ],
)
async def test_a_body_that_does_not_fit_is_refused(
    house: House, content: bytes, kind: str, status: int, sentence: str | None
) -> None:
    async with asking(house, *OPERATIONS, body_bytes=8192) as client:
        answer = await client.post("/v1/x/a/b", content=content, headers={"content-type": kind} if kind else {})
        assert problem(answer) == (status, "too_large" if status == 413 else "bad_request")
        assert sentence in (None, answer.json()["detail"])


async def test_a_number_without_a_fraction_is_an_integer_as_json_schema_has_it(house: House) -> None:
    async with asking(house, *OPERATIONS) as client:
        answer = await client.post("/v1/x/a/b", content=b'{"x": 9.0}', headers={"content-type": "application/json"})
        assert answer.json()["body"] == {"x": 9, "text": ""}


async def test_a_body_that_never_says_its_length_is_bounded_too(house: House) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 100

    async with asking(house, *OPERATIONS, body_bytes=1024) as client:
        answer = await client.post("/v1/x/a/b", content=endless(), headers={"content-type": "application/json"})
        assert problem(answer) == (413, "too_large")


@pytest.mark.parametrize("path", ["/v1/x/a%20b/c", "/v1/x/" + "a" * 65 + "/c", "/v1/x/a/%00", "/v1/x/ä/c"])
async def test_what_is_no_id_in_a_path_is_refused(house: House, path: str) -> None:
    async with asking(house, *OPERATIONS) as client:
        assert problem(await client.get(path)) == (400, "bad_request")


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/x/a", "/v1/x/a/b/", "/v1/x/a/b%2Fc", "/v1/threads/"])
async def test_whatever_else_is_not_there(house: House, path: str) -> None:
    async with asking(house, *OPERATIONS) as client:
        for method in ("GET", "POST", "OPTIONS"):
            assert problem(await client.request(method, path)) == (404, "not_found")


async def test_other_methods_are_named(house: House) -> None:
    async with asking(house, *OPERATIONS) as client:
        for method in ("PUT", "DELETE", "TRACE", "BREW"):
            answer = await client.request(method, "/v1/x/a/b")
            assert problem(answer) == (405, "bad_request")
            assert answer.headers["allow"] == "GET, POST, HEAD, OPTIONS"
        options = await client.options("/v1/x/a/b")
        assert (options.status_code, options.headers["allow"]) == (200, "GET, POST, HEAD, OPTIONS")
        assert (await client.head("/v1/x/a/b")).status_code == 200
        endless = await client.head("/v1/stream")
        assert (endless.status_code, endless.headers["allow"]) == (405, "GET, OPTIONS")


async def test_a_condition_that_would_not_be_heeded_is_refused(house: House) -> None:
    async with asking(house, *OPERATIONS) as client:
        headers = {"if-match": '"v1"'}
        assert problem(await client.post("/v1/x/a/b", json={"x": 1}, headers=headers)) == (400, "bad_request")
        assert problem(await client.delete("/v1/threads/t", headers=headers)) == (400, "bad_request")
        assert (await client.get("/v1/x/a/b", headers=headers)).status_code == 200


async def test_a_key_that_would_not_be_heeded_is_refused_where_twice_is_not_once(house: House) -> None:
    async with asking(house, *OPERATIONS) as client:
        await client.post("/v1/threads", json={"thread": "t"})
        headers = {"idempotency-key": "k"}
        for path, way in (("/v1/threads", "'thread'"), ("/v1/threads/t/fork", "'new_thread'"), ("/v1/x/a/b", "out.")):
            answer = await client.post(path, json={"x": 1} if "x" in path else {}, headers=headers)
            assert problem(answer) == (400, "bad_request")
            assert answer.json()["details"] == {"field": "Idempotency-Key"}
            assert way in answer.json()["detail"]
        assert [one["id"] for one in (await client.get("/v1/threads", headers=headers)).json()["threads"]] == ["t"]
        assert (await client.delete("/v1/threads/t", headers=headers)).status_code == 204


async def test_our_own_failures_are_logged_and_not_shown(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async with asking(house, *OPERATIONS) as client:
        answer = await client.get("/v1/broken")
        assert problem(answer) == (500, "internal")
        assert "ZeroDivisionError" not in answer.text
    assert "GET '/v1/broken' failed" in caplog.text


async def test_every_answer_says_which_server_it_is_from(house: House) -> None:
    async with asking(house, *OPERATIONS) as client:
        for path in ("/v1/open", "/v1/broken", "/v1/nothing", "/v1/x/a/b?no=1"):
            assert (await client.get(path)).headers["livethread-instance"] == "i_1"
        assert (await client.put("/v1/open")).headers["livethread-instance"] == "i_1"


async def test_who_brings_no_good_token_is_not_let_in(guarded: House, tmp_path: Path) -> None:
    token = given_out(tmp_path / "tokens.json", "alice")
    async with asking(guarded, *OPERATIONS) as client:
        for headers in ({}, {"authorization": "Bearer x"}, {"authorization": f"Basic {token}"}):
            answer = await client.get("/v1/x/no%20id/b", headers=headers)
            assert problem(answer) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert problem(await client.post("/v1/x/a/b", content=b"{", headers=headers)) == (401, "unauthorized")
        assert (await client.get("/v1/open")).json()["by"] == "default"
        assert guarded.gate.inside("alice") == ()
    async with asking(guarded, *OPERATIONS, token=token) as client:
        assert (await client.get("/v1/x/a/b")).json()["by"] == "alice"
    assert guarded.gate.inside("alice") == ()


async def test_requests_that_come_too_fast_on_a_connection_are_refused(house: House) -> None:
    bounds = Bounds(message_rate=0.001, message_burst=3)
    async with opened(house, bounds=bounds) as doors, httpx.AsyncClient(base_url=doors.url) as client:
        answers = [await client.get("/v1/threads") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[3].json()["details"] == {"per_second": 0.001}
        assert answers[3].headers["retry-after"] == "1"
