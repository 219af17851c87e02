"""The kinds that every server has."""

from __future__ import annotations

from collections.abc import Sequence

from livethread_server.tasks.kind import TaskKind
from livethread_server.tasks.kinds.chat_completion import ChatCompletion
from livethread_server.tasks.kinds.embedding import EmbeddingKind
from livethread_server.tasks.kinds.rerank import Rerank
from livethread_server.tasks.kinds.text_classification import TextClassification
from livethread_server.tasks.kinds.text_completion import TextCompletion
from livethread_server.tasks.kinds.tokens import ApplyTemplate, CountTokens, Detokenize, Tokenize


def builtin_kinds() -> Sequence[TaskKind]:
    """One of each."""
    return (
        ChatCompletion(),
        TextCompletion(),
        EmbeddingKind(),
        Rerank(),
        TextClassification(),
        Tokenize(),
        Detokenize(),
        CountTokens(),
        ApplyTemplate(),
    )
