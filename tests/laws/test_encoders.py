"""The laws of encoders, for every one of the registry, and a broken encoder for each law."""

import copy

import pytest
import torch

from everlong.errors import ContractViolation
from everlong.models import list_models
from everlong.models.bert import Bert, BertConfig
from everlong.testing import ENCODER_LAWS, Law, Subject, verify_encoder
from everlong.testing.subject import MODES
from tests.laws import encoder_mutants as mutants
from tests.laws.encoder_cases import ENCODERS, SMALL, encoder, encoder_subject


@pytest.mark.parametrize("law", ENCODER_LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("case", ENCODERS)
def test_law(case: str, law: Law) -> None:
    for mode in MODES:
        law(encoder_subject(case).in_mode(mode))


def test_every_encoder_is_heard() -> None:
    assert {name for name, _ in ENCODERS.values()} == set(list_models("encoder"))


@pytest.mark.parametrize("name", list_models("encoder"))
def test_verify_encoder_is_one_call(name: str) -> None:
    case = next(case for case, (its_name, _) in ENCODERS.items() if its_name == name)
    before, state = encoder(case).weights_digest(), torch.get_rng_state()
    verify_encoder(encoder(case), length=12)
    assert torch.equal(torch.get_rng_state(), state)
    assert encoder(case).weights_digest() == before


@pytest.mark.parametrize("case", ENCODERS)
def test_activation_checkpointing_changes_no_gradient(case: str) -> None:
    kept = encoder_subject(case).in_mode("training")
    again = kept.twin()
    again.model.recompute = True  # type: ignore[assignment]
    tokens, lengths = kept.tokens(20, rng=kept.rng()), torch.tensor([20, 7, 0])
    found = [here.gradients([here.model.token_losses(tokens, tokens, lengths=lengths)]) for here in (kept, again)]  # type: ignore[operator]
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case", ENCODERS)
def test_mixed_precision_keeps_losses_in_float32(case: str) -> None:
    mixed = copy.deepcopy(encoder(case)).train()
    tokens = torch.randint(12, (2, 9))
    with torch.autocast("cpu", torch.bfloat16):
        losses = mixed.token_losses(tokens, tokens.clamp(max=10), lengths=torch.tensor([3, 9]))
    losses.sum().backward()
    assert losses.dtype == torch.float32
    assert all(bool(p.grad.isfinite().all()) for p in mixed.parameters() if p.grad is not None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("case", ENCODERS)
def test_laws_on_a_gpu(case: str) -> None:
    verify_encoder(copy.deepcopy(encoder(case)).cuda())


MUTANTS: list[tuple[type[Bert], str, str]] = [
    (mutants.FoursOnly, "any length", "a text of 1 tokens raised ValueError: texts must be a multiple of 4"),
    (mutants.OneVector, "any length", r"of a text of 2 tokens are not \[3, 2, 8\] finite numbers"),
    (mutants.CentredOnTheBatch, "isolated", "hidden states of lane 0 alone, compared with company, differ by"),
    (mutants.SeesPadding, "padding inert", "4 real tokens, compared with those of the text without padding, differ by"),
    (mutants.CountsFromTheEnd, "padding inert", "4 real tokens, compared with those of the text without padding"),
    (
        mutants.LeavesPaddingAsItIs,
        "padding inert",
        r"hidden states of padding, with lengths=\[0, 4, 9\], are not zeros",
    ),
    (mutants.LooksBackOnly, "both sides", "no token before token 16 notices when that one changes"),
    (mutants.LooksAheadOnly, "both sides", "no token after token 16 notices"),
    (mutants.BagOfTokens, "ordered", "nothing else notices when tokens 16 and 17 change places"),
    (mutants.SeesFurtherThanItSays, "reach", "config.reach is 3, but a token 11 away notices a change"),
    (
        mutants.AnswersWithTheMaskSymbol,
        "hidden tokens",
        r"logits have shape .*12\], not one for each of 11 tokens of the",
    ),
    (mutants.LosesItsWay, "hidden tokens", "losses, compared with those of the logits, differ by"),
    (mutants.LossEverywhere, "hidden tokens", "losses, compared with those of the logits, differ by"),
    (mutants.NoGlobalTokensAtAll, "global", "some token does not notice when the global token 0 changes"),
    (mutants.DeafGlobalTokens, "global", "the global token 0 does not notice when token 31 changes"),
    (mutants.MaskOfNothing, "global", "with a global_mask of no tokens, compared with none, differ by"),
    (mutants.PoolsPadding, "pooled", "vector of 4 tokens, compared with that text alone, differ by"),
    (mutants.PoolsNothing, "pooled", "the vector of 4 tokens stays as it is when one of them changes"),
    (mutants.PoolsWords, "pooled", r"vectors of 3 texts are not \[3, 8\] finite numbers"),
    (mutants.EmptyIsSomething, "pooled", "the vector of an empty text is not zeros"),
    (mutants.UnusedParameter, "alive", "no gradient of .* or a text's vector reaches spare.weight, spare.bias"),
    (mutants.Noisy, "alive", "two calls with the same tokens differ by .*: the encoder is not a function"),
    (mutants.InfiniteGradient, "alive", "gradient of .* in the loss of hidden tokens is not finite"),
]


@pytest.mark.parametrize(("mutant", "name", "what"), MUTANTS)
def test_a_mutant_is_caught_by_its_law(mutant: type[Bert], name: str, what: str) -> None:
    law = next(law for law in ENCODER_LAWS if law.name == name)
    subject = Subject.of(mutant(mutant.Config(**SMALL))).in_mode("training")
    with pytest.raises(ContractViolation, match=what) as caught:
        law(subject)
    assert str(caught.value).startswith(f"law {law.number} ({name}), training: ")


def test_every_law_has_a_mutant() -> None:
    assert {name for _, name, _ in MUTANTS} == {law.name for law in ENCODER_LAWS}


@pytest.mark.parametrize(
    ("mutant", "law"),
    [(mutants.SeesPadding, "padding inert"), (mutants.BagOfTokens, "ordered"), (mutants.LosesItsWay, "hidden tokens")],
)
def test_a_small_mistake_breaks_one_law_and_no_other(mutant: type[Bert], law: str) -> None:
    subject = Subject.of(mutant(BertConfig(**SMALL))).in_mode("evaluating")
    broken: list[str] = []
    for one in ENCODER_LAWS:
        try:
            one(subject)
        except ContractViolation:
            broken.append(one.name)
    assert broken == [law]


def test_laws_are_numbered() -> None:
    assert [law.number for law in ENCODER_LAWS] == list(range(1, len(ENCODER_LAWS) + 1))
