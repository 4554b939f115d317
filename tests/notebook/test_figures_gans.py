"""The figures of lab 06: each shows, and its description is made from what it is given."""

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from labkit import plots
from labkit.data import toyworld
from labkit.data.close_ups import CloseUps, close_ups
from labkit.models import PatchGAN
from labkit.notebook.figures import gans as figures
from labkit.representation import make_representation

Shown = list[tuple[Figure, str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """The figures that were shown, each with its description."""
    found: Shown = []

    def show(figure: Figure, alt: str, caption: str | None = None) -> None:
        assert plots.to_image(figure)[1]
        found.append((figure, alt))

    monkeypatch.setattr(plots, "show", show)
    monkeypatch.setenv("LABKIT_STATIC", "1")
    return found


@pytest.fixture(scope="module")
def balls() -> CloseUps:
    return close_ups(8, split="test")


def test_opening_and_wall(shown: Shown, balls: CloseUps) -> None:
    figures.opening(toyworld.generate(1, seed=12, size=48), count=6)
    red = torch.zeros(3, 3, 16, 16)
    red[:, 0] = 1
    figures.wall({"red": red, "black": 0 * red}, ["a", "b", "c"], "x")
    assert "6 pictures" in shown[0][1]
    assert "red: 255, 0, 0; black: 0, 0, 0" in shown[1][1] and "Columns: a, b, c" in shown[1][1]


def test_cost_map_says_what_it_costs_and_moves_to_the_median(shown: Shown, balls: CloseUps) -> None:
    figures.cost_map(balls)
    assert "Weight of L1 1." in shown[0][1] and "possible color 3" in shown[0][1]
    places = figures._chroma(balls.palette)
    alone, far = figures.cheapest(balls, 0.0), figures.cheapest(balls, 100.0)
    assert float((places - alone).norm(dim=1).min()) < 0.05  # at a possible color
    assert float((places - far).norm(dim=1).min()) > 0.1
    median = places.sort(dim=0).values[1].tolist()  # of .42, .28 and .30 none is a half: the one in the middle
    assert figures.cheapest(balls, 1e4).tolist() == pytest.approx(median, abs=0.02)


def test_curves_bars_and_points(shown: Shown, balls: CloseUps) -> None:
    figures.losses([(0.7, 1.0)] * 20 + [(0.5, 2.0)] * 20, epochs=2, uninformed=0.69)
    figures.frequencies({"mine": torch.tensor([0.5, 0.3, 0.2])}, balls)
    figures.tradeoff({"gan": (1.9, 12.0)}, [(1, 60), (2, 0)])
    assert "discriminator from 0.70 to 0.50" in shown[0][1]
    assert "mine: 50%, 30%, 20%" in shown[1][1] and "42%, 28%, 30%" in shown[1][1]
    assert "gan: 1.90 and 12.0" in shown[2][1]


def test_what_a_score_sees(shown: Shown) -> None:
    world = toyworld.generate(4)
    gray, colors = make_representation("luma-chroma").encode(world.images)
    torch.manual_seed(0)
    discriminators: dict[int, Any] = {n: PatchGAN(2, layers=n, width=4) for n in (1, 3)}
    figures.seen(world.images[0] / 255, discriminators, gray, colors)
    assert "1 layer, 16x16" in shown[0][1] and "3 layers, 70x70" in shown[0][1]
    alone = figures.gradient_of_a_score(discriminators[1], gray, colors, training=False)
    assert int((alone[0] > 0).sum()) == 16 * 16 and not alone[1:].any()
    joined = figures.gradient_of_a_score(discriminators[1], gray, colors, training=True)
    assert joined[1:].any()  # batch norm
    assert discriminators[1].training
