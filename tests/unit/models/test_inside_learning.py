"""With an encoder inside, a section learns of another one, token by token or as a whole."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from everlong.models import Encoder, create_model
from everlong.models.classifier import Classifier
from everlong.shapes import IGNORE

SYMBOLS, SEGMENT = 8, 3
SMALL = {"n_heads": 2, "d_ff": 64}
INSIDE = {
    "bert": {**SMALL, "n_layers": 1},
    "longformer-encoder": {**SMALL, "n_layers": 1, "window": 2},
    "reformer-encoder": {**SMALL, "n_layers": 1, "layers": ["lsh"], "n_buckets": 4, "bucket_size": 2, "n_hashes": 2},
}


def make(inside: str, layout: str) -> Encoder:
    torch.manual_seed(0)
    fields = {**SMALL, "vocab_size": SYMBOLS, "d_model": 32, "n_layers": 2, "segment": SEGMENT, "layout": layout}
    return create_model("hierarchical-encoder", **fields, inside=inside, inside_config=INSIDE[inside])


def one_hidden(lanes: int, rng: torch.Generator, *, mask_token: int) -> tuple[Tensor, Tensor]:
    """Two sections of the same symbol, and one of them, drawn by lot, is hidden."""
    tokens = torch.randint(SYMBOLS, (lanes, 1), generator=rng).expand(-1, 2 * SEGMENT)
    hidden = torch.rand(lanes, 1, generator=rng) < 1 / 2
    where = torch.cat([hidden, ~hidden], dim=1).repeat_interleave(SEGMENT, dim=1)
    return tokens.where(~where, mask_token), tokens.where(where, IGNORE)


def update(optimizer: torch.optim.Optimizer, model: torch.nn.Module, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


@pytest.mark.parametrize("inside", INSIDE)
def test_what_one_section_hides_another_tells(inside: str) -> None:
    """Hi-Transformer's form."""
    encoder, rng = make(inside, "SDS"), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-3)
    for _ in range(400):
        tokens, targets = one_hidden(64, rng, mask_token=encoder.mask_token)
        loss = encoder.token_losses(tokens, targets).sum() / (targets != IGNORE).sum()
        update(optimizer, encoder, loss)
        if loss.item() < 0.05:
            break
    tokens, targets = one_hidden(100, rng, mask_token=encoder.mask_token)
    with torch.inference_mode():
        losses = encoder.eval().token_losses(tokens, targets)
    assert float(losses[targets != IGNORE].mean()) < 0.2


def test_what_is_told_of_a_text_depends_on_the_order_of_its_sections() -> None:
    """ToBERT's form: which symbol the first section is of."""
    classifier = Classifier(make("bert", "SDD"), [str(symbol) for symbol in range(SYMBOLS)])
    rng = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=5e-3)

    def texts(lanes: int) -> Tensor:
        return torch.randint(SYMBOLS, (lanes, 2), generator=rng).repeat_interleave(SEGMENT, dim=1)

    for _ in range(200):
        tokens = texts(32)
        loss = F.cross_entropy(classifier(tokens), tokens[:, 0])
        update(optimizer, classifier, loss)
        if loss.item() < 0.05:
            break
    tokens = texts(200)
    told = classifier.eval()(tokens).argmax(dim=1)
    assert float((told == tokens[:, 0]).float().mean()) > 0.95
