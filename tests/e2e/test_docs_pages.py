from __future__ import annotations

from playwright.sync_api import expect

from tests.browser import NewPage
from tests.serving import ServerProcess


def test_both_doors_can_be_looked_through_in_a_browser(new_page: NewPage, server: ServerProcess) -> None:
    page = new_page()
    page.goto(f"{server.url}/docs/")
    page.get_by_role("link", name="WebSocket", exact=True).click()
    expect(page.get_by_role("heading", name="generate", exact=True)).to_be_visible()
    page.goto(f"{server.url}/docs/asyncapi.html#thread.fork")
    expect(page.get_by_role("heading", name="thread.fork", exact=True)).to_be_in_viewport()
    page.goto(f"{server.url}/docs/openapi.html")
    expect(page.get_by_text("/v1/stats")).to_be_visible()
