"""What this server is and serves.

It must never know who asks, but for telling him.
"""

from __future__ import annotations

from msgspec import Struct
from starlette.responses import Response

from livethread import messages as wire
from livethread_server.http.call import Call
from livethread_server.http.operation import Operation, json_answer
from livethread_server.service import Service

TAG = "server"


class ServedModel(Struct, frozen=True):
    """A model by its served name, and how many tokens a thread's context may hold."""

    id: str
    context_tokens: int


class ModelList(Struct, frozen=True):
    models: tuple[ServedModel, ...]


class About:
    """Carries out the operations about the server itself."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def info(self, call: Call) -> Response:
        """What a hello answers."""
        return json_answer(await self._hello(call))

    async def models(self, call: Call) -> Response:
        """The served names."""
        hello = await self._hello(call)
        served = tuple(ServedModel(name, hello.limits.context_tokens) for name in hello.models)
        return json_answer(ModelList(served))

    async def _hello(self, call: Call) -> wire.HelloOk:
        return await self._service.hello(call.session, wire.Hello(id=0))

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                id="info",
                method="GET",
                path="/v1/info",
                tag=TAG,
                summary="Who the server is, who you are, and what is bounded: what a hello answers.",
                handler=self.info,
                ok=wire.HelloOk,
            ),
            Operation(
                id="list_models",
                method="GET",
                path="/v1/models",
                tag=TAG,
                summary="The models that threads may name.",
                handler=self.models,
                ok=ModelList,
            ),
        )
