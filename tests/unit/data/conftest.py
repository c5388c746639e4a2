from collections.abc import Callable, Sequence
from itertools import count

import pytest

from everlong.data import ByteTokenizer, Document, TokenStore

StoreMaker = Callable[[Sequence[str]], TokenStore]


@pytest.fixture(scope="session")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> StoreMaker:
    """A byte store of these texts, in a folder of its own."""
    names, folder = count(), tmp_path_factory.mktemp("stores")

    def make(texts: Sequence[str]) -> TokenStore:
        documents = [Document(f"text {i}", text) for i, text in enumerate(texts)]
        return TokenStore.build(documents, ByteTokenizer(), folder / str(next(names)))

    return make
