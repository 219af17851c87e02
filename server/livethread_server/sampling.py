"""Which sampling holds for a run: the generate's fields, then the thread's, then the model's.

It checks what only the server can know (what this version supports, the vocabulary, the context); it must
never know how sampling is done.
"""

from __future__ import annotations

import msgspec

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling
from livethread_server.stamps import new_seed

MODEL_SAMPLING = Sampling(
    temperature=0.8,
    top_k=40,
    top_p=0.95,
    min_p=0.05,
    repeat_penalty=1.0,
    repeat_last_n=64,
    presence_penalty=0.0,
    frequency_penalty=0.0,
)
"""What holds where neither the generate nor the thread says anything: llama.cpp's own defaults."""

LATER = (
    "typical_p",
    "xtc_probability",
    "xtc_threshold",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "logprobs",
)
"""Fields of the wire that this version refuses with ``unsupported``."""


def check(sampling: Sampling, *, vocabulary: int, context: int) -> None:
    """Refuse what cannot be done: `CommandError` ``unsupported`` or ``bad_request`` with ``details.field``."""
    for name in LATER:
        if getattr(sampling, name) is not None:
            raise CommandError(
                ErrorCode.UNSUPPORTED,
                f"Field 'sampling.{name}' is not supported by this server yet. Leave it out.",
                field=f"sampling.{name}",
            )
    if sampling.repeat_last_n is not None and sampling.repeat_last_n > context:
        raise _bad(
            "repeat_last_n",
            f"{sampling.repeat_last_n} is more than the context of {context} tokens. Choose 0 to {context}.",
        )
    unknown = [token for token in sampling.logit_bias or () if token >= vocabulary]
    if unknown:
        raise _bad(
            "logit_bias",
            f"token {unknown[0]} is not in the vocabulary. Choose ids from 0 to {vocabulary - 1}.",
        )


def resolve(*layers: Sampling | None) -> Sampling:
    """The first value given for each field, and a seed drawn where none was given.

    A grammar and a JSON Schema exclude each other, so the first layer with either decides on both.
    """
    fields: dict[str, object] = {}
    for layer in layers:
        constrained = "grammar" in fields or "json_schema" in fields
        for name, value in msgspec.structs.asdict(layer or Sampling()).items():
            if value is None or name in fields or (constrained and name in ("grammar", "json_schema")):
                continue
            fields[name] = value
    fields.setdefault("seed", new_seed())
    return msgspec.convert(fields, Sampling)


def _bad(name: str, sentence: str) -> CommandError:
    return CommandError(
        ErrorCode.BAD_REQUEST, f"Field 'sampling.{name}' does not fit: {sentence}", field=f"sampling.{name}"
    )
