from __future__ import annotations

import asyncio
import json

import msgpack
import pytest
import websockets

from tests.serving import ServerProcess
from tests.wireclient import check_run, check_seqs, connected

ENCODINGS = pytest.mark.parametrize("encoding", ["json", "msgpack"])


@ENCODINGS
async def test_a_turn_streams_from_a_real_model(live_server: ServerProcess, encoding: str) -> None:
    async with connected(live_server.ws_url, encoding) as client:
        hello = await client.ask("hello", client="test", protocol=1)
        assert hello["models"]
        thread = await client.thread()
        finished = await client.say(thread, "What is the capital of France?")
        assert finished["message"]["content"]
        check_run(client, finished)
        check_seqs(client, thread)
        usage = finished["usage"]
        started = await client.event("run.started", run=finished["run"])
        assert started["prompt_tokens"] == usage["prompt_tokens"] > 0
        assert isinstance(started["sampling"]["seed"], int)
        got = await client.ask("thread.get", thread=thread)
        assert got["thread"]["messages"][-1] == finished["message"]
        assert got["thread"]["residency"] == "live"


async def test_two_encodings_see_the_same_maps(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url, "json") as one, connected(live_server.ws_url, "msgpack") as two:
        thread = await one.thread()
        await two.ask("subscribe", thread=thread)
        finished = await one.say(thread, "Say hello.")
        await two.event("run.finished", run=finished["run"])
        assert two.events == [event for event in one.events if event["thread"] == thread]


