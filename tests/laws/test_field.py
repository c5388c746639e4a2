"""What every config declares as its reach, measured from gradients: never exceeded, and equalled where it is tight."""

from typing import Any

import pytest
import torch

from everlong.errors import ConfigError, ShapeError
from everlong.evaluate.field import ReceptiveField, input_gradients, receptive_field
from everlong.models import Encoder, create_model
from everlong.models.base import Model
from everlong.models.transformer import Transformer, TransformerConfig
from everlong.testing.subject import stir_weights, without_dropout
from tests.laws.cases import CASES
from tests.laws.encoder_cases import ENCODERS

UNBOUNDED, LOSSES = 60, 48
"""Tokens that are read where nothing bounds what is seen; and losses that are differentiated where a reach does."""

NOT_TIGHT = {
    "compressive, most used": "what is kept depends on all that was read, by choices that have no gradient",
    "reformer, not reversible, few buckets": "of 40 tokens a token sees 3 of its bucket, which are near ones",
}
"""Causal models whose gradients end before their declared reach, and why."""

OWN_SECTION = "a token learns nothing of other sections, and those that a caller marks may be of any length"
NOT_JOINED = {
    "han": OWN_SECTION,
    "han, two layers, means, dropout": OWN_SECTION,
    "han, largest numbers": OWN_SECTION,
    "hierarchical, late, post-norm, dropout": OWN_SECTION,
    "hierarchical, sections alone, one head": OWN_SECTION,
}
"""Encoders that declare no bound and whose tokens do not see all the same, and why."""

WITHOUT_A_TABLE = "inside"
"""Encoders around another one have no embedding of their own."""

STREAM = 2
"""Seed of the tokens. Which bucket they fall into, and so how far back it reaches, is chance."""


def field_of(model: Model) -> tuple[ReceptiveField, int]:
    """The field over the last losses of a text, or at both its ends without a bound, and how long it could be."""
    ours = without_dropout(model).double()
    stir_weights(ours, seed=3)
    reach = model.config.reach
    time, at = (UNBOUNDED, (0, UNBOUNDED - 1)) if reach is None else (reach + LOSSES, range(reach, reach + LOSSES))
    rng = torch.Generator().manual_seed(STREAM)
    tokens, targets = (torch.randint(model.config.vocab_size, (1, time), generator=rng) for _ in range(2))
    return receptive_field(ours, tokens, targets, at), time - 1 if reach is None else reach


def make(name: str, fields: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    return create_model(name, **fields)


@pytest.mark.parametrize("case", CASES)
def test_causal_models_see_as_far_as_they_declare(case: str) -> None:
    model = make(*CASES[case])
    field, farthest = field_of(model)
    assert field.ahead == ()
    assert not field.exceeds(model.config.reach)
    assert (field.farthest == farthest) == (case not in NOT_TIGHT)


@pytest.mark.parametrize("case", [case for case in ENCODERS if WITHOUT_A_TABLE not in case])
def test_encoders_see_as_far_to_both_sides_as_they_declare(case: str) -> None:
    encoder: Encoder = make(*ENCODERS[case])
    field, farthest = field_of(encoder)
    assert not field.exceeds(encoder.config.reach)
    assert field.farthest == (encoder.config.model_dump()["segment"] - 1 if case in NOT_JOINED else farthest)


@pytest.mark.parametrize("declared", [11, 13])
def test_a_wrong_declaration_is_caught(declared: int) -> None:
    class WrongConfig(TransformerConfig):
        @property
        def reach(self) -> int:
            return declared

    class Wrong(Transformer):
        Config = WrongConfig

    model = Wrong(WrongConfig(vocab_size=11, d_model=8, n_layers=2, n_heads=2, d_ff=12, context=7))
    field, _ = field_of(model)
    assert field.farthest == 12
    assert field.exceeds(model.config.reach) == (declared < 12)
    assert field.farthest != declared


def test_gradients_equal_finite_differences() -> None:
    model = make("gru", {"vocab_size": 7, "d_model": 4, "n_layers": 1}).double().eval()
    tokens, targets = torch.tensor([[1, 4, 2, 6, 0]]), torch.tensor([[4, 2, 6, 0, 3]])
    found = input_gradients(model, tokens, targets, [2, 4])
    step, table = 1e-6, model.embedding.weight.detach().clone()
    for row, t in zip(found, [2, 4], strict=True):
        for place in range(5):
            slope = torch.zeros(4, dtype=torch.float64)
            for axis in range(4):
                ends: list[float] = []
                for sign in (-1, 1):
                    with torch.no_grad():  # every token stands at one place only, so its row of the table is that place
                        model.embedding.weight.copy_(table)
                        model.embedding.weight[tokens[0, place], axis] += sign * step
                        ends.append(float(model.token_losses(tokens, targets)[0][0, t]))
                slope[axis] = (ends[1] - ends[0]) / (2 * step)
            assert float(row[place]) == pytest.approx(float(slope.norm()), rel=1e-6, abs=1e-9)
            assert (float(row[place]) == 0) == (place > t)


def test_means_are_over_losses_that_have_a_token_at_that_distance() -> None:
    model = make("transformer", {"vocab_size": 7, "d_model": 8, "n_layers": 1, "n_heads": 1, "d_ff": 8, "context": 3})
    tokens, targets = torch.tensor([[1, 4, 2, 6, 0]]), torch.tensor([[4, 2, 6, 0, 3]])
    norms = input_gradients(model.double(), tokens, targets, [1, 4])
    field = receptive_field(model, tokens, targets, [1, 4])
    assert field.back == pytest.approx(
        [float(norms[0, 1] + norms[1, 4]) / 2, float(norms[0, 0] + norms[1, 3]) / 2, float(norms[1, 2])]
    )
    assert [(row["first"], row["last"]) for row in field.doublings()] == [(0, 0), (1, 1), (2, 2)]
    assert [row["norm"] for row in field.doublings()] == pytest.approx(field.back)


def test_distances_are_summed_up_by_doubling() -> None:
    field = ReceptiveField(back=tuple(map(float, range(11))), ahead=())
    rows = [(row["first"], row["last"], row["norm"]) for row in field.doublings()]
    assert rows == [(0, 0, 0.0), (1, 1, 1.0), (2, 3, 2.5), (4, 7, 5.5), (8, 10, 9.0)]
    # 0 + 1 + ... + 7 = 28 is the first sum that is half of 55.
    assert (field.within(0.5), field.within(1.0)) == (7, 10)


def test_the_mode_and_the_hooks_of_a_model_are_left_as_they_were() -> None:
    model = make("gru", {"vocab_size": 7, "d_model": 4, "n_layers": 1}).train()
    tokens = torch.tensor([[1, 4, 2]])
    input_gradients(model, tokens, tokens, [2])
    assert model.training
    assert not model.embedding._forward_hooks
    assert all(parameter.grad is None for parameter in model.parameters())


def test_models_whose_vectors_are_not_known_are_refused() -> None:
    inside = make(*ENCODERS["hierarchical, bert inside"])
    tokens = torch.zeros(1, 12, dtype=torch.int64)
    with pytest.raises(ConfigError, match="HierarchicalEncoder has no part called embedding, whose vectors"):
        receptive_field(inside, tokens, tokens, [3])
    long = torch.zeros(1, 24, dtype=torch.int64)
    with pytest.raises(ShapeError, match="the embedding made 12 vectors of 24 tokens"):
        receptive_field(Halves(), long, long, [3])


class Halves(torch.nn.Module):
    """A model that reads every second token."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(3, 3)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.embedding(tokens[:, ::2]), None
