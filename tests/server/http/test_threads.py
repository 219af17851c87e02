from __future__ import annotations

import asyncio
from typing import Any

import pytest

from livethread import messages as wire
from tests.house import House
from tests.web import asking, problem

DEEP: Any = "far down"
for _ in range(40):
    DEEP = [DEEP]


async def test_a_thread_is_made_read_changed_and_deleted(house: House) -> None:
    async with asking(house) as client:
        made = await client.post("/v1/threads", json={"thread": "t", "title": "One", "metadata": {"a": 1}})
        assert (made.status_code, made.headers["location"]) == (201, "/v1/threads/t")
        assert made.headers["etag"] == f'"v0.0.{made.json()["thread"]["epoch"]}"'
        assert made.json()["thread"]["title"] == "One"
        changed = await client.patch("/v1/threads/t", json={"title": None, "pinned": True})
        assert (changed.json(), changed.headers["etag"]) == ({"version": 1}, '"v1"')
        shown = (await client.get("/v1/threads/t")).json()
        assert (shown["thread"]["title"], shown["thread"]["pinned"], shown["more"]) == (None, True, False)
        gone = await client.delete("/v1/threads/t")
        assert (gone.status_code, gone.content) == (204, b"")
        assert problem(await client.get("/v1/threads/t")) == (404, "not_found")


async def test_no_body_makes_an_empty_thread(house: House) -> None:
    async with asking(house) as client:
        made = await client.post("/v1/threads")
        assert made.status_code == 201
        assert made.headers["location"] == f"/v1/threads/{made.json()['thread']['id']}"


async def test_a_thread_that_is_there_is_refused_or_got(house: House) -> None:
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t", "title": "One"})
        assert problem(await client.post("/v1/threads", json={"thread": "t"})) == (409, "exists")
        got = await client.post("/v1/threads", json={"thread": "t", "if_exists": "get"})
        assert (got.status_code, got.json()["thread"]["title"]) == (200, "One")


async def test_threads_are_listed_a_page_at_a_time(house: House) -> None:
    async with asking(house) as client:
        for name in "abc":
            await client.post("/v1/threads", json={"thread": name})
        first = (await client.get("/v1/threads?limit=2")).json()
        second = (await client.get("/v1/threads", params={"limit": 2, "cursor": first["cursor"]})).json()
        assert [one["id"] for one in first["threads"] + second["threads"]] == ["c", "b", "a"]
        assert second["cursor"] is None
        assert problem(await client.get("/v1/threads?cursor=x")) == (400, "bad_request")


@pytest.mark.parametrize("tag", ['"v0"', '"v0.0.e"', '"v0.77.e_1"', "*"])
async def test_a_change_may_insist_on_a_version(house: House, tag: str) -> None:
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t"})
        assert (await client.patch("/v1/threads/t", json={"title": "x"}, headers={"if-match": tag})).status_code == 200
        stale = await client.patch("/v1/threads/t", json={"title": "y"}, headers={"if-match": '"v0"'})
        assert problem(stale) == (412, "version_conflict")
        assert stale.json()["details"]["version"] == 1


async def test_a_thread_that_is_made_anew_is_another(house: House) -> None:
    async with asking(house) as client:
        first = (await client.post("/v1/threads", json={"thread": "t", "title": "One"})).headers["etag"]
        await client.delete("/v1/threads/t")
        await client.post("/v1/threads", json={"thread": "t", "title": "Two"})
        shown = await client.get("/v1/threads/t", headers={"if-none-match": first})
        assert (shown.status_code, shown.json()["thread"]["title"]) == (200, "Two")


