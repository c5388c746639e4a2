"""``everlong plan``: what a training and a session will cost, told before they begin."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from everlong.cli.output import answer, say
from everlong.cli.settings import assign_fields, merge_fields, parse_assignments

if TYPE_CHECKING:
    from everlong.plan import Forecast, Predictor, Setup
    from everlong.plan.advice import Change

MIB = 1 << 20


def plan(
    model: Annotated[str, typer.Argument(help="Architecture; everlong models lists them.", metavar="MODEL")],
    length: Annotated[
        int, typer.Option(help="Tokens: of the text; of each text of an encoder; of each source of an encoder-decoder.")
    ],
    lanes: Annotated[int | None, typer.Option(help="Streams read side by side; 8 unless given.")] = None,
    chunk: Annotated[int | None, typer.Option(help="Tokens of each lane in one call; 256 unless given.")] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A field of the model or of its training: d_model=512."),
    ] = None,
    budget_seconds: Annotated[
        float | None, typer.Option(help="The most time that learning once from all of it may take.")
    ] = None,
    budget_memory: Annotated[float | None, typer.Option(help="The most memory that training may take, in MiB.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Foretell operations, memory and time of training and of writing, on this machine, from small runs of the model.

    It says what cost depends on, what each setting would save, and with a budget which settings fit it.
    """
    given = {name: value for name, value in {"lanes": lanes, "chunk": chunk}.items() if value is not None}
    fields = merge_fields(parse_assignments(assign or []), given)

    import torch

    from everlong.models import describe_model
    from everlong.plan import Predictor, Setup
    from everlong.plan.advice import Budget, changes, fit_budget
    from everlong.train.config import TrainConfig

    if threads:
        torch.set_num_threads(threads)
    config = describe_model(model)[1]
    assigned = assign_fields(fields, {"model": config, "train": TrainConfig})
    setup = Setup(
        architecture=model,
        model=config.parse(assigned["model"]),
        training=TrainConfig.parse(assigned["train"]),
        length=length,
    )
    budget = Budget(seconds=budget_seconds, memory=None if budget_memory is None else budget_memory * MIB)
    say(f"timing small runs of {model}")
    predictor = Predictor(setup)
    forecast = predictor.forecast(setup)
    rows = lengths(setup, predictor)
    advice = changes(forecast, predictor.forecast)
    asked = budget_seconds is not None or budget_memory is not None
    fitting = fit_budget(forecast, budget, predictor.forecast) if asked else None
    if as_json:
        answer(
            {
                "model": model,
                "length": length,
                "lanes": setup.training.lanes,
                "chunk": setup.chunk,
                **forecast.to_dict(),
                "by_length": [{"length": row.setup.length, **row.to_dict()} for row in rows],
                "changes": [told(change) for change in advice],
                "fits": fitting is not None if asked else None,
                "fitting": None if fitting is None else {change.name: change.after for change in fitting},
            }
        )
        return
    from everlong.cli.plan_table import print_plan

    print_plan(forecast, rows, advice)
    if asked:
        print_budget(fitting)


def lengths(setup: "Setup", predictor: "Predictor") -> "list[Forecast]":
    """Forecasts for texts of a quarter to four times the length; none longer where a text is read whole."""
    from dataclasses import replace

    several = [setup.length // 4, setup.length // 2, setup.length, 2 * setup.length, 4 * setup.length]
    if setup.kind != "causal":
        several = several[:3]
    return [predictor.forecast(replace(setup, length=length)) for length in several if length > 0]


def told(change: "Change") -> dict[str, Any]:
    """A change as plain values."""
    other = change.forecast
    return {
        "setting": change.name,
        "before": change.before,
        "after": change.after,
        "epoch_seconds": other.epoch_seconds,
        "token_seconds": other.token_seconds,
        "training_bytes": round(other.memory),
        "session_bytes": other.resident.session,
    }


def print_budget(fitting: "list[Change] | None") -> None:
    """Say what fits."""
    if fitting is None:
        say("no combination of these settings fits the budget; a smaller model of another kind might")
    elif not fitting:
        say("this fits the budget as it is")
    else:
        words = " ".join(f"--set {change.name}={_word(change.after)}" for change in fitting)
        say(f"this fits the budget: {words}")


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
