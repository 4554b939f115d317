"""Jacobians against finite differences; each measure on images whose answer is known."""

import pytest
import torch
from torch import Tensor, nn

from labkit import LabkitError, color
from labkit.analysis import leakage
from labkit.models import Network, SLRHybrid, make_network

PIXELS = [(0, 0), (7, 8), (15, 3)]


class Filter(Network):
    """A single fixed 5x5 filter: its Jacobian is the filter itself."""

    name = "filter"

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, weight.shape[0], 5, padding=2, bias=False)
        self.layer.weight.data.copy_(weight)

    def predict(self, gray: Tensor) -> Tensor:
        return self.layer(gray)

    def config(self) -> dict[str, object]:
        return {"name": self.name}


def network(name: str, **options: object) -> Network:
    """Random weights, and batch statistics of real activations, so that every layer passes its input on."""
    torch.manual_seed(0)
    made = make_network(name, 2, width=8, **options).train()
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    made(torch.rand(8, 1, 32, 32))
    return made.eval()


# --------------------------------------------------------------------------------------------------- the Jacobian


@pytest.mark.parametrize("name", ["slr-baseline", "slr-hybrid", "unet", "unet-half"])
def test_jacobian_against_finite_differences(name: str) -> None:
    """Central differences, in float64, for every input pixel of two images."""
    made = network(name).double()
    gray = torch.rand(2, 1, 16, 16, dtype=torch.float64)
    pixels = [(0, 0), (5, 6), (7, 3)]
    found = leakage.jacobian(made, gray, pixels, chunk_size=4)
    assert found.shape == (2, 3, 2, 16, 16) and not found.requires_grad
    rows, columns = torch.tensor(pixels).T
    step = 1e-6
    nudges = step * torch.eye(256, dtype=torch.float64).view(256, 1, 16, 16)
    with torch.no_grad():
        for image, of_image in zip(gray, found, strict=True):
            change = made(image + nudges) - made(image - nudges)
            expected = change[:, :, rows, columns].permute(2, 1, 0).view(3, 2, 16, 16) / (2 * step)
            torch.testing.assert_close(of_image, expected, atol=1e-7, rtol=1e-5)


def test_jacobian_of_a_filter_is_the_filter() -> None:
    weight = torch.arange(50.0).view(2, 1, 5, 5)
    found = leakage.jacobian(Filter(weight), torch.rand(3, 1, 16, 16), [(8, 9)])
    expected = torch.zeros(2, 16, 16)
    expected[:, 6:11, 7:12] = weight[:, 0]
    torch.testing.assert_close(found, expected.expand(3, 1, 2, 16, 16))


def test_jacobian_evaluates_and_restores_the_mode() -> None:
    made = network("slr-baseline")
    gray = torch.rand(2, 1, 16, 16)
    expected = leakage.jacobian(made, gray, PIXELS)
    made.train()
    torch.testing.assert_close(leakage.jacobian(made, gray, PIXELS), expected)
    assert made.training
    torch.testing.assert_close(leakage.jacobian(made, gray[1:], PIXELS), expected[1:])  # images do not mix


def test_jacobian_refuses_pixels_outside() -> None:
    with pytest.raises(ValueError, match=r"got \(8, 0\), expected one of 8x8"):
        leakage.jacobian(network("unet-half"), torch.rand(1, 1, 16, 16), [(8, 0)])


def test_hybrid_without_identity_listens_to_3x3_in_flat_places_only() -> None:
    """d(a . z) = a . dz + da . z, and z = 0 where flat: what the paper's proof does show."""
    scenes = leakage.flat_beside_texture(6, seed=2)
    made = network("slr-hybrid", kernels=["sobel-x", "sobel-y", "laplacian"])
    assert isinstance(made, SLRHybrid)
    for index in range(6):
        flat, busy = (mask[index, 0].nonzero()[::60].tolist() for mask in (scenes.flat, scenes.distance == 0))
        gray = scenes.gray[index : index + 1]
        assert leakage.leakage_index(leakage.jacobian(made, gray, flat), flat).max() == 0
        assert leakage.leakage_index(leakage.jacobian(made, gray, busy), busy).mean() > 0.05
        with_identity = network("slr-hybrid")
        assert leakage.leakage_index(leakage.jacobian(with_identity, gray, flat), flat).min() > 0.05


