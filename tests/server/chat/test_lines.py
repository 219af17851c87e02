from __future__ import annotations

import asyncio
import os
from pathlib import Path

from livethread_server.chat.lines import Lines


async def test_lines_come_one_by_one_however_they_were_written() -> None:
    end, write = os.pipe()
    lines = Lines(end)
    os.write(write, "Grüße\r\nzwei\ndr".encode())
    assert [await lines.next(), await lines.next()] == ["Grüße", "zwei"]
    waiting = asyncio.create_task(lines.next())
    await asyncio.sleep(0)
    waiting.cancel()
    os.write(write, b"ei\n\nlast")
    os.close(write)
    assert [await lines.next() for _ in range(5)] == ["drei", "", "last", None, None]
    os.close(end)


async def test_a_file_is_read_like_a_pipe(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"one\n\xfftwo")
    with file.open("rb") as opened:
        lines = Lines(opened.fileno())
        assert [await lines.next() for _ in range(3)] == ["one", "\ufffdtwo", None]
