"""What programs that speak OpenAI's API send, as far as it is heeded.

Names and shapes are OpenAI's (its API reference of chat completions, completions and embeddings), and llama.cpp's
where its server takes more. Requests may hold any other field. Ranges are checked where requests become inputs of
tasks. This module must never know tasks.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

EncodingFormat = Literal["float", "base64"]
Prompt = str | tuple[int | str | tuple[int, ...], ...]


class StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class GenerationRequest(Struct, frozen=True, kw_only=True):
    """What chat completions and completions have in common. ``n_predict``, ``n_probs``, ``grammar``, ``json_schema``
    and all from ``top_k`` on are llama.cpp's. A field that is null was not given. Those of type Any are there to be
    refused: see `refused`.
    """

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    n_predict: int | None = None
    stop: str | tuple[str, ...] | None = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | tuple[tuple[int, float], ...] | None = None
    n_probs: int | None = None
    grammar: str | None = None
    json_schema: dict[str, Any] | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    ignore_eos: bool | None = None
    return_tokens: bool | None = None
    samplers: Any = None
    dry_sequence_breakers: Any = None
    dynatemp_range: Any = None
    top_n_sigma: Any = None
    post_sampling_probs: Any = None
    lora: Any = None


class ContentPart(Struct, frozen=True):
    """A part of a message's content. Only ``text`` parts are understood."""

    type: str
    text: str | None = None


class ChatMessage(Struct, frozen=True):
    """A turn. Role ``developer`` is ``system``."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[ContentPart, ...] | None = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None


class NamedSchema(Struct, frozen=True):
    """OpenAI's ``json_schema``. The text always follows it, whatever ``strict`` says."""

    schema: dict[str, Any] | None = None


class ChatFormat(Struct, frozen=True):
    """``schema`` beside the type is llama.cpp's."""

    type: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    json_schema: NamedSchema | None = None


class ChatRequest(GenerationRequest, frozen=True, kw_only=True):
    """``POST /openai/v1/chat/completions``."""

    messages: Annotated[tuple[ChatMessage, ...], Meta(min_length=1, max_length=4096)]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ChatFormat | None = None
    tools: Any = None
    tool_choice: Any = None
    functions: Any = None
    function_call: Any = None
    modalities: Any = None
    audio: Any = None
    web_search_options: Any = None
    chat_template: Any = None
    chat_template_kwargs: Any = None


class CompletionRequest(GenerationRequest, frozen=True, kw_only=True):
    """``POST /openai/v1/completions``. A list of integers is one prompt of token ids, any other list several prompts;
    prompt i has the choices from i·n on.
    """

    prompt: Prompt = ""
    suffix: str | None = None
    echo: bool | None = None
    logprobs: int | None = None
    best_of: int | None = None


class EmbeddingRequest(Struct, frozen=True, kw_only=True):
    """``POST /openai/v1/embeddings``. A list of integers is one text of token ids. ``embd_normalize`` is
    llama.cpp's.
    """

    input: str | Annotated[tuple[int | str | tuple[int, ...], ...], Meta(min_length=1, max_length=1 << 20)]
    model: str | None = None
    encoding_format: EncodingFormat | None = None
    dimensions: int | None = None
    embd_normalize: int | None = None
