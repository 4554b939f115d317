"""The ECS171 networks; what every network must do is tested in test_networks.py."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import LabkitError
from labkit.analysis.leakage import flat_beside_texture, flat_mask
from labkit.color import luma
from labkit.colorizer import Colorizer
from labkit.models import SLRHybrid, count_parameters, make_network
from labkit.models.slr import KERNELS

ZERO_MEAN = ("sobel-x", "sobel-y", "laplacian")


def hybrid(*kernels: str, width: int = 8) -> SLRHybrid:
    """Random weights, batch statistics of real activations, and large outputs, as after training."""
    torch.manual_seed(0)
    network = SLRHybrid(2, kernels=kernels or tuple(KERNELS), width=width).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    network(torch.rand(8, 1, 32, 32))
    network.cnn.decoder[-1].weight.data *= 10  # type: ignore[operator]
    return network.eval()


# ------------------------------------------------------------------------------------------------ the layouts


@pytest.mark.parametrize(
    ("kernels", "learned", "fixed"),
    [(tuple(KERNELS), 628_936, 36), (ZERO_MEAN, 627_910, 27), (("identity",), 625_858, 9)],
)
def test_a_kernel_left_out_takes_its_numbers_with_it(kernels: tuple[str, ...], learned: int, fixed: int) -> None:
    network = SLRHybrid(2, kernels=kernels)
    assert count_parameters(network) == learned and network.kernels.numel() == fixed
    assert not network.kernels.requires_grad


def test_a_learned_bias_is_one_more_feature_which_is_1_everywhere() -> None:
    network = SLRHybrid(2, kernels=ZERO_MEAN, bias=True)
    assert count_parameters(network) == 628_936 and network.kernels.numel() == 27  # as many coefficients as of four
    gray = torch.rand(2, 1, 16, 16)
    assert network.features(gray).shape == (2, 4, 16, 16) and (network.features(gray)[:, 3] == 1).all()
    flat = torch.full((1, 1, 16, 16), 0.4)
    with torch.no_grad():
        terms = network.eval().terms(flat)
        assert (terms[:, :, :3] == 0).all() and (terms[:, :, 3] != 0).any()  # flat regions need not stay gray
        torch.testing.assert_close(network(flat), terms.sum(dim=2))
    again = make_network(**network.config())  # type: ignore[arg-type]
    assert isinstance(again, SLRHybrid) and again.bias


def test_layers_are_the_papers() -> None:
    network = make_network("slr-baseline", 2)
    shapes = [
        tuple(layer.weight.shape)
        for layer in network.modules()
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))
    ]
    assert shapes[:3] == [(32, 1, 4, 4), (64, 32, 4, 4), (128, 64, 4, 4)]
    assert shapes[3:5] == [(128, 128, 3, 3)] * 2
    assert shapes[5:] == [(128, 64, 4, 4), (64, 32, 4, 4), (32, 2, 4, 4)]
    assert sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules()) == 7
    assert isinstance(network.decoder[-1], torch.nn.ConvTranspose2d)  # type: ignore[index]  # no BN or ReLU at the end


@pytest.mark.parametrize("kernels", [(), ("sobel",), ("identity", "identity"), "laplace"])
def test_refusals(kernels: object) -> None:
    with pytest.raises(LabkitError, match="expected one or more of sobel-x, sobel-y, laplacian, identity"):
        make_network("slr-hybrid", 2, kernels=kernels)


@pytest.mark.parametrize("name", ["slr-baseline", "slr-hybrid"])
def test_width_must_be_positive(name: str) -> None:
    with pytest.raises(LabkitError, match=r"width must be a whole number of 1 or more. Got 0"):
        make_network(name, 2, width=0)


@pytest.mark.parametrize("space", ["luma-chroma", "lab", "rgb"])
def test_a_colorizer_saves_and_loads_it(space: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    colorizer = Colorizer(space, "slr-hybrid", width=8, kernels=["sobel-x", "identity"])
    colorizer.save(tmp_path)
    image = torch.rand(3, 21, 30)
    assert torch.equal(Colorizer.load(tmp_path).colorize(image), colorizer.colorize(image))


# ------------------------------------------------------------------------------------------------ the features


def features(gray: Tensor) -> dict[str, Tensor]:
    return dict(zip(KERNELS, SLRHybrid(2, width=1).double().features(gray)[0], strict=True))


def test_features_of_a_ramp() -> None:
    ramp = (torch.arange(8.0, dtype=torch.float64) / 10).expand(1, 1, 6, 8)
    z = features(ramp)
    torch.testing.assert_close(z["sobel-x"][:, 1:-1], torch.full((6, 6), 0.8, dtype=torch.float64))  # +: brighter right
    torch.testing.assert_close(z["sobel-x"][:, 0], torch.full((6,), 0.4, dtype=torch.float64))  # the border repeats
    assert z["sobel-y"].abs().max() < 1e-12 and z["laplacian"][:, 1:-1].abs().max() < 1e-12
    assert torch.equal(z["identity"], ramp[0, 0])
    torch.testing.assert_close(features(ramp.mT)["sobel-y"], z["sobel-x"].mT)


def test_features_are_the_cross_correlation_with_a_repeated_border() -> None:
    gray = torch.rand(2, 1, 9, 7, dtype=torch.float64)
    network = SLRHybrid(2, width=1).double()
    kernels = network.kernels[:, None]
    padded = F.pad(gray, (1, 1, 1, 1), mode="replicate")
    z = network.features(gray)
    torch.testing.assert_close(z, F.conv2d(padded, kernels), atol=1e-12, rtol=0)
    flipped = F.conv2d(padded, kernels.flip(-1, -2))
    assert (flipped[:, 0] + z[:, 0]).abs().max() < 1e-12 and (flipped[:, 0] - z[:, 0]).abs().max() > 0.1
    framed = F.conv2d(gray, kernels, padding=1)  # zeros around the image
    assert (framed - z)[:, :, 1:-1, 1:-1].abs().max() < 1e-12 and (framed - z)[:, :3, 0].abs().min() > 0


def test_a_single_bright_pixel_shows_each_kernel_mirrored() -> None:
    """Cross-correlation: the window that has the pixel at its left is the one to the pixel's right."""
    gray = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    gray[..., 2, 2] = 1
    for name, z in features(gray).items():
        assert z[1:-1, 1:-1].flip(0, 1).tolist() == KERNELS[name], name


