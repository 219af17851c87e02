"""The models that are served, and by which names requests may ask for one.

It must never know where model files come from.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET, Struct

from livethread.errors import CommandError
from livethread_server.http.openai.answers import ModelMeta, ModelObject, ModelObjectList
from livethread_server.http.openai.errors import model_not_found
from livethread_server.tasks.kind import Abilities


class Card(Struct, frozen=True, kw_only=True):
    """What there is to say about the model: ``created`` in Unix seconds, contexts and ``vocabulary`` in tokens,
    ``size`` in bytes."""

    name: str
    created: int
    size: int
    vocabulary: int
    trained_context: int
    context: int


class Models:
    """The one model of this server, by its name, or by ``any_name`` at all."""

    def __init__(self, card: Card, abilities: Callable[[], Abilities], *, any_name: bool) -> None:
        self.card = card
        self._abilities = abilities
        self._any_name = any_name

    def check(self, name: str | None) -> str:
        """The name to answer with. `CommandError` where no such model is served; None is whichever there is."""
        if name is None or name == self.card.name:
            return self.card.name
        if self._any_name:
            return name
        raise model_not_found(name, self.card.name)

    def list(self) -> ModelObjectList:
        """All of them."""
        return ModelObjectList(data=(self.get(self.card.name),))

    def get(self, name: str) -> ModelObject:
        """One by its name, as `check` knows it."""
        card = self.card
        meta = ModelMeta(
            n_vocab=card.vocabulary,
            n_ctx_train=card.trained_context,
            n_ctx=card.context,
            n_embd=self._dimensions() or UNSET,
            size=card.size,
        )
        return ModelObject(id=self.check(name), created=card.created, meta=meta)

    def _dimensions(self) -> int:
        try:
            return self._abilities().dimensions
        except CommandError:
            return 0
