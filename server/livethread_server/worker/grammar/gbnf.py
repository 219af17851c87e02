"""What can be said about a grammar by reading its text, before any C reads it.

Pure: no llama.cpp, no I/O. The syntax is that of llama.cpp's grammars/README.md.
"""

from __future__ import annotations

import re

GBNF_BYTES = 64 << 10
"""The longest grammar, in UTF-8 bytes; a JSON Schema's grammar counts, not the schema."""
NESTING = 64
"""How deep groups may nest: llama.cpp's parser calls itself for each."""

REPETITIONS = 2000
"""Up to how many repetitions llama.cpp counts; it takes a higher maximum for none."""

_WORD = re.compile(
    r"""
      (?P<literal> "(?:[^"\\]|\\.)*" )
    | (?P<class>   \[(?:[^\]\\]|\\.)*\] )
    | (?P<comment> \#[^\n]* )
    | \{ [\s0-9]* , \s* (?P<most>[0-9]+) \s* \}
    | <\[(?P<token>[0-9]+)\]>
    | (?P<open>    \( )
    | (?P<close>   \) )
    """,
    re.VERBOSE | re.DOTALL,
)
_ROOT = re.compile(r"(?:^|[\r\n])[ \t]*root[ \t]*::=")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.)", re.DOTALL)


class Refused(Exception):  # noqa: N818 - the name says what happened
    """The grammar cannot be used; the text says why, without a full stop."""


def check_text(gbnf: str, vocabulary: int) -> None:
    """`Refused` where the text says already that the grammar cannot be used.

    ``vocabulary`` is the number of tokens: a reference to a token must be below it.
    """
    try:
        size = len(gbnf.encode())
    except UnicodeEncodeError:
        raise Refused("it holds half of a surrogate pair; send valid Unicode") from None
    if size > GBNF_BYTES:
        raise Refused(f"it has {size} bytes of GBNF, {GBNF_BYTES} are allowed; allow less")
    if not _ROOT.search(gbnf):
        raise Refused("it does not define the rule 'root'; give the rule that it begins with this name")
    if "\0" in gbnf:
        raise Refused("it holds a NUL character; take that out")
    _check_words(gbnf, vocabulary)


def _check_words(gbnf: str, vocabulary: int) -> None:
    depth = 0
    for word in _WORD.finditer(gbnf):
        depth += (word["open"] is not None) - (word["close"] is not None)
        if depth > NESTING:
            raise Refused(f"its groups nest deeper than {NESTING}; make rules of the inner ones")
        if word["literal"] and _has_nul(word["literal"]):
            raise Refused("it holds the literal character NUL, which no token has; take that out")
        if word["most"] and not _below(word["most"], REPETITIONS + 1):
            raise Refused(f"it counts to {word['most'][:20]} repetitions, but {REPETITIONS} are the most; allow fewer")
        if word["token"] and not _below(word["token"], vocabulary):
            raise Refused(f"it refers to token {word['token'][:20]}, but the vocabulary ends at {vocabulary - 1}")


def _below(digits: str, limit: int) -> bool:
    return len(digits) <= 10 and int(digits) < limit


def _has_nul(literal: str) -> bool:
    codes = ((escape[1] or escape[2] or escape[3]) for escape in _ESCAPE.finditer(literal))
    return any(code is not None and int(code, 16) == 0 for code in codes)
