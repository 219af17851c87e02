"""What was said, of the shapes that it comes in: texts, lists of parts, llama.cpp's objects for prompts.

It must never know what the text is for.
"""

from __future__ import annotations

from collections.abc import Sequence

from livethread.errors import bad_request
from livethread_server.http.openai.refused import unsupported
from livethread_server.http.openai.requests import ContentPart, Prompt, PromptObject

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


def prompts_of(prompt: Prompt, name: str) -> list[str | tuple[int, ...]]:
    """One prompt or several, which stand at ``name``. `CommandError` for none, and for a list that mixes token ids with
    anything else."""
    if isinstance(prompt, str | PromptObject):
        return [_prompt(prompt, name)]
    ids = tuple(one for one in prompt if isinstance(one, int))
    if ids and len(ids) < len(prompt):
        raise bad_request(
            name, f"Field '{name}' mixes token ids with texts or lists. Send token ids only, or a list of prompts."
        )
    if not prompt:
        raise bad_request(name, f"Field '{name}' is an empty list. Send at least one prompt.")
    if ids:
        return [ids]
    return [_prompt(one, f"{name}[{place}]") for place, one in enumerate(prompt) if not isinstance(one, int)]


def _prompt(prompt: str | tuple[int, ...] | PromptObject, name: str) -> str | tuple[int, ...]:
    if not isinstance(prompt, PromptObject):
        return prompt
    if prompt.multimodal_data not in (None, [], ()):
        raise unsupported(f"{name}.multimodal_data", f"{TEXT_ONLY} Leave it out.")
    if prompt.prompt_string is not None:
        return prompt.prompt_string
    if prompt.content is None:
        raise bad_request(name, f"Field '{name}' has neither 'prompt_string' nor 'content'. Send one of them.")
    return joined(prompt.content, f"{name}.content")
