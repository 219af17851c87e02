"""Text of strangers, made fit for a terminal: nothing in it is obeyed, everything can be read.

A model, or a person on the same thread, can write escape sequences that move the cursor, set the window's title or
answer in the user's name; and marks that turn the direction of what follows. This module must never know screens.
"""

from __future__ import annotations

KEPT = "\n\t"
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in KEPT} | {0x7F: 0x2421}
"""C0 controls as the pictures that Unicode has for them, so that one sees what was there."""
_OTHERS = (range(0x80, 0xA0), range(0x202A, 0x202F), range(0x2066, 0x206A), range(0xD800, 0xE000))
"""C1 controls, marks that turn the direction of writing, halves of characters."""
_LINES = {0x0D: None, 0x2028: 0x0A, 0x2029: 0x0A}
_TABLE = _CONTROLS | {code: 0xFFFD for codes in _OTHERS for code in codes} | _LINES


def readable(text: str) -> str:
    """The text for a terminal. Works character by character, so pieces of a text may be given one by one."""
    return text.translate(_TABLE)


def one_line(text: str) -> str:
    """The text for a place that has only one line, such as a title."""
    return " ".join(readable(text).split())
