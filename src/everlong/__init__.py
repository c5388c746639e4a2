"""Everlong: long-term memory for language models, every architecture behind one contract."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everlong.errors import EverlongError
    from everlong.generate.sampling import Sampler
    from everlong.interop import Converted, convert
    from everlong.memory import Memory, load_memory
    from everlong.models import Encoder, LanguageModel, Seq2Seq, create_model, list_models
    from everlong.run import Run, load
    from everlong.session import Session

__all__ = [
    "Converted",
    "Encoder",
    "EverlongError",
    "LanguageModel",
    "Memory",
    "Run",
    "Sampler",
    "Seq2Seq",
    "Session",
    "convert",
    "create_model",
    "list_models",
    "load",
    "load_memory",
]

_HOME = {
    "Converted": "interop",
    "Encoder": "models",
    "EverlongError": "errors",
    "LanguageModel": "models",
    "Memory": "memory",
    "Run": "run",
    "Sampler": "generate.sampling",
    "Seq2Seq": "models",
    "Session": "session",
    "convert": "interop",
    "create_model": "models",
    "list_models": "models",
    "load": "run",
    "load_memory": "memory",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, and `everlong --help` needs none of it: names are fetched when first used.
    if name not in _HOME:
        raise AttributeError(f"module 'everlong' has no attribute '{name}'. It offers {', '.join(__all__)}.")
    return getattr(importlib.import_module(f"everlong.{_HOME[name]}"), name)
