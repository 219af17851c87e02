"""Who may knock: Host and Origin allow-lists before anything else, and the headers of every HTTP answer.

Plain ASGI, so that it holds for WebSockets too. A page of another site must not reach a server on
loopback: its Origin is foreign, or, after DNS rebinding, its Host is. It must never know commands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from livethread.errors import CommandError, ErrorCode
from livethread_server.http.problem import refusal as problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_OWN_ONLY = (
    b"default-src 'none'; script-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'; "
)
POLICY = (
    # Text becomes elements of the page through its sanitiser, or not at all.
    _OWN_ONLY + b"style-src 'self'; img-src 'self'; require-trusted-types-for 'script'; trusted-types dompurify"
)
DOCS_POLICY = _OWN_ONLY + b"style-src 'self' 'unsafe-inline'; img-src 'self' data:"
"""The pages that describe the doors show nothing that strangers wrote; Swagger UI styles its elements by attributes."""
DOCS = "/docs/"

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class AccessControl:
    """Lets through requests whose Host is ours and whose Origin, where there is one, is allowed."""

    def __init__(self, app: AsgiApp, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or refuse the handshake, where a list says no."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "http":
            send = _with_security_headers(send, DOCS_POLICY if scope["path"].startswith(DOCS) else POLICY)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
        else:
            await problem(CommandError(ErrorCode.FORBIDDEN, refusal))(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [value for name, value in headers if name == b"host"]
        origins = [value for name, value in headers if name == b"origin"]
        if len(hosts) != 1 or host_name(hosts[0]) not in self._hosts:
            shown = ", ".join(hosts)[:100] or "none"
            return f"Host {shown!r} is not one of this server's. Use an address it listens on, or --allow-host."
        # A browser sends one; what a second one is for, nobody honest knows (RFC 6454, 7.3).
        if len(origins) > 1 or any(origin.lower().rstrip("/") not in self._origins for origin in origins):
            shown = ", ".join(origins)[:100]
            return f"Origin {shown!r} is not allowed here. Open the page from this server, or use --allow-origin."
        return None


def host_name(host: str) -> str:
    """The name in a Host header without its port (RFC 9110, 7.2); IPv6 addresses keep their brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _with_security_headers(send: Send, policy: bytes) -> Send:
    headers = ((b"content-security-policy", policy), *HEADERS)

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return sending
