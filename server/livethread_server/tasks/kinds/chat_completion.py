"""A chat that is sent whole: the assistant's next turn, or the rest of its last one."""

from __future__ import annotations

from collections.abc import Sequence

from livethread.errors import bad_request
from livethread.tasks import ChatCompletionInput, ChatTurn, GenerationResult
from livethread_server.tasks.kind import Abilities, Bench
from livethread_server.tasks.kinds.generation import generate, refusal


class ChatCompletion:
    """``chat-completion``."""

    name = "chat-completion"
    summary = "Answer a chat that is sent whole, or go on with its last message."
    Input = ChatCompletionInput
    Result = GenerationResult

    def refusal(self, abilities: Abilities) -> str | None:
        return refusal(abilities)

    async def run(self, asked: ChatCompletionInput, bench: Bench) -> GenerationResult:
        go_on = goes_on(asked.messages, asked.continue_final_message)
        return await generate(asked, await bench.chat(asked.messages, go_on=go_on), bench)


def goes_on(messages: Sequence[ChatTurn], asked: bool | None) -> bool:
    """Whether the last message is to be continued: unless said, where it is the assistant's."""
    continuable = messages[-1].role == "assistant"
    if asked and not continuable:
        raise bad_request(
            "continue_final_message",
            f"Field 'continue_final_message' is true, but the last message's role is {messages[-1].role!r}. Only the "
            "assistant's can be continued.",
        )
    return continuable if asked is None else asked
