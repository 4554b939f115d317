"""Train networks: the loop of `fit`, the loop of a GAN, their settings, batches and checkpoints.

A loop takes networks and a representation and knows nothing of data sets and scores; `labkit.training.run` puts data,
training and scoring together for the command `labkit train`.
"""

from labkit.training.loop import (
    FitSettings,
    fit,
)
from labkit.training.settings import History, LoopSettings, dataset_loss

__all__ = [
    "FitSettings",
    "History",
    "LoopSettings",
    "dataset_loss",
    "fit",
]
