"""Stateless tasks as both ends see them: what a task is, and what the kinds that every server has take and give.

Inputs keep llama.cpp's own names. This module must never know commands, encodings or how a task is carried out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from livethread.model import Principal, Reason, Role, Sampling, Timings, TokenLogprob, Usage
from livethread.replies import ErrorBody

TaskState = Literal["queued", "running", "done", "cancelled", "failed"]
TaskReason = Literal["cancelled", "timeout", "error"]
KindName = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9-]{0,63}\Z")]

Token = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
Tokens = Annotated[tuple[Token, ...], Meta(max_length=1 << 20)]
SomeTokens = Annotated[tuple[Token, ...], Meta(min_length=1, max_length=1 << 20)]
Text = Annotated[str, Meta(max_length=1 << 20)]
SomeText = Annotated[str, Meta(min_length=1, max_length=1 << 20)]
Normalisation = Annotated[int, Meta(ge=-1, le=1024)]
"""llama.cpp's ``embd_normalize``: -1 none, 0 the largest is 32,760, 1 taxicab, 2 Euclidean, more: that p-norm."""


class TaskProgress(Struct, frozen=True):
    """``done`` of ``total`` things of a ``stage``: tokens of the ``prompt`` or the ``generation``, or ``items``."""

    stage: Literal["prompt", "generation", "items"]
    done: int
    total: int


class Task(Struct, frozen=True, kw_only=True):
    """One stateless piece of work. ``position`` counts those ahead of it while it is queued. ``result`` is its kind's,
    there once it is ``done``, and gone with the task at ``expires_at``. ``reason`` says why it is not done.
    """

    id: str
    kind: str
    state: TaskState
    position: int = 0
    progress: TaskProgress | None = None
    usage: Usage | None = None
    reason: TaskReason | None = None
    result: Any = None
    error: ErrorBody | None = None
    model: str
    instance: str
    by: Principal
    timeout_ms: int | None = None
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    expires_at: str | None = None


class TaskOk(Struct, frozen=True):
    """The task as it is now."""

    task: Task


class TaskListOk(Struct, frozen=True):
    """The newest first, without their results."""

    tasks: tuple[Task, ...]
    cursor: str | None


class TaskCancelOk(Struct, frozen=True):
    """How the task was when it was cancelled."""

    task: str
    state: TaskState


# Generation


class ResponseFormat(Struct, frozen=True, forbid_unknown_fields=True):
    """What the text must be: anything, any JSON object, JSON of a schema (``schema`` or OpenAI's nested
    ``json_schema.schema``), or what a GBNF ``grammar`` allows.
    """

    type: Literal["text", "json_object", "json_schema", "grammar"]
    schema: dict[str, Any] | None = None
    json_schema: dict[str, Any] | None = None
    grammar: str | None = None


