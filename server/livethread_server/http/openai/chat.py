"""Chat completions: a request as an input of the task ``chat-completion``, its result and its text as answers.

It must never know how a task is carried out, or how its text is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from livethread.errors import CommandError, bad_request
from livethread.tasks import GenerationResult
from livethread_server.http.openai.answers import ChatChoice, ChatCompletion, ChatLogprobs, Spoken
from livethread_server.http.openai.content import joined
from livethread_server.http.openai.errand import Heard
from livethread_server.http.openai.generation import (
    finish_of,
    generation_fields,
    timings_of_first,
    tokens_of,
    usage_of,
    with_usage,
)
from livethread_server.http.openai.head import Head
from livethread_server.http.openai.refused import refuse, refuse_message, unsupported
from livethread_server.http.openai.requests import ChatFormat, ChatMessage, ChatRequest
from livethread_server.tasks.said import Said

KIND = "chat-completion"
COUNTING = "count-tokens"


def chat_input(request: ChatRequest, context: int) -> dict[str, Any]:
    """What the task is given, not checked yet; ``context`` is in tokens. `CommandError` where the request asks for what
    there is not."""
    refuse(request)
    _refuse_endings(request)
    limits = (request.max_completion_tokens, request.max_tokens)
    asked = generation_fields(request, context, limits)
    asked["messages"] = _turns(request.messages)
    if request.logprobs:
        asked["logprobs"] = request.top_logprobs or 0
        asked.pop("n_probs", None)
    elif request.top_logprobs:
        raise bad_request("top_logprobs", "Field 'top_logprobs' needs 'logprobs' to be true. Set it.")
    if request.response_format is not None and request.response_format.type != "text":
        asked["response_format"] = _format(request.response_format)
    if request.continue_final_message is not None:
        asked["continue_final_message"] = request.continue_final_message
    return asked


def _refuse_endings(request: ChatRequest) -> None:
    """An answer either continues the last message, or is a message of its own."""
    if request.add_generation_prompt and request.continue_final_message:
        raise bad_request(
            "continue_final_message",
            "Fields 'add_generation_prompt' and 'continue_final_message' are both true. Leave one of them out.",
        )
    goes_on = request.continue_final_message
    if goes_on is None:
        goes_on = request.messages[-1].role == "assistant"
    if request.add_generation_prompt is False and not goes_on:
        raise unsupported("add_generation_prompt", "Whose turn it is, is never drawn. Leave it out.")


def tokens_input(request: ChatRequest) -> dict[str, Any]:
    """What the task ``count-tokens`` is given, not checked yet. `CommandError` as for `chat_input`."""
    refuse(request)
    return {"messages": _turns(request.messages)}


def _turns(messages: tuple[ChatMessage, ...]) -> list[dict[str, str]]:
    if [message.role for message in messages[-2:]] == ["assistant", "assistant"]:
        raise bad_request("messages", "Only the last message can be an assistant's that is continued. Join the two.")
    turns = []
    for place, message in enumerate(messages):
        name = f"messages[{place}]"
        refuse_message(message, name)
        role = "system" if message.role == "developer" else message.role
        turns.append({"role": role, "content": _content(message, name)})
    return turns


def _content(message: ChatMessage, name: str) -> str:
    if message.content is None:
        if message.role == "assistant":
            return ""
        raise bad_request(f"{name}.content", f"Field '{name}.content' is missing. Add what was said.")
    if isinstance(message.content, str):
        return message.content
    return joined(message.content, f"{name}.content")


def _format(asked: ChatFormat) -> dict[str, Any]:
    plain, nested = asked.schema, None if asked.json_schema is None else asked.json_schema.schema
    if asked.type == "json_schema" and (nested if asked.json_schema is not None else plain) is None:
        raise _no_schema()
    if asked.json_schema is not None:  # as it came: what is wrong in it is told by its name
        return {"type": asked.type} | ({} if nested is None else {"json_schema": {"schema": nested}})
    return {"type": asked.type} | ({} if plain is None else {"schema": plain})


def _no_schema() -> CommandError:
    name = "response_format.json_schema.schema"
    return bad_request(name, f"Field '{name}' is missing. Add the JSON Schema that the answer must follow.")


def chat_completion(head: Head, result: GenerationResult) -> ChatCompletion:
    """The whole answer."""
    choices = tuple(
        ChatChoice(
            index=choice.index,
            message=Spoken(choice.content),
            logprobs=None if choice.logprobs is None else ChatLogprobs(tokens_of(choice.logprobs)),
            finish_reason=finish_of(choice.reason),
            tokens=UNSET if choice.tokens is None else choice.tokens,
        )
        for choice in result.choices
    )
    return ChatCompletion(
        **msgspec.structs.asdict(head),
        choices=choices,
        usage=usage_of([result.usage]),
        timings=timings_of_first(result.choices, result.usage) or UNSET,
    )


class ChatStream:
    """The answer in pieces, as bytes of JSON objects: `ChatChunk`s, put together by hand, since there are hundreds a
    second. With ``usage`` all of them say how much was used, the last one truly.
    """

    def __init__(self, head: Head, choices: int, *, usage: bool) -> None:
        self._usage = usage
        self._head = head.json("chat.completion.chunk") + b',"choices":['
        self._before = [self._head + b'{"index":%d,"delta":' % index for index in range(choices)]
        self._pieces = [before + b'{"content":' for before in self._before]
        self._rest = b'],"usage":null}' if usage else b"]}"
        self._after = b',"finish_reason":null}' + self._rest
        self._plain = b'},"logprobs":null' + self._after
        self._encode = msgspec.json.Encoder().encode

    def begin(self) -> list[bytes]:
        """Who speaks, in each choice."""
        role = b'{"role":"assistant","content":null},"logprobs":null' + self._after
        return [before + role for before in self._before]

    def pieces(self, heard: Sequence[Heard]) -> list[bytes]:
        """More text of choices."""
        return [self._piece(said) for _, said in heard if said.text or said.logprobs]

    def _piece(self, said: Said) -> bytes:
        text = self._encode(said.text)
        if not said.logprobs:
            return self._pieces[said.choice] + text + self._plain
        logprobs = self._encode(ChatLogprobs(tokens_of(said.logprobs)))
        return b"".join((self._pieces[said.choice], text, b'},"logprobs":', logprobs, self._after))

    def end(self, results: Sequence[GenerationResult]) -> list[bytes]:
        """Why each choice ended, and what all took."""
        (result,) = results
        chunks = [
            self._before[choice.index]
            + b'{},"logprobs":null,"finish_reason":"%s"}' % finish_of(choice.reason).encode()
            + self._rest
            for choice in result.choices
        ]
        return with_usage(chunks, results, self._head if self._usage else None)
