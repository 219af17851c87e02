"""Completions: a request as inputs of the task ``text-completion``, one a prompt; results and text as answers.

It must never know how a task is carried out, or how its text is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from livethread.errors import bad_request
from livethread.model import TokenLogprob
from livethread.tasks import GenerationResult
from livethread_server.http.openai.answers import Completion, CompletionChoice, CompletionLogprobs
from livethread_server.http.openai.errand import Heard
from livethread_server.http.openai.generation import finish_of, generation_fields, timings_of_first, usage_of
from livethread_server.http.openai.head import Head
from livethread_server.http.openai.refused import refuse, unsupported
from livethread_server.http.openai.requests import CompletionRequest, Prompt
from livethread_server.tasks.said import Said

KIND = "text-completion"


def completion_inputs(request: CompletionRequest, context: int) -> list[dict[str, Any]]:
    """What the tasks are given, one a prompt, not checked yet; ``context`` is in tokens. `CommandError` where the
    request asks for what there is not."""
    refuse(request)
    if request.best_of not in (None, 0, request.n or 1):
        raise unsupported("best_of", "All texts that are drawn are answered. Leave it out, and choose among 'n'.")
    asked = generation_fields(request, context, (request.max_tokens,))
    if request.logprobs is not None:
        asked["logprobs"] = request.logprobs
        asked.pop("n_probs", None)
    if request.suffix:
        asked["input_suffix"] = request.suffix
    prompts = prompts_of(request.prompt)
    _refuse_echo(request, prompts)
    return [asked | {"prompt": prompt} for prompt in prompts]


def prompts_of(prompt: Prompt) -> list[str | tuple[int, ...]]:
    """One prompt or several. `CommandError` for a list that mixes token ids with anything else."""
    if isinstance(prompt, str):
        return [prompt]
    ids = tuple(one for one in prompt if isinstance(one, int))
    if ids and len(ids) < len(prompt):
        raise bad_request(
            "prompt", "Field 'prompt' mixes token ids with texts or lists. Send token ids only, or a list of prompts."
        )
    if not prompt:
        raise bad_request("prompt", "Field 'prompt' is an empty list. Send at least one prompt.")
    return [ids] if ids else [one for one in prompt if not isinstance(one, int)]


def _refuse_echo(request: CompletionRequest, prompts: Sequence[str | tuple[int, ...]]) -> None:
    if not request.echo:
        return
    if request.logprobs is not None or request.n_probs:
        raise unsupported("echo", "Probabilities of a prompt are not told. Leave out either 'echo' or 'logprobs'.")
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise unsupported("echo", "Only prompts that are text are repeated. Send them as text.")


def echoes_of(request: CompletionRequest) -> list[str]:
    """What stands in front of each prompt's choices."""
    prompts = prompts_of(request.prompt)
    return [prompt if request.echo and isinstance(prompt, str) else "" for prompt in prompts]


def completion(head: Head, echoes: Sequence[str], results: Sequence[GenerationResult]) -> Completion:
    """The whole answer; each of ``results`` belongs to the prompt at its place."""
    choices = [
        CompletionChoice(
            index=place * len(result.choices) + choice.index,
            text=echoes[place] + choice.content,
            logprobs=None if choice.logprobs is None else legacy_logprobs(choice.logprobs, 0),
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


def legacy_logprobs(logprobs: Iterable[TokenLogprob], offset: int) -> CompletionLogprobs:
    """Log-probabilities as completions have them. ``offset`` is how many characters there were before."""
    logprobs, offsets = tuple(logprobs), []
    for one in logprobs:
        offsets.append(offset)
        offset += len(one.text)
    return CompletionLogprobs(
        tokens=tuple(one.text for one in logprobs),
        token_logprobs=tuple(one.logprob for one in logprobs),
        top_logprobs=tuple({other.text: other.logprob for other in reversed(one.top)} for one in logprobs),
        text_offset=tuple(offsets),
    )


class CompletionStream:
    """The answer in pieces, as bytes of JSON objects: `Completion`s, put together by hand."""

    def __init__(self, head: Head, echoes: Sequence[str], choices: int, *, usage: bool) -> None:
        self._usage = usage
        self._echoes = echoes
        self._choices = choices
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
        return [self._piece(prompt, said) for prompt, said in heard if said.text or said.logprobs]

    def _piece(self, prompt: int, said: Said) -> bytes:
        index = prompt * self._choices + said.choice
        text = self._encode(said.text)
        if not said.logprobs:
            return self._before[index] + text + self._plain
        logprobs = self._encode(legacy_logprobs(said.logprobs, self._lengths[index]))
        self._lengths[index] += len(said.text)
        return b"".join((self._before[index], text, b',"logprobs":', logprobs, b',"finish_reason":null}', self._rest))

    def end(self, results: Sequence[GenerationResult]) -> list[bytes]:
        """Why each choice ended, and what all took."""
        chunks = [
            self._before[place * self._choices + choice.index]
            + b'"","logprobs":null,"finish_reason":"%s"}' % finish_of(choice.reason).encode()
            + self._rest
            for place, result in enumerate(results)
            for choice in result.choices
        ]
        if not self._usage:
            return chunks
        usage = self._encode(usage_of(result.usage for result in results))
        return [*chunks, self._head + b'],"usage":' + usage + b"}"]
