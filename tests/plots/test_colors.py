"""Figures of colors show exactly these colors, and their numbers."""

import pytest
import torch
from figures import decode, labels

from labkit import plots

FIVE = torch.tensor([[226, 76, 51], [24, 182, 35], [40, 142, 199], [227, 45, 208], [196, 94, 37]], dtype=torch.uint8)


def test_swatches_show_the_colors_and_say_them():
    figure = plots.swatches(
        FIVE, ["red", "green", "blue", "magenta", "brown"], probabilities=torch.full((5,), 0.2), show_gray=True
    )
    assert {"red\n20 %", "226, 76, 51\ngray 118.0"} <= labels(figure)
    seen = {tuple(color) for color in decode(plots.to_image(figure)[1]).reshape(-1, 3)}
    assert {tuple(color.tolist()) for color in FIVE} <= seen
    assert (118, 118, 118) in seen


def test_swatches_in_rows():
    figure = plots.swatches({"predicted": FIVE / 255.0, "measured": FIVE})
    assert {"predicted", "measured"} <= labels(figure)
    assert len(figure.axes) == 10
    with pytest.raises(ValueError, match="same number of colors"):
        plots.swatches({"a": FIVE, "b": FIVE[:2]})
    with pytest.raises(ValueError, match="wrong number of labels: got 1, expected one for each of 5 colors"):
        plots.swatches(FIVE, ["red"])
    with pytest.raises(ValueError, match=r"got \(3,\)"):
        plots.swatches(FIVE[0])


def test_posterior_bars_are_the_colors():
    figure = plots.posterior_bars(FIVE, [0.5, 0.3, 0.2, 0.0, 0.0], marks={"mean": FIVE.float().mean(0) / 255})
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.5, 0.3, 0.2]  # the padding is left out
    faces = [tuple(round(255 * v) for v in bar.get_facecolor()[:3]) for bar in axes.patches]
    assert faces == [tuple(color.tolist()) for color in FIVE[:3]]
    assert "143, 108, 106" in labels(figure)
    with pytest.raises(ValueError, match="differ in length: got 5, 2 and None"):
        plots.posterior_bars(FIVE, [0.5, 0.5])
    with pytest.raises(ValueError, match="at least one above 0"):
        plots.posterior_bars(FIVE[:1], [0.0])
