"""What the kinds that generate have in common: how to draw, what the text must be, and what the result holds.

It must never know where a prompt comes from.
"""

from __future__ import annotations

from typing import Any

import msgspec

from livethread.errors import CommandError, bad_request
from livethread.model import Sampling
from livethread.tasks import Choice, GenerationInput, GenerationResult, ResponseFormat
from livethread_server.tasks.kind import Abilities, Bench

ANY_OBJECT: dict[str, Any] = {"type": "object"}
"""The JSON Schema of ``json_object``."""
NO_LIMIT = -1
"""llama.cpp's ``n_predict`` for as many tokens as the context has room for."""


def refusal(abilities: Abilities) -> str | None:
    """Why the model cannot generate for tasks."""
    if abilities.generates:
        return None
    return (
        f"The model {abilities.model} generates no text for tasks. Serve one that generates, and start the server with "
        "--task-sequences above 0."
    )


async def generate(asked: GenerationInput, prompt: tuple[int, ...], bench: Bench) -> GenerationResult:
    """Continue the prompt as it was asked for."""
    try:
        told, proved = await bench.sampling(sampling_of(asked), endless=asked.ignore_eos)
    except CommandError as error:
        raise _as_asked(error, asked) from None
    choices, usage = await bench.generate(prompt, proved, choices=asked.n)
    return GenerationResult(tuple(_shown(choice, asked) for choice in choices), usage, told)


def sampling_of(asked: GenerationInput) -> Sampling:
    """How to draw, with llama.cpp's names and ``response_format``. `CommandError` where names exclude each other."""
    fields = {name: getattr(asked, name) for name in Sampling.__struct_fields__}
    if asked.n_predict is not None:
        _only(asked, "n_predict", "max_tokens")
        fields["max_tokens"] = _limit(asked.n_predict)
    if asked.n_probs is not None:
        _only(asked, "n_probs", "logprobs")
        fields["logprobs"] = asked.n_probs
    if asked.grammar is not None and asked.json_schema is not None:
        raise _excluded("grammar", "json_schema")
    if asked.response_format is not None and asked.response_format.type != "text":
        _only(asked, "response_format", "grammar", "json_schema")
        fields |= _constraint(asked.response_format)
    return Sampling(**fields)


def _constraint(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.type == "grammar":
        if wanted.grammar is None:
            raise _lacks("grammar", wanted)
        return {"grammar": wanted.grammar}
    schema = wanted.schema
    if schema is None and wanted.json_schema is not None:
        schema = wanted.json_schema.get("schema")
    if wanted.type == "json_object":
        schema = ANY_OBJECT if schema is None else schema
    if not isinstance(schema, dict):
        raise _lacks("schema", wanted)
    return {"json_schema": schema}


def _as_asked(error: CommandError, asked: GenerationInput) -> CommandError:
    """The error with the name that the refused grammar or schema has in the input."""
    wanted, field = asked.response_format, error.details.get("field")
    if wanted is None or field not in ("grammar", "json_schema") or getattr(asked, field) is not None:
        return error
    if field == "json_schema":
        field = "schema" if wanted.schema is not None else "json_schema.schema"
    return CommandError(error.code, error.message, **(error.details | {"field": f"response_format.{field}"}))


def _limit(n_predict: int) -> int | None:
    if n_predict == 0:
        raise bad_request("n_predict", "Field 'n_predict' must be at least 1, or -1 for no limit, not 0.")
    return None if n_predict == NO_LIMIT else n_predict


def _only(asked: GenerationInput, name: str, *others: str) -> None:
    for other in others:
        if getattr(asked, other) is not None:
            raise _excluded(name, other)


def _excluded(name: str, other: str) -> Exception:
    return bad_request(name, f"Fields {name!r} and {other!r} exclude each other. Send one of them.")


def _lacks(name: str, wanted: ResponseFormat) -> Exception:
    field = f"response_format.{name}"
    return bad_request(field, f"A response_format of type {wanted.type!r} needs {field!r}. Add it.")


def _shown(choice: Choice, asked: GenerationInput) -> Choice:
    return choice if asked.return_tokens else msgspec.structs.replace(choice, tokens=None)