# ------------------------------------------------------------------------------------------------- the theorem


def test_without_identity_flat_is_colorless() -> None:
    """And the threshold is met with room: not 1e-6 but 0, in float32, at any gray level, border included."""
    scenes = flat_beside_texture(24, seed=1)
    for kernels in [ZERO_MEAN, *[(name,) for name in ZERO_MEAN]]:
        chroma = hybrid(*kernels)(scenes.gray)
        flat = flat_mask(scenes.gray).expand_as(chroma)
        assert chroma[flat].abs().max() == 0 and chroma[~flat].abs().max() > 0.1
    with torch.autocast("cpu", torch.bfloat16):  # rounding coarser by 2**16 changes nothing
        chroma = hybrid(*ZERO_MEAN)(scenes.gray)
        assert chroma[flat_mask(scenes.gray).expand_as(chroma)].abs().max() == 0
    for level in torch.linspace(0, 1, 17):
        assert hybrid(*ZERO_MEAN)(level.expand(1, 1, 13, 21)).abs().max() < 1e-6


def test_with_identity_flat_is_colored_and_changes_near_texture() -> None:
    scenes = flat_beside_texture(24, seed=1)
    network = hybrid()
    chroma, plain = network(scenes.gray), network(scenes.plain)
    flat = scenes.flat.expand_as(chroma)
    assert chroma[flat].abs().max() > 0.1  # a color, where the paper's argument allows none
    assert (chroma - plain)[flat].abs().max() > 0.01  # and the texture changed it


def test_zero_padding_would_color_the_border_of_a_flat_image() -> None:
    gray = torch.full((1, 1, 16, 16), 0.5)
    network = hybrid(*ZERO_MEAN)
    assert network(gray).abs().max() == 0
    network.features = lambda g: F.conv2d(g, network.kernels[:, None], padding=1)  # type: ignore[method-assign]
    assert network(gray)[..., 0, :].abs().max() > 0.01


@pytest.mark.parametrize("name", ["slr-baseline", "slr-hybrid"])
def test_isoluminant_edges_are_invisible(name: str) -> None:
    """Red beside green of the same luma: true chroma has an edge there, and no network can see it."""
    colors = torch.tensor([[226, 76, 51], [24, 182, 35]], dtype=torch.uint8)
    halves, red = colors[torch.arange(16) // 8], colors[torch.zeros(16, dtype=torch.int64)]
    pictures = [stripe.T[None, :, None].expand(1, 3, 16, 16) for stripe in (halves, red)]
    torch.manual_seed(0)
    network = make_network(name, 2, width=8).eval()
    both, one = (network(luma(picture)) for picture in pictures)
    assert not torch.equal(*pictures) and torch.equal(both, one)


def test_kernels_that_are_off_contribute_nothing() -> None:
    """A hybrid of two kernels is the hybrid of four whose other coefficients are zero."""
    full, part = hybrid(), hybrid("sobel-y", "identity")
    state = full.state_dict()
    keep = [1, 3, 5, 7]  # sobel-y and identity of a, then of b
    for key in ("weight", "bias"):
        last = f"cnn.decoder.6.{key}"
        dim = 1 if key == "weight" else 0
        state[last] = state[last].index_select(dim, torch.tensor(keep))
    state["kernels"] = part.kernels
    part.load_state_dict(state)
    gray = torch.rand(2, 1, 24, 16)
    torch.testing.assert_close(full.terms(gray)[:, :, [1, 3]], part.terms(gray), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(full.terms(gray)[:, :, [1, 3]].sum(2), part(gray), atol=1e-5, rtol=1e-4)
    assert (full(gray) - part(gray)).abs().max() > 0.01


def test_terms_are_alpha_and_beta() -> None:
    """The paper's formula by hand: a is the CNN's first four channels, b the next four."""
    network, gray = hybrid(), torch.rand(1, 1, 16, 16)
    a, b = network.cnn(gray).split(4, dim=1)
    z = network.features(gray)
    expected = torch.stack([(a * z).sum(1), (b * z).sum(1)], dim=1)
    torch.testing.assert_close(network(gray), expected)
    torch.testing.assert_close(network.terms(gray).sum(2), expected)
