"""One tester for every network: a new one is tested as soon as it has a name."""

import pytest
import torch
from torch import Tensor

from labkit import LabkitError
from labkit.models import NETWORKS, Network, count_parameters, make_network

KINDS = [
    *((name, {}) for name in NETWORKS),
    ("unet", {"down": "strided", "up": "transposed", "output_activation": "tanh"}),
    ("unet", {"normalization": "group", "dropout": 0.3, "depth": 4}),
    ("unet", {"normalization": "none", "depth": 1}),
    ("unet", {"depth": 4, "max_width": 32, "convolutions": 1}),
    ("cnn", {"up_convolutions": 1}),
    ("cnn-plain", {"depth": 3}),
    ("unet-guided", {"depth": 3}),
    ("unet-guided", {"depth": 2, "context": 0, "hint_planes": 0, "attention": 0}),
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
    other = torch.cat([1 - gray[:1], gray[1:]])
    torch.testing.assert_close(network(other)[1:], network(gray)[1:], atol=1e-5, rtol=1e-4)


def test_config_makes_the_same_network(network: Network) -> None:
    config = dict(network.config())
    name, channels = str(config.pop("name")), config.pop("out_channels")
    again = make_network(name, channels, **config)  # type: ignore[arg-type]
    assert again.config() == network.config()
    again.load_state_dict(network.state_dict())
    gray = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(again.eval()(gray), network(gray))


def test_attention_is_that_of_a_transformer() -> None:
    """Torch's own layer, with our weights, is the reference; ours needs no memory for all pairs of positions."""
    block = make_network("unet-guided", 2, width=4, depth=4, attention=1).dropout[0]
    reference = torch.nn.TransformerEncoderLayer(
        32, 8, 64, dropout=0, activation="gelu", batch_first=True, norm_first=True
    )
    ours, theirs = block.state_dict(), reference.state_dict()  # the same layers, in another order
    names = {
        "self_attn.in_proj_": "query_key_value.",
        "self_attn.out_proj.": "mix.",
        "linear1.": "layers.1.",
        "linear2.": "layers.3.",
        "norm1.": "normalize.",
        "norm2.": "layers.0.",
    }
    assert len(ours) == len(theirs) == 2 * len(names)
    reference.load_state_dict(
        {their + kind: ours[our + kind] for their, our in names.items() for kind in ("weight", "bias")}
    )
    x = torch.randn(2, 32, 5, 3)
    expected = reference(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(block(x), expected)


def test_attention_sees_the_whole_image() -> None:
    gray = torch.rand(1, 1, 256, 256)
    other = gray.clone()
    other[..., -16:, -16:] = 1 - other[..., -16:, -16:]

    def corner_moves(**options: int) -> bool:
        network = make_network("unet-guided", 2, width=4, depth=3, context=0, **options).eval()
        return not torch.equal(network(other)[..., :8, :8], network(gray)[..., :8, :8])

    assert corner_moves(attention=1) and not corner_moves(attention=0)


def test_attention_needs_whole_heads() -> None:
    with pytest.raises(LabkitError, match="attention needs a deepest level of 8, 16, 24, ... channels. Got 6"):
        make_network("unet-guided", 2, width=3, depth=2)


def test_output_activation_bounds_the_output() -> None:
    network = make_network("unet", 2, width=4, output_activation="sigmoid")
    out = network(100 * torch.randn(1, 1, 16, 16))
    assert out.min() >= 0 and out.max() <= 1


ZHUANG = {"width": 64, "depth": 4, "max_width": 256, "convolutions": 1, "output_activation": "tanh"}
DEEPER = {"depth": 5, "max_width": 512}
COMPLEX = {"down": "strided", "up": "transposed"}


@pytest.mark.parametrize(
    ("name", "channels", "options", "expected"),
    [
        ("cnn", 3, {"width": 64}, 1_700_355),  # Qureshi, Table 1 with upsampling and two convolutions per block
        ("unet", 3, {"width": 64}, 1_884_675),  # Table 2
        ("cnn", 24, {"width": 64, "up_convolutions": 1}, 1_516_824),  # Table 4
        ("unet", 24, {"width": 64}, 1_886_040),  # Table 5
        ("cnn-plain", 3, {}, 4_308_675),  # Dalban: "4.3M"
        ("unet", 3, ZHUANG, 2_695_299),  # layers as the text has them, at width 64
        ("unet", 2, ZHUANG | COMPLEX, 6_431_874),
        ("unet", 2, ZHUANG | DEEPER, 10_956_610),
        ("unet", 3, ZHUANG | DEEPER | COMPLEX, 26_228_931),
        ("slr-baseline", 2, {}, 625_858),  # ECS171, section 2.3.2
        ("slr-hybrid", 2, {}, 628_936),  # section 2.4, and 36 fixed numbers
    ],
)
def test_parameter_counts_of_the_papers(name: str, channels: int, options: dict[str, object], expected: int) -> None:
    assert count_parameters(make_network(name, channels, **options)) == expected


def conv(channels: int, width: int, kernel: int = 3, normalized: bool = True) -> int:
    return kernel**2 * channels * width + width + 2 * width * normalized


@pytest.mark.parametrize("zhuang_complex", [False, True])
def test_zhuangs_layers_are_those_of_the_text(zhuang_complex: bool) -> None:
    """Three blocks of doubling width, a bottleneck of the third's width, three up-blocks with concatenation, tanh."""
    counted = sum(conv(a, b) for a, b in [(1, 64), (64, 128), (128, 256), (256, 256)])
    counted += sum(conv(a, b) for a, b in [(256 + 256, 256), (256 + 128, 128), (128 + 64, 64)])
    counted += conv(64, 2, kernel=1, normalized=False)
    if zhuang_complex:  # a 4x4 convolution down and a transposed one up, of as many channels as arrive there
        counted += sum(conv(c, c, kernel=4, normalized=False) for c in (64, 128, 256, 256, 256, 128))
    network = make_network("unet", 2, **(ZHUANG | (COMPLEX if zhuang_complex else {})))
    assert count_parameters(network) == counted
    seen: list[Tensor] = []
    network.encoder[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))  # type: ignore
    out = network.eval()(torch.rand(1, 1, 32, 32))
    assert seen[0].shape == (1, 256, 4, 4) and out.abs().max() <= 1


def test_dalbans_layers_are_those_of_the_report() -> None:
    network = make_network("cnn-plain", 3)
    seen: list[Tensor] = []
    network.encoder.register_forward_hook(lambda module, inputs, output: seen.append(output))  # type: ignore
    assert network.eval()(torch.rand(1, 1, 96, 96)).shape == (1, 3, 96, 96)
    assert seen[0].shape == (1, 512, 6, 6)


def test_qureshis_classifiers_differ_in_more_than_skips() -> None:
    """The paper's CNN has one convolution fewer in each up-block; cutting the U-Net's skips is the fair control."""
    theirs, fair = (make_network("cnn", 24, width=64, **o) for o in ({"up_convolutions": 1}, {}))
    convolutions = [sum(isinstance(m, torch.nn.Conv2d) for m in n.modules()) for n in (theirs, fair)]
    unet = make_network("unet", 24, width=64)
    assert convolutions == [9, 11] and sum(isinstance(m, torch.nn.Conv2d) for m in unet.modules()) == 11


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
        ("no-such", {}, "unknown network: got 'no-such', expected one of cnn"),
        ("unet", {"width": 0}, "^width must be a whole number of 1 or more. Got 0"),
        ("unet", {"max_width": 0}, "^max_width must be a whole number of 1 or more. Got 0"),
        ("cnn", {"up_convolutions": 0}, "^up_convolutions must be a whole number of 1 or more. Got 0"),
        ("cnn-plain", {"depth": 0}, "^depth must be a whole number of 1 or more. Got 0"),
        ("cnn-plain", {"skips": True}, "wrong options of network"),
        ("unet", {"down": "average"}, "unknown down: got 'average', expected one of max-pool, strided"),
        ("unet", {"dropout": 1.0}, "dropout must be below 1"),
        ("unet", {"output_stride": 3}, "output_stride must be a whole number from 1 to 2. Got 3"),
        ("unet", {"width": 1.5}, "width must be a whole number of 1 or more. Got 1.5"),
        ("unet", {"heads": 3}, "wrong options of network"),
    ],
)
def test_refusals(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(LabkitError, match=message):
        make_network(name, 2, **options)


def test_outputs_are_counted_too() -> None:
    with pytest.raises(LabkitError, match="out_channels must be a whole number of 1 or more. Got 0"):
        make_network("unet", 0)
