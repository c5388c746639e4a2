"""The demo's model and training: what predicts the held-out chapters best after four minutes on two cores."""

from typing import Any

from everlong.train import TrainConfig

ARCHITECTURE = "transformer-xl"

CHUNK = 128

MODEL: dict[str, Any] = {
    "d_model": 128,
    "n_layers": 3,
    "n_heads": 4,
    "d_ff": 512,
    "segment": CHUNK,
    "mem_len": 128,
    "norm": "pre",
}


def training(*, minutes: float) -> TrainConfig:
    """Training that ends after so many minutes, its learning rate fitted to them."""
    return TrainConfig(
        steps=0,
        minutes=minutes,
        lanes=8,
        chunk=CHUNK,
        lr=3e-3,
        warmup=100,
        eval_every=300,
        eval_tokens=16_384,
        save_every=0,
        keep=1,
    )
