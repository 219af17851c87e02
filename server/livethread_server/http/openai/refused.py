"""What OpenAI's clients and llama.cpp's may ask for that would change the answer, and that is not done here.

Fields that change nothing (``user``, ``metadata``, ``store``, ``cache_prompt`` …) are not known to this server at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread_server.http.openai.requests import ChatMessage

NOTHING: tuple[object, ...] = (None, False, 0, "", [], {})
"""Values that ask for nothing."""
TOOLS = "Models here answer with text and call no tools. Leave it out, or send tool_choice 'none'."
_SAMPLING = "This sampling is not supported here. Leave it out."
_TEMPLATE = "The template is the server's, and takes no options. Leave it out, or see --chat-template."

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "tools": TOOLS,
        "functions": TOOLS,
        "audio": "Models here answer with text only. Leave it out.",
        "web_search_options": "Nothing is searched for here. Leave it out.",
        "chat_template": _TEMPLATE,
        "chat_template_kwargs": _TEMPLATE,
        "samplers": "The order of samplers is fixed. Leave it out.",
        "dry_sequence_breakers": "The breakers are llama.cpp's own. Leave it out.",
        "dynatemp_range": _SAMPLING,
        "top_n_sigma": _SAMPLING,
        "post_sampling_probs": "Probabilities are those before sampling. Leave it out.",
        "lora": "Adapters cannot be chosen here. Leave it out.",
    }
)
"""Why each of these fields is refused, and what to do."""


def refuse(request: Struct) -> None:
    """`CommandError` ``unsupported`` for the first field that asks for what is not done."""
    no_tools = getattr(request, "tool_choice", None) == "none" or getattr(request, "function_call", None) == "none"
    for name, sentence in REFUSED.items():
        value = getattr(request, name, None)
        if value in NOTHING or (no_tools and name in ("tools", "functions")) or (name, value) == ("top_n_sigma", -1):
            continue
        raise unsupported(name, sentence)
    if getattr(request, "modalities", None) not in (None, [], ["text"]):
        raise unsupported("modalities", "Models here answer with text only. Send ['text'], or leave it out.")


def refuse_message(message: ChatMessage, name: str) -> None:
    """`CommandError` ``unsupported`` for a turn that says more than text. ``name`` is where it stands."""
    for field in ("tool_calls", "function_call", "audio"):
        if getattr(message, field) not in NOTHING:
            raise unsupported(f"{name}.{field}", "Turns here are text only. Put into its content what was said.")


def unsupported(name: str, sentence: str) -> CommandError:
    """A refusal of one field."""
    return CommandError(ErrorCode.UNSUPPORTED, f"Field '{name}' is not supported. {sentence}", field=name)
