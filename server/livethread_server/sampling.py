"""Which sampling holds for a run: the generate's fields, then the thread's, then the model's.

It checks what only the server can know (the vocabulary, the context); it must
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
    typical_p=1.0,
    xtc_probability=0.0,
    xtc_threshold=0.1,
    dry_multiplier=0.0,
    dry_base=1.75,
    dry_allowed_length=2,
    repeat_penalty=1.0,
    repeat_last_n=64,
    presence_penalty=0.0,
    frequency_penalty=0.0,
    mirostat=0,
    mirostat_tau=5.0,
    mirostat_eta=0.1,
)
"""What holds where neither the generate nor the thread says anything: llama.cpp's own defaults
(common_params_sampling). Without ``dry_penalty_last_n`` dry looks back over the whole context.
"""

REPLACED = ("top_k", "top_p", "min_p", "typical_p", "xtc_probability", "xtc_threshold")
"""Fields that mean nothing beside mirostat, which chooses by itself how far down the likely tokens it draws."""


def check(sampling: Sampling, *, vocabulary: int, context: int) -> None:
    """Refuse what cannot be done: `CommandError` ``bad_request`` with ``details.field``."""
    for name in ("repeat_last_n", "dry_penalty_last_n"):
        last = getattr(sampling, name)
        if last is not None and last > context:
            raise _bad(name, f"{last} is more than the context of {context} tokens. Choose 0 to {context}.")
    unknown = [token for token in sampling.logit_bias or () if token >= vocabulary]
    if unknown:
        raise _bad(
            "logit_bias",
            f"token {unknown[0]} is not in the vocabulary. Choose ids from 0 to {vocabulary - 1}.",
        )


def resolve(*layers: Sampling | None) -> Sampling:
    """The first value given for each field, and a seed drawn where none was given.

    A grammar and a JSON Schema exclude each other, so the first layer with either decides on both. With mirostat the
    fields that it replaces are left out.
    """
    fields: dict[str, object] = {}
    for layer in layers:
        constrained = "grammar" in fields or "json_schema" in fields
        for name, value in msgspec.structs.asdict(layer or Sampling()).items():
            if value is None or name in fields or (constrained and name in ("grammar", "json_schema")):
                continue
            fields[name] = value
    if fields.get("mirostat"):
        fields = {name: value for name, value in fields.items() if name not in REPLACED}
    fields.setdefault("seed", new_seed())
    return msgspec.convert(fields, Sampling)


def _bad(name: str, sentence: str) -> CommandError:
    return CommandError(
        ErrorCode.BAD_REQUEST, f"Field 'sampling.{name}' does not fit: {sentence}", field=f"sampling.{name}"
    )
