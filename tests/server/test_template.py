"""Chat templates: what they are given, what they refuse, and that they cannot break anything."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread_server.template import ChatTemplate, TemplateBroken, TemplateMessage

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
USER: list[TemplateMessage] = [{"role": "user", "content": "hi"}]


def _render(source: str, messages: list[TemplateMessage] | None = None) -> str:
    template = ChatTemplate(source, "<s>", "</s>")
    return template.render(USER if messages is None else messages, NOON)


def _refusal(source: str, messages: list[TemplateMessage] | None = None) -> CommandError:
    with pytest.raises(CommandError) as caught:
        _render(source, messages)
    assert caught.value.code is ErrorCode.BAD_REQUEST
    assert caught.value.details == {"field": "messages"}
    return caught.value


def test_a_template_sees_messages_special_texts_and_the_wish_for_an_answer() -> None:
    source = (
        "{{ bos_token }}{{ messages[0].role }}:{{ messages[0]['content'] }}{{ eos_token }}{{ add_generation_prompt }}"
    )
    assert _render(source) == "<s>user:hi</s>True"


def test_blocks_take_no_lines_of_their_own() -> None:
    assert _render("{% for m in messages %}\n  {% if true %}\nx{{ m.content }}\n{% endif %}\n{% endfor %}") == "xhi\n"


def test_the_time_is_the_one_that_was_given() -> None:
    assert _render("{{ strftime_now('%d %B %Y') }}") == "02 January 2026"


def test_loops_can_be_left_and_training_marks_mean_nothing() -> None:
    source = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    assert _render(source, USER * 3) == "hi"


def test_json_is_plain_json() -> None:
    assert _render("{{ messages[0] | tojson }}", [{"role": "user", "content": "<é>"}]) == (
        '{"role": "user", "content": "<é>"}'
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% if tools is defined %}{{ tools | length }}{% endif %}ok", "ok"),
        ("{% if tools is not none %}{{ raise_exception('tools') }}{% endif %}ok", "ok"),
        ("{{ tools + [] }}ok", "[]ok"),
    ],
    ids=["absent", "none", "empty"],
)
def test_no_tools_are_said_the_way_the_template_understands(source: str, text: str) -> None:
    assert _render(source) == text


def test_a_refusal_carries_the_templates_own_words() -> None:
    error = _refusal("{{ raise_exception('Roles must alternate.') }}")
    assert error.message == (
        "The model's chat template refuses these messages: Roles must alternate. "
        "Change the roles or the order of the messages."
    )


def test_long_words_of_a_template_are_cut() -> None:
    error = _refusal("{{ raise_exception(messages[0].content) }}", [{"role": "user", "content": "x" * 100_000}])
    assert len(error.message) < 600


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[7].content }}",
        "{{ nothing.at.all }}",
        "{{ 1 / 0 }}",
        "{{ messages[0].content + 1 }}",
        "{{ messages.append(1) }}",
        "{{ messages.__class__.__mro__ }}",
        "{{ [] | first | upper | join(1, 2, 3, 4) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_whatever_a_template_stumbles_over_is_a_refused_request(source: str) -> None:
    assert "cannot render these messages" in _refusal(source).message


@pytest.mark.parametrize("source", ["{% for %}", "{{ x", "{% nonsense %}", "{{ x | unknown_filter }}"])
def test_a_template_that_is_not_jinja_is_told_at_once(source: str) -> None:
    with pytest.raises(TemplateBroken):
        ChatTemplate(source, "", "")
