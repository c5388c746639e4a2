"""Training: the loop, its settings, what it reports and what it keeps."""

from everlong.train.config import TrainConfig
from everlong.train.distribution import join_world, rank_device
from everlong.train.loop import train
from everlong.train.progress import Progress, Result
from everlong.train.task import Measurement

__all__ = ["Measurement", "Progress", "Result", "TrainConfig", "join_world", "rank_device", "train"]
