"""What the figures of labs 04 and 05 compute, and that each describes what it draws."""

from typing import Any

import pytest
import torch

from labkit import plots
from labkit.colorizer import Colorizer
from labkit.data import load, toyworld
from labkit.models.unet import UNet
from labkit.notebook.figures import slr_gradient_leakage, unet_skips


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the alt text of what is shown; each figure is drawn in full."""
    found: list[str] = []

    def show(figure: Any, alt: str, caption: str | None = None) -> None:
        plots.to_image(figure)
        found.append(" ".join(alt.split()))

    monkeypatch.setattr(plots, "show", show)
    monkeypatch.setenv("LABKIT_STATIC", "1")
    return found


def test_receptive_fields_are_those_of_arithmetic(shown: list[str]) -> None:
    torch.manual_seed(0)
    network = UNet(2, width=8, depth=3)
    sides = [unet_skips.extent(found)[1] for found in unet_skips.dependence(network, 64)]
    assert sides[:6] == [3, 5, 10, 14, 24, 32] and sides[-1] == 44
    unet_skips.reach(network, toyworld.generate(1, size=64, split="test").images[0])
    assert "44 x 44" in shown[0] and "output" in shown[0]


def test_names_of_layers_follow_the_depth() -> None:
    names = unet_skips._names_of_layers(11)
    assert len(names) == 11 and names[0].startswith("level 1 down") and names[4].startswith("lowest")
    assert names[6].startswith("level 2 up") and names[-1] == "output"


def test_figures_of_lab_04_tell_their_numbers(shown: list[str]) -> None:
    photo = load("photos", "test", size=64).images[0]
    unet_skips.draw_u(Colorizer(width=4), photo)
    true = toyworld.generate(3, split="test").images / 255
    unet_skips.scenes({"gray": true.mean(dim=1, keepdim=True), "true": true}, "caption")
    unet_skips.by_depth({"a": {2: 0.02, 3: 0.01}}, {"gray": 0.05})
    checkered = torch.zeros(2, 32, 32)
    checkered[..., ::2] = 1.0
    unet_skips.checkerboards({"checkered": checkered, "flat": torch.zeros(2, 32, 32)})
    unet_skips.sizes({"gray": true[0].mean(dim=0, keepdim=True), "true": true[0]})
    assert "32, 16, 8, 16, 32 pixels" in shown[0]
    assert "gray 0.0" in shown[1] and "0.0200 at depth 2" in shown[2]
    assert "checkered 0.500; flat 0.000" in shown[3] and "true 0.0000" in shown[4]


def test_figures_of_lab_05_tell_their_numbers(shown: list[str]) -> None:
    slr_gradient_leakage.directions(load("photos", "test", size=64).images[1])
    near, far = torch.zeros(8, 8), torch.zeros(8, 8)
    near[4, 4] = far[0, 0] = 1.0
    slr_gradient_leakage.jacobians(torch.rand(8, 8), (4, 4), {"local": (near, near), "leaky": (near + far, far)})
    slr_gradient_leakage.ablation({"group": {"one": 0.02, "two": 0.03}}, 0.05)
    gray = torch.full((1, 1, 16, 16), 0.5)
    slr_gradient_leakage.kernel_sum(gray, gray, *[torch.full((1, 2, 16, 16), 0.2)] * 2)
    assert "by 0." in shown[0]
    assert "local 0% and 0%; leaky 50% and 100%" in shown[1]
    assert "one 0.0200, two 0.0300" in shown[2] and "sum to 0.50" in shown[3]
    assert "0.071 in the scene" in shown[3]  # half of .5, times .2, in two coordinates
