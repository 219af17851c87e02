"""The Python client over the death of a real server."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import livethread
from tests.serving import ServerProcess

ASKED: dict[str, Any] = {"temperature": 0, "max_tokens": 60}


async def test_a_stream_goes_on_over_a_killed_server(model_path: Path, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, model_path)
    await asyncio.to_thread(server.start)
    async with livethread.connect(server.ws_url) as client:
        undisturbed = await (await client.create()).say("Tell me a long story.", **ASKED).text()
        thread = await client.create()
        stream, told, back = thread.say("Tell me a long story.", **ASKED), "", None
        async for piece in stream:
            told += piece
            if back is None and len(told) > 60:
                await asyncio.to_thread(server.stop, signal.SIGKILL)
                back = asyncio.create_task(asyncio.to_thread(server.start))
                asked = asyncio.create_task(thread.append("And then?"))
        assert back is not None
        await asyncio.gather(back, asked)
        await client.ping()
        assert told == undisturbed
        assert [message.role for message in thread.messages] == ["user", "assistant", "user"]
        assert thread.value == (await thread.get()).thread
        assert await (await client.create()).say("Hello", temperature=0, max_tokens=3).text()
    await asyncio.to_thread(server.stop)
