"""Log-probabilities as the engine tells them, turned into what clients are told: with each token's text and bytes.

Here they meet the vocabulary. This module must never know runs, tasks or events.
"""

from __future__ import annotations

from collections.abc import Iterator

from livethread.model import Alternative, TokenLogprob
from livethread_server.engine.wire import Delta, Logprob
from livethread_server.vocabulary import Vocabulary

MOST_AT_ONCE = 64
"""The tokens with logprobs that one event holds at most, so that its frame stays well below the largest one."""


def token_logprob(vocabulary: Vocabulary, token: int, logprob: Logprob) -> TokenLogprob:
    """What is told of one token. Its text is what it adds to the run's, nothing for a control token; alternatives that
    are control tokens have the text that templates write.
    """
    piece = vocabulary.piece(token)
    top = tuple(_alternative(vocabulary, *one) for one in logprob.top)
    return TokenLogprob(token, _text(piece), tuple(piece), logprob.logprob, top)


def token_logprobs(vocabulary: Vocabulary, delta: Delta) -> tuple[TokenLogprob, ...]:
    """One for each token of a delta that has them."""
    pairs = zip(delta.tokens, delta.logprobs, strict=True)
    return tuple(token_logprob(vocabulary, token, logprob) for token, logprob in pairs)


def portions(delta: Delta, most: int = MOST_AT_ONCE) -> Iterator[Delta]:
    """A delta in parts of at most ``most`` tokens, where it has logprobs; else it is one. The first has all the text,
    which may come before its tokens but not after them.
    """
    if len(delta.logprobs) <= most:
        yield delta
        return
    for start in range(0, len(delta.tokens), most):
        part = slice(start, start + most)
        yield Delta(delta.tokens[part], "" if start else delta.text, delta.logprobs[part])


def _alternative(vocabulary: Vocabulary, token: int, logprob: float) -> Alternative:
    piece = vocabulary.piece(token, special=True)
    return Alternative(token, _text(piece), tuple(piece), logprob)


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")
