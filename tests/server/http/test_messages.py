from __future__ import annotations

from livethread import messages as wire
from tests.house import House
from tests.web import asking, problem

MESSAGES = "/v1/threads/t/messages"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text, "id": text}


async def test_messages_are_appended_listed_read_edited_and_deleted(house: House) -> None:
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t"})
        one = await client.post(MESSAGES, json=user("a"))
        assert (one.status_code, one.json()["messages"], one.headers["etag"]) == (201, ["a"], '"v1"')
        assert one.headers["location"] == f"{MESSAGES}/a"
        assert (await client.post(MESSAGES, json=[user("b"), user("c")])).json()["messages"] == ["b", "c"]
        page = (await client.get(f"{MESSAGES}?limit=2")).json()
        assert ([message["id"] for message in page["messages"]], page["more"], page["version"]) == (["b", "c"], True, 2)
        edited = await client.patch(f"{MESSAGES}/b", json={"content": "B"})
        assert edited.json()["version"] == 3
        read = await client.get(f"{MESSAGES}/b")
        assert (read.json()["message"]["content"], read.json()["version"]) == ("B", 3)
        gone = await client.delete(f"{MESSAGES}/b")
        assert (gone.status_code, gone.content, gone.headers["etag"]) == (204, b"", '"v4"')
        for method in ("GET", "DELETE"):
            assert problem(await client.request(method, f"{MESSAGES}/b")) == (404, "not_found")
        assert problem(await client.patch(f"{MESSAGES}/b", json={"content": ""})) == (404, "not_found")


async def test_ops_are_applied_together_or_not_at_all(house: House) -> None:
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t"})
        ops = [{"op": "append", "message": user("a")}, {"op": "insert", "before": "a", "message": user("b")}]
        done = await client.post("/v1/threads/t/mutations", json={"ops": ops})
        assert done.json() == {"version": 1, "messages": ["a", "b"], "reuse": None}
        half = [{"op": "append", "message": user("c")}, {"op": "delete", "message": "x"}]
        assert problem(await client.post("/v1/threads/t/mutations", json={"ops": half})) == (404, "not_found")
        assert problem(await client.post("/v1/threads/t/mutations", json={"ops": []})) == (400, "bad_request")
        assert problem(await client.post("/v1/threads/t/mutations", json={"ops": ops})) == (409, "exists")
        shown = (await client.get(MESSAGES)).json()
        assert [message["id"] for message in shown["messages"]] == ["b", "a"]


async def test_a_key_and_a_version_hold_for_every_change(house: House) -> None:
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t"})
        for _ in range(2):
            again = await client.post(MESSAGES, json=user("a"), headers={"idempotency-key": "k", "if-match": '"v0"'})
            assert (again.status_code, again.json()["version"]) == (201, 1)
        other = await client.post(MESSAGES, json=user("b"), headers={"idempotency-key": "k"})
        assert problem(other) == (400, "bad_request")
        stale = {"if-match": '"v0"'}
        for answer in (
            await client.post(MESSAGES, json=user("b"), headers=stale),
            await client.patch(f"{MESSAGES}/a", json={"content": ""}, headers=stale),
            await client.delete(f"{MESSAGES}/a", headers=stale),
        ):
            assert problem(answer) == (412, "version_conflict")


async def test_a_key_is_one_at_both_doors(house: House) -> None:
    alice = house.guest("default")
    await alice.ask(wire.ThreadCreate, thread="t")
    ops = [{"op": "append", "message": user("a")}]
    first = await alice.ask(wire.Mutate, ops=ops, key="k")
    async with asking(house) as client:
        again = await client.post("/v1/threads/t/mutations", json={"ops": ops}, headers={"idempotency-key": "k"})
        assert again.json()["version"] == first.version


async def test_runs_in_the_way_are_left_or_ended_as_asked(house: House) -> None:
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t", "messages": [user("a")]})
        await client.post("/v1/threads/t/runs", json={"run": "r"}, headers={"prefer": "respond-async"})
        assert problem(await client.delete(f"{MESSAGES}/a")) == (409, "busy")
        assert problem(await client.patch(f"{MESSAGES}/a", json={"content": "A"})) == (409, "busy")
        assert (await client.delete(f"{MESSAGES}/a?if_busy=interrupt")).status_code == 204
        assert (await client.get("/v1/runs/r")).json()["run"]["reason"] == "interrupted"


async def test_what_is_too_large_is_named_as_it_was_sent(house: House) -> None:
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t"})
        answer = await client.post(MESSAGES, json=[user("a"), user("b") | {"content": "x" * 300_000}])
        assert problem(answer) == (413, "too_large")
        assert answer.json()["details"]["field"] == "[1].content"
        assert problem(await client.post(MESSAGES, json=[])) == (400, "bad_request")
        assert problem(await client.post(MESSAGES, json={"role": "nobody", "content": ""})) == (400, "bad_request")
