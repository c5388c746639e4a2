"""Everlong: long-term memory for language models, every architecture behind one contract."""

from everlong.memory import Memory, load_memory
from everlong.models import LanguageModel, create_model, list_models

__all__ = ["LanguageModel", "Memory", "create_model", "list_models", "load_memory"]