async def test_reuse_after_the_next_turn_an_edit_a_fork_and_a_regeneration(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        thread = await client.thread()
        first = await client.say(thread, "Tell me about the sea, in two sentences.")
        whole = first["usage"]["prompt_tokens"] + len(first["message"]["content"]) // 8
        second = await client.say(thread, "And the sky?")
        assert second["usage"]["reused_tokens"] >= whole
        assert second["usage"]["prompt_tokens"] - second["usage"]["reused_tokens"] < 30

        again = await client.ask("generate", thread=thread, mode="regenerate")
        regenerated = await client.event("run.finished", run=again["run"])
        assert regenerated["usage"]["prompt_tokens"] == second["usage"]["prompt_tokens"]
        assert regenerated["usage"]["reused_tokens"] == second["usage"]["prompt_tokens"] - 2
        assert regenerated["message"]["content"] == second["message"]["content"]

        fork = (await client.ask("thread.fork", thread=thread))["thread"]
        await client.ask("subscribe", thread=fork["id"])
        forked = await client.say(fork["id"], "And the earth?")
        assert forked["usage"]["reused_tokens"] > second["usage"]["prompt_tokens"]

        user = (await client.ask("thread.get", thread=thread))["thread"]["messages"][-2]
        ops = [{"op": "edit", "message": user["id"], "content": "And fire?"}, {"op": "truncate", "after": user["id"]}]
        edited = await client.ask("generate", thread=thread, ops=ops)
        finished = await client.event("run.finished", run=edited["run"])
        assert finished["usage"]["reused_tokens"] >= whole


async def test_prompts_grow_by_what_is_new_over_many_turns(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        thread = await client.thread(sampling={"temperature": 0, "max_tokens": 8})
        before = (await client.say(thread, "Count with me."))["usage"]["prompt_tokens"]
        for turn in range(8):
            usage = (await client.say(thread, f"Number {turn}?"))["usage"]
            assert usage["prompt_tokens"] - before < 32
            assert usage["reused_tokens"] >= before
            before = usage["prompt_tokens"]


async def test_eight_threads_stream_at_once(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        threads = [await client.thread() for _ in range(8)]
        asks = [
            await client.send(
                "generate",
                thread=thread,
                ops=[{"op": "append", "message": {"role": "user", "content": f"Count from {number}."}}],
            )
            for number, thread in enumerate(threads)
        ]
        runs = [(await client.reply(number))["ok"]["run"] for number in asks]
        for run, thread in zip(runs, threads, strict=True):
            check_run(client, await client.event("run.finished", run=run))
            check_seqs(client, thread)


async def test_runs_beyond_the_sequences_queue_with_a_position(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        threads = [await client.thread() for _ in range(10)]
        asked = [await client.ask("generate", thread=thread) for thread in threads]
        assert [ok["position"] for ok in asked] == [0] * 8 + [1, 2]
        for ok, thread in zip(asked, threads, strict=True):
            finished = await client.event("run.finished", run=ok["run"])
            assert finished["reason"] in ("stop", "length")
            check_seqs(client, thread)


async def test_a_cancel_behind_its_generate_ends_the_run(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        thread = await client.thread(sampling={"max_tokens": 500})
        asked = await client.send("generate", thread=thread, run="early_" + thread)
        cancelled = await client.send("cancel", run="early_" + thread)
        assert (await client.reply(cancelled))["ok"]["state"] in ("queued", "running")
        assert "ok" in await client.reply(asked)
        finished = await client.event("run.finished", run="early_" + thread)
        assert (finished["reason"], finished["message"]["state"]) == ("cancelled", "cancelled")
        check_run(client, finished)


async def test_a_cancel_in_the_middle_keeps_the_text(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        thread = await client.thread(sampling={"max_tokens": 500, "temperature": 0})
        ops = [{"op": "append", "message": {"role": "user", "content": "Write a long story about a whale."}}]
        run = (await client.ask("generate", thread=thread, ops=ops))["run"]
        await client.event("run.delta", run=run)
        await client.ask("cancel", run=run)
        finished = await client.event("run.finished", run=run)
        assert finished["reason"] == "cancelled"
        assert finished["message"]["content"]
        check_run(client, finished)


async def test_stop_strings_and_the_length_end_a_run(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        thread = await client.thread()
        whole = (await client.say(thread, "What is the capital of France?"))["message"]["content"]
        middle = whole[9:14]
        ok = await client.ask("generate", thread=thread, mode="regenerate", sampling={"stop": [middle]})
        finished = await client.event("run.finished", run=ok["run"])
        assert finished["reason"] == "stop_string"
        assert finished["message"]["content"] == whole[: whole.index(middle)]
        check_run(client, finished)
        short = await client.say(thread, "Tell me more.", sampling={"max_tokens": 3})
        assert (short["reason"], short["usage"]["completion_tokens"]) == ("length", 3)


async def test_a_grammar_and_a_schema_shape_the_text(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        thread = await client.thread(sampling={"max_tokens": 60, "seed": 3})
        finished = await client.say(thread, "Yes or no?", sampling={"grammar": 'root ::= "yes" | "no"'})
        assert finished["message"]["content"] in ("yes", "no")
        schema = {
            "type": "object",
            "properties": {"ok": {"type": "boolean"}},
            "required": ["ok"],
            "additionalProperties": False,
        }
        finished = await client.say(thread, "Answer in JSON.", sampling={"json_schema": schema})
        assert isinstance(json.loads(finished["message"]["content"])["ok"], bool)


async def test_going_on_after_the_length_equals_one_long_run(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        ask = "List the days of the week."
        whole = await client.say(await client.thread(), ask, sampling={"max_tokens": 16})
        thread = await client.thread()
        await client.say(thread, ask, sampling={"max_tokens": 8})
        ok = await client.ask("generate", thread=thread, mode="continue", sampling={"max_tokens": 8})
        finished = await client.event("run.finished", run=ok["run"])
        assert finished["message"]["content"].startswith(whole["message"]["content"][:10])
        assert finished["message"]["id"] == ok["message"]
        assert finished["usage"]["reused_tokens"] > 0


async def test_the_same_seed_draws_the_same_text(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        texts = []
        for _ in range(2):
            sampling = {"seed": 11, "temperature": 1.0, "max_tokens": 16}
            finished = await client.say(await client.thread(), "Sing.", sampling=sampling)
            texts.append(finished["message"]["content"])
        assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"sampling": {"temperature": -1}}, "bad_request", "sampling.temperature"),
        ({"sampling": {"top_k": 1.5}}, "bad_request", "sampling.top_k"),
        ({"sampling": {"seed": 2**32 - 1}}, "bad_request", "sampling.seed"),
        ({"sampling": {"logit_bias": {"99999999": 1}}}, "bad_request", "sampling.logit_bias"),
        ({"sampling": {"grammar": "root ::= ("}}, "bad_request", "sampling.grammar"),
        ({"sampling": {"grammar": "root ::= " + "(" * 40_000}}, "bad_request", "sampling.grammar"),
        (
            {"sampling": {"json_schema": {"type": "array", "items": {"type": "integer"}, "maxItems": 10**7}}},
            "bad_request",
            "sampling.json_schema",
        ),
        ({"sampling": {"dry_penalty_last_n": 2**20}}, "bad_request", "sampling.dry_penalty_last_n"),
        ({"surprise": 1}, "bad_request", "surprise"),
        ({"mode": "think"}, "bad_request", "mode"),
        ({"ops": [{"op": "explode"}]}, "bad_request", "ops[0].op"),
        ({"ops": [{"op": "append", "message": {"role": "user"}}]}, "bad_request", "ops[0].message.content"),
        ({"thread": "no such thread"}, "bad_request", "thread"),
        ({"thread": "nobody"}, "not_found", "thread"),
    ],
    ids=str,
)
async def test_bad_input_is_an_answer_that_names_the_field(
    live_server: ServerProcess, fields: dict[str, object], code: str, field: str
) -> None:
    async with connected(live_server.ws_url) as client:
        thread = await client.thread()
        error = await client.refused("generate", **({"thread": thread} | fields))
        assert (error["code"], error["details"]["field"]) == (code, field)
        assert error["message"].endswith(".")
        assert (await client.ask("thread.get", thread=thread))["thread"]["version"] == 0


async def test_a_megabyte_of_control_tokens_and_a_message_too_large_are_answers(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        thread = await client.thread()
        flood = "<|im_start|>" * ((256 << 10) // 12)
        ops = [{"op": "append", "message": {"role": "user", "content": flood}}]
        error = await client.refused("generate", thread=thread, ops=ops)
        assert error["code"] == "context_overflow"
        assert error["details"]["prompt_tokens"] > error["details"]["context_tokens"]
        ops = [{"op": "append", "message": {"role": "user", "content": "x" * (256 * 1024 + 1)}}]
        assert (await client.refused("mutate", thread=thread, ops=ops))["code"] == "too_large"
        assert (await client.say(thread, "Still there?"))["reason"] in ("stop", "length")


@pytest.mark.parametrize(
    ("encoding", "frame"),
    [
        ("json", "not json"),
        ("json", "[1, 2]"),
        ("json", '{"type": "ping"}'),
        ("json", '{"type": "ping", "id": "7"}'),
        ("json", b"\x81\xa2id\x01"),
        ("json", "[" * 100_000),
        ("msgpack", b"\xc1"),
        ("msgpack", msgpack.packb([1])),
        ("msgpack", msgpack.packb({"type": "ping", "id": msgpack.ExtType(4, b"x")})),
        ("msgpack", b"\x91" * 100_000),
        ("msgpack", '{"type": "ping", "id": 1}'),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_frame_that_cannot_be_read_closes_with_4501(
    live_server: ServerProcess, encoding: str, frame: str | bytes
) -> None:
    async with connected(live_server.ws_url, encoding) as client:
        await client.socket.send(frame)
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await client.socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4501
        assert caught.value.rcvd.reason


async def test_unknown_commands_are_answered_and_the_session_goes_on(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        error = await client.refused("thread.explode")
        assert (error["code"], error["retryable"], error["details"]["field"]) == ("bad_request", False, "type")
        await client.send_raw({"type": "ping", "id": 0, "extra": True})
        assert (await client.reply(0))["error"]["details"]["field"] == "extra"
        assert await client.ask("ping") == {}


async def test_the_door_is_closed_to_other_sites(live_server: ServerProcess) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with websockets.connect(live_server.ws_url, additional_headers=headers):
                pass
        assert caught.value.response.status_code == 403
    async with connected(live_server.ws_url, origin=live_server.url) as client:
        await client.ask("ping")


async def test_pipelined_commands_take_effect_in_the_order_sent(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        numbers = [
            await client.send("thread.create", thread="pipelined"),
            await client.send("subscribe", thread="pipelined"),
        ]
        for step in range(20):
            ops = [{"op": "append", "message": {"role": "user", "content": str(step)}}]
            numbers.append(await client.send("mutate", thread="pipelined", ops=ops, expect_version=step))
        numbers.append(await client.send("thread.delete", thread="pipelined"))
        for number in numbers:
            assert "ok" in await client.reply(number)
        check_seqs(client, "pipelined")


async def test_a_dead_engine_is_an_event_and_the_next_generation_works(live_server: ServerProcess) -> None:
    async with connected(live_server.ws_url) as client:
        thread = await client.thread()
        await client.say(thread, "Hello.")
        live_server.engine().kill()
        await client.event("thread.residency", residency="cold")
        await asyncio.to_thread(live_server.wait_healthy)
        finished = await client.say(thread, "Are you there?")
        assert finished["reason"] in ("stop", "length")
        check_seqs(client, thread)
