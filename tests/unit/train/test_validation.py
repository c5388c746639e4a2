import math
from pathlib import Path

import pytest
import torch

from everlong.data import ByteTokenizer, Document, TokenStore
from everlong.errors import DataError
from everlong.shapes import IGNORE
from everlong.train.stream_loss import StreamLoss
from everlong.train.validation import require_targets, valid_bits_per_byte
from tests.unit.train.conftest import Bench, tiny


def one_by_one(model: torch.nn.Module, documents: list[torch.Tensor]) -> float:
    nats = count = 0.0
    for tokens in documents:
        targets = torch.cat([tokens[1:], torch.tensor([IGNORE])])
        nats += float(model.token_losses(tokens[None], targets[None])[0].sum())  # pyright: ignore
        count += len(tokens) - 1
    return nats / math.log(2) / count


@pytest.mark.parametrize("architecture", ["lstm", "transformer-xl"])
@pytest.mark.parametrize(("lanes", "limit"), [(1, 1000), (8, 1000), (2, 77)])
def test_memory_is_carried_through_each_document(bench: Bench, architecture: str, lanes: int, limit: int) -> None:
    model = tiny(architecture).double()
    stream = StreamLoss(model, precision="float32")
    model.train()
    found = valid_bits_per_byte(stream, bench.valid, bench.tokenizer, lanes=lanes, chunk=7, limit=limit)
    assert model.training
    documents: list[torch.Tensor] = []
    for n in range(bench.valid.n_documents):
        left = limit - int(bench.valid.starts[n])
        documents.append(torch.tensor(bench.valid.document(n)[: max(0, left)].astype("int64")))
    with torch.no_grad():
        expected = one_by_one(model.eval(), [tokens for tokens in documents if len(tokens)])
    assert found == pytest.approx(expected, rel=1e-9)


def test_dropout_draws_nothing_and_the_mode_comes_back_after_an_error(bench: Bench) -> None:
    model = tiny("transformer-xl", vocab_size=8).train()
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="outside the vocabulary"):
        valid_bits_per_byte(
            StreamLoss(model, precision="float32"), bench.valid, bench.tokenizer, lanes=2, chunk=7, limit=50
        )
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_text_with_nothing_to_predict_is_refused(tmp_path: Path) -> None:
    store = TokenStore.build([Document("a", "x"), Document("b", "yz")], ByteTokenizer(), tmp_path / "store")
    require_targets(store, limit=3)
    with pytest.raises(DataError, match=r"first 2 tokens of the validation text .* nothing to predict"):
        require_targets(store, limit=2)
