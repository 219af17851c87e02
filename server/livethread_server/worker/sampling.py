"""Drawing a token from a row of logits as a `Sampling` asks.

Through llama.cpp's sampler chain, applied and checked by hand: `llama_sampler_sample` would let a client
end the process (FACTS A15). This module must never know sequences, threads or text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from livethread.errors import ErrorCode, LivethreadError
from livethread.model import Sampling
from livethread_server.worker.llama import Candidates, Chain, Logits, Model

DRY_BREAKERS = (b"\n", b":", b'"', b"*")
"""What ends a repeated phrase; llama.cpp's own default."""

COLDEST = 1e-4
"""Temperatures below are greedy."""


class Unusable(LivethreadError):  # noqa: N818 - the name says what happened
    """The sampling asks for what cannot be done: a number out of range, a grammar that cannot be read."""


class NoToken(LivethreadError):  # noqa: N818
    """There is no token to take: the logits are not finite, or the grammar refuses all tokens. ``code`` says what kind
    of error that is, where it is not the engine's.
    """

    def __init__(self, sentence: str, code: ErrorCode | None = None) -> None:
        super().__init__(sentence)
        self.code = code


class Sampler:
    """Draws the tokens of one run. ``prompt`` counts as seen for the penalties.

    Fields that are None leave the logits as they are; without a temperature it is 1. Free it with `close`.
    Raises `Unusable`.
    """

    def __init__(
        self, model: Model, candidates: Candidates, sampling: Sampling, prompt: Sequence[int], context: int
    ) -> None:
        _check(sampling, model.vocabulary)
        self._candidates = candidates
        self._grammar = _grammar(model, sampling.grammar)
        self._plain = _is_plain(sampling)
        self._chain = Chain(model)
        _build(self._chain, sampling, context)
        for token in prompt[len(prompt) - _remembered(sampling, context) :]:
            self._chain.accept(token)

    def close(self) -> None:
        """Free llama.cpp's samplers."""
        self._chain.close()
        if self._grammar:
            self._grammar.close()

    def draw(self, logits: Logits, known: int | None = None) -> int:
        """Take a token and remember it. Raises `NoToken`.

        A ``known`` token was taken from these logits before: it is taken again. One is drawn all the same, so that
        the random numbers and what else the stages remember go the way they went.
        """
        if not math.isfinite(logits.max()):
            raise NoToken("The model gave logits that are not finite. Try again, or check the model file.")
        token = self._pick(logits)
        if self._grammar and not self._allows(self._grammar, token):
            token = self._pick(logits, self._grammar)
        if known is not None and known != token:
            if self._grammar and not self._allows(self._grammar, known):
                raise NoToken(f"The token {known}, which the run had taken, does not fit its grammar. Generate again.")
            token = known
        self._accept(token)
        return token

    def _pick(self, logits: Logits, grammar: Chain | None = None) -> int:
        if self._plain and grammar is None:
            return int(np.argmax(logits))
        self._candidates.fill(logits)
        if grammar:
            self._candidates.apply(grammar)
        self._candidates.apply(self._chain)
        chosen = self._candidates.chosen
        if chosen is None or not math.isfinite(chosen[1]):
            sentence = "No token is left to choose from. Loosen the grammar or the sampling."
            raise NoToken(sentence, ErrorCode.BAD_REQUEST)
        return chosen[0]

    def _allows(self, grammar: Chain, token: int) -> bool:
        self._candidates.fill_one(token)
        self._candidates.apply(grammar)
        return math.isfinite(self._candidates.first_logit)

    def _accept(self, token: int) -> None:
        if not self._plain:
            self._chain.accept(token)
        if self._grammar:
            self._grammar.accept(token)


def _grammar(model: Model, gbnf: str | None) -> Chain | None:
    if not gbnf:
        return None
    chain = Chain(model)
    try:
        chain.grammar(gbnf)
    except ValueError as error:
        chain.close()
        raise Unusable(f"{error} Check it against llama.cpp's description of GBNF.") from None
    return chain


