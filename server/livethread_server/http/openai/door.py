"""The operations under ``/openai/v1``: each makes tasks of a request and an answer of what they come to.

It must never know how requests are read and guarded: that is `routes`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute

from livethread.errors import ErrorCode
from livethread_server.http.call import Call
from livethread_server.http.conditions import IDEMPOTENCY_KEY, idempotency_key
from livethread_server.http.door import HttpDoor
from livethread_server.http.openai import chat, completions, embeddings
from livethread_server.http.openai.answers import (
    ChatChunk,
    ChatCompletion,
    Completion,
    EmbeddingList,
    InputTokens,
    ModelObject,
    ModelObjectList,
)
from livethread_server.http.openai.content import prompts_of
from livethread_server.http.openai.errand import Errand
from livethread_server.http.openai.errors import REFUSALS, error_answer
from livethread_server.http.openai.generation import wants_usage
from livethread_server.http.openai.head import Head
from livethread_server.http.openai.models import Models
from livethread_server.http.openai.requests import ChatRequest, CompletionRequest, EmbeddingRequest, GenerationRequest
from livethread_server.http.openai.spelling import Spelling
from livethread_server.http.openai.streaming import ErrandStream, Telling
from livethread_server.http.operation import GENERATION_ERRORS, Header, Operation, StreamEvent, json_answer
from livethread_server.http.routing import nothing_else, routes
from livethread_server.tasks.tasks import Tasks
from livethread_server.tasks.texts import Texts

PREFIX = "/openai/v1"
TAG = "OpenAI"
KEY = Header(
    "Idempotency-Key",
    "The same key with the same request is the same task, which is not done twice, nor ended when its client goes.",
    IDEMPOTENCY_KEY.type,
)
REQUEST = Header("x-request-id", "The id of the task that did it, or of the first one.")


def openai_routes(operations: Sequence[Operation], door: HttpDoor) -> list[BaseRoute]:
    """The routes of the operations, which refuse as OpenAI does; whatever else begins with ``/openai`` is not there."""
    return [*routes(operations, door, error_answer), nothing_else("/openai", door, error_answer)]


class OpenAiDoor:
    """OpenAI's API over ``tasks``. ``version`` is this server's, which answers name as their fingerprint."""

    def __init__(self, tasks: Tasks, models: Models, texts: Texts, version: str) -> None:
        self._tasks = tasks
        self._models = models
        self._spelling = Spelling(texts)
        self._fingerprint = f"b-livethread-{version}"  # llama.cpp's begin with a "b" too

    def operations(self) -> list[Operation]:
        """All of them."""
        return [
            _get("models", "/models", "The models that are served.", self.list_models, ModelObjectList),
            _get(
                "model", "/models/{model}", "A model that is served.", self.get_model, ModelObject, ErrorCode.NOT_FOUND
            ),
            _post("chat/completions", "Continue a chat.", self.chat, ChatRequest, ChatCompletion, ChatChunk),
            _post(
                "chat/completions/input_tokens", "Count a chat's tokens.", self.count_tokens, ChatRequest, InputTokens
            ),
            _post("completions", "Continue prompts.", self.completions, CompletionRequest, Completion, Completion),
            _post("embeddings", "Turn texts into vectors.", self.embeddings, EmbeddingRequest, EmbeddingList),
        ]

    async def list_models(self, call: Call) -> Response:
        """``GET /models``."""
        return json_answer(self._models.list())

    async def get_model(self, call: Call) -> Response:
        """``GET /models/{model}``."""
        return json_answer(self._models.get(call.path["model"]))

    async def chat(self, call: Call) -> Response:
        """``POST /chat/completions``."""
        request: ChatRequest = call.body
        model = self._models.check(request.model)
        asked = chat.chat_input(request, self._models.card.context) | await self._biases(request)
        errand = await self._begin(call, chat.KIND, [asked])
        head = self._head(f"chatcmpl-{errand.id}", model)
        if request.stream:
            return await _stream(call, errand, chat.ChatStream(head, request.n or 1, usage=wants_usage(request)))
        (result,) = await _results(call, errand)
        return _answer(errand, chat.chat_completion(head, result))

    async def count_tokens(self, call: Call) -> Response:
        """``POST /chat/completions/input_tokens``."""
        request: ChatRequest = call.body
        self._models.check(request.model)
        errand = await self._begin(call, chat.COUNTING, [chat.tokens_input(request)])
        (result,) = await _results(call, errand)
        return _answer(errand, InputTokens(input_tokens=result.tokens))

    async def completions(self, call: Call) -> Response:
        """``POST /completions``."""
        request: CompletionRequest = call.body
        model = self._models.check(request.model)
        asked = completions.completion_input(request, self._models.card.context) | await self._biases(request)
        prompts = await self._spelling.prompts(prompts_of(request.prompt, "prompt"), "prompt")
        errand = await self._begin(call, completions.KIND, [asked | {"prompt": prompt} for prompt in prompts])
        head = self._head(f"cmpl-{errand.id}", model)
        if request.stream:
            return await _stream(call, errand, completions.CompletionStream(request, head))
        return _answer(errand, completions.completion(request, head, await _results(call, errand)))

    async def embeddings(self, call: Call) -> Response:
        """``POST /embeddings``."""
        request: EmbeddingRequest = call.body
        model = self._models.check(request.model)
        texts = await self._spelling.prompts(prompts_of(request.input, "input"), "input")
        errand = await self._begin(call, embeddings.KIND, [embeddings.embedding_input(request, texts)])
        (result,) = await _results(call, errand)
        return _answer(errand, await asyncio.to_thread(embeddings.embedding_list, request, model, result))

    async def _biases(self, request: GenerationRequest) -> dict[str, Any]:
        biases = await self._spelling.biases(request.logit_bias)
        return {} if biases is None else {"logit_bias": biases}

    async def _begin(self, call: Call, kind: str, asked: Sequence[dict[str, Any]]) -> Errand:
        errand, key = Errand(self._tasks, call.session.principal), idempotency_key(call.request)
        with _closed_on_failure(errand):
            # Not given up in the middle when the client goes: nobody would end the task that is being made.
            await errand.begin(kind, asked, key)
        return errand

    def _head(self, answer: str, model: str) -> Head:
        return Head(answer, int(time.time()), model, self._fingerprint)


async def _results(call: Call, errand: Errand) -> list[Any]:
    with _closed_on_failure(errand):
        return await call.patiently(errand.results())


async def _stream(call: Call, errand: Errand, telling: Telling) -> Response:
    """An answer that begins with the first text: what fails before that still has a status of its own."""
    with _closed_on_failure(errand):
        await call.patiently(errand.first())
    return ErrandStream(errand, telling, call, _headers(errand))


@contextmanager
def _closed_on_failure(errand: Errand) -> Iterator[None]:
    """Nobody waits for an errand any more that failed, or whose client has gone."""
    try:
        yield
    except BaseException:
        errand.close()
        raise


def _answer(errand: Errand, value: msgspec.Struct) -> Response:
    return json_answer(value, headers=_headers(errand))


def _headers(errand: Errand) -> dict[str, str]:
    """OpenAI's clients show this one as the request's id: here it is the task's."""
    return {"x-request-id": errand.id}


def _get(name: str, path: str, summary: str, handler: Any, ok: Any, *errors: ErrorCode) -> Operation:
    return Operation(
        id=f"openai_{name}",
        method="GET",
        path=PREFIX + path,
        tag=TAG,
        summary=summary,
        handler=handler,
        ok=ok,
        errors=errors,
        free=True,
        refusals=REFUSALS,
    )


def _post(name: str, summary: str, handler: Any, body: Any, ok: Any, told: Any = None) -> Operation:
    """``told`` is what each event of a stream holds, but for the last one."""
    return Operation(
        id=f"openai_{name.replace('/', '_')}",
        method="POST",
        path=f"{PREFIX}/{name}",
        tag=TAG,
        summary=summary,
        handler=handler,
        body=body,
        ok=ok,
        streams=() if told is None else (StreamEvent("", told), StreamEvent("", text="[DONE]")),
        headers=(KEY,),
        tells=(REQUEST,),
        errors=(ErrorCode.NOT_FOUND, *GENERATION_ERRORS),
        refusals=REFUSALS,
    )
