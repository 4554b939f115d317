"""The discriminator's geometry against brute force, and a generator whose noise can be repeated."""

from pathlib import Path

import pytest
import torch

from labkit import LabkitError
from labkit.colorizer import Colorizer
from labkit.models import NoisyUNet, PatchGAN
from labkit.models.patchgan import KERNEL, receptive_field

LAYERS = [(1, 16, 14), (2, 34, 6), (3, 70, 2)]  # layers, receptive field, scores a side of a 32x32 image (pix2pix)


def pair(size: int, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 1, size, size, generator=generator), torch.rand(count, 2, size, size, generator=generator)


@pytest.mark.parametrize(("layers", "field", "scores"), LAYERS)
def test_known_sizes(layers: int, field: int, scores: int) -> None:
    judge = PatchGAN(2, layers=layers, width=4)
    assert judge.receptive_field == field
    assert judge(*pair(32)).shape == (2, 1, scores, scores)
    for size in (24, 25, 33, 48):
        assert judge(*pair(size)).shape[-2:] == (judge.scores_for(size),) * 2


@pytest.mark.parametrize(("layers", "field", "_"), LAYERS)
def test_receptive_field_is_the_support_of_the_gradient(layers: int, field: int, _: int) -> None:
    torch.manual_seed(0)
    judge = PatchGAN(2, layers=layers, width=4, normalization="none")
    gray, color = pair(160, count=1)
    color.requires_grad_()
    scores = judge(gray, color)
    middle = scores.shape[-1] // 2
    (slope,) = torch.autograd.grad(scores[0, 0, middle, middle], color)
    touched = slope[0].abs().sum(dim=0) > 0
    assert int(touched.any(dim=0).sum()) == int(touched.any(dim=1).sum()) == field


@pytest.mark.parametrize("seed", range(5))
def test_receptive_field_of_any_stack(seed: int) -> None:
    """Against a stack of all-ones convolutions: count the inputs that reach one output."""
    generator = torch.Generator().manual_seed(seed)
    kernels = torch.randint(1, 6, (4,), generator=generator).tolist()
    strides = [min(k, s) for k, s in zip(kernels, torch.randint(1, 4, (4,), generator=generator).tolist(), strict=True)]
    signal = torch.ones(1, 1, 900, dtype=torch.float64, requires_grad=True)
    out = signal
    for kernel, stride in zip(kernels, strides, strict=True):
        out = torch.nn.functional.conv1d(out, torch.ones(1, 1, kernel, dtype=torch.float64), stride=stride)
    (slope,) = torch.autograd.grad(out[0, 0, 3], signal)
    assert receptive_field(zip(kernels, strides, strict=True)) == int((slope > 0).sum())
    assert receptive_field([]) == 1 and receptive_field([(KERNEL, 2)]) == KERNEL


def test_it_judges_the_color_given_the_gray() -> None:
    judge = PatchGAN(2, layers=1, width=8).eval()
    gray, color = pair(32)
    assert not torch.allclose(judge(gray, color), judge(gray, color.flip(-1)))
    assert not torch.allclose(judge(gray, color), judge(gray.flip(-1), color))


def test_configuration_makes_it_again_and_wrong_ones_are_refused() -> None:
    judge = PatchGAN(3, layers=1, width=8, normalization="none")
    options = judge.config()
    assert options.pop("name") == "patchgan"
    again = PatchGAN(**options)  # type: ignore[arg-type]
    again.load_state_dict(judge.state_dict())
    for wrong, message in [
        ({"layers": 4}, "layers must be a whole number from 1 to 3. Got 4"),
        ({"width": 0}, "width"),
        ({"normalization": "x"}, "none"),
    ]:
        with pytest.raises(LabkitError, match=message):
            PatchGAN(2, **wrong)  # type: ignore[arg-type]
    with pytest.raises(LabkitError, match="got 16x16 pixels"):
        PatchGAN(2, layers=3, width=4)(*pair(16))


def test_noise_is_fresh_in_training_and_repeatable_in_evaluation(tmp_path: Path) -> None:
    colorizer = Colorizer("luma-chroma", "unet-noise", width=4, noise=3)
    network, (gray, _) = colorizer.network, pair(16)
    assert isinstance(network, NoisyUNet)
    assert not torch.equal(network(gray), network(gray))
    first = colorizer.predict(gray)
    assert torch.equal(first, colorizer.predict(gray)) and first.shape == (2, 2, 16, 16)
    network.noise_seed = 1
    assert not torch.equal(first, colorizer.predict(gray))

    colorizer.save(tmp_path)
    loaded = Colorizer.load(tmp_path)
    assert isinstance(loaded.network, NoisyUNet) and loaded.network.noise == 3
    assert torch.equal(loaded.predict(gray), first)


def test_each_image_has_noise_of_its_own_even_at_half_resolution() -> None:
    network = NoisyUNet(2, noise=2, width=4, output_stride=2).eval()
    one = torch.rand(1, 1, 16, 16)
    painted = network(one.repeat(2, 1, 1, 1))
    assert painted.shape == (2, 2, 8, 8) and not torch.allclose(painted[0], painted[1])
    with pytest.raises(LabkitError, match="noise must be a whole number of 1 or more. Got 0"):
        NoisyUNet(2, noise=0)