class GenerationInput(Sampling, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all kinds that generate take, beside their prompt. ``n_predict`` is ``max_tokens`` by llama.cpp's name
    (-1 is no limit), ``n_probs`` is ``logprobs``; of two names of one thing only one may be sent. ``n`` choices
    share the prompt; choice i is drawn with seed + i. ``ignore_eos`` goes on behind the end of a generation.
    ``return_tokens`` adds the token ids to the result.
    """

    n: Annotated[int, Meta(ge=1, le=64)] = 1
    n_predict: Annotated[int, Meta(ge=-1, le=(1 << 31) - 1)] | None = None
    n_probs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    ignore_eos: bool = False
    return_tokens: bool = False


class ChatTurn(Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a stateless chat."""

    role: Role
    content: Text


class ChatCompletionInput(GenerationInput, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the last message is the assistant's, it is continued (``continue_final_message``; None decides by that)."""

    messages: Annotated[tuple[ChatTurn, ...], Meta(min_length=1, max_length=4096)]
    continue_final_message: bool | None = None


class TextCompletionInput(GenerationInput, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Continue a ``prompt``: text, which may name special tokens, or token ids. With ``input_prefix`` or
    ``input_suffix`` it fills in between them, where the model has tokens for that; ``prompt`` then stands before the
    place to fill.
    """

    prompt: Text | Tokens = ""
    input_prefix: Text | None = None
    input_suffix: Text | None = None


class Choice(Struct, frozen=True, kw_only=True):
    """One of the texts generated. ``logprobs`` has one entry a token where they were asked for."""

    index: int
    content: str
    reason: Reason
    seed: int
    completion_tokens: int
    tokens: tuple[int, ...] | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    timings: Timings | None = None


class GenerationResult(Struct, frozen=True):
    """``usage`` counts the shared prompt once and all choices' tokens."""

    choices: tuple[Choice, ...]
    usage: Usage
    sampling: Sampling


# Embedding, ranking, classifying


class EmbeddingInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``content``: a text, token ids, or a list of texts and lists of token ids. ``pooling`` None is the model's own,
    else ``mean``. ``dimensions`` keeps the first ones, and normalises behind that.
    """

    content: (
        SomeText
        | Annotated[
            tuple[Token | SomeText | SomeTokens, ...],
            Meta(
                min_length=1,
                max_length=1 << 20,
                extra_json_schema={
                    "anyOf": [
                        {"type": "array", "items": {"type": "integer"}},
                        {"type": "array", "items": {"type": ["string", "array"]}},
                    ]
                },
            ),
        ]
    )
    pooling: Literal["none", "mean", "cls", "last"] | None = None
    embd_normalize: Normalisation = 2
    dimensions: Annotated[int, Meta(ge=1, le=1 << 16)] | None = None


class Embedding(Struct, frozen=True):
    """The vector of the ``index``-th text; with pooling ``none`` a vector for each of its tokens."""

    index: int
    embedding: tuple[float | tuple[float, ...], ...]
    tokens: int


class EmbeddingResult(Struct, frozen=True):
    embeddings: tuple[Embedding, ...]
    usage: Usage


class RerankInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Order ``documents`` by how well they answer ``query``."""

    query: Text
    documents: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=2048)]
    top_n: Annotated[int, Meta(ge=1)] | None = None


class Ranked(Struct, frozen=True):
    index: int
    relevance_score: float


class RerankResult(Struct, frozen=True):
    """The most relevant first."""

    results: tuple[Ranked, ...]
    usage: Usage


class TextClassificationInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of ``labels`` the model itself finds likeliest for ``content``. ``prompt`` may say how to ask, with
    ``{content}`` and ``{labels}`` in it. ``normalise`` divides a label's log-likelihood by its tokens and the one that
    ends the answer.
    """

    content: Text
    labels: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...],
        Meta(min_length=2, max_length=64, extra_json_schema={"uniqueItems": True}),
    ]
    prompt: Text | None = None
    normalise: bool = False


class LabelScore(Struct, frozen=True):
    """``score`` is the probability among the labels, ``logprob`` the log-likelihood of this one's ``tokens`` tokens and
    of the answer's end behind them: a label is not likelier for being the beginning of another.
    """

    label: str
    score: float
    logprob: float
    tokens: int


class TextClassificationResult(Struct, frozen=True):
    """The likeliest first."""

    labels: tuple[LabelScore, ...]
    usage: Usage


# Tokens and templates


class TokenizeInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``add_special`` puts the model's beginning in front, ``parse_special`` reads special tokens from the text,
    ``with_pieces`` adds what each token is.
    """

    content: Text
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class TokenPiece(Struct, frozen=True):
    """A token and its text, or its bytes where they are no whole UTF-8."""

    id: int
    piece: str | tuple[int, ...]


class TokenizeResult(Struct, frozen=True):
    tokens: tuple[int | TokenPiece, ...]


class DetokenizeInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tokens: Tokens


class DetokenizeResult(Struct, frozen=True):
    content: str


class CountTokensInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a text, or of a chat as its template renders it; one of both."""

    content: Text | None = None
    messages: tuple[ChatTurn, ...] | None = None
    add_special: bool = False
    parse_special: bool = True


class CountTokensResult(Struct, frozen=True):
    tokens: int


class ApplyTemplateInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    messages: Annotated[tuple[ChatTurn, ...], Meta(min_length=1, max_length=4096)]
    add_generation_prompt: bool = True
    continue_final_message: bool | None = None


class ApplyTemplateResult(Struct, frozen=True):
    prompt: str


RESULTS: dict[str, type[Struct]] = {
    "chat-completion": GenerationResult,
    "text-completion": GenerationResult,
    "embedding": EmbeddingResult,
    "rerank": RerankResult,
    "text-classification": TextClassificationResult,
    "tokenize": TokenizeResult,
    "detokenize": DetokenizeResult,
    "count-tokens": CountTokensResult,
    "apply-template": ApplyTemplateResult,
}
"""What the kinds that every server has give."""
