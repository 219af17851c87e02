"""The rules of a connection, with frames only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread.codec import CODECS, SUBPROTOCOL_JSON, Frame
from livethread.connection import Answer, ClientConnection, ServerConnection
from livethread.errors import CommandError, ErrorCode, FrameError, ProtocolError
from livethread.messages import (
    Cancel,
    CancelOk,
    Command,
    Empty,
    Hello,
    HelloOk,
    Limits,
    Ping,
    RunDelta,
    VersionOk,
)
from livethread.model import Principal

CODEC = CODECS[SUBPROTOCOL_JSON]
PING = '{"type": "ping", "id": 2}'
HELLO = '{"type": "hello", "id": 1}'
HELLO_OK = HelloOk("s", "1", "x", Principal("p", "P"), (), Limits(1, 1, 1, 1, 1))
NO = CommandError(ErrorCode.UNAUTHORIZED, "This token is not known.", hint="x")


def server(*, hello_required: bool = False) -> ServerConnection:
    return ServerConnection(CODEC, hello_required=hello_required)


def plain(frame: Any) -> dict[str, Any]:
    assert isinstance(frame, str)
    return dict(json.loads(frame))


def refused(frame: Command | Frame) -> str:
    reply = plain(frame)
    assert (reply["type"], "ok" in reply) == ("reply", False)
    return str(reply["error"]["code"])


def test_a_command_is_answered_once() -> None:
    connection = server()
    assert connection.receive(PING) == Ping(id=2)
    assert connection.unanswered == 1
    assert plain(connection.reply(2, Empty())) == {"type": "reply", "id": 2, "ok": {}}
    assert connection.unanswered == 0
    with pytest.raises(ProtocolError, match="id 2"):
        connection.reply(2, Empty())
    with pytest.raises(ProtocolError, match="id 2"):
        connection.refuse(2, NO)


def test_a_refusal_answers_too() -> None:
    connection = server()
    connection.receive(PING)
    assert plain(connection.refuse(2, NO)) == {
        "type": "reply",
        "id": 2,
        "error": {
            "code": "unauthorized",
            "message": "This token is not known.",
            "retryable": False,
            "details": {"hint": "x"},
        },
    }
    with pytest.raises(ProtocolError):
        connection.reply(2, Empty())


def test_an_answer_of_another_type_is_not_sent() -> None:
    connection = server()
    connection.receive(PING)
    with pytest.raises(ProtocolError, match="Ping is answered with Empty, not VersionOk"):
        connection.reply(2, VersionOk(1))
    connection.reply(2, Empty())


def test_a_command_that_does_not_fit_is_refused_and_the_session_goes_on() -> None:
    connection = server()
    assert refused(connection.receive('{"type": "sing", "id": 1}')) == "bad_request"
    assert refused(connection.receive('{"type": "ping", "id": 2, "loud": true}')) == "bad_request"
    assert connection.unanswered == 0
    assert connection.receive(PING) == Ping(id=2)


def test_an_id_may_be_used_again_only_after_its_reply() -> None:
    connection = server()
    connection.receive(PING)
    assert refused(connection.receive(PING)) == "bad_request"
    connection.reply(2, Empty())
    assert connection.receive(PING) == Ping(id=2)


def test_replies_come_in_whatever_order() -> None:
    connection = server()
    for number in (5, -3, 7):
        connection.receive(f'{{"type": "ping", "id": {number}}}')
    assert [plain(connection.reply(number, Empty()))["id"] for number in (7, 5, -3)] == [7, 5, -3]


@pytest.mark.parametrize("frame", ["{", "[]", "{}", '{"type": "ping"}', '{"type": "ping", "id": "1"}', b"x"])
def test_an_unreadable_frame_ends_the_connection(frame: Frame) -> None:
    connection = server()
    connection.receive(PING)
    with pytest.raises(FrameError):
        connection.receive(frame)
    assert connection.state == "closed"
    with pytest.raises(FrameError, match="over"):
        connection.receive('{"type": "ping", "id": 9}')
    assert plain(connection.reply(2, Empty()))["id"] == 2


# hello


def test_where_hello_is_required_nothing_else_is_let_in_before() -> None:
    connection = server(hello_required=True)
    reply = plain(connection.receive(PING))
    assert reply["error"]["code"] == "unauthorized"
    assert "hello" in reply["error"]["message"]
    assert connection.unanswered == 0
    assert refused(connection.receive('{"type": "sing", "id": 1}')) == "unauthorized"
    assert connection.receive(HELLO) == Hello(id=1)
    assert refused(connection.receive(PING)) == "unauthorized"
    connection.reply(1, HELLO_OK)
    assert connection.state == "open"
    assert connection.receive(PING) == Ping(id=2)


def test_a_refused_hello_changes_nothing() -> None:
    connection = server(hello_required=True)
    connection.receive(HELLO)
    connection.refuse(1, NO)
    assert connection.state == "greeting"
    assert refused(connection.receive(PING)) == "unauthorized"
    assert connection.receive(HELLO) == Hello(id=1)


def test_a_hello_that_does_not_fit_changes_nothing() -> None:
    connection = server(hello_required=True)
    assert refused(connection.receive('{"type": "hello", "id": 1, "protocol": 2}')) == "bad_request"
    assert connection.receive(HELLO) == Hello(id=1)


@pytest.mark.parametrize("hello_required", [True, False])
def test_a_second_hello_is_refused(hello_required: bool) -> None:
    connection = server(hello_required=hello_required)
    connection.receive(HELLO)
    assert refused(connection.receive('{"type": "hello", "id": 8}')) == "bad_request"
    connection.reply(1, HELLO_OK)
    assert refused(connection.receive('{"type": "hello", "id": 8}')) == "bad_request"


def test_where_hello_may_be_left_out_any_command_opens() -> None:
    connection = server()
    assert refused(connection.receive('{"type": "sing", "id": 1}')) == "bad_request"
    connection.receive(PING)
    assert connection.state == "open"
    assert refused(connection.receive(HELLO)) == "bad_request"


COMMANDS = st.builds(
    lambda kind, number, extra: json.dumps({"type": kind, **({} if number is None else {"id": number}), **extra}),
    st.sampled_from(["ping", "hello", "cancel", "sing"]),
    st.sampled_from([0, 1, 2, 3, -1, None]),
    st.sampled_from([{}, {"run": "r"}, {"odd": 1}]),
)
STEPS = st.lists(COMMANDS | st.sampled_from(["reply", "refuse", "[]"]), max_size=30)


@given(STEPS, st.booleans())
def test_every_command_gets_exactly_one_reply(steps: list[str], hello_required: bool) -> None:
    connection = server(hello_required=hello_required)
    waiting: list[Command] = []
    asked = answered = 0
    for step in steps:
        if step in ("reply", "refuse"):
            if waiting:
                command = waiting.pop()
                ok = {Hello: HELLO_OK, Cancel: CancelOk("r", "finished")}.get(type(command), Empty())
                frame = connection.reply(command.id, ok) if step == "reply" else connection.refuse(command.id, NO)
                answered += plain(frame)["id"] == command.id
            continue
        try:
            outcome = connection.receive(step)
        except FrameError:
            assert connection.state == "closed"
            continue
        asked += 1
        if isinstance(outcome, Command):
            waiting.append(outcome)
        else:
            answered += plain(outcome)["id"] == json.loads(step)["id"]
    assert connection.unanswered == len(waiting) == asked - answered
    assert len({command.id for command in waiting}) == len(waiting)


# The client's end


@pytest.mark.parametrize("codec", CODECS.values())
def test_both_ends_understand_each_other(codec: Any) -> None:
    client, there = ClientConnection(codec), ServerConnection(codec, hello_required=True)
    number, frame = client.send(Hello(id=0, client="test"))
    command = there.receive(frame)
    assert command == Hello(id=number, client="test")
    assert client.receive(there.reply(number, HELLO_OK)) == Answer(Hello(id=number, client="test"), HELLO_OK)
    second, frame = client.send(Cancel(id=0, run="r"))
    assert second != number
    there.receive(frame)
    answer = client.receive(there.refuse(second, NO))
    assert isinstance(answer, Answer)
    assert isinstance(answer.outcome, CommandError)
    assert (answer.outcome.code, answer.outcome.message) == (NO.code, NO.message)
    assert client.unanswered == 0
    event = RunDelta(thread="t", run="r", start=0, to=1, text="x")
    assert client.receive(codec.encode(event)) == event


def test_a_client_ignores_unknown_events_and_fields() -> None:
    client = ClientConnection(CODEC)
    assert client.receive('{"type": "run.sang", "thread": "t"}') is None
    number, _ = client.send(Cancel(id=0, run="r"))
    reply = {"type": "reply", "id": number, "ok": {"run": "r", "state": "queued", "mood": 1}, "mood": 2}
    answer = client.receive(json.dumps(reply))
    assert isinstance(answer, Answer)
    assert answer.outcome == CancelOk("r", "queued")


def test_a_reply_that_nobody_waits_for_breaks_the_protocol() -> None:
    client = ClientConnection(CODEC)
    number, _ = client.send(Ping(id=0))
    client.receive(f'{{"type": "reply", "id": {number}, "ok": {{}}}}')
    for unknown in (number, 99):
        with pytest.raises(ProtocolError, match="does not wait"):
            client.receive(f'{{"type": "reply", "id": {unknown}, "ok": {{}}}}')


@pytest.mark.parametrize(
    "frame",
    [
        '{"type": "reply", "id": 1}',
        '{"type": "reply", "id": 1, "ok": []}',
        '{"type": "reply"}',
        '{"type": "run.delta"}',
        "[]",
    ],
)
def test_a_server_that_cannot_be_understood_is_a_frame_error(frame: str) -> None:
    client = ClientConnection(CODEC)
    client.send(Ping(id=0))
    with pytest.raises(FrameError):
        client.receive(frame)