# ---------------------------------------------------------------------------------------------------- its profile


def test_rings() -> None:
    ring = leakage.rings([(1, 2)], (4, 5))[0]
    assert ring.tolist() == [[2, 1, 1, 1, 2], [2, 1, 0, 1, 2], [2, 1, 1, 1, 2], [2, 2, 2, 2, 2]]
    halved = leakage.rings([(1, 0)], (4, 5), stride=2)[0]
    assert halved.tolist() == [[2, 2, 2, 2, 3], [1, 1, 1, 2, 3], [0, 0, 1, 2, 3], [0, 0, 1, 2, 3]]


def test_profile_and_index_of_a_filter() -> None:
    """|J| = 5 in the center (3 and 4 in two channels), 1 on ring 1, 2 on ring 2: sums 5, 8, 32 of 45."""
    weight = torch.full((2, 1, 5, 5), 0.0)
    weight[0] = 2
    weight[0, 0, 1:4, 1:4] = -1
    weight[:, 0, 2, 2] = torch.tensor([3.0, -4.0])
    pixels = [(8, 8), (5, 10)]
    found = leakage.jacobian(Filter(weight), torch.rand(2, 1, 16, 16), pixels)
    result = leakage.profile(found, pixels)
    torch.testing.assert_close(result.fraction[:4], torch.tensor([5, 8, 32, 0]) / 45)
    torch.testing.assert_close(result.mean[:4], torch.tensor([5.0, 1, 2, 0]))
    assert result.fraction.shape == result.mean.shape == (16,)
    torch.testing.assert_close(leakage.leakage_index(found, pixels), torch.full((2, 2), 32 / 45))
    torch.testing.assert_close(leakage.leakage_index(found, pixels, radius=2), torch.zeros(2, 2))


def test_profile_at_the_border_counts_only_pixels_that_exist() -> None:
    found = leakage.jacobian(Filter(torch.ones(1, 1, 5, 5)), torch.rand(1, 1, 9, 9), [(0, 0)])
    result = leakage.profile(found, [(0, 0)])
    torch.testing.assert_close(result.mean[:4], torch.tensor([1.0, 1, 1, 0]))
    torch.testing.assert_close(result.fraction[:4], torch.tensor([1, 3, 5, 0]) / 9)


def test_shares_add_up_and_agree_with_the_index() -> None:
    found = leakage.jacobian(network("slr-baseline"), torch.rand(3, 1, 16, 16), PIXELS)
    share = leakage.profile(found, PIXELS).fraction
    torch.testing.assert_close(share.sum(), torch.tensor(1.0))
    torch.testing.assert_close(1 - share[:2].sum(), leakage.leakage_index(found, PIXELS).mean())


def test_a_network_that_listens_to_nothing_leaks_nothing() -> None:
    zero = torch.zeros(1, 2, 2, 8, 8)
    assert leakage.leakage_index(zero, [(1, 1), (2, 2)]).tolist() == [[0, 0]]
    assert leakage.profile(zero, [(1, 1), (2, 2)]).fraction.sum() == 0


