"""JSON Schemas of the wire's structs (JSON Schema 2020-12, as OpenAPI 3.1 and AsyncAPI 3 take them).

It must never know which document they go into.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/{name}"


class Schemas:
    """The schemas of some types: ``of`` each of them, and the ``components`` that those refer to."""

    def __init__(self, types: Iterable[Any]) -> None:
        self._types = list(dict.fromkeys(types))
        schemas, components = msgspec.json.schema_components(self._types, ref_template=REFERENCE)
        self._schemas = [_portable(schema) for schema in schemas]
        self.components: Mapping[str, Schema] = {name: _portable(components[name]) for name in sorted(components)}

    def of(self, kind: Any) -> Schema:
        """The schema of one of the types, mostly a reference. ValueError where it is none of them."""
        return self._schemas[self._types.index(kind)]

    def whole(self, kind: Any) -> Schema:
        """The schema of a struct without the reference to it."""
        schema = self.of(kind)
        name = schema.get("$ref", "").rpartition("/")[2]
        return self.components[name] if name else schema


def _portable(value: Any) -> Any:
    """As other languages' validators read it: Python's anchors become those of ECMA 262, which JSON Schema names."""
    if isinstance(value, list):
        return [_portable(item) for item in value]
    if not isinstance(value, dict):
        return value
    portable = {name: _portable(item) for name, item in value.items()}
    if isinstance(pattern := portable.get("pattern"), str):
        portable["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    return portable
