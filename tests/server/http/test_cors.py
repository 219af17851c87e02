from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from livethread_server.access import AccessControl
from livethread_server.bounds import Bounds
from livethread_server.http.api import api_operations, api_routes
from livethread_server.http.cors import cross_origin
from livethread_server.http.door import HttpDoor
from tests.house import House
from tests.web import problem

OURS, FOREIGN = "https://chat.example", "https://evil.example"


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    door = HttpDoor(house.service, Bounds(), "i_1")
    app = cross_origin(Starlette(routes=api_routes(api_operations(door), door)), ["https://Chat.example/"])
    transport = httpx.ASGITransport(app=AccessControl(app, ["localhost"], ["https://Chat.example/"]))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_an_allowed_page_may_ask_and_read_what_an_answer_says(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/threads", json={"thread": "t"}, headers={"origin": OURS})
    assert answer.status_code == 201
    assert answer.headers["access-control-allow-origin"] == OURS
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"ETag", "Location", "Livethread-Instance"} <= set(exposed)
    assert "access-control-allow-credentials" not in answer.headers
    refused = await client.get("/v1/threads/none", headers={"origin": OURS})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (404, OURS)


async def test_a_browser_may_ask_first(client: httpx.AsyncClient) -> None:
    asked = {
        "origin": OURS,
        "access-control-request-method": "PATCH",
        "access-control-request-headers": "authorization, content-type, if-match, idempotency-key",
    }
    answer = await client.options("/v1/threads/t", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == OURS
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "if-match" in answer.headers["access-control-allow-headers"]


async def test_a_foreign_page_may_nothing(client: httpx.AsyncClient) -> None:
    for method, more in (("GET", {}), ("OPTIONS", {"access-control-request-method": "GET"})):
        answer = await client.request(method, "/v1/threads", headers={"origin": FOREIGN, **more})
        assert problem(answer) == (403, "forbidden")
        assert "access-control-allow-origin" not in answer.headers
