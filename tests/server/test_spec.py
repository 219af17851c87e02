"""The conversations of the protocol's description, held with a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import websockets
from websockets.typing import Subprotocol

from livethread.codec import CODECS
from tests.serving import ServerProcess
from tests.spec import EPHEMERAL, Step, conversations, filled, matches, named

PATIENCE = 60.0
"""Seconds that a conversation may take; it takes far less."""


@pytest.mark.parametrize("subprotocol", CODECS)
@pytest.mark.parametrize("number", range(len(conversations())))
async def test_the_server_says_what_the_description_says(
    live_server: ServerProcess, number: int, subprotocol: str
) -> None:
    codec = CODECS[subprotocol]
    offered = [Subprotocol(subprotocol)]
    async with asyncio.timeout(PATIENCE), websockets.connect(live_server.ws_url, subprotocols=offered) as socket:
        skipping, names = False, dict[str, Any]()
        for step in _renamed(conversations()[number], subprotocol):
            frame = filled(step.frame, names)
            if step.client:
                await socket.send(codec.encode(frame))
            elif step.frame is None:
                skipping = True
            else:
                while not matches(frame, got := codec.decode(await socket.recv())):
                    assert skipping or got["type"] in EPHEMERAL, f"{got}\nshould be\n{frame}"
                skipping = False
                names |= named(frame, got)


def _renamed(steps: list[Step], subprotocol: str) -> list[Step]:
    """The conversation about threads of its own, so that it can be held once in each encoding."""
    suffix = "-" + subprotocol.rpartition(".")[2]
    return [Step(step.client, _suffixed(step.frame, suffix)) for step in steps]


def _suffixed(value: Any, suffix: str) -> Any:
    if isinstance(value, dict):
        return {name: _suffixed(item, suffix) for name, item in value.items()}
    if isinstance(value, list):
        return [_suffixed(item, suffix) for item in value]
    return value + suffix if isinstance(value, str) and value.startswith("spec-") else value
