"""The web client in a real browser, against the real server and the real model."""

from __future__ import annotations

import itertools
import re

from playwright.sync_api import Page, expect

from tests.browser import (
    CREATE,
    ENDLESS,
    SHORT,
    NewPage,
    act,
    item,
    letters,
    messages,
    open_thread,
    say,
    states,
    streams,
    tab_to,
    text_of,
    thread_with,
)
from tests.serving import ServerProcess

WATCH_GROWTH = """() => {
  window.grown = [];
  const look = () => {
    const reply = document.querySelector('[data-state="streaming"] .markdown');
    const text = reply?.textContent.trim();
    if (text && text !== window.grown.at(-1)) window.grown.push(text);
  };
  new MutationObserver(look).observe(document.body, { childList: true, characterData: true, subtree: true });
}"""
"""Notes each text that a streaming reply had."""


# Talking


def test_a_typed_message_gets_a_streamed_answer(page: Page) -> None:
    thread_with(page, "streamed", {"max_tokens": 40, "temperature": 0})
    page.evaluate(WATCH_GROWTH)
    say(page, "Tell a story.")
    states(page, "done", "done")
    grown = [letters(text) for text in page.evaluate("window.grown")]
    assert len(grown) > 2
    assert all(longer.startswith(shorter) for shorter, longer in itertools.pairwise(grown))
    assert letters(text_of(messages(page, "assistant"))).startswith(grown[-1])


def test_the_first_message_of_a_new_thread_names_it(page: Page) -> None:
    say(page, "Hello! Who are you?")
    expect(messages(page, "assistant").locator(".message-text")).to_have_text(re.compile(r"\w"))
    page.keyboard.press("Escape")
    expect(messages(page, "assistant")).to_have_attribute("data-state", re.compile("done|cancelled"))
    expect(messages(page)).to_have_count(2)
    expect(page.get_by_test_id("composer")).to_have_value("")
    expect(page.get_by_test_id("title")).to_have_text("Hello! Who are you?")
    expect(page).to_have_url(re.compile(r"#/t/\w+$"))


def test_the_corner_tells_residency_reuse_and_speed(page: Page) -> None:
    thread_with(page, "corner", SHORT)
    say(page, "Name a colour.")
    states(page, "done", "done")
    expect(page.get_by_test_id("residency")).to_have_text("live")
    expect(page.get_by_test_id("speed")).to_have_text(re.compile(r"^\d+\.\d tok/s$"))
    say(page, "Name another one.")
    states(page, "done", "done", "done", "done")
    reused = re.match(r"(\d+) of (\d+) tokens reused", page.get_by_test_id("reused").inner_text())
    assert reused
    assert 0 < int(reused[1]) < int(reused[2])


def test_a_context_is_put_away_and_what_is_typed_brings_it_back(page: Page) -> None:
    thread_with(page, "put-away", SHORT)
    say(page, "Name a colour.")
    states(page, "done", "done")
    page.get_by_test_id("evict").click()
    expect(page.get_by_test_id("residency")).to_have_text("disk")
    expect(page.locator('[data-thread-id="put-away"] .residency-dot')).to_have_attribute("data-residency", "disk")
    page.get_by_test_id("read-ahead").check()
    page.get_by_test_id("composer").press_sequentially("Name another one, please")
    expect(page.get_by_test_id("residency")).to_have_text("live")
    page.get_by_test_id("send").click()
    states(page, "done", "done", "done", "done")
    expect(page.get_by_test_id("sources")).to_have_text("from live memory")
    page.get_by_test_id("read-ahead").uncheck()
    page.get_by_test_id("evict").click()
    page.get_by_test_id("warm").click()
    expect(page.get_by_test_id("residency")).to_have_text("live")


