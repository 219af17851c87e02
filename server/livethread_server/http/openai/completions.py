"""Completions: a request as inputs of the task ``text-completion``, one a prompt; results and text as answers.

It must never know how a task is carried out, or how its text is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from livethread.model import TokenLogprob
from livethread.tasks import GenerationResult
from livethread_server.http.openai.answers import Completion, CompletionChoice, CompletionLogprobs
from livethread_server.http.openai.content import prompts_of
from livethread_server.http.openai.errand import Heard
from livethread_server.http.openai.generation import (
    finish_of,
    generation_fields,
    timings_of_first,
    tokens_of,
    usage_of,
    wants_usage,
    with_usage,
)
from livethread_server.http.openai.head import Head
from livethread_server.http.openai.refused import refuse, unsupported
from livethread_server.http.openai.requests import CompletionRequest
from livethread_server.tasks.said import Said

KIND = "text-completion"


def completion_input(request: CompletionRequest, context: int) -> dict[str, Any]:
    """What the tasks are given, but for the prompt, not checked yet; ``context`` is in tokens. `CommandError` where
    the request asks for what there is not."""
    refuse(request)
    if request.best_of not in (None, 0, request.n or 1):
        raise unsupported("best_of", "All texts that are drawn are answered. Leave it out, and choose among 'n'.")
    asked = generation_fields(request, context, (request.max_tokens,))
    if request.logprobs is not None:
        asked["logprobs"] = request.logprobs
        asked.pop("n_probs", None)
    if request.suffix:
        asked["input_suffix"] = request.suffix
    _refuse_echo(request)
    return asked


def _refuse_echo(request: CompletionRequest) -> None:
    if not request.echo:
        return
    if request.logprobs is not None or request.n_probs:
        raise unsupported("echo", "Probabilities of a prompt are not told. Leave out either 'echo' or 'logprobs'.")
    if not all(isinstance(prompt, str) for prompt in prompts_of(request.prompt, "prompt")):
        raise unsupported("echo", "Only prompts that are text are repeated. Send them as text.")


def echoes_of(request: CompletionRequest) -> list[str]:
    """What stands in front of each prompt's choices."""
    prompts = prompts_of(request.prompt, "prompt")
    return [prompt if request.echo and isinstance(prompt, str) else "" for prompt in prompts]


def completion(request: CompletionRequest, head: Head, results: Sequence[GenerationResult]) -> Completion:
    """The whole answer; each of ``results`` belongs to the prompt at its place."""
    echoes, detailed = echoes_of(request), bool(request.n_probs)
    choices = [
        CompletionChoice(
            index=place * len(result.choices) + choice.index,
            text=echoes[place] + choice.content,
            logprobs=None if choice.logprobs is None else legacy_logprobs(choice.logprobs, 0, detailed=detailed),
            finish_reason=finish_of(choice.reason),
            tokens=UNSET if choice.tokens is None else choice.tokens,
        )
        for place, result in enumerate(results)
        for choice in result.choices
    ]
    return Completion(
        **msgspec.structs.asdict(head),
        choices=tuple(choices),
        usage=usage_of(result.usage for result in results),
        timings=timings_of_first(results[0].choices, results[0].usage) or UNSET,
    )


def legacy_logprobs(logprobs: Sequence[TokenLogprob], offset: int, *, detailed: bool) -> CompletionLogprobs:
    """Log-probabilities as completions have them, ``detailed`` as chats have them too. ``offset`` is how many
    characters there were before."""
    offsets = []
    for one in logprobs:
        offsets.append(offset)
        offset += len(one.text)
    return CompletionLogprobs(
        tokens=tuple(one.text for one in logprobs),
        token_logprobs=tuple(one.logprob for one in logprobs),
        top_logprobs=tuple({other.text: other.logprob for other in reversed(one.top)} for one in logprobs),
        text_offset=tuple(offsets),
        content=tokens_of(logprobs) if detailed else UNSET,
    )


class CompletionStream:
    """The answer in pieces, as bytes of JSON objects: `Completion`s, put together by hand."""

    def __init__(self, request: CompletionRequest, head: Head) -> None:
        self._usage = usage = wants_usage(request)
        self._tokens = bool(request.return_tokens)
        self._detailed = bool(request.n_probs)
        self._echoes = echoes = echoes_of(request)
        self._choices = choices = request.n or 1
        self._head = head.json("text_completion") + b',"choices":['
        self._before = [self._head + b'{"index":%d,"text":' % index for index in range(choices * len(echoes))]
        self._rest = b'],"usage":null}' if usage else b"]}"
        self._plain = b',"logprobs":null,"finish_reason":null}' + self._rest
        self._lengths = [0] * len(self._before)
        self._encode = msgspec.json.Encoder().encode

    def begin(self) -> list[bytes]:
        """The prompts, where they are wanted."""
        return [
            before + self._encode(self._echoes[index // self._choices]) + self._plain
            for index, before in enumerate(self._before)
            if self._echoes[index // self._choices]
        ]

    def pieces(self, heard: Sequence[Heard]) -> list[bytes]:
        """More text of prompts' choices."""
        return [self._piece(prompt, said) for prompt, said in heard if said.text or said.logprobs or self._tokens]

    def _piece(self, prompt: int, said: Said) -> bytes:
        index = prompt * self._choices + said.choice
        text = self._encode(said.text)
        if not (said.logprobs or self._tokens):
            return self._before[index] + text + self._plain
        tokens = b',"tokens":' + self._encode(said.tokens) if self._tokens else b""
        logprobs = self._encode(self._logprobs(index, said) if said.logprobs else None)
        end = b',"finish_reason":null}' + self._rest
        return b"".join((self._before[index], text, tokens, b',"logprobs":', logprobs, end))

    def _logprobs(self, index: int, said: Said) -> CompletionLogprobs:
        before = self._lengths[index]
        self._lengths[index] += len(said.text)
        return legacy_logprobs(said.logprobs, before, detailed=self._detailed)

    def end(self, results: Sequence[GenerationResult]) -> list[bytes]:
        """Why each choice ended, and what all took."""
        chunks = [
            self._before[place * self._choices + choice.index]
            + b'"","logprobs":null,"finish_reason":"%s"}' % finish_of(choice.reason).encode()
            + self._rest
            for place, result in enumerate(results)
            for choice in result.choices
        ]
        return with_usage(chunks, results, self._head if self._usage else None)
