"""What was said, of the shapes that it comes in: texts, lists of parts, llama.cpp's objects for prompts.

It must never know what the text is for.
"""

from __future__ import annotations

from collections.abc import Sequence

from livethread.errors import bad_request
from livethread_server.http.openai.refused import unsupported
from livethread_server.http.openai.requests import ContentPart, Prompt, PromptObject

Mixed = tuple[int | str, ...]
"""A prompt of token ids, with text among them."""
TEXT_ONLY = "Models here read text only."


def joined(parts: Sequence[ContentPart], name: str) -> str:
    """The text of the parts that stand at ``name``. `CommandError` for one that is no text."""
    return "".join(_part(part, f"{name}[{place}]") for place, part in enumerate(parts))


def _part(part: ContentPart, name: str) -> str:
    if part.type != "text":
        raise unsupported(f"{name}.type", f"{TEXT_ONLY} Send parts of type 'text'.")
    if part.text is None:
        raise bad_request(f"{name}.text", f"Field '{name}.text' is missing. Add it.")
    return part.text


def prompts_of(prompt: Prompt, name: str) -> list[str | Mixed]:
    """One prompt or several, which stand at ``name``. `CommandError` for none, and for a list that mixes token ids with
    prompts."""
    if isinstance(prompt, str | PromptObject):
        return [_prompt(prompt, name)]
    if not prompt:
        raise bad_request(name, f"Field '{name}' is an empty list. Send at least one prompt.")
    if not any(isinstance(one, int) for one in prompt):
        return [_prompt(one, f"{name}[{place}]") for place, one in enumerate(prompt) if not isinstance(one, int)]
    mixed = tuple(one for one in prompt if isinstance(one, int | str))
    if len(mixed) < len(prompt):
        raise bad_request(
            name, f"Field '{name}' mixes token ids with lists or objects. Send one prompt of ids, or a list of prompts."
        )
    return [mixed]


def _prompt(prompt: str | Mixed | PromptObject, name: str) -> str | Mixed:
    if not isinstance(prompt, PromptObject):
        return prompt
    if prompt.multimodal_data not in (None, [], ()):
        raise unsupported(f"{name}.multimodal_data", f"{TEXT_ONLY} Leave it out.")
    if prompt.prompt_string is not None:
        return prompt.prompt_string
    if prompt.content is None:
        raise bad_request(name, f"Field '{name}' has neither 'prompt_string' nor 'content'. Send one of them.")
    return joined(prompt.content, f"{name}.content")
