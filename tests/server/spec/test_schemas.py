from __future__ import annotations

from typing import Annotated, Any, Literal

import jsonschema_rs
import msgspec
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from livethread.model import Id, Sampling
from livethread_server.spec.schemas import Schemas


class Inner(Struct):
    colour: str = "red"


class Told(Struct, tag_field="type", tag="told"):
    """What is told.

    With an indented second paragraph.
    """

    name: str
    inner: Inner = msgspec.field(default_factory=Inner)
    size: int | UnsetType = UNSET


class Brief(Struct, omit_defaults=True):
    name: str
    note: str | None = None


class Asked(Struct, forbid_unknown_fields=True):
    id: Id
    inner: Inner | None = None
    count: Annotated[int, Meta(ge=1)] = 1


class Loose(Struct):
    anything: dict[str, Any]
    kind: Literal["a", "b"] = "a"
    note: str | None = None


def test_what_is_told_has_its_defaults_and_what_is_asked_need_not() -> None:
    schemas = Schemas(asked=[Sampling], told=[Told])
    assert schemas.whole(Told)["required"] == ["type", "name", "inner"]
    assert schemas.components["Inner"]["required"] == ["colour"]


def test_a_struct_that_is_asked_and_told_promises_nothing() -> None:
    schemas = Schemas(asked=[Asked], told=[Told])
    assert schemas.components["Inner"]["required"] == []
    assert schemas.whole(Asked)["required"] == ["id"]


def test_a_struct_that_leaves_defaults_out_promises_only_what_is_required() -> None:
    assert Schemas(asked=[], told=[Brief]).whole(Brief)["required"] == ["name"]


def test_fields_that_are_refused_elsewhere_are_closed_in_the_schema() -> None:
    assert Schemas(asked=[Sampling], told=[], closed=[Sampling]).whole(Sampling)["additionalProperties"] is False


def test_makers_of_types_find_what_they_need() -> None:
    fields = Schemas(asked=[Loose], told=[]).whole(Loose)["properties"]
    assert fields["kind"] == {"enum": ["a", "b"], "type": "string", "default": "a"}
    assert fields["anything"] == {"type": "object", "additionalProperties": True}
    assert "default" not in fields["note"]


@pytest.mark.parametrize(("value", "fits"), [("t-1", True), ("t-1\n", False), ("a b", False), ("x" * 65, False)])
def test_ids_mean_the_same_to_other_languages(value: str, fits: bool) -> None:
    assert jsonschema_rs.is_valid(Schemas(asked=[Id], told=[]).of(Id), value) is fits


def test_descriptions_have_no_indentation() -> None:
    assert Schemas(asked=[], told=[Told]).whole(Told)["description"].endswith("\n\nWith an indented second paragraph.")
