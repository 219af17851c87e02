"""A model's chat template: messages in, the text that the model was trained on out.

It must never know tokens, vocabularies or threads. jinja2 is used directly, not through llama_cpp's
``Jinja2ChatFormatter``: that one always passes ``tools`` (None breaks some templates), takes the clock of the
moment for ``strftime_now`` (which moves the prompt's beginning every day), and refuses with ``ValueError``,
which cannot be told from a defect.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from livethread.errors import CommandError, ErrorCode, LivethreadError

TemplateMessage = dict[str, str]
_WORDS = 400
"""How many characters of a template's own words an error quotes."""
_TOOLS: tuple[dict[str, Any], ...] = ({}, {"tools": None}, {"tools": []})
"""How "no tools" can be said; llama.cpp says the first, Hugging Face the second."""


class TemplateBroken(LivethreadError):  # noqa: N818 - the name says what happened
    """The template is not valid Jinja."""


class ChatTemplate:
    """A compiled template in Jinja's immutable sandbox. Thread-safe.

    The sandbox keeps a template from touching Python; it bounds neither time nor memory, and need not: the
    template is the operator's, only the messages are strangers'. Raises `TemplateBroken`.
    """

    def __init__(self, source: str, bos_text: str, eos_text: str) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise TemplateBroken(str(error)) from None
        self._texts = {"bos_token": bos_text, "eos_token": eos_text}
        self._tools = self._choose_tools()

    def render(self, messages: Sequence[TemplateMessage], now: datetime, *, header: bool = True) -> str:
        """The prompt's text with the ``header`` of the turn that the model shall write.

        ``now`` is what the template's ``strftime_now`` says. Raises `CommandError` ``bad_request`` with the
        template's own words where it refuses the messages or stumbles over them.
        """
        try:
            return self._render(messages, now, self._tools, header)
        except _Refusal as refusal:
            words = _words(refusal)
            raise _bad_request(f"The model's chat template refuses these messages: {words}.") from None
        except Exception as error:  # a template is a program over strangers' data: anything may come out
            words = f"{type(error).__name__}: {_words(error)}"
            raise _bad_request(f"The model's chat template cannot render these messages ({words}).") from None

    def _render(
        self, messages: Sequence[TemplateMessage], now: datetime, tools: dict[str, Any], header: bool = True
    ) -> str:
        return self._template.render(
            messages=list(messages),
            add_generation_prompt=header,
            raise_exception=_raise_exception,
            strftime_now=now.strftime,
            **self._texts,
            **tools,
        )

    def _choose_tools(self) -> dict[str, Any]:
        """The first way of saying "no tools" that the template understands."""
        probe = [{"role": "user", "content": "probe"}]
        for tools in _TOOLS:
            try:
                self._render(probe, datetime(2000, 1, 1), tools)
            except Exception:  # it may also refuse the probe itself, however the tools are said
                continue
            return tools
        return _TOOLS[0]


class _Refusal(Exception):  # noqa: N818 - the name says what happened
    """A template called ``raise_exception``."""


class _Generation(Extension):
    """``{% generation %}``, which marks what a model is trained on, has no meaning here: render its body."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it as an attribute of the instance

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: object) -> str:
    raise _Refusal(str(message))


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Plain JSON, as templates expect it; jinja2's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _words(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}…"


def _bad_request(sentence: str) -> CommandError:
    return CommandError(
        ErrorCode.BAD_REQUEST, f"{sentence} Change the roles or the order of the messages.", field="messages"
    )
