"""The figures of labs 00 and 01: each is shown once, with an alt text that holds the data's own numbers."""

from collections.abc import Iterator

import pytest
import torch
from matplotlib.figure import Figure

from labkit import color, plots
from labkit.data import toyworld
from labkit.notebook.figures import averaging_problem, start_here

Shown = list[tuple[Figure, str, str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    found: Shown = []

    def show(figure: Figure, alt: str, caption: str | None = None) -> None:
        assert len(plots.to_image(figure)[1]) <= plots.MAX_BYTES
        found.append((figure, alt, caption or ""))

    monkeypatch.setattr(plots, "show", show)
    monkeypatch.setenv("LABKIT_STATIC", "1")
    yield found
    assert len(found) == 1 and len(found[0][1]) > 30


@pytest.fixture(scope="module")
def world() -> toyworld.ToyWorld:
    return toyworld.generate(60, seed=0, split="test")


def photographs() -> torch.Tensor:
    return torch.rand((3, 3, 40, 40), generator=torch.Generator().manual_seed(0))


# Lab 00


def test_opening_of_lab_00(shown: Shown) -> None:
    start_here.opening(photographs(), ["a", "b", "c"])
    assert "3 photographs" in shown[0][1] and "a, b, c" in shown[0][1]


def test_luma_and_chroma(shown: Shown) -> None:
    start_here.luma_and_chroma(photographs(), ["a", "b", "c"])
    assert "%" in shown[0][1]


@pytest.mark.parametrize("best", [None, 0.01])
def test_learning(shown: Shown, best: float | None) -> None:
    start_here.learning([0.4, 0.3, 0.2, 0.1], gray=0.25, best=best)
    assert "0.4000 at first" in shown[0][1] and ("best possible" in shown[0][1]) is (best is not None)


def test_predictions_tell_how_colorful(shown: Shown) -> None:
    images = photographs()
    start_here.predictions({"gray": color.luma(images), "true": images})
    assert "gray 0" in shown[0][1]


def test_strength_finds_the_lowest_error(shown: Shown) -> None:
    true = photographs()
    gray = color.luma(true)
    start_here.strength(true, gray + (true - gray) / 2)  # half the color: twice is right
    assert "lowest at 2.00" in shown[0][1] and "0.0000 at 2" in shown[0][1]


def test_published_counts_from_gray(shown: Shown) -> None:
    start_here.published({"one": 25.0, "two": 23.5}, gray=24.0)
    assert "+1.00" in shown[0][1] and "-0.50" in shown[0][1]


# Lab 01


def test_opening_of_lab_01_shows_scenes_of_one_gray(shown: Shown, world: toyworld.ToyWorld) -> None:
    averaging_problem.opening(world)
    assert "36 colored scenes" in shown[0][1]
    index = averaging_problem._richest(world)
    gray = color.luma(world.images[[index]])
    for number in (0, 1):
        other = averaging_problem.recolored(world, index, {"ball": number, "kite": number, "balloon": number})
        assert torch.equal(color.luma(other[None]), gray)


def test_costs_name_the_lowest_points(shown: Shown) -> None:
    palette = torch.tensor([[10.0, 20.0, 30.0], [50.0, 60.0, 70.0]])
    squared = (torch.arange(256.0)[:, None] - palette.mean(dim=0)) ** 2
    averaging_problem.costs(squared, squared.sqrt(), palette)
    assert "[30, 40, 50]" in shown[0][1]


def test_posterior(shown: Shown) -> None:
    ball = toyworld.material("ball")
    averaging_problem.posterior(torch.tensor(ball.colors).float(), torch.tensor(ball.probabilities))
    assert "red 0.42" in shown[0][1]


def test_odds_start_where_toyworld_does(shown: Shown, world: toyworld.ToyWorld) -> None:
    averaging_problem.odds(world, start=0.42)
    assert "mean color (127, 117, 97), median color (85, 115, 51), mode color (226, 76, 51)" in shown[0][1]


def test_the_largest_ball_stands_alone(world: toyworld.ToyWorld) -> None:
    index = averaging_problem.largest_ball(world)
    kinds = {toyworld.MATERIALS[kind].name for kind in world.material[index].unique().tolist()}
    assert kinds & set(averaging_problem.UNCERTAIN) == {"ball"}


def test_scenes(shown: Shown, world: toyworld.ToyWorld) -> None:
    few = averaging_problem.uncertain_scenes(world, 4)
    true = color.to_float(world.images[few])
    averaging_problem.scenes({"gray": color.luma(true), "true": true}, "Two rows.")
    assert "gray 0.00" in shown[0][1] and shown[0][2] == "Two rows."


def test_learning_over_the_lowest(shown: Shown) -> None:
    averaging_problem.learning({"MSE": [0.4] * 50, "L1": [0.3] * 50}, {"MSE": 0.2, "L1": 0.3})
    assert "MSE from 2.00 to 2.00; L1 from 1.00 to 1.00" in shown[0][1]


def test_colors_of_things_are_without_shade(shown: Shown, world: toyworld.ToyWorld) -> None:
    averaging_problem.colors(world, {"true": color.to_float(world.images)}, ["grass", "sky"])
    assert "(84, 146, 63), (40, 142, 199)" in shown[0][1]


def test_axes_matter(shown: Shown, world: toyworld.ToyWorld) -> None:
    images = color.to_float(world.images[:2])
    averaging_problem.axes_matter({"best by MSE": images, "best by L1": images}, ["rgb", "lab"])
    assert "rgb, lab" in shown[0][1]


def test_example_colors(shown: Shown) -> None:
    averaging_problem.example_colors(torch.tensor([[255, 0, 0]], dtype=torch.uint8), ["red"])
    assert "red 255, 0, 0" in shown[0][1]
