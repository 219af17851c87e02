"""Errors as OpenAI's clients know them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal
from livethread.replies import ErrorBody
from livethread.tasks import Task
from livethread_server.http.openai.errors import error_answer, failure, model_not_found


def answered(error: CommandError) -> tuple[int, dict[str, Any], dict[str, str]]:
    answer = error_answer(error)
    return answer.status_code, json.loads(bytes(answer.body))["error"], dict(answer.headers)


def ended(**fields: Any) -> Task:
    by = Principal("alice", "alice")
    settled: dict[str, Any] = {"id": "k1", "kind": "chat-completion", "model": "smol", "instance": "i", "by": by}
    return Task(created_at="2026-01-01T00:00:00.000000Z", **settled, **fields)


@pytest.mark.parametrize(
    ("code", "status", "kind", "name"),
    [
        (ErrorCode.BAD_REQUEST, 400, "invalid_request_error", "bad_request"),
        (ErrorCode.UNSUPPORTED, 400, "invalid_request_error", "unsupported"),
        (ErrorCode.UNAUTHORIZED, 401, "authentication_error", "invalid_api_key"),
        (ErrorCode.FORBIDDEN, 403, "permission_error", "forbidden"),
        (ErrorCode.NOT_FOUND, 404, "invalid_request_error", "not_found"),
        (ErrorCode.RATE_LIMITED, 429, "rate_limit_error", "rate_limit_exceeded"),
        (ErrorCode.QUEUE_FULL, 429, "rate_limit_error", "queue_full"),
        (ErrorCode.INTERNAL, 500, "server_error", "internal"),
    ],
)
def test_each_code_has_its_status_and_type(code: ErrorCode, status: int, kind: str, name: str) -> None:
    told = answered(CommandError(code, "No.", field="n"))
    assert told[:2] == (status, {"message": "No.", "type": kind, "param": "n", "code": name})


def test_clients_are_told_when_to_come_again() -> None:
    assert answered(CommandError(ErrorCode.RATE_LIMITED, "No."))[2]["retry-after"] == "1"
    assert "retry-after" not in answered(CommandError(ErrorCode.BAD_REQUEST, "No."))[2]


def test_a_prompt_that_is_too_long_is_llama_cpps_error_too() -> None:
    error = CommandError(ErrorCode.CONTEXT_OVERFLOW, "No.", prompt_tokens=9, context_tokens=8)
    status, told, _ = answered(error)
    assert (status, told["type"], told["code"]) == (400, "exceed_context_size_error", "context_length_exceeded")
    assert (told["n_prompt_tokens"], told["n_ctx"]) == (9, 8)


def test_an_unknown_model_is_openais_error() -> None:
    status, told, _ = answered(model_not_found("gpt-4", "smol"))
    assert (status, told["code"], told["param"]) == (404, "model_not_found", "model")


def test_a_failed_task_is_its_error_and_a_cancelled_one_is_not_repeated() -> None:
    error = ErrorBody.of(CommandError(ErrorCode.BAD_REQUEST, "No.", field="grammar"))
    assert answered(failure(ended(state="failed", error=error)))[:2] == (
        400,
        {"message": "No.", "type": "invalid_request_error", "param": "grammar", "code": "bad_request"},
    )
    status, told, headers = answered(failure(ended(state="cancelled", reason="timeout")))
    assert (status, told["code"], headers["x-should-retry"]) == (503, "cancelled", "false")
    assert "took longer" in told["message"]
