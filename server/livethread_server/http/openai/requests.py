"""What programs that speak OpenAI's API send, as far as it is heeded.

Names and shapes are OpenAI's (its API reference of chat completions, completions and embeddings), and llama.cpp's
where its server takes more. Requests may hold any other field. What one field alone does not say is checked where
requests become inputs of tasks. This module must never know tasks.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from livethread.model import Penalty, Probability
from livethread.tasks import Normalisation

EncodingFormat = Literal["float", "base64"]
Whole = Annotated[int, Meta(le=(1 << 31) - 1)]
Amount = Annotated[int, Meta(ge=-1, le=(1 << 31) - 1, description="Tokens. -1 is no limit, 0 is refused.")]
LastN = Annotated[int, Meta(ge=-1, le=1 << 20)]
"""Tokens back; -1 is all of them."""
Most = Annotated[float, Meta(ge=0, le=100)]
Alternatives = Annotated[int, Meta(ge=0, le=20)]
Bias = Annotated[float, Meta(ge=-1000, le=1000)]
Stop = Annotated[str, Meta(max_length=1024)]
Nothing = Annotated[
    Any,
    Meta(
        description="Not done here: anything else is refused.",
        extra_json_schema={"enum": [None, False, 0, "", [], {}]},
    ),
]


class ContentPart(Struct, frozen=True):
    """A part of a message's content. Only ``text`` parts are understood."""

    type: Annotated[str, Meta(extra_json_schema={"const": "text"})]
    text: str | None = None


class PromptObject(Struct, frozen=True):
    """llama.cpp's prompt as an object: a text, or a text in parts. ``multimodal_data`` is there to be refused."""

    prompt_string: str | None = None
    content: tuple[ContentPart, ...] | None = None
    multimodal_data: Annotated[Any, Meta(extra_json_schema={"enum": [None, []]})] = None


SomeOfOneKind = Meta(
    extra_json_schema={
        "minItems": 1,
        "anyOf": [
            {"type": "array", "items": {"type": ["integer", "string"], "minimum": 0}},
            {"type": "array", "items": {"type": ["string", "object", "array"]}},
        ],
    }
)
"""Token ids, or prompts: said for the document, checked in `content`."""
Prompt = str | PromptObject | Annotated[tuple[int | str | PromptObject | tuple[int | str, ...], ...], SomeOfOneKind]
"""One or several, of text or of token ids, amid which llama.cpp's server takes text."""
Biases = (
    Annotated[dict[str, Bias], Meta(max_length=1024)]
    | Annotated[tuple[tuple[Annotated[int, Meta(ge=0, le=(1 << 31) - 1)] | str, Bias], ...], Meta(max_length=1024)]
)
"""By token id, or, as llama.cpp's server takes it, by text."""


class StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class GenerationRequest(Struct, frozen=True, kw_only=True):
    """What chat completions and completions have in common. ``n_predict``, ``n_probs``, ``grammar``, ``json_schema``
    and all from ``top_k`` on are llama.cpp's. A field that is null was not given. Those that are `Nothing` are there
    to be refused: see `refused`.
    """

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=64)] | None = None
    max_tokens: Amount | None = None
    n_predict: Amount | None = None
    stop: Stop | Annotated[tuple[Stop, ...], Meta(max_length=16)] | None = None
    seed: int | None = None
    temperature: Most | None = None
    top_p: Probability | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Biases | None = None
    n_probs: Alternatives | None = None
    grammar: str | None = None
    json_schema: dict[str, Any] | None = None
    top_k: Whole | None = None
    min_p: Probability | None = None
    typical_p: Probability | None = None
    xtc_probability: Probability | None = None
    xtc_threshold: Probability | None = None
    dry_multiplier: Most | None = None
    dry_base: Annotated[float, Meta(ge=1, le=100)] | None = None
    dry_allowed_length: Annotated[int, Meta(ge=0, le=1 << 20)] | None = None
    dry_penalty_last_n: LastN | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    repeat_last_n: LastN | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: Most | None = None
    mirostat_eta: Probability | None = None
    ignore_eos: bool | None = None
    return_tokens: bool | None = None
    samplers: Nothing = None
    dry_sequence_breakers: Nothing = None
    dynatemp_range: Nothing = None
    top_n_sigma: Annotated[Any, Meta(extra_json_schema={"enum": [None, False, 0, -1, "", [], {}]})] = None
    post_sampling_probs: Nothing = None
    lora: Nothing = None


class ChatMessage(Struct, frozen=True):
    """A turn. Role ``developer`` is ``system``."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[ContentPart, ...] | None = None
    tool_calls: Nothing = None
    function_call: Nothing = None
    audio: Nothing = None


class NamedSchema(Struct, frozen=True):
    """OpenAI's ``json_schema``. The text always follows it, whatever ``strict`` says."""

    schema: dict[str, Any] | None = None


class ChatFormat(Struct, frozen=True):
    """``schema`` beside the type is llama.cpp's."""

    type: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    json_schema: NamedSchema | None = None


class ChatRequest(GenerationRequest, frozen=True, kw_only=True):
    """``POST /openai/v1/chat/completions``. ``continue_final_message`` and ``add_generation_prompt`` are vLLM's and
    llama.cpp's; where neither was given, a last message of the assistant's is continued.
    """

    messages: Annotated[tuple[ChatMessage, ...], Meta(min_length=1, max_length=4096)]
    max_completion_tokens: Amount | None = None
    logprobs: bool | None = None
    top_logprobs: Alternatives | None = None
    response_format: ChatFormat | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None
    tools: Nothing = None
    tool_choice: Any = None
    functions: Nothing = None
    function_call: Any = None
    modalities: Annotated[Any, Meta(extra_json_schema={"enum": [None, [], ["text"]]})] = None
    audio: Nothing = None
    web_search_options: Nothing = None
    chat_template: Nothing = None
    chat_template_kwargs: Nothing = None


class CompletionRequest(GenerationRequest, frozen=True, kw_only=True):
    """``POST /openai/v1/completions``. A list with integers is one prompt of token ids, any other list several prompts;
    prompt i has the choices from i·n on.
    """

    prompt: Prompt = ""
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Alternatives | None = None
    best_of: int | None = None


class EmbeddingRequest(Struct, frozen=True, kw_only=True):
    """``POST /openai/v1/embeddings``. A list with integers is one text of token ids. ``embd_normalize`` is
    llama.cpp's.
    """

    input: Prompt
    model: str | None = None
    encoding_format: EncodingFormat | None = None
    dimensions: Annotated[int, Meta(ge=1, le=1 << 16)] | None = None
    embd_normalize: Normalisation | None = None
