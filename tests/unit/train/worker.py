"""A training process for tests: ``python -m tests.unit.train.worker JOB``, alone or under torchrun."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from everlong.data import ByteTokenizer, TokenStore
from everlong.errors import EverlongError
from everlong.models.registry import register
from everlong.train import Progress, TrainConfig, rank_device, train
from tests.unit.train.conftest import SIZES, tiny
from tests.unit.train.test_stream_loss import WithAux

register("gru-with-aux", kind="causal")(WithAux)
SIZES["gru-with-aux"] = {"d_model": 8, "n_layers": 1}


def main(job: dict[str, Any]) -> int:
    torch.set_num_threads(1)

    def report(progress: Progress) -> None:
        print("step", progress.step, flush=True)
        time.sleep(job["pause"])

    try:
        result = train(
            tiny(job["architecture"], **job["model"]).to(rank_device()),
            TokenStore.open(job["data"]),
            TokenStore.open(job["valid"]),
            TrainConfig(**job["config"]),
            Path(job["out"]),
            tokenizer=ByteTokenizer(),
            resume=job["resume"],
            report=report,
        )
    except EverlongError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 2
    return 130 if result.interrupted else 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
