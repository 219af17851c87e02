"""The address of a store as it may be shown.

This module must never know what is at an address.
"""

from __future__ import annotations

import re


def masked(address: str) -> str:
    """The address with asterisks for whatever may be a password in it, even where it is no URL at all."""
    named = re.sub(r"(?i)(?<=password=)[^&]*", "***", address)
    return re.sub(r"(?<=:).*(?=@)", "//***", named, flags=re.DOTALL)
