from __future__ import annotations

from typing import Any

import pytest

from livethread_server.access import AccessControl, host_name

OURS = ("127.0.0.1", "localhost", "[::1]")
PAGES = ("http://127.0.0.1:8000",)


async def knock(kind: str, *headers: tuple[bytes, bytes], path: str = "/") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": f"{kind}.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read before the door opens")

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await AccessControl(inside, OURS, PAGES)({"type": kind, "path": path, "headers": list(headers)}, receive, send)
    return sent


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("host", [b"127.0.0.1:8000", b"localhost", b"LOCALHOST:1", b"[::1]:8000"])
async def test_our_own_hosts_are_let_in(kind: str, host: bytes) -> None:
    assert (await knock(kind, (b"host", host)))[0]["type"] == f"{kind}.response.start"


@pytest.mark.parametrize("host", [b"evil.example", b"127.0.0.1.evil.example", b"", b"localhost.evil:8000"])
async def test_a_foreign_host_is_refused(host: bytes) -> None:
    assert (await knock("http", (b"host", host)))[0]["status"] == 403
    assert (await knock("websocket", (b"host", host)))[0]["type"] == "websocket.close"


async def test_a_missing_or_second_host_is_refused() -> None:
    assert (await knock("http"))[0]["status"] == 403
    assert (await knock("http", (b"host", b"localhost"), (b"host", b"localhost")))[0]["status"] == 403


@pytest.mark.parametrize(
    "origin", [b"http://evil.example", b"null", b"http://127.0.0.1:8001", b"https://127.0.0.1:8000", b""]
)
async def test_a_foreign_origin_is_refused(origin: bytes) -> None:
    headers = ((b"host", b"localhost"), (b"origin", origin))
    assert (await knock("http", *headers))[0]["status"] == 403
    assert (await knock("websocket", *headers))[0]["type"] == "websocket.close"


@pytest.mark.parametrize("second", [b"http://127.0.0.1:8000", b"http://evil.example", b"null"])
async def test_a_second_origin_is_refused_whatever_it_is(second: bytes) -> None:
    headers = ((b"host", b"localhost"), (b"origin", b"http://127.0.0.1:8000"), (b"Origin", second))
    assert (await knock("http", *headers))[0]["status"] == 403
    assert (await knock("websocket", *headers))[0]["type"] == "websocket.close"


async def test_several_origins_in_one_header_are_refused() -> None:
    both = b"http://127.0.0.1:8000, http://127.0.0.1:8000"
    for origin in (both, both.replace(b",", b"")):
        assert (await knock("websocket", (b"host", b"localhost"), (b"origin", origin)))[0]["type"] == "websocket.close"


async def test_our_own_pages_and_programs_without_an_origin_are_let_in() -> None:
    assert (await knock("websocket", (b"host", b"localhost"), (b"origin", b"http://127.0.0.1:8000")))[0]["type"] != (
        "websocket.close"
    )
    assert (await knock("websocket", (b"host", b"localhost")))[0]["type"] != "websocket.close"


async def test_every_http_answer_has_a_strict_policy() -> None:
    for host in (b"localhost", b"evil.example"):
        headers = dict((await knock("http", (b"host", host)))[0]["headers"])
        assert b"default-src 'none'" in headers[b"content-security-policy"]
        assert b"unsafe" not in headers[b"content-security-policy"]


async def test_the_pages_about_the_doors_may_style_elements_and_run_only_our_scripts() -> None:
    headers = dict((await knock("http", (b"host", b"localhost"), path="/docs/openapi.html"))[0]["headers"])
    policy = headers[b"content-security-policy"].split(b"; ")
    assert b"script-src 'self'" in policy
    assert b"style-src 'self' 'unsafe-inline'" in policy
    assert b"default-src 'none'" in policy


def test_a_host_name_is_told_from_its_port() -> None:
    assert [host_name(host) for host in ("A:1", "[::1]:80", "[::1]", "b")] == ["a", "[::1]", "[::1]", "b"]
