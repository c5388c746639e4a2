"""``everlong eval`` of dialogues: what the memory of earlier turns, and of earlier sessions, is worth."""

import tempfile
from pathlib import Path

from everlong.cli.output import answer, say
from everlong.cli.part_table import print_parts
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.data import TokenStore
from everlong.data.dialogues import read_dialogues, session_parts, turn_parts
from everlong.data.parts import Cut
from everlong.errors import ConfigError
from everlong.evaluate.parts import PartEvaluation, evaluate_parts


def eval_dialogues(request: Request) -> None:
    """Read dialogues turn by turn, and those of several sessions session by session, and say what they cost.

    Raises:
        ConfigError: there are no dialogues, or a field is unknown or does not fit.
        DataError: the dialogues cannot be read.
    """
    trained = request.run
    if not request.data:
        raise ConfigError("no dialogues are given to measure. Write --data and the names of JSON-lines files.")
    model = trained.language_model
    fields = assign_fields(request.changes, {"model": type(model.config)})["model"]
    model = model.with_config(**fields) if fields else model
    with tempfile.TemporaryDirectory(prefix="everlong-") as folder:
        store = TokenStore.build(read_dialogues(request.data), trained.tokenizer, Path(folder) / "store")
        texts = (trained.tokenizer.decode(store.document(number)) for number in range(store.n_documents))
        several = any(len(session_parts(text).begins) > 1 for text in texts)

        def measure(cut: Cut) -> PartEvaluation:
            with counting("tokens", min(request.limit or store.n_tokens, store.n_tokens)) as report:
                return evaluate_parts(
                    model, store, trained.tokenizer, cut, lanes=request.lanes, limit_tokens=request.limit, report=report
                )

        turns = measure(turn_parts)
        sessions = measure(session_parts) if several else None
    if request.as_json:
        about = {"run": str(trained.folder), "model": model.architecture, "task": "dialogue"}
        answer({**about, "turns": turns.to_dict(), "sessions": sessions and sessions.to_dict()})
        return
    print_parts("turn", turns)
    if sessions:
        print_parts("session", sessions)
    if turns.total.other is None:
        say("There is one dialogue, so there is no other one's memory.")
