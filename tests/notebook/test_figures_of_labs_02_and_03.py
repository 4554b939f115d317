"""The figures of labs 02 and 03: each is shown once, and its alt text tells numbers that come from the data."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from labkit import color, plots
from labkit.analysis.bin_costs import BinCosts
from labkit.data import toyworld
from labkit.notebook.figures import color_spaces, regression_vs_classification
from labkit.quantize import Quantizer, ab313
from labkit.representation import Classification


@pytest.fixture
def alts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    shown: list[str] = []

    def show(figure: Any, alt: str, caption: str | None = None) -> None:
        plots.to_image(figure)  # it can be drawn
        shown.append(alt)

    monkeypatch.setattr(plots, "show", show)
    monkeypatch.setenv("LABKIT_STATIC", "1")
    yield shown
    assert all(alts.strip() for alts in shown)


@pytest.fixture(scope="module")
def photograph() -> torch.Tensor:
    return torch.rand((3, 24, 32), generator=torch.Generator().manual_seed(0))


def test_the_eight_colorings_have_one_gray_image(alts: list[str], photograph: torch.Tensor) -> None:
    color_spaces.same_gray(photograph)
    assert "differs by at most" in alts[0]
    assert float(alts[0].rsplit(" ", 1)[1].rstrip(".")) < 1e-5


def test_slices_of_the_gamut(alts: list[str]) -> None:
    color_spaces.drag_gamut(color.lab_to_rgb, color.yuv_to_rgb)
    assert "lightness 50" in alts[0] and "U runs from -0.24 to 0.24" in alts[0]


def test_clipping_names_both_errors(alts: list[str], photograph: torch.Tensor) -> None:
    given = color.luma(photograph)
    off = photograph + 0.125
    color_spaces.clipping(given, off, photograph, factor=4)
    assert "up to 0.12 where it was clipped" in alts[0] or "up to 0.13 where it was clipped" in alts[0]


def test_other_figures_of_lab_02(alts: list[str], photograph: torch.Tensor) -> None:
    color_spaces.coarse(photograph)
    color_spaces.ramps()
    color_spaces.taken_apart(photograph, color.rgb_to_lab, color.lab_to_rgb)
    color_spaces.two_grays(toyworld.generate(1).images[0])
    gray = color.luma(photograph).expand(3, -1, -1)
    color_spaces.zero_chroma(photograph, gray, gray, torch.tensor([0.669, 1.313, 0.255]))
    color_spaces.one_picture({"R, G, B": 0.5, "a, b": 500.0})
    color_spaces.five_networks({"RGB": 0.1, "YUV": 0.25}, {"RGB": 0.02, "YUV": 0.01}, {"gray": 0.05})
    assert len(alts) == 7
    assert "188" in alts[1] and "a, b: 500" in alts[5] and "YUV 0.25 and 0.0100" in alts[6]


def test_pictures_tell_the_error_of_each_network(alts: list[str]) -> None:
    true = torch.full((2, 3, 32, 32), 0.5)
    color_spaces.pictures(true[:, :1], {"yours": true + 0.1}, true)
    assert "yours 0.0100" in alts[0]


def test_possible_worlds_counts_them(alts: list[str]) -> None:
    world = toyworld.generate(30, split="test")
    regression_vs_classification.possible_worlds(world, scene=24)
    things = regression_vs_classification._things(world.select(slice(24, 25)))
    ways = 1
    for thing in things:
        kind = int(world.material[24][thing].unique())  # one thing is of one material
        ways *= len(toyworld.MATERIALS[kind].colors)
    assert f"in {ways} ways" in alts[0]


def test_bins(alts: list[str], photograph: torch.Tensor) -> None:
    regression_vs_classification.bin_maps({"313": ab313(), "two": torch.tensor([[0.0, 0.0], [50.0, 0.0]])})
    regression_vs_classification.oracles(photograph, {"two": torch.tensor([[0.0, 0.0], [50.0, 0.0]])})
    assert "313: 261 of 313" in alts[0] and "two: 2 of 2" in alts[0]


def test_things_tell_true_and_predicted_probabilities(alts: list[str]) -> None:
    world = toyworld.generate(20)
    bins = ab313()
    space = Classification(Quantizer(bins.centers, "ab", "all"), neighbors=1, input_gray="luma")
    regression_vs_classification.things(world, space, toyworld.bin_posterior(world, space))
    assert "striped ball 0.66 and 0.66, 0.34 and 0.34" in alts[0]


def test_decodings_temperature_peak_and_costs(alts: list[str]) -> None:
    true = toyworld.generate(4).images
    rgb = color.to_float(true)
    regression_vs_classification.decodings({"mean": 0.5 * rgb}, color.luma(rgb), rgb)
    regression_vs_classification.drag_temperature(lambda t: t * rgb, rgb, start=0.4)
    regression_vs_classification.one_peak()
    cost = BinCosts(gray=0.05, exact_mean=0.01, exact_mode=0.02, mode=0.025, mean=0.012, oracle=0.004)
    regression_vs_classification.cost_of_bins({6: cost, 12: cost})
    assert "temperature 0.38" in alts[1] and "0.64" in alts[2] and "exact mode 0.0200" in alts[3]
