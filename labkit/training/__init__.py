"""Train networks: `fit`, `fit_gan`, and the housekeeping, batches and checkpoints that both use.

`train` is the smallest loop, which lab 01 writes again. A loop takes networks, a representation and images; it knows
nothing of data sets, files of models or scores.
`labkit.training.run` stands above all these and is the command `labkit train`.
"""

from labkit.options import FitSettings, GanSettings
from labkit.training.batches import dataset_loss
from labkit.training.gan import fit_gan
from labkit.training.loop import fit
from labkit.training.session import History
from labkit.training.simple import train, training_step

__all__ = [
    "FitSettings",
    "GanSettings",
    "History",
    "dataset_loss",
    "fit",
    "fit_gan",
    "train",
    "training_step",
]
