"""Hold what the recipes of several papers use: images, settings, decodings."""

from __future__ import annotations

from dataclasses import replace

from labkit.experiments.schema import Setup
from labkit.options import FitSettings

TOY = Setup(dataset="toyworld", limit=48, test_limit=16, network={"width": 4}, fit=FitSettings(epochs=1, batch_size=16))
ONE_CYCLE = FitSettings(epochs=8, batch_size=64, learning_rate=2e-3)
HORSES = Setup(classes="horse", network={"width": 32}, fit=ONE_CYCLE)  # 5,000 to train on, 1,000 to score on
HORSES_FULL = replace(HORSES, network={"width": 64}, fit=replace(ONE_CYCLE, epochs=40))
MODE, MEAN = {"decode": "mode"}, {"decode": "mean"}  # of a classification
L1 = {"alpha": 0.0}  # weight of the squared error in a regression's loss
