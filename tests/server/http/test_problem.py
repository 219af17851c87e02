from __future__ import annotations

import json

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread_server.http.problem import STATUS, StatusError, internal, refusal


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_a_status_and_says_the_same_as_on_the_wire(code: ErrorCode) -> None:
    answer = refusal(CommandError(code, "It cannot be.", field="x"))
    assert answer.media_type == "application/problem+json"
    assert json.loads(bytes(answer.body)) == {
        "type": f"urn:livethread:error:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": STATUS[code],
        "detail": "It cannot be.",
        "code": code,
        "retryable": code.retryable,
        "details": {"field": "x"},
    }
    assert answer.status_code == STATUS[code]


def test_who_may_come_back_is_told_when() -> None:
    later = {code for code in ErrorCode if "retry-after" in refusal(CommandError(code, "Wait.")).headers}
    assert later == {code for code in ErrorCode if code.retryable} - {ErrorCode.BUSY}


def test_a_refusal_may_have_a_status_and_headers_of_its_own() -> None:
    error = StatusError(405, ErrorCode.BAD_REQUEST, "Not so.")
    error.headers = {"allow": "GET"}
    answer = refusal(error)
    assert (answer.status_code, answer.headers["allow"], json.loads(bytes(answer.body))["status"]) == (405, "GET", 405)


def test_only_the_server_is_at_fault_with_500_and_above_or_its_model() -> None:
    ours = {code for code, status in STATUS.items() if status >= 500}
    assert ours == {ErrorCode.INTERNAL, ErrorCode.MODEL_LOADING, ErrorCode.MODEL_UNAVAILABLE}
    assert refusal(internal()).status_code == 500
