from __future__ import annotations

import httpx
from starlette.applications import Starlette

from livethread_server.http.documents import document_routes


async def test_programs_can_ask_for_both_documents() -> None:
    app = Starlette(routes=document_routes((), "1.2.3", required=True))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client:
        for path, mark in (("/openapi.json", "openapi"), ("/asyncapi.json", "asyncapi")):
            answer = await client.get(path)
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()["info"]["version"] == "1.2.3"
            assert mark in answer.json()
