"""JSON Schemas of the wire's structs (JSON Schema 2020-12, as OpenAPI 3.1 and AsyncAPI 3 take them).

It must never know which document they go into.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import UNSET, inspect

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/{name}"


class Schemas:
    """The schemas of some types: ``of`` each of them, and the ``components`` that those refer to.

    ``asked`` are what a client sends, ``told`` what it gets: there fields with a default are always present, unless the
    struct leaves defaults out. ``closed`` are structs whose unknown fields are refused, although not by msgspec.
    """

    def __init__(
        self, *, asked: Iterable[Any], told: Iterable[Any], closed: Iterable[type[msgspec.Struct]] = ()
    ) -> None:
        told = list(told)
        self._types = list(dict.fromkeys([*asked, *told]))
        schemas, components = msgspec.json.schema_components(self._types, ref_template=REFERENCE)
        asked_names = {kind.__name__ for kind in _structs(kind for kind in self._types if kind not in told)}
        for kind in _structs(told):
            if kind.__name__ not in asked_names:
                components[kind.__name__]["required"] = _always_there(kind)
        for kind in closed:
            if kind.__name__ in components:
                components[kind.__name__]["additionalProperties"] = False
        self._schemas: list[Schema] = [_portable(schema) for schema in schemas]
        self.components: Mapping[str, Schema] = {name: _portable(components[name]) for name in sorted(components)}

    def of(self, kind: Any) -> Schema:
        """The schema of one of the types, mostly a reference. ValueError where it is none of them."""
        return self._schemas[self._types.index(kind)]

    def whole(self, kind: Any) -> Schema:
        """The schema of a struct without the reference to it."""
        schema = self.of(kind)
        name = schema.get("$ref", "").rpartition("/")[2]
        return self.components[name] if name else schema


def _always_there(kind: type[msgspec.Struct]) -> list[str]:
    """The fields that an encoded struct has in any case."""
    config = kind.__struct_config__
    tag = [config.tag_field] if config.tag_field else []
    fields = msgspec.structs.fields(kind)
    return tag + [info.encode_name for info in fields if info.required or _is_kept(info, config)]


def _is_kept(info: msgspec.structs.FieldInfo, config: Any) -> bool:
    return info.default is not UNSET and not config.omit_defaults


def _structs(types: Iterable[Any]) -> Iterator[type[msgspec.Struct]]:
    """Every struct that these types are, or hold."""
    waiting, seen = list(inspect.multi_type_info(list(types))), set[type]()
    while waiting:
        found = waiting.pop()
        if isinstance(found, inspect.StructType):
            if found.cls in seen:
                continue
            seen.add(found.cls)
            yield found.cls
            waiting += [field.type for field in found.fields]
        waiting += _inside(found)


def _inside(found: inspect.Type) -> list[inspect.Type]:
    match found:
        case inspect.UnionType(types=types):
            return list(types)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return [item]
        case inspect.DictType(key_type=key, value_type=value):
            return [key, value]
        case inspect.Metadata(type=inner):
            return [inner]
    return []


def _portable(value: Any) -> Any:
    """As other languages read it: Python's anchors become those of ECMA 262, which JSON Schema names, docstrings lose
    their indentation, and what makers of types need to know is said."""
    if isinstance(value, list):
        return [_portable(item) for item in value]
    if not isinstance(value, dict):
        return value
    # The tags of the options say the same as a discriminator, whose form the two kinds of documents do not share.
    portable = {
        name: _portable(item) for name, item in value.items() if not (name == "discriminator" and "anyOf" in value)
    }
    if portable.get("default", ...) is None:
        del portable["default"]  # what may be left out is no less there for being null
    if isinstance(names := portable.get("enum"), list) and all(isinstance(name, str) for name in names):
        portable["type"] = "string"
    if portable.get("type") == "object" and not {"properties", "additionalProperties"} & portable.keys():
        portable["additionalProperties"] = True
    if isinstance(pattern := portable.get("pattern"), str):
        portable["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    if isinstance(description := portable.get("description"), str):
        portable["description"] = cleandoc(description)
    return portable
