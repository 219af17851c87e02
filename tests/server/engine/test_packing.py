from __future__ import annotations

import msgspec
import pytest

from livethread_server.engine.packing import Unpacker, pack, unpack_down
from livethread_server.engine.wire import CancelRun, Failed, Forget


def test_messages_come_out_as_soon_as_they_are_whole() -> None:
    unpacker = unpack_down()
    data = pack(CancelRun("r")) + pack(Forget("t"))
    assert list(unpacker.feed(data[:-1])) == [CancelRun("r")]
    assert list(unpacker.feed(data[-1:])) == [Forget("t")]


def test_a_message_of_another_kind_is_not_taken() -> None:
    with pytest.raises(msgspec.ValidationError):
        list(Unpacker(Failed).feed(pack(Forget("t"))))