def test_stop_ends_a_reply_and_keeps_what_was_said(page: Page) -> None:
    thread_with(page, "stopped", ENDLESS)
    say(page, "Tell a long story.")
    streams(page)
    page.get_by_test_id("stop").click()
    states(page, "done", "cancelled")
    expect(messages(page, "assistant")).to_contain_text("Stopped.")
    assert text_of(messages(page, "assistant"))
    expect(page.get_by_test_id("stop")).to_have_count(0)


def test_a_message_written_while_a_reply_runs_waits_for_its_turn(page: Page) -> None:
    thread_with(page, "queued", ENDLESS)
    say(page, "Tell a long story.")
    streams(page)
    say(page, "And another one.")
    states(page, "done", "streaming", "done", "queued")
    expect(messages(page, "assistant").last).to_contain_text("Queued behind 1 reply.")
    page.get_by_test_id("stop").click()
    states(page, "done", "cancelled", "done", "streaming")
    page.keyboard.press("Escape")
    states(page, "done", "cancelled", "done", "cancelled")


def test_a_waiting_reply_can_be_taken_back(page: Page) -> None:
    thread_with(page, "taken-back", ENDLESS)
    say(page, "Tell a long story.")
    streams(page)
    say(page, "Never mind this one.")
    states(page, "done", "streaming", "done", "queued")
    act(messages(page, "assistant").last, "cancel")
    states(page, "done", "streaming", "done", "cancelled")
    page.get_by_test_id("stop").click()
    states(page, "done", "cancelled", "done", "cancelled")


# Changing what was said


def test_an_edited_message_replaces_everything_after_it(page: Page) -> None:
    thread_with(page, "edited", SHORT, "Name a fruit.", "Apple.", "Another?", "Pear.")
    act(messages(page, "user").first, "edit")
    expect(page.get_by_test_id("edit-box")).to_have_value("Name a fruit.")
    page.get_by_test_id("edit-box").fill("Name a river.")
    page.get_by_test_id("edit-save").click()
    expect(messages(page)).to_have_count(2)
    states(page, "done", "done")
    expect(messages(page, "user")).to_contain_text("Name a river.")
    expect(page.get_by_test_id("edit-box")).to_have_count(0)


def test_an_edit_ends_the_reply_that_is_being_written(page: Page) -> None:
    thread_with(page, "edited-while-busy", ENDLESS)
    say(page, "Tell a long story.")
    streams(page)
    act(messages(page, "user").first, "edit")
    page.get_by_test_id("edit-box").fill("Tell another story.")
    page.get_by_test_id("edit-save").click()
    expect(messages(page, "user")).to_contain_text("Tell another story.")
    streams(page)
    expect(messages(page)).to_have_count(2)
    page.get_by_test_id("stop").click()
    states(page, "done", "cancelled")


def test_regenerate_replaces_the_last_reply(page: Page) -> None:
    thread_with(page, "regenerated", SHORT, "Say something.", "An old reply that goes.")
    act(messages(page, "assistant"), "regenerate")
    expect(messages(page, "assistant")).not_to_contain_text("An old reply that goes.")
    states(page, "done", "done")
    assert text_of(messages(page, "assistant"))


def test_continue_goes_on_with_the_last_reply(page: Page) -> None:
    thread_with(page, "continued", SHORT, "Count.", "One, two, three,")
    act(messages(page, "assistant"), "continue")
    expect(messages(page, "assistant")).to_contain_text(re.compile(r"One, two, three,.*\w.*Ended at the limit"))
    states(page, "done", "done")
    expect(messages(page)).to_have_count(2)


def test_a_fork_opens_with_the_messages_up_to_where_it_was_made(page: Page) -> None:
    thread_with(page, "forked", SHORT, "One?", "First.", "Two?", "Second.")
    act(messages(page, "assistant").first, "fork")
    expect(page).not_to_have_url(re.compile("#/t/forked$"))
    expect(messages(page)).to_have_count(2)
    expect(messages(page, "assistant")).to_contain_text("First.")
    open_thread(page, "forked")
    expect(messages(page)).to_have_count(4)


