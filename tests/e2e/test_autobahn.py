"""The Autobahn test suite's cases (by way of kosoku) against our sockets."""

from __future__ import annotations

import kosoku

from livethread_server.bounds import Bounds
from tests.echo import echoing

ROOMY = Bounds(frame_bytes=64 << 20, message_rate=1e6, message_burst=1_000_000)
"""The suite sends 16 MiB in one message and in hundreds of thousands of fragments."""
CASES = 247
COMPRESSION = ["12.*", "13.*"]
"""Compression is off: a little text makes bombs."""


async def test_every_case_passes_or_is_informational() -> None:
    async with echoing(ROOMY) as echo:
        try:
            results = await kosoku.run_fuzzingclient(
                f"ws://127.0.0.1:{echo.port}", exclude_cases=COMPRESSION, concurrency=8
            )
        except kosoku.FailureError as failure:
            results = failure.results
    failed = {one.case_id: (one.result, one.result_close) for one in results if not one.passed}
    assert failed == {}
    assert len(results) >= CASES
