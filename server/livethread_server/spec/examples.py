"""Bodies that people send, for those who read the OpenAPI document: by the ids of operations.

It must never know how operations are described or carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

QUESTION = {"role": "user", "content": "Why is the sky blue? One sentence."}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}

EXAMPLES: Mapping[str, Any] = MappingProxyType(
    {
        "create_thread": {
            "title": "The sky",
            "messages": [{"role": "system", "content": "You answer in one sentence."}],
            "sampling": {"temperature": 0.7, "max_tokens": 100},
        },
        "update_thread": {"title": "Skies", "sampling": {"temperature": 0}},
        "append_messages": QUESTION,
        "edit_message": {"content": "Why is the evening sky red?"},
        "mutate_thread": {"ops": [{"op": "append", "message": QUESTION}]},
        "create_run": {"messages": [QUESTION], "sampling": {"max_tokens": 100}, "stream": True},
        "create_chat_completion": {
            "messages": [{"role": "user", "content": "Make somebody up."}],
            "response_format": {"type": "json_schema", "schema": PERSON},
            "max_tokens": 60,
            "seed": 1,
        },
        "create_text_completion": {"prompt": "Once upon a time", "n_predict": 30, "n": 2, "n_probs": 3},
        "create_embedding": {"content": ["A text.", "Another one."]},
        "create_rerank": {"query": "What is a llama?", "documents": ["An animal.", "A kind of cheese."], "top_n": 1},
        "create_text_classification": {"content": "I love it!", "labels": ["good", "bad"]},
        "create_tokenize": {"content": "Hello world", "with_pieces": True},
        "create_detokenize": {"tokens": [19556, 905]},
        "create_count_tokens": {"messages": [QUESTION]},
        "create_apply_template": {"messages": [QUESTION]},
        "openai_chat_completions": {"messages": [QUESTION], "max_tokens": 100, "temperature": 0.7},
        "openai_chat_completions_input_tokens": {"messages": [QUESTION]},
        "openai_completions": {"prompt": "Once upon a time", "max_tokens": 30, "logprobs": 2},
        "openai_embeddings": {"input": ["A text.", "Another one."], "encoding_format": "float"},
    }
)