def test_a_message_is_deleted_by_pressing_twice(page: Page) -> None:
    thread_with(page, "one-less", SHORT, "One?", "First.", "Two?", "Second.")
    act(messages(page, "user").last, "delete")
    expect(messages(page)).to_have_count(4)
    act(messages(page, "user").last, "delete")
    expect(messages(page)).to_have_count(3)
    expect(page.locator(".messages")).not_to_contain_text("Two?")


def test_a_message_can_be_copied(new_page: NewPage) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    thread_with(page, "copied", SHORT, "One?", "A *copied* reply.")
    act(messages(page, "assistant"), "copy")
    expect(messages(page, "assistant").get_by_label("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "A *copied* reply."


# Threads


def test_threads_are_listed_renamed_and_deleted(page: Page) -> None:
    thread_with(page, "listed-a", SHORT, "A", title="First thread")
    thread_with(page, "listed-b", SHORT, "B", title="Second thread")
    page.reload()
    item(page, "listed-b").hover()
    item(page, "listed-b").get_by_test_id("rename-thread").click()
    page.keyboard.type("Renamed thread")
    page.keyboard.press("Enter")
    expect(item(page, "listed-b")).to_contain_text("Renamed thread")
    expect(page.get_by_test_id("title")).to_have_text("Renamed thread")
    item(page, "listed-a").hover()
    item(page, "listed-a").get_by_test_id("delete-thread").click()
    page.get_by_test_id("confirm-yes").click()
    expect(item(page, "listed-a")).to_have_count(0)
    page.reload()
    expect(item(page, "listed-b")).to_contain_text("Renamed thread")
    expect(item(page, "listed-a")).to_have_count(0)


def test_a_reload_opens_the_same_thread_and_keeps_what_was_typed(page: Page) -> None:
    thread_with(page, "reloaded", SHORT, "One?", "First.")
    page.get_by_test_id("composer").fill("Not sent yet")
    page.reload()
    expect(messages(page)).to_have_count(2)
    expect(page.get_by_test_id("composer")).to_have_value("Not sent yet")


def test_settings_of_a_thread_are_kept_and_shape_the_reply(page: Page) -> None:
    thread_with(page, "set", {})
    page.get_by_test_id("settings-open").click()
    page.get_by_test_id("setting-system").fill("You answer with one word.")
    page.get_by_test_id("setting-top_p").fill("2")
    page.get_by_test_id("settings-save").click()
    expect(page.get_by_text("At most 1.")).to_be_visible()
    page.get_by_test_id("setting-top_p").fill("0.9")
    page.get_by_test_id("setting-temperature").fill("0")
    page.get_by_test_id("setting-max_tokens").fill("5")
    page.get_by_test_id("settings-save").click()
    expect(page.get_by_test_id("setting-system")).to_have_count(0)
    expect(messages(page, "system")).to_contain_text("You answer with one word.")
    say(page, "Tell a long story.")
    states(page, "done", "done", "done")
    expect(messages(page, "assistant")).to_contain_text("Ended at the limit of max tokens.")
    page.get_by_test_id("settings-open").click()
    expect(page.get_by_test_id("setting-max_tokens")).to_have_value("5")
    page.get_by_test_id("setting-system").fill("")
    page.get_by_test_id("setting-max_tokens").fill("")
    page.get_by_test_id("settings-save").click()
    expect(messages(page, "system")).to_have_count(0)
    page.get_by_test_id("settings-open").click()
    expect(page.get_by_test_id("setting-max_tokens")).to_have_value("")
    expect(page.get_by_test_id("setting-temperature")).to_have_value("0")


def test_a_refusal_is_told_in_the_servers_words_and_loses_no_text(page: Page) -> None:
    thread_with(page, "refused", SHORT)
    text = "word " * 10_000
    say(page, text)
    expect(page.get_by_test_id("toast")).to_contain_text(re.compile("context|tokens|long", re.IGNORECASE))
    expect(page.get_by_test_id("composer")).to_have_value(text)
    expect(messages(page)).to_have_count(0)


def test_older_messages_are_loaded_when_asked_for(page: Page) -> None:
    turns = [f"Turn {number}. " + "x" * 60_000 for number in range(8)]
    thread_with(page, "older", SHORT, *turns)
    expect(messages(page).last).to_contain_text("Turn 7.")
    assert messages(page).count() < 8
    while page.get_by_test_id("load-older").count():
        before = messages(page).count()
        page.get_by_test_id("load-older").click()
        page.wait_for_function(
            "before => document.querySelectorAll('[data-testid=message]').length > before", arg=before
        )
    expect(messages(page)).to_have_count(8)
    expect(messages(page).first).to_contain_text("Turn 0.")


# Two readers, and the server going away


def test_two_tabs_on_one_thread_are_identical(page: Page, new_page: NewPage) -> None:
    thread_with(page, "shared", {"max_tokens": 40, "temperature": 0}, "One?", "First.")
    other = new_page()
    open_thread(other, "shared")
    say(page, "Tell a story.")
    streams(other)
    late = new_page()
    open_thread(late, "shared")
    states(page, "done", "done", "done", "done")
    say(late, "Go on.")
    states(page, *["done"] * 6)
    act(messages(other, "user").nth(1), "edit")
    other.get_by_test_id("edit-box").fill("Tell another story.")
    other.get_by_test_id("edit-save").click()
    for tab in (page, other, late):
        expect(messages(tab)).to_have_count(4)
        states(tab, *["done"] * 4)
    for tab in (other, late):
        expect(messages(tab)).to_have_text(messages(page).all_text_contents())
        assert [text_of(one) for one in messages(tab).all()] == [text_of(one) for one in messages(page).all()]


def test_a_thread_deleted_elsewhere_says_so(page: Page, new_page: NewPage) -> None:
    thread_with(page, "gone", SHORT, "One?", "First.")
    page.get_by_test_id("composer").fill("Half a thought")
    other = new_page()
    item(other, "gone").hover()
    item(other, "gone").get_by_test_id("delete-thread").click()
    other.get_by_test_id("confirm-yes").click()
    expect(page.get_by_text("This thread was deleted.")).to_be_visible()
    expect(page.get_by_test_id("composer")).to_have_value("Half a thought")
    expect(page.get_by_test_id("send")).to_be_disabled()


def test_a_lost_server_is_told_and_everything_is_back_with_it(
    page: Page, server: ServerProcess, complaints: list[str]
) -> None:
    thread_with(page, "restarted", SHORT, "One?")
    act(messages(page, "user"), "regenerate")
    states(page, "done", "done")
    before = messages(page).all_text_contents()
    server.stop()
    expect(page.get_by_test_id("banner")).to_be_visible()
    page.get_by_test_id("composer").fill("Typed while it was away")
    expect(page.get_by_test_id("send")).to_be_disabled()
    server.start()
    expect(page.get_by_test_id("banner")).to_have_count(0)
    expect(messages(page)).to_have_text(before)
    page.get_by_test_id("send").click()
    states(page, *["done"] * 4)
    # The browser notes every try that found nobody; nothing else may be there.
    assert [one for one in complaints if "net::ERR_CONNECTION_" not in one] == []  # refused, or reset in a handshake
    complaints.clear()


# What must not happen


def test_what_a_message_says_never_runs(page: Page) -> None:
    attack = (
        '<img src=x onerror="window.ran = 1"> <script>window.ran = 1</script> '
        "[click](javascript:window.ran=1) ![picture](https://example.org/x.png) <b style='color:red'>bold</b>"
    )
    thread_with(page, "attacked", SHORT, attack, attack)
    for message in messages(page).all():
        expect(message).to_contain_text("<script>window.ran = 1</script>")
        assert message.locator(".message-text").locator("img, script, b, [style], [onerror]").count() == 0
        assert message.locator('a[href^="javascript"]').count() == 0
    link = messages(page, "assistant").locator("a")
    expect(link).to_have_text("picture")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    assert page.evaluate("window.ran") is None


def test_what_the_model_says_never_runs(page: Page) -> None:
    attack = "<img src=x onerror=window.ran=1> <script>window.ran=1</script> [click](javascript:window.ran=1)"
    grammar = f'root ::= "{attack}"'
    thread_with(page, "forced", {"max_tokens": 200, "grammar": grammar})
    say(page, "Go.")
    states(page, "done", "done")
    expect(messages(page, "assistant")).to_contain_text("<script>window.ran=1</script> click")
    assert messages(page, "assistant").locator(".message-text").locator("img, script, a").count() == 0
    assert page.evaluate("window.ran") is None


ATTACKS = (
    "<svg onload=window.ran=1></svg>",
    '<iframe srcdoc="<script>parent.ran=1</script>"></iframe>',
    "<details open ontoggle=window.ran=1><summary>x</summary></details>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x onerror=window.ran=1&gt;'>",
    "<style>@import '//example.org/x.css'</style><base href=//example.org><meta http-equiv=refresh content='0;//x'>",
    "<form action=javascript:window.ran=1><button>x</button></form>",
    "<javascript:window.ran=1>",
    "[x](JaVaScRiPt:window.ran=1) [x](java\tscript:window.ran=1) [x](&#106;avascript:window.ran=1)",
    "[x](data:text/html,<script>window.ran=1</script>) [x](vbscript:x) [x](//example.org) [x](/v1/ws)",
    "[x][y]\n\n[y]: javascript:window.ran=1 'title'",
    "[x](https://example.org '\" onmouseover=\"window.ran=1')",
    '![" onerror="window.ran=1](https://example.org/x.png)',
    '```"><img src=x onerror=window.ran=1>\n<img src=x onerror=window.ran=1>\n```',
    '| <img src=x onerror=window.ran=1> |\n|:-"onload=x-:|\n| <script>window.ran=1</script> |',
    "# <img src=x onerror=window.ran=1>\n\n- [ ] <input autofocus onfocus=window.ran=1>",
    '`<img src=x onerror=window.ran=1>` <https://example.org/"onclick=window.ran=1>',
)

HARMFUL = """() => [...document.querySelectorAll('[data-testid=message] .message-text *')].filter((element) =>
  /^(script|style|img|svg|math|iframe|object|embed|form|base|meta|link|details|template)$/i.test(element.localName)
  || [...element.attributes].some(({ name, value }) =>
    /^(on|style|src|form|id$|name$|xlink)/i.test(name) || (name === 'href' && !/^(https?:|mailto:)/i.test(value)))
).map((element) => element.outerHTML)"""


def test_no_known_way_to_smuggle_a_script_into_markdown_works(page: Page) -> None:
    turns = [turn for attack in ATTACKS for turn in (attack, attack)]
    thread_with(page, "smuggled", SHORT, *turns, title="<img src=x onerror=window.ran=1>")
    expect(messages(page)).to_have_count(len(turns))
    assert page.evaluate(HARMFUL) == []
    expect(item(page, "smuggled")).to_contain_text("<img src=x onerror=window.ran=1>")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None


WITHOUT_SANITISER = """async () => {
  let seen = 0;
  const told = new Promise((resolve) => addEventListener("securitypolicyviolation", () => ++seen === 2 && resolve()));
  const ways = [
    () => { document.body.innerHTML = "<b>x</b>" },
    () => { document.createElement("script").text = "window.ran = 1" },
  ];
  const errors = ways.map((way) => { try { way(); return "" } catch (error) { return error.message } });
  await told;
  return errors;
}"""


def test_text_becomes_elements_through_the_sanitiser_or_not_at_all(page: Page, complaints: list[str]) -> None:
    errors = page.evaluate(WITHOUT_SANITISER)
    assert ["Trusted" in error for error in errors] == [True, True]
    assert [one for one in complaints if not re.search("trusted-?types|Trusted", one)] == []
    complaints.clear()


def test_the_policy_leaves_scripts_no_way_in(page: Page, server: ServerProcess) -> None:
    response = page.request.get(server.url)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "connect-src 'self';" in policy
    assert "unsafe" not in policy


# Every screen, every hand


def test_the_client_is_usable_on_a_phone(new_page: NewPage) -> None:
    page = new_page(360, 740, has_touch=True, is_mobile=True)
    thread_with(page, "phone", SHORT, "One?", "First. " + "`a-long-line-of-code` " * 20 + "x" * 200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    expect(page.get_by_test_id("new-thread")).not_to_be_visible()
    page.get_by_test_id("drawer-open").tap()
    expect(page.get_by_test_id("new-thread")).to_be_visible()
    page.get_by_test_id("new-thread").tap()
    expect(page.get_by_test_id("new-thread")).not_to_be_visible()
    page.get_by_test_id("drawer-open").tap()
    item(page, "phone").get_by_role("link").tap()
    expect(messages(page)).to_have_count(2)
    page.get_by_test_id("composer").fill("Two?")
    page.get_by_test_id("send").tap()
    states(page, *["done"] * 4)
    box = page.get_by_test_id("composer").bounding_box()
    assert box
    assert box["y"] + box["height"] <= 740
    page.get_by_test_id("settings-open").tap()
    page.get_by_test_id("setting-seed").fill("1")
    page.get_by_test_id("settings-save").tap()
    expect(page.get_by_test_id("setting-seed")).to_have_count(0)


def test_everything_can_be_done_from_the_keyboard(page: Page) -> None:
    keyboard = page.keyboard
    thread_with(page, "endless", ENDLESS)
    page.reload()
    expect(page.get_by_test_id("composer")).to_be_focused()
    keyboard.type("One line")
    keyboard.press("Shift+Enter")
    keyboard.type("and another")
    keyboard.press("Enter")
    expect(messages(page, "user")).to_contain_text("One line\nand another", use_inner_text=True)
    streams(page)
    keyboard.press("Escape")
    states(page, "done", "cancelled")
    tab_to(page, "message-edit", back=True)
    keyboard.press("Enter")
    expect(page.get_by_test_id("edit-box")).to_be_focused()
    keyboard.press("Escape")
    expect(page.get_by_test_id("edit-box")).to_have_count(0)
    thread_with(page, "by-keyboard", SHORT, "One?", title="Reached by keyboard")
    page.reload()
    expect(page.get_by_test_id("composer")).to_be_focused()
    keyboard.press("Control+k")
    expect(page.get_by_test_id("switcher")).to_be_focused()
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Begin a thread")).to_be_visible()
    keyboard.press("Control+k")
    keyboard.type("reached by")
    expect(page.get_by_role("option", name="Reached by keyboard")).to_have_attribute("aria-selected", "true")
    keyboard.press("Enter")
    expect(page.get_by_test_id("title")).to_have_text("Reached by keyboard")


def test_the_switcher_means_a_thread_that_comes_while_its_title_is_typed(page: Page) -> None:
    page.keyboard.press("Control+k")
    expect(page.get_by_test_id("switcher")).to_be_focused()
    page.keyboard.type("comes late")
    expect(page.get_by_role("option")).to_have_count(1)
    page.evaluate(CREATE, ["late", SHORT, [], "Comes late"])
    expect(page.get_by_role("option", name="Comes late")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("title")).to_have_text("Comes late")


def test_the_theme_is_remembered(new_page: NewPage) -> None:
    page = new_page(color_scheme="light")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    page.get_by_test_id("theme-toggle").click()
    expect(root).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(root).to_have_attribute("data-theme", "dark")


def test_the_built_client_asks_nothing_of_other_hosts(page: Page, server: ServerProcess) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    expect(page.get_by_test_id("composer")).to_be_visible()
    assert asked
    assert [url for url in asked if not url.startswith(server.url)] == []
