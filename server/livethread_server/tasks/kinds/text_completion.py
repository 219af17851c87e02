"""A text that goes on, or what belongs between two texts."""

from __future__ import annotations

from livethread.tasks import GenerationResult, TextCompletionInput
from livethread_server.tasks.kind import Abilities, Bench
from livethread_server.tasks.kinds.generation import generate, refusal


class TextCompletion:
    """``text-completion``."""

    name = "text-completion"
    summary = "Go on with a text, or fill in between two, where the model has tokens for that."
    Input = TextCompletionInput
    Result = GenerationResult

    def refusal(self, abilities: Abilities) -> str | None:
        return refusal(abilities)

    async def run(self, asked: TextCompletionInput, bench: Bench) -> GenerationResult:
        return await generate(asked, await _prompt(asked, bench), bench)


async def _prompt(asked: TextCompletionInput, bench: Bench) -> tuple[int, ...]:
    if asked.input_prefix is None and asked.input_suffix is None:
        if isinstance(asked.prompt, str):
            return await bench.tokenize(asked.prompt, special=True, beginning=True)
        return asked.prompt
    prefix, suffix = asked.input_prefix or "", asked.input_suffix or ""
    if isinstance(asked.prompt, str):
        return await bench.infill(prefix + asked.prompt, suffix)
    return await bench.infill((*await bench.tokenize(prefix, special=True), *asked.prompt), suffix)
