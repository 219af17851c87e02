from __future__ import annotations

from typing import Annotated, Any

import msgspec
import openapi_spec_validator
import pytest
from msgspec import Meta, Struct
from starlette.responses import Response

from livethread.errors import ErrorCode
from livethread_server.http.call import Call
from livethread_server.http.operation import Header, Operation, StreamEvent
from livethread_server.http.problem import Refusals
from livethread_server.spec.openapi import openapi


class Page(Struct, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: str | None = None


class Wish(Struct, forbid_unknown_fields=True):
    colour: str


class Thing(Struct):
    """A thing."""

    id: str
    colour: str = "red"


async def nothing(call: Call) -> Response:
    return Response()


LIST = Operation(
    id="list_things", method="GET", path="/things", tag="things", summary="All.", handler=nothing, query=Page, ok=Thing
)
MAKE = Operation(
    id="make_thing",
    method="POST",
    path="/things/{thing}",
    tag="things",
    summary="Make one.",
    handler=nothing,
    body=Wish,
    ok=Thing,
    status=201,
    more_statuses=(202,),
    accepted=Wish,
    streams=(Thing,),
    headers=(Header("Idempotency-Key", "Once."),),
    tells=(Header("ETag", "The version."),),
    errors=(ErrorCode.EXISTS, ErrorCode.BUSY),
)
DROP = Operation(
    id="drop", method="DELETE", path="/things/{thing}", tag="things", summary="Gone.", handler=nothing, status=204
)
OPEN = Operation(
    id="open", method="GET", path="/open", tag="other", summary="Open.", handler=nothing, guarded=False, ok=str
)
OTHER = Operation(
    id="other",
    method="GET",
    path="/other/{name}",
    tag="other",
    summary="Says no in its own way.",
    handler=nothing,
    ok=Thing,
    streams=(StreamEvent("", Thing), StreamEvent("", text="[DONE]")),
    errors=(ErrorCode.UNSUPPORTED,),
    free=True,
    refusals=Refusals(Wish, "application/json", dict.fromkeys(ErrorCode, 400), ""),
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi((LIST, MAKE, DROP, OPEN, OTHER), "1.2.3")


def test_it_is_openapi_as_its_authors_define_it(document: dict[str, Any]) -> None:
    openapi_spec_validator.validate(document)


def test_operations_of_one_path_stand_together(document: dict[str, Any]) -> None:
    assert set(document["paths"]["/things/{thing}"]) == {"post", "delete"}


def test_query_parameters_are_left_out_rather_than_null(document: dict[str, Any]) -> None:
    limit, cursor = document["paths"]["/things"]["get"]["parameters"]
    assert (limit["in"], limit["required"], limit["schema"]) == (
        "query",
        False,
        {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    )
    assert cursor["schema"] == {"type": "string"}


def test_every_status_that_may_come_is_there_with_its_codes(document: dict[str, Any]) -> None:
    answers = document["paths"]["/things/{thing}"]["post"]["responses"]
    assert set(answers) == {"201", "202", "400", "401", "409", "413", "415", "429", "500"}
    assert answers["409"]["description"] == "`exists`, `busy`"
    assert set(answers["201"]["content"]) == {"application/json", "text/event-stream"}
    assert answers["202"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Wish"}
    assert set(answers["201"]["headers"]) == {"ETag"}
    assert "content" not in document["paths"]["/things/{thing}"]["delete"]["responses"]["204"]


def test_no_body_need_be_sent_where_no_field_is_needed(document: dict[str, Any]) -> None:
    assert document["paths"]["/things/{thing}"]["post"]["requestBody"]["required"] is True
    made = openapi((msgspec.structs.replace(MAKE, body=Page),), "1")["paths"]["/things/{thing}"]["post"]
    assert made["requestBody"]["required"] is False


def test_what_anybody_may_ask_for_needs_no_token(document: dict[str, Any]) -> None:
    assert document["paths"]["/open"]["get"]["security"] == []
    assert "security" not in document["paths"]["/things"]["get"]
    assert document["security"] == [{"token": []}, {}]
    assert openapi((), "1", required=True)["security"] == [{"token": []}]


def test_the_events_of_a_stream_have_their_names_and_the_last_one_may_be_a_problem(document: dict[str, Any]) -> None:
    events = document["paths"]["/things/{thing}"]["post"]["responses"]["201"]["content"]["text/event-stream"]["schema"]
    named = [one["properties"]["event"]["const"] if "event" in one["properties"] else None for one in events["anyOf"]]
    assert named == [None, "error"]
    assert events["anyOf"][1]["properties"]["data"]["contentSchema"] == {"$ref": "#/components/schemas/Problem"}


def test_an_api_may_say_no_in_its_own_way(document: dict[str, Any]) -> None:
    other = document["paths"]["/other/{name}"]["get"]
    assert set(other["responses"]) == {"200", "400"}
    assert other["responses"]["400"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/Wish"}}
    }
    events = other["responses"]["200"]["content"]["text/event-stream"]["schema"]["anyOf"]
    assert [one["properties"]["data"].get("const") for one in events] == [None, "[DONE]", None]
    assert other["parameters"][0]["schema"] == {"type": "string", "minLength": 1}
