"""What programs that speak OpenAI's API are answered.

Names and shapes are OpenAI's, and llama.cpp's where its server gives more. This module must never know tasks.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

Finish = Literal["stop", "length"]


class PromptDetails(Struct, frozen=True):
    cached_tokens: int


class CompletionUsage(Struct, frozen=True):
    """``cached_tokens`` of the prompt were in KV already."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class CompletionTimings(Struct, frozen=True):
    """llama.cpp's: tokens and milliseconds of the prompt that was computed, and of what was predicted."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float


class TokenAlternative(Struct, frozen=True):
    """``id`` is llama.cpp's."""

    id: int
    token: str
    bytes: tuple[int, ...]
    logprob: float


class DrawnToken(Struct, frozen=True):
    id: int
    token: str
    bytes: tuple[int, ...]
    logprob: float
    top_logprobs: tuple[TokenAlternative, ...]


class ChatLogprobs(Struct, frozen=True):
    content: tuple[DrawnToken, ...]
    refusal: None = None


class Spoken(Struct, frozen=True):
    """What the assistant said. It never refuses as OpenAI's models do."""

    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class ChatChoice(Struct, frozen=True, kw_only=True):
    index: int
    message: Spoken
    logprobs: ChatLogprobs | None
    finish_reason: Finish
    tokens: tuple[int, ...] | UnsetType = UNSET


class ChatCompletion(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: tuple[ChatChoice, ...]
    usage: CompletionUsage
    timings: CompletionTimings | UnsetType = UNSET


class ChatDelta(Struct, frozen=True):
    """What a chunk adds. The first one of a choice has the role, the last one nothing."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET


class ChatChunkChoice(Struct, frozen=True, kw_only=True):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: Finish | None = None


class ChatChunk(Struct, frozen=True, kw_only=True):
    """The data of a server-sent event. With ``stream_options.include_usage`` the last one has no choices, but the
    usage; behind it comes ``[DONE]``.
    """

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: tuple[ChatChunkChoice, ...]
    usage: CompletionUsage | UnsetType | None = UNSET
    timings: CompletionTimings | UnsetType = UNSET


class CompletionLogprobs(Struct, frozen=True):
    """A list has one entry a token; ``text_offset`` counts characters from the choice's beginning. ``content`` is
    llama.cpp's, for those who asked with its ``n_probs``.
    """

    tokens: tuple[str, ...]
    token_logprobs: tuple[float, ...]
    top_logprobs: tuple[dict[str, float], ...]
    text_offset: tuple[int, ...]
    content: tuple[DrawnToken, ...] | UnsetType = UNSET


class CompletionChoice(Struct, frozen=True, kw_only=True):
    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Finish | None
    tokens: tuple[int, ...] | UnsetType = UNSET


class Completion(Struct, frozen=True, kw_only=True):
    """A whole completion, and the data of a server-sent event."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: tuple[CompletionChoice, ...]
    usage: CompletionUsage | UnsetType | None = UNSET
    timings: CompletionTimings | UnsetType = UNSET


class EmbeddingObject(Struct, frozen=True, kw_only=True):
    """A vector as numbers, or as base64 of little-endian 32-bit floats."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: tuple[float, ...] | str


class EmbeddingUsage(Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: tuple[EmbeddingObject, ...]
    model: str
    usage: EmbeddingUsage


class InputTokens(Struct, frozen=True, kw_only=True):
    """llama.cpp's: how many tokens a chat has, with what its template adds."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class ModelMeta(Struct, frozen=True, kw_only=True):
    """llama.cpp's: ``n_ctx`` is what one prompt and its answer may have here, ``size`` is in bytes, ``n_embd`` is there
    once the engine has loaded the model."""

    n_vocab: int
    n_ctx_train: int
    n_ctx: int
    n_embd: int | UnsetType = UNSET
    size: int


class ModelObject(Struct, frozen=True, kw_only=True):
    """A served model. ``created`` is when its file was written, in Unix seconds."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "livethread"
    meta: ModelMeta


class ModelObjectList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: tuple[ModelObject, ...]


class ErrorObject(Struct, frozen=True, kw_only=True):
    """``n_prompt_tokens`` and ``n_ctx`` are llama.cpp's, of a prompt that is too long."""

    message: str
    type: str
    param: str | None
    code: str
    n_prompt_tokens: int | UnsetType = UNSET
    n_ctx: int | UnsetType = UNSET


class ErrorAnswer(Struct, frozen=True):
    error: ErrorObject
