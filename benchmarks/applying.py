"""What a trained model is for: telling the classes of documents, writing a text from another."""

from collections.abc import Sequence
from typing import Any

from .harness import take_turns
from .rosters import LONG_WRITERS, WRITERS, Group, all_started, entrants, gate, labelled
from .settings import Settings
from .training import documents

COLUMNS = ("contestant", "size", "ms", "best", "tokens/s", "time / first", "peak MB", "loaded MB")


def apply_classify(settings: Settings) -> dict[str, Any]:
    """The classes of the documents that `train-classify` learns from."""
    return measure(documents(), "forward", settings)


def apply_seq2seq(settings: Settings) -> dict[str, Any]:
    """64 tokens from a source of 512, alone and among eight, greedily and with four beams; the same from 4,096."""
    short = [
        labelled(WRITERS, f"{lanes} x 512, {how}", lanes=lanes, source=512, spread=spread, beams=beams)
        for lanes, spread in ((1, 0), (8, 75))
        for how, beams in (("greedy", 1), ("4 beams", 4))
    ]
    long = [
        labelled(LONG_WRITERS, f"1 x 4096, {how}", lanes=1, spread=0, beams=beams)
        for how, beams in (("greedy", 1), ("4 beams", 4))
    ]
    return measure([*short, *long], "write", settings)


def measure(groups: Sequence[Group], do: str, settings: Settings) -> dict[str, Any]:
    """Gate, turns, figures; speeds count what is read when telling and what is written when writing."""
    groups = entrants(groups, settings)
    # What is proven has two lanes of its own: one group of the same people says it for all.
    proven = gate(list({group.peers: group for group in groups}.values()), threads=settings.threads)
    rows = list[dict[str, Any]]()
    with all_started(groups, threads=settings.threads) as started:
        workers = [worker for members in started for worker in members]
        turns = dict(zip(workers, take_turns(workers, do, rounds=settings.rounds), strict=True))
        for group, members in zip(groups, started, strict=True):
            case = group.case
            for worker in members:
                record = turns[worker]
                rows.append(
                    {
                        "contestant": worker.peer.name,
                        "size": group.label,
                        "ms": 1e3 * record.median,
                        "best": 1e3 * record.best,
                        "tokens/s": (case.lanes * case.chunk if do == "write" else case.tokens) / record.median,
                        "time / first": turns[members[0]].times_faster_than(record),
                        "peak MB": worker.peak_mb,
                        "loaded MB": worker.hello["loaded_mb"],
                        "versions": worker.hello["versions"],
                        "turns": record.to_json(),
                        "note": worker.peer.note,
                    }
                )
    return {"columns": COLUMNS, "rows": rows, "gate": proven}
