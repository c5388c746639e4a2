"""Operations of an update: counted from products whose sizes are known."""

import torch

from everlong.compare.operations import operations_of_update
from everlong.data import Chunk
from everlong.models import create_model

LANES, TIME, VOCAB, WIDTH = 2, 5, 7, 3


def chunk() -> Chunk:
    tokens = torch.arange(LANES * TIME).view(LANES, TIME) % VOCAB
    lengths = torch.full((LANES,), TIME)
    return Chunk(tokens=tokens, targets=tokens, starts=torch.zeros_like(tokens, dtype=torch.bool), lengths=lengths)


def test_a_gru_takes_the_products_of_its_equations() -> None:
    model = create_model("gru", vocab_size=VOCAB, d_model=WIDTH, n_layers=1)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    found = operations_of_update(model, chunk(), None, chunks=1)
    # Three gates read the token and the state; the head reads the state. Backward takes twice a forward pass.
    forward = 2 * LANES * TIME * (2 * 3 * WIDTH * WIDTH + WIDTH * VOCAB)
    assert found == 3 * forward
    assert operations_of_update(model, chunk(), None, chunks=6) == 6 * found
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_counting_draws_no_randomness_from_the_caller() -> None:
    model = create_model("transformer", vocab_size=VOCAB, d_model=4, n_layers=1, n_heads=1, d_ff=4, dropout=0.5)
    torch.manual_seed(3)
    wanted = torch.rand(())
    torch.manual_seed(3)
    operations_of_update(model, chunk(), model.train().init_memory(LANES), chunks=1)
    assert torch.rand(()) == wanted
