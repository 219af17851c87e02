"""Which label fits a text, by what the model itself finds likeliest as an answer."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from livethread.errors import bad_request
from livethread.tasks import ChatTurn, LabelScore, TextClassificationInput, TextClassificationResult
from livethread_server.tasks.kind import Abilities, Bench
from livethread_server.tasks.kinds.generation import refusal

PROMPT = (
    "Which label fits the following text best? Answer with one of these labels and nothing else: {labels}\n\n"
    "Text: {content}"
)
"""How instruct models are asked, where the client does not say how."""
_PLACES = re.compile(r"\{(content|labels)\}")


class TextClassification:
    """``text-classification``."""

    name = "text-classification"
    summary = "Say which of some labels the model finds likeliest for a text."
    Input = TextClassificationInput
    Result = TextClassificationResult

    def refusal(self, abilities: Abilities) -> str | None:
        return refusal(abilities)

    async def run(self, asked: TextClassificationInput, bench: Bench) -> TextClassificationResult:
        labels = _distinct(asked.labels)
        turn = ChatTurn("user", _question(asked))
        prompt = await bench.chat([turn], go_on=False)
        answers = [await bench.tokenize(label, special=False) for label in labels]
        end = await bench.turn_end()
        logprobs, usage = await bench.score(prompt, [answer + end for answer in answers])
        ranked = _ranked(labels, answers, logprobs, len(end) if asked.normalise else None)
        return TextClassificationResult(ranked, usage)


def _question(asked: TextClassificationInput) -> str:
    words = {"content": asked.content, "labels": ", ".join(asked.labels)}
    # In one go, since the content may have braces of its own.
    return _PLACES.sub(lambda place: words[place.group(1)], PROMPT if asked.prompt is None else asked.prompt)


def _distinct(labels: Sequence[str]) -> Sequence[str]:
    twice = next((label for index, label in enumerate(labels) if label in labels[:index]), None)
    if twice is not None:
        raise bad_request("labels", f"The label {twice!r} is there twice. Send each label once.")
    return labels


def _ranked(
    labels: Sequence[str], answers: Sequence[tuple[int, ...]], logprobs: Sequence[float], end: int | None
) -> tuple[LabelScore, ...]:
    """The likeliest first; for each token, and the ``end`` ones behind it, unless that is None."""
    weights = [
        logprob if end is None else logprob / max(1, len(tokens) + end)
        for logprob, tokens in zip(logprobs, answers, strict=True)
    ]
    likeliest = max(weights)
    shares = [math.exp(weight - likeliest) for weight in weights]
    total = sum(shares)
    scores = [
        LabelScore(label, share / total, logprob, len(tokens))
        for label, share, logprob, tokens in zip(labels, shares, logprobs, answers, strict=True)
    ]
    return tuple(sorted(scores, key=lambda score: -score.score))
