"""Codes and exceptions."""

from __future__ import annotations

import pytest

from livethread.errors import (
    CloseCode,
    CommandError,
    ConnectionClosed,
    ErrorCode,
    LivethreadError,
    RunFailed,
    bad_request,
)


def test_only_what_time_can_heal_is_retryable() -> None:
    assert {code for code in ErrorCode if code.retryable} == {
        ErrorCode.BUSY,
        ErrorCode.QUEUE_FULL,
        ErrorCode.RATE_LIMITED,
        ErrorCode.MODEL_LOADING,
        ErrorCode.MODEL_UNAVAILABLE,
    }


@pytest.mark.parametrize("code", list(CloseCode))
def test_closes_from_4500_on_mean_do_not_return(code: CloseCode) -> None:
    assert code.may_return is (code < 4500)


def test_a_refusal_says_its_code_and_sentence() -> None:
    error = CommandError(ErrorCode.BUSY, "A run is writing.", run="r1")
    assert str(error) == "busy: A run is writing."
    assert error.retryable
    assert error.details == {"run": "r1"}


def test_a_bad_request_names_its_field() -> None:
    error = bad_request("ops[0]", "No.")
    assert (error.code, error.details) == (ErrorCode.BAD_REQUEST, {"field": "ops[0]"})


def test_a_close_says_its_code_and_its_reason_where_there_is_one() -> None:
    assert str(ConnectionClosed(4008, "slow")) == "the connection was closed with code 4008: slow"
    assert str(ConnectionClosed(1006)) == "the connection was closed with code 1006"


def test_a_failed_run_says_which_and_why() -> None:
    error = RunFailed("r1", "internal", "The engine died.")
    assert isinstance(error, LivethreadError)
    assert str(error) == "run r1 failed, internal: The engine died."
