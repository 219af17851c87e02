"""Threads over HTTP, with nothing but sockets and a real model."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest

from tests.serving import ServerProcess
from tests.web import streaming
from tests.wireclient import connected

README = Path(__file__).parents[2] / "README.md"
HELLO = {"messages": [{"role": "user", "content": "Say hello."}], "sampling": {"max_tokens": 8, "seed": 1}}


def curl(
    server: ServerProcess, method: str, path: str, body: Any = None, *headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One request as bytes; its status, headers and body up to the end of the connection."""
    data = b"" if body is None else json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Connection: close", *headers]
    head += ["Content-Type: application/json", f"Content-Length: {len(data)}"] if data else []
    answer = asyncio.run(_sent(server.port, "\r\n".join([*head, "", ""]).encode() + data))
    first, _, rest = answer.partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    named = (line.partition(": ") for line in lines)
    return int(status.split()[1]), {name.lower(): value for name, _, value in named}, rest


async def _sent(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_a_run_is_waited_for(live_server: ServerProcess) -> None:
    status, headers, _ = curl(live_server, "POST", "/v1/threads", {"thread": "waited"})
    assert (status, headers["location"]) == (201, "/v1/threads/waited")
    status, headers, body = curl(live_server, "POST", "/v1/threads/waited/runs", HELLO)
    done = json.loads(body)
    assert (status, done["message"]["state"], done["usage"]["completion_tokens"] <= 8) == (200, "done", True)
    assert done["message"]["content"]
    again = json.loads(
        curl(live_server, "POST", "/v1/threads/waited/runs", {**HELLO, "mode": "regenerate", "messages": []})[2]
    )
    assert again["usage"]["reused_tokens"] > 0
    status, shown, body = curl(live_server, "GET", "/v1/threads/waited")
    assert [message["role"] for message in json.loads(body)["thread"]["messages"]] == ["user", "assistant"]
    assert curl(live_server, "GET", "/v1/threads/waited", None, f"If-None-Match: {shown['etag']}")[0] == 304
    assert shown["livethread-instance"] == headers["livethread-instance"]


def test_a_run_is_streamed(live_server: ServerProcess) -> None:
    curl(live_server, "POST", "/v1/threads", {"thread": "streamed"})
    status, headers, body = curl(live_server, "POST", "/v1/threads/streamed/runs", HELLO, "Accept: text/event-stream")
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    names = [line.split()[1].decode() for line in body.split(b"\n") if line.startswith(b"event: ")]
    assert (names[0], names[1], names[-1]) == ("accepted", "run.started", "run.finished")
    assert "run.delta" in names


def test_a_run_is_begun_and_asked_for_later(live_server: ServerProcess) -> None:
    curl(live_server, "POST", "/v1/threads", {"thread": "later"})
    status, headers, _ = curl(live_server, "POST", "/v1/threads/later/runs", HELLO, "Prefer: respond-async")
    assert (status, headers["preference-applied"]) == (202, "respond-async")
    found = json.loads(curl(live_server, "GET", headers["location"] + "?wait_ms=60000")[2])
    assert found["run"]["state"] == "finished"
    assert found["message"]["content"]
    assert curl(live_server, "DELETE", headers["location"])[0] == 200


@pytest.mark.skipif(which("curl") is None, reason="there is no curl here")
def test_the_lines_of_the_readme_do_what_it_says(live_server: ServerProcess) -> None:
    (block,) = re.findall(r"### Over HTTP.*?```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    script = block.replace("127.0.0.1:8000", f"127.0.0.1:{live_server.port}")
    done = subprocess.run(["bash", "-e", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "event: run.finished" in done.stdout
    assert '"state":"finished","reason":"' in done.stdout


async def test_both_doors_tell_one_stream_and_a_cut_reader_resumes_at_the_very_token(
    live_server: ServerProcess,
) -> None:
    url = f"{live_server.url}/v1/threads/both"
    body = {**HELLO, "run": "r_both", "sampling": {"max_tokens": 24, "seed": 1}}
    async with httpx.AsyncClient() as client, connected(live_server.ws_url) as socket:
        await client.post(f"{live_server.url}/v1/threads", json={"thread": "both"})
        await socket.ask("subscribe", thread="both")
        async with streaming(f"{url}/events") as stream:
            await stream.next("snapshot")
            accepted = await client.post(f"{url}/runs", json=body, headers={"prefer": "respond-async"})
            assert accepted.status_code == 202
            last = await stream.next("run.delta")
            text = last.data["text"]
        async with streaming(f"{url}/events", headers={"last-event-id": last.position}) as stream:
            resumed = await stream.next("resumed")
            missed = resumed.data.get("run")
            if missed is not None:
                assert missed["from"] == last.data["to"]
                text += missed["text"]
            ends = [event for event in resumed.data["events"] if event["type"] == "run.finished"]
            while not ends:
                told = await stream.next("run.delta", "run.finished")
                text += told.data.get("text", "")
                ends = [told.data] if told.name == "run.finished" else []
        by_socket = await socket.event("run.finished")
        assert by_socket["message"] == ends[0]["message"]
        assert missed is None or text == by_socket["message"]["content"]
        async with streaming(f"{url}/events") as stream:
            await stream.next("snapshot")
            await socket.ask("generate", thread="both", run="s_both", mode="regenerate", sampling={"max_tokens": 4})
            assert (await stream.next("run.delta")).data["run"] == "s_both"
            assert (await stream.next("run.finished")).data["run"] == "s_both"


async def test_a_server_that_is_stopped_ends_its_streams_and_itself(live_server: ServerProcess) -> None:
    async with streaming(f"{live_server.url}/v1/watch") as stream:
        await stream.next("watching")
        stopping = asyncio.create_task(asyncio.to_thread(live_server.stop))
        assert [told for told in await stream.rest() if not told.name.startswith("thread.")] == []
        assert await stopping == 0
