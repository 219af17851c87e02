"""Texts to say: as many tokens as asked for, and different from the first word on for every seed."""

from __future__ import annotations

import random

WORDS = tuple(
    """
    time people water house world school number night system light story ground river table music paper garden
    window market winter summer morning evening bridge letter island forest mountain village doctor teacher
    student machine engine kitchen street corner picture camera animal horse bird fish tree stone iron gold
    silver bread milk sugar coffee apple orange green yellow white black north south east west
    """.split()  # noqa: SIM905 - a list of so many literals is no better to read
)
"""Common words, which mostly are one token each."""


def text(words: int, seed: int) -> str:
    """So many words, separated by spaces, none to be guessed from another seed's."""
    chosen = random.Random(seed).choices(WORDS, k=words)
    return f"{seed} " + " ".join(chosen)
