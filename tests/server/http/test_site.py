from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from starlette.applications import Starlette

from livethread.errors import CommandError, ErrorCode
from livethread_server.bounds import Bounds
from livethread_server.http.api import api_operations, api_routes
from livethread_server.http.door import HttpDoor
from livethread_server.http.routing import routes
from livethread_server.http.site import http_routes, metrics_operation
from livethread_server.metrics import Metrics
from tests.house import House
from tests.tokens import given_out


@asynccontextmanager
async def browsing(house: House, webclient: Path | None = None) -> AsyncIterator[httpx.AsyncClient]:
    door = HttpDoor(house.service, Bounds(), "i_1")
    api = api_routes(api_operations(door), door)
    app = Starlette(routes=[*api, *http_routes(house.service, webclient)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client:
        yield client


async def test_health_says_what_is_wrong_until_a_generation_would_work(house: House) -> None:
    async with browsing(house) as client:
        house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Try again.")
        sick = await client.get("/health")
        assert sick.status_code == 503
        assert sick.json() == {"status": "model_loading", "reason": "The model is being loaded. Try again."}
        house.engine.trouble = None
        well = await client.get("/health")
        assert (well.status_code, well.json()) == (200, {"status": "ok"})


async def test_stats_are_the_engines_figures_with_hit_rates(house: House) -> None:
    async with browsing(house) as client:
        figures = (await client.get("/v1/stats")).json()
        assert figures["threads"] == {"live": 1}
        assert figures["hit_rates"] == {"live": 0.6, "ram": 0.0, "disk": 0.15, "computed": 0.25}
        house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Try again.")
        sick = await client.get("/v1/stats")
        assert (sick.status_code, sick.json()["code"]) == (503, "model_loading")
        assert (await client.post("/v1/stats")).status_code == 405


async def test_figures_are_for_those_who_bring_a_token(guarded: House, tmp_path: Path) -> None:
    token = given_out(tmp_path / "tokens.json", "alice")
    async with browsing(guarded) as client:
        bad: list[list[tuple[str, str]]] = [
            [],
            [("authorization", token)],
            [("authorization", "Bearer")],
            [("authorization", f"Bearer {token}x")],
            [("authorization", f"Basic {token}")],
            [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")],
            [("authorization", "Bearer " + "x" * 20_000)],
            [("cookie", f"token={token}")],
        ]
        for headers in bad:
            answer = await client.get("/v1/stats", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert token not in answer.text
        assert (await client.get(f"/v1/stats?token={token}&access_token={token}")).status_code == 401
        for scheme in ("Bearer", "bearer"):
            answer = await client.get("/v1/stats", headers={"authorization": f"{scheme} {token}"})
            assert answer.json()["threads"] == {"live": 1}
        assert (await client.get("/health")).status_code == 200


async def test_the_web_client_is_served_where_it_was_built(house: House, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<title>livethread</title>")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "app.js").write_text("1")
    async with browsing(house, tmp_path) as client:
        assert "livethread" in (await client.get("/")).text
        assert "javascript" in (await client.get("/assets/app.js")).headers["content-type"]
        assert "immutable" in (await client.get("/assets/app.js")).headers["cache-control"]
        assert (await client.get("/")).headers["cache-control"] == "no-cache"
        assert (await client.get("/health")).json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/nothing", "/assets/", "/%2e%2e/secret", "/..%2fsecret", "//etc/passwd"])
async def test_nothing_else_is_served(house: House, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "webclient"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("page")
    async with browsing(house, folder) as client:
        assert (await client.get(path)).status_code == 404


async def test_a_server_without_its_web_client_says_what_to_do(house: House) -> None:
    async with browsing(house) as client:
        page = await client.get("/")
        assert page.status_code == 404
        assert "make webclient" in page.text
        assert "/v1/ws" in page.text


async def test_only_reading_is_allowed(house: House) -> None:
    async with browsing(house) as client:
        assert (await client.post("/health")).status_code == 405


async def test_metrics_are_there_with_and_without_an_engine_that_answers(house: House) -> None:
    class Now:
        sessions = subscribers = outbox_bytes = restarts = tasks = 0
        runs: ClassVar[dict[str, int]] = {"queued": 0}
        unfinished_tasks: ClassVar[dict[tuple[str, str], int]] = {}
        ready = True

    metrics = Metrics(Now(), version="1", instance="i_1")
    door = HttpDoor(house.service, Bounds(), "i_1")
    app = Starlette(routes=routes([metrics_operation(house.service, metrics)], door))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client:
        well = await client.get("/metrics")
        assert well.status_code == 200
        assert well.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'livethread_threads{residency="live"} 1.0' in well.text
        house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Try again.")
        loading = await client.get("/metrics")
        assert loading.status_code == 200
        assert "livethread_sessions" in loading.text
        assert "livethread_threads" not in loading.text
