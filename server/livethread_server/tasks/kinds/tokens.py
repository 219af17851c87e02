"""Texts as tokens, and back; how many there are; and what the chat template writes."""

from __future__ import annotations

from livethread.errors import bad_request
from livethread.tasks import (
    ApplyTemplateInput,
    ApplyTemplateResult,
    CountTokensInput,
    CountTokensResult,
    DetokenizeInput,
    DetokenizeResult,
    TokenizeInput,
    TokenizeResult,
    TokenPiece,
)
from livethread_server.tasks.kind import Abilities, Bench
from livethread_server.tasks.kinds.chat_completion import goes_on


class Tokenize:
    """``tokenize``."""

    name = "tokenize"
    summary = "Turn a text into tokens."
    Input = TokenizeInput
    Result = TokenizeResult

    def refusal(self, abilities: Abilities) -> str | None:
        return None

    async def run(self, asked: TokenizeInput, bench: Bench) -> TokenizeResult:
        tokens = await bench.tokenize(asked.content, special=asked.parse_special, beginning=asked.add_special)
        if not asked.with_pieces:
            return TokenizeResult(tokens)
        pieces = await bench.pieces(tokens)
        return TokenizeResult(tuple(TokenPiece(*one) for one in zip(tokens, map(_shown, pieces), strict=True)))


class Detokenize:
    """``detokenize``."""

    name = "detokenize"
    summary = "Turn tokens into their text, control tokens too."
    Input = DetokenizeInput
    Result = DetokenizeResult

    def refusal(self, abilities: Abilities) -> str | None:
        return None

    async def run(self, asked: DetokenizeInput, bench: Bench) -> DetokenizeResult:
        return DetokenizeResult(await bench.text(asked.tokens, special=True))


class CountTokens:
    """``count-tokens``."""

    name = "count-tokens"
    summary = "Count the tokens of a text, or of a chat as its template renders it."
    Input = CountTokensInput
    Result = CountTokensResult

    def refusal(self, abilities: Abilities) -> str | None:
        return None

    async def run(self, asked: CountTokensInput, bench: Bench) -> CountTokensResult:
        if (asked.content is None) == (not asked.messages):
            raise bad_request("content", "Send either 'content' or 'messages', and something in it.")
        if asked.content is not None:
            tokens = await bench.tokenize(asked.content, special=asked.parse_special, beginning=asked.add_special)
        else:
            tokens = await bench.chat(asked.messages or (), go_on=goes_on(asked.messages or (), None))
        return CountTokensResult(len(tokens))


class ApplyTemplate:
    """``apply-template``."""

    name = "apply-template"
    summary = "Show a chat as the model's template renders it."
    Input = ApplyTemplateInput
    Result = ApplyTemplateResult

    def refusal(self, abilities: Abilities) -> str | None:
        return None

    async def run(self, asked: ApplyTemplateInput, bench: Bench) -> ApplyTemplateResult:
        go_on = goes_on(asked.messages, asked.continue_final_message)
        header = asked.add_generation_prompt
        return ApplyTemplateResult(await bench.template(asked.messages, go_on=go_on, header=header))


def _shown(piece: bytes) -> str | tuple[int, ...]:
    """A token's text, or its bytes where they are no whole UTF-8."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return tuple(piece)