def _check(sampling: Sampling, vocabulary: int) -> None:
    """No number that a client sent reaches C unchecked (FACTS A12)."""
    for name in sampling.__struct_fields__:
        value = getattr(sampling, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise Unusable(f"The sampling field {name} is {value}. Send a finite number.")
    for token, bias in (sampling.logit_bias or {}).items():
        if not 0 <= token < vocabulary or not math.isfinite(bias):
            raise Unusable(f"The logit_bias {bias} of token {token} is out of range. Tokens end at {vocabulary - 1}.")


def _is_plain(sampling: Sampling) -> bool:
    """Whether the most likely token is all that is asked for: then llama.cpp's chain is not needed."""
    return _is_greedy(sampling) and not (sampling.logit_bias or _penalises(sampling) or sampling.dry_multiplier)


def _is_greedy(sampling: Sampling) -> bool:
    """Whether the temperature is 0, or so near it that dividing by it would overflow."""
    return sampling.temperature is not None and sampling.temperature < COLDEST


def _penalises(sampling: Sampling) -> bool:
    neutral = sampling.repeat_penalty in (None, 1)
    return not neutral or bool(sampling.presence_penalty or sampling.frequency_penalty)


def _remembered(sampling: Sampling, context: int) -> int:
    """How many of the prompt's last tokens the chain must have seen."""
    penalties = _last_n(sampling.repeat_last_n, 64, context) if _penalises(sampling) else 0
    dry = _last_n(sampling.dry_penalty_last_n, context, context) if sampling.dry_multiplier else 0
    return max(penalties, dry)


def _last_n(asked: int | None, default: int, context: int) -> int:
    return min(default if asked is None else asked, context)


def _build(chain: Chain, sampling: Sampling, context: int) -> None:
    """The stages in the order of llama.cpp's own server. Mirostat is there alone; here penalties and dry stay before
    it, for whoever asks for both.
    """
    seed = sampling.seed or 0
    if sampling.logit_bias:
        chain.logit_bias(sampling.logit_bias)
    if _penalises(sampling):
        last_n = _last_n(sampling.repeat_last_n, 64, context)
        repeat = 1.0 if sampling.repeat_penalty is None else sampling.repeat_penalty
        chain.penalties(last_n, repeat, sampling.frequency_penalty or 0, sampling.presence_penalty or 0)
    if sampling.dry_multiplier:
        _build_dry(chain, sampling, context)
    if _is_greedy(sampling):
        chain.greedy()
    elif sampling.mirostat:
        _build_temperature(chain, sampling)
        chain.mirostat(sampling.mirostat, seed, _or(sampling.mirostat_tau, 5), _or(sampling.mirostat_eta, 0.1))
    else:
        _build_filters(chain, sampling, seed)
        _build_temperature(chain, sampling)
        chain.draw(seed)


def _build_dry(chain: Chain, sampling: Sampling, context: int) -> None:
    assert sampling.dry_multiplier is not None
    allowed = 2 if sampling.dry_allowed_length is None else sampling.dry_allowed_length
    last_n = _last_n(sampling.dry_penalty_last_n, context, context)
    chain.dry(sampling.dry_multiplier, _or(sampling.dry_base, 1.75), allowed, last_n, DRY_BREAKERS)


def _build_filters(chain: Chain, sampling: Sampling, seed: int) -> None:
    if sampling.top_k:
        chain.top_k(sampling.top_k)
    if sampling.typical_p is not None and sampling.typical_p < 1:
        chain.typical(sampling.typical_p)
    if sampling.top_p is not None and sampling.top_p < 1:
        chain.top_p(sampling.top_p)
    if sampling.min_p:
        chain.min_p(sampling.min_p)
    if sampling.xtc_probability:
        chain.xtc(sampling.xtc_probability, _or(sampling.xtc_threshold, 0.1), seed)


def _build_temperature(chain: Chain, sampling: Sampling) -> None:
    if sampling.temperature is not None and sampling.temperature != 1:
        chain.temperature(sampling.temperature)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
