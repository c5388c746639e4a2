"""How fast models read and write now, one stream each, turn by turn so that all meet the same machine."""

import time
from collections.abc import Mapping

import numpy as np
import torch

from everlong.compare.figures import ModelFigures, Stretch
from everlong.data.bytelevel import Ids
from everlong.generate.decoding import decode
from everlong.generate.outlook import read
from everlong.models.base import AnyLanguageModel
from everlong.shapes import Tokens

ENDS = (1024, 2048, 4096, 8192)
"""After how many tokens the time of reading is noted."""
WRITTEN = 64
"""Tokens that are written each round."""
READ_BEFORE = 512
"""Tokens that are read before those."""
ROUNDS = 5


def measure_models(models: Mapping[str, AnyLanguageModel], text: Ids, *, chunk: int, rounds: int) -> list[ModelFigures]:
    """Sizes and speeds of models in evaluation mode: each reads the text in chunks and writes on, round by round.

    A first round is not counted. A text shorter than the last of `ENDS` is read again from its beginning.
    """
    tokens = torch.from_numpy(np.resize(text, ENDS[-1]).astype(np.int64))[None]
    reading = {name: list[list[float]]() for name in models}
    writing = {name: list[float]() for name in models}
    with torch.inference_mode():
        for round_ in range(rounds + 1):
            for name, model in models.items():
                # The first round warms up, for which a part is enough.
                marks = _seconds_to_read(model, tokens if round_ else tokens[:, : 2 * chunk], chunk=chunk)
                seconds = _seconds_to_write(model, tokens[0, :READ_BEFORE].numpy())
                if round_:
                    reading[name].append(marks)
                    writing[name].append(seconds)
    return [_figures(name, model, reading[name], writing[name]) for name, model in models.items()]


def _seconds_to_read(model: AnyLanguageModel, tokens: Tokens, *, chunk: int) -> list[float]:
    """Seconds from the beginning to each of `ENDS`."""
    memory, marks, tokens = model.init_memory(1), list[float](), tokens.to(model.device)
    logits = tokens[:, :1]
    began = time.perf_counter()
    for first, end in zip((0, *ENDS), ENDS, strict=False):
        for at in range(first, min(end, tokens.shape[1]), chunk):
            # A call may not reach over the mark.
            logits, memory = model(tokens[:, at : min(at + chunk, end)], memory)
        # A device that computes on its own must be done before the clock is read.
        logits.flatten()[-1].item()
        marks.append(time.perf_counter() - began)
    return marks


def _seconds_to_write(model: AnyLanguageModel, before: Ids) -> float:
    outlook = read(model, [before])
    outlook.logits.flatten()[-1].item()
    began = time.perf_counter()
    decode(model, outlook, max_new_tokens=WRITTEN)
    return time.perf_counter() - began


def _figures(name: str, model: AnyLanguageModel, reading: list[list[float]], writing: list[float]) -> ModelFigures:
    def each(marks: list[float], place: int) -> float:
        """Microseconds a token since the mark before."""
        before, first = (marks[place - 1], ENDS[place - 1]) if place else (0.0, 0)
        return 1e6 * (marks[place] - before) / (ENDS[place] - first)

    return ModelFigures(
        model=name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        memory_bytes=model.init_memory(1).nbytes,
        reach=model.config.reach,
        reading=tuple(ENDS[-1] / marks[-1] for marks in reading),
        decoding=tuple(WRITTEN / seconds for seconds in writing),
        stretches=tuple(
            Stretch(end=end, microseconds=tuple(each(marks, place) for marks in reading))
            for place, end in enumerate(ENDS)
        ),
    )