async def test_who_has_a_thread_as_it_is_gets_304_until_anything_about_it_changes(house: House) -> None:
    async with asking(house) as client:
        tag = (await client.post("/v1/threads", json={"thread": "t"})).headers["etag"]
        for given in (tag, f"W/{tag}", f'"x", {tag}'):
            same = await client.get("/v1/threads/t", headers={"if-none-match": given})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        alice = house.guest("default")
        await alice.ask(wire.Subscribe)
        await alice.ask(wire.Generate, run="r", ops=[{"op": "append", "message": {"role": "user", "content": "Hi."}}])
        house.engine.start("r")
        house.engine.say("r", "Hel", (1,))
        await alice.next(wire.RunDelta)
        streaming = await client.get("/v1/threads/t")
        assert streaming.json()["run"]["text"] == "Hel"
        again = await client.get("/v1/threads/t", headers={"if-none-match": streaming.headers["etag"]})
        assert again.status_code == 200  # text goes on without a version or a seq
        house.engine.finish("r")
        await alice.next(wire.RunFinished)
        over = await client.get("/v1/threads/t", headers={"if-none-match": streaming.headers["etag"]})
        assert (over.status_code, over.json()["thread"]["version"]) == (200, streaming.json()["thread"]["version"])
        same = await client.get("/v1/threads/t", headers={"if-none-match": over.headers["etag"]})
        assert same.status_code == 304


async def test_older_messages_are_read_before_one(house: House) -> None:
    messages = [{"role": "user", "content": text, "id": text} for text in "abc"]
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t", "messages": messages})
        page = (await client.get("/v1/threads/t?before=c&limit=1")).json()
        assert [one["id"] for one in page["thread"]["messages"]] == ["b"]
        assert page["more"] is True
        assert problem(await client.get("/v1/threads/t?before=x")) == (404, "not_found")
        assert problem(await client.get("/v1/threads/t?limit=0")) == (400, "bad_request")


async def test_a_thread_is_forked(house: House) -> None:
    messages = [{"role": "user", "content": text, "id": text} for text in "ab"]
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t", "messages": messages})
        fork = await client.post("/v1/threads/t/fork", json={"at": "a", "new_thread": "u"})
        assert (fork.status_code, fork.headers["location"]) == (201, "/v1/threads/u")
        assert [one["id"] for one in fork.json()["thread"]["messages"]] == ["a"]
        assert problem(await client.post("/v1/threads/t/fork", json={"new_thread": "u"})) == (409, "exists")
        assert problem(await client.post("/v1/threads/t/fork", json={"at": "x"})) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/threads", {"thread": "no id"}),
        ("POST", "/v1/threads", {"thread": 1}),
        ("POST", "/v1/threads", {"nonsense": 1}),
        ("POST", "/v1/threads", {"model": "other"}),
        ("POST", "/v1/threads", {"sampling": {"temperature": "hot"}}),
        ("POST", "/v1/threads", {"metadata": {"a": DEEP}}),
        ("POST", "/v1/threads", []),
        ("PATCH", "/v1/threads/t", {"title": 1}),
        ("PATCH", "/v1/threads/t", {"expect_version": 1}),
        ("GET", "/v1/threads/no%20id", None),
        ("GET", "/v1/threads/t?nonsense=1", None),
        ("DELETE", "/v1/threads/t?limit=1", None),
    ],
)
async def test_what_the_wire_refuses_is_refused(house: House, method: str, path: str, body: Any) -> None:
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t"})
        assert problem(await client.request(method, path, json=body)) == (400, "bad_request")


async def test_contexts_are_warmed_evicted_and_drafts_read_ahead(house: House) -> None:
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t", "messages": [{"role": "user", "content": "Hi."}]})
        assert (await client.post("/v1/threads/t/warm")).json() == {"residency": "live"}
        assert (await client.post("/v1/threads/t/evict")).json() == {"residency": "disk"}
        draft = await client.post("/v1/threads/t/draft", json={"text": "How are you today, my old friend?"})
        assert (draft.status_code, draft.content) == (204, b"")
        async with asyncio.timeout(5):
            while not house.engine.ingested:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await client.post("/v1/threads/t/runs", json={}, headers={"prefer": "respond-async"})
        assert problem(await client.post("/v1/threads/t/evict")) == (409, "busy")
        assert problem(await client.post("/v1/threads/none/warm")) == (404, "not_found")


async def test_the_server_says_who_it_is_and_what_it_serves(house: House) -> None:
    async with asking(house) as client:
        info = (await client.get("/v1/info")).json()
        assert (info["server"], info["principal"]["id"], info["models"]) == ("livethread", "default", ["smol"])
        assert (await client.get("/v1/models")).json() == {"models": [{"id": "smol", "context_tokens": 2048}]}
