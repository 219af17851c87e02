"""What chat completions and completions share: sampling as inputs of tasks, and ends, usage and logprobs as answers.

It must never know messages or prompts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from livethread.model import Reason, Timings, TokenLogprob, Usage
from livethread.tasks import Choice, GenerationResult
from livethread_server.http.openai.answers import (
    CompletionTimings,
    CompletionUsage,
    DrawnToken,
    Finish,
    PromptDetails,
    TokenAlternative,
)
from livethread_server.http.openai.requests import GenerationRequest

SEEDS = (1 << 32) - 1
"""Seeds go from 0 to this, exclusive; OpenAI's are any 64-bit integer."""
AS_THEY_ARE = (
    *("n", "temperature", "top_p", "presence_penalty", "frequency_penalty", "grammar", "json_schema"),
    *("min_p", "typical_p", "xtc_probability", "xtc_threshold", "dry_multiplier", "dry_base", "dry_allowed_length"),
    *("repeat_penalty", "mirostat", "mirostat_tau", "mirostat_eta", "ignore_eos", "return_tokens", "n_probs"),
)
"""Fields that mean the same in an input."""


def generation_fields(request: GenerationRequest, context: int, limits: Sequence[int | None]) -> dict[str, Any]:
    """The fields of an input that do not depend on what is continued, but for the biases (see `spelling`). ``context``
    is in tokens; ``limits`` are the request's bounds on tokens, the first one that was given holds.
    """
    limit = next((one for one in (*limits, request.n_predict) if one is not None), None)
    fields = {name: getattr(request, name) for name in AS_THEY_ARE}
    fields |= {
        "max_tokens": None if limit == -1 else limit,  # llama.cpp: -1 is no limit
        "stop": _stops(request.stop),
        "seed": None if request.seed in (None, -1) else request.seed % SEEDS,
        "top_k": None if request.top_k is None else max(0, request.top_k),  # llama.cpp: 0 and below is all tokens
        "repeat_last_n": context if request.repeat_last_n == -1 else request.repeat_last_n,
        "dry_penalty_last_n": context if request.dry_penalty_last_n == -1 else request.dry_penalty_last_n,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _stops(stop: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Stop strings; an empty one stops nothing."""
    stops = (stop,) if isinstance(stop, str) else stop or ()
    return tuple(one for one in stops if one) or None


def wants_usage(request: GenerationRequest) -> bool:
    """Whether a stream ends with what was used."""
    return bool(request.stream_options and request.stream_options.include_usage)


def finish_of(reason: Reason) -> Finish:
    """Why a text ended, in OpenAI's words."""
    return "length" if reason in ("length", "context") else "stop"


def usage_of(used: Iterable[Usage]) -> CompletionUsage:
    """What all tasks of a request used."""
    prompt = completion = reused = 0
    for one in used:
        prompt += one.prompt_tokens
        completion += one.completion_tokens
        reused += one.reused_tokens
    return CompletionUsage(prompt, completion, prompt + completion, PromptDetails(reused))


def timings_of(measured: Timings, used: Usage, predicted: int) -> CompletionTimings:
    """How long the prompt and ``predicted`` tokens of one choice took."""
    computed = used.prompt_tokens - used.reused_tokens
    return CompletionTimings(
        cache_n=used.reused_tokens,
        prompt_n=computed,
        prompt_ms=measured.prompt_ms,
        prompt_per_token_ms=_ratio(measured.prompt_ms, computed),
        prompt_per_second=_ratio(computed * 1000, measured.prompt_ms),
        predicted_n=predicted,
        predicted_ms=measured.generate_ms,
        predicted_per_token_ms=_ratio(measured.generate_ms, predicted),
        predicted_per_second=_ratio(predicted * 1000, measured.generate_ms),
    )


def timings_of_first(choices: Sequence[Choice], used: Usage) -> CompletionTimings | None:
    """The timings of the first choice, as llama.cpp tells them; None where they were not measured."""
    first = choices[0]
    return None if first.timings is None else timings_of(first.timings, used, first.completion_tokens)


def with_usage(chunks: Sequence[bytes], results: Sequence[GenerationResult], head: bytes | None) -> list[bytes]:
    """A stream's last chunks, bytes of JSON objects; the very last has the timings. ``head`` begins one more, without
    choices, that says what was used; None where that is not wanted."""
    timings = timings_of_first(results[0].choices, results[0].usage)
    told = (b"" if timings is None else b',"timings":' + msgspec.json.encode(timings)) + b"}"
    if head is None:
        return [*chunks[:-1], chunks[-1][:-1] + told]
    usage = msgspec.json.encode(usage_of(result.usage for result in results))
    return [*chunks, head + b'],"usage":' + usage + told]


def tokens_of(logprobs: Iterable[TokenLogprob]) -> tuple[DrawnToken, ...]:
    """Tokens with their log-probabilities and alternatives."""
    return tuple(
        DrawnToken(
            one.token,
            one.text,
            one.bytes,
            one.logprob,
            tuple(TokenAlternative(other.token, other.text, other.bytes, other.logprob) for other in one.top),
        )
        for one in logprobs
    )


def _ratio(dividend: float, divisor: float) -> float:
    return dividend / divisor if divisor else 0.0
