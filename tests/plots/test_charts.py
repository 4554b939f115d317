"""Charts: the numbers are written, and series differ without color."""

from types import SimpleNamespace

import pytest
import torch
from figures import labels

from labkit import plots


def test_bars_write_their_numbers():
    figure = plots.bars(
        {"U-Net": 0.0038, "CNN": 0.0067, "not printed": None},
        "MSE",
        better="lower",
        reference=("gray baseline", 0.005985),
        highlight=["CNN"],
    )
    assert {"0.0038", "0.0067", "not given", "gray baseline: 0.005985"} <= labels(figure)
    assert figure.axes[0].get_xlabel() == "MSE  (lower is better)"
    assert [bar.get_hatch() for bar in figure.axes[0].patches] == ["", "////", ""]


def test_bars_in_groups_differ_without_color():
    figure = plots.bars({"RGB": {"no skips": 0.0064, "skips": 0.0038}, "chroma": {"no skips": 0.0036, "skips": None}})
    assert len({bar.get_hatch() for bar in figure.axes[0].patches}) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["no skips", "skips"]
    with pytest.raises(ValueError, match="better"):
        plots.bars({"a": 1.0}, better="more")
    with pytest.raises(ValueError, match="got none"):
        plots.bars({})


def test_curves_from_a_history():
    rows = [{"epoch": i, "train_loss": 1 / i, "validation_loss": None if i < 3 else 2 / i} for i in range(1, 6)]
    figure = plots.curves(SimpleNamespace(rows=rows), log=True, optimum={"floor": 0.1})
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert set(lines) == {"training", "validation", "floor: 0.1"}
    assert list(lines["validation"].get_xdata()) == [3, 4, 5]
    assert len({line.get_linestyle() for line in lines.values()}) == 3
    assert figure.axes[0].get_yscale() == "log"


def test_curves_from_a_mapping():
    figure = plots.curves({"a": torch.tensor([3.0, 2.0]), "b": ([0.0, 0.5], [1.0, 4.0])}, optimum=1.5)
    a, b, floor = figure.axes[0].lines
    assert list(a.get_xdata()) == [1, 2]
    assert list(b.get_xdata()) == [0, 0.5]
    assert floor.get_label() == "optimum: 1.5"
    with pytest.raises(ValueError, match="got 2 and 1"):
        plots.curves({"a": ([1, 2], [1])})
    with pytest.raises(ValueError, match="got none"):
        plots.curves([])