def test_leak_of_colors_and_of_their_gradient() -> None:
    """A color that is the image's mean plus something local: it leaks, its gradient does not."""

    class Global(Network):
        name = "global"

        def __init__(self) -> None:
            super().__init__()
            self.some = nn.Parameter(torch.ones(()))

        def predict(self, gray: Tensor) -> Tensor:
            return self.some * gray.mean(dim=(2, 3), keepdim=True) * 100 + gray.repeat(1, 2, 1, 1)

        def config(self) -> dict[str, object]:
            return {"name": self.name}

    pixels = [(3, 4), (10, 12)]
    gray = torch.rand(2, 1, 16, 16)
    of_colors, of_gradient = leakage.gradient_leakage(Global(), gray, pixels)
    assert of_colors.shape == of_gradient.shape == (2, 2)
    assert (of_colors > 0.9).all() and (of_gradient < 1e-3).all()
    inner = torch.tensor([0.0, 1, 1, 1, 0])
    near = Filter(torch.randn(2, 1, 5, 5) * inner.outer(inner))
    assert all((leak == 0).all() for leak in leakage.gradient_leakage(near, gray, pixels))
    far = Filter(torch.randn(2, 1, 5, 5))
    expected = leakage.leakage_index(leakage.jacobian(far, gray, pixels), pixels)
    torch.testing.assert_close(leakage.gradient_leakage(far, gray, pixels)[0], expected)


def test_leaks_do_not_depend_on_the_basis() -> None:
    """The same colors on a crooked basis have the same leaks once they are colors."""
    straight, crooked = color.chroma_basis(), color.chroma_basis("printed")
    weight = torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    change = straight @ torch.linalg.pinv(crooked)  # coordinates -> coordinates on u1, u2
    other = torch.einsum("cd,cikl->dikl", change, weight)
    gray, pixels = torch.rand(1, 1, 16, 16), [(5, 5)]
    one = leakage.gradient_leakage(Filter(weight), gray, pixels, straight.T)
    two = leakage.gradient_leakage(Filter(other), gray, pixels, crooked.T)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_a_leak_of_the_gradient_needs_neighbors() -> None:
    with pytest.raises(LabkitError, match="output stride must be 1, got 2"):
        leakage.gradient_leakage(network("unet-half"), torch.rand(1, 1, 16, 16), [(2, 2)])
    with pytest.raises(LabkitError, match="pixel outside the output"):
        leakage.gradient_leakage(network("unet"), torch.rand(1, 1, 16, 16), [(15, 2)])


# -------------------------------------------------------------------------------------------------- flat regions


def test_scenes_are_flat_where_they_say_so() -> None:
    scenes = leakage.flat_beside_texture(30, size=24, seed=3)
    assert scenes.gray.shape == scenes.flat.shape == scenes.distance.shape == (30, 1, 24, 24)
    assert scenes.gray.min() >= 0 and scenes.gray.max() <= 1
    assert torch.equal(scenes.gray[scenes.distance > 0], scenes.plain[scenes.distance > 0])
    assert leakage.local_range(scenes.gray)[scenes.flat].max() == 0
    assert scenes.flat[scenes.distance >= 2].all() and not scenes.flat[scenes.distance == 0].any()
    for gray, plain, distance in zip(scenes.gray, scenes.plain, scenes.distance, strict=True):
        assert plain.unique().numel() == 1 and gray[distance == 0].std() > 0.1
        assert 0.2 < (distance == 0).float().mean() < 0.55
    again = leakage.flat_beside_texture(30, size=24, seed=3)
    assert torch.equal(again.gray, scenes.gray)
    assert not torch.equal(leakage.flat_beside_texture(30, size=24, seed=4).gray, scenes.gray)


def test_scenes_have_a_smallest_size() -> None:
    with pytest.raises(ValueError, match=r"size must be a whole number of 8 or more. Got 4"):
        leakage.flat_beside_texture(1, size=4)


def test_flat_mask_and_its_tolerance() -> None:
    levels = torch.tensor([100, 100, 100, 100, 102, 102, 102, 105, 105])
    gray = (levels / 255).expand(1, 1, 5, 9)
    assert leakage.flat_mask(gray)[0, 0, 2].tolist() == [True] * 3 + [False] * 2 + [True] + [False] * 2 + [True]
    assert leakage.flat_mask(gray, 2.5 / 255)[0, 0, 0].tolist() == [True] * 6 + [False] * 2 + [True]
    assert leakage.flat_mask(gray, 3.5 / 255).all()
