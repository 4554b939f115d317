"""One tester for every network, so that a new one costs a line here."""

import pytest
import torch

from labkit import LabkitError
from labkit.models import NETWORKS, Network, count_parameters, make_network

KINDS = [
    ("cnn", {}),
    ("unet", {}),
    ("unet-half", {}),
    ("unet", {"down": "strided", "up": "transposed", "output_activation": "tanh"}),
    ("unet", {"normalization": "group", "dropout": 0.3, "depth": 4}),
    ("unet", {"normalization": "none", "depth": 1}),
    ("slr-baseline", {}),
    ("slr-hybrid", {}),
    ("slr-hybrid", {"kernels": ["sobel-x", "laplacian"]}),
]


@pytest.fixture(params=KINDS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(KINDS)])
def network(request: pytest.FixtureRequest) -> Network:
    name, options = request.param
    torch.manual_seed(0)
    return make_network(name, 2, **({"width": 8} | options)).eval()


@pytest.mark.parametrize("size", [(32, 32), (33, 31), (5, 7), (1, 1), (48, 20)])
def test_any_size_goes_through(network: Network, size: tuple[int, int]) -> None:
    out = network(torch.rand(2, 1, *size))
    stride = network.output_stride
    assert out.shape == (2, 2, -(-size[0] // stride), -(-size[1] // stride))


def test_padding_leaves_sizes_that_fit_alone(network: Network) -> None:
    gray = torch.rand(1, 1, 32, 32)
    assert torch.equal(network(gray), network.predict(gray))


def test_every_parameter_learns(network: Network) -> None:
    network.train()
    network(torch.rand(4, 1, 32, 32)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_images_of_a_batch_do_not_mix(network: Network) -> None:
    gray = torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(network(gray)[1:2], network(gray[1:2]), atol=1e-5, rtol=1e-4)


def test_config_makes_the_same_network(network: Network) -> None:
    config = dict(network.config())
    name, channels = str(config.pop("name")), config.pop("out_channels")
    again = make_network(name, channels, **config)  # type: ignore[arg-type]
    assert again.config() == network.config()
    again.load_state_dict(network.state_dict())
    gray = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(again.eval()(gray), network(gray))


def test_output_activation_bounds_the_output() -> None:
    network = make_network("unet", 2, width=4, output_activation="sigmoid")
    out = network(100 * torch.randn(1, 1, 16, 16))
    assert out.min() >= 0 and out.max() <= 1


@pytest.mark.parametrize(
    ("name", "channels", "options", "expected"),
    [
        (
            "cnn",
            3,
            {"width": 64},
            1_700_355,
        ),  # Qureshi, Table 1 with upsampling and two convolutions per block
        ("unet", 3, {"width": 64}, 1_884_675),  # Table 2
        ("unet", 24, {"width": 64}, 1_886_040),  # Table 5
        ("slr-baseline", 2, {}, 625_858),  # ECS171, section 2.3.2
        ("slr-hybrid", 2, {}, 628_936),  # section 2.4, and 36 fixed numbers
    ],
)
def test_parameter_counts_of_the_papers(name: str, channels: int, options: dict[str, int], expected: int) -> None:
    assert count_parameters(make_network(name, channels, **options)) == expected


def test_skips_are_the_only_difference_between_cnn_and_unet() -> None:
    """Same layers, same order; only the decoder's first convolutions see more channels."""
    cnn, unet = make_network("cnn", 2, width=8), make_network("unet", 2, width=8)
    shapes = [dict((n, tuple(p.shape)) for n, p in net.named_parameters()) for net in (cnn, unet)]
    assert shapes[0].keys() == shapes[1].keys()
    assert {n for n in shapes[0] if shapes[0][n] != shapes[1][n]} == {
        "decoder.0.0.weight",
        "decoder.1.0.weight",
    }


def test_skips_carry_detail_that_the_bottleneck_cannot() -> None:
    """With the bottleneck silenced, a U-Net still answers to single pixels and an encoder-decoder does not."""
    answers = {}
    for name in ("cnn", "unet"):
        torch.manual_seed(0)
        network = make_network(name, 1, width=8, normalization="none").eval()
        for p in network.encoder[-1].parameters():  # type: ignore[union-attr, operator]
            p.data.zero_()
        gray = torch.rand(1, 1, 16, 16)
        changed = gray.clone()
        changed[..., 8, 8] += 0.5
        answers[name] = (network(changed) - network(gray)).abs().max().item()
    assert answers["cnn"] == 0 and answers["unet"] > 1e-4


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {}, "unknown network 'resnet'"),
        ("unet", {"width": 0}, "width must be at least 1. Got 0"),
        ("unet", {"down": "average"}, "down must be one of max-pool, strided. Got average"),
        ("unet", {"dropout": 1.0}, "dropout is a share"),
        ("unet", {"output_stride": 3}, "output_stride must be one of 1, 2. Got 3"),
        ("unet", {"heads": 3}, "does not take these options"),
    ],
)
def test_refusals(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(LabkitError, match=message):
        make_network(name, 2, **options)


def test_names() -> None:
    assert list(NETWORKS) == ["cnn", "unet", "unet-half", "slr-baseline", "slr-hybrid"]
