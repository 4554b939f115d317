"""The exercises of lab 04, U-Net skips: counting parameters, an up-block, the receptive field, the fair control."""

from inspect import signature
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.checks.framework import Exercise, Verdict, Wrong, describe, telling, whole
from labkit.models import UNet

# Parameters of a stack: channels (list of whole numbers), kernel -> how many


def stack_parameters(channels: list[int], kernel: int, bias: int = 1, norm: int = 2, power: int = 2) -> int:
    """``bias`` and ``norm`` numbers for each channel that comes out, ``kernel ** power`` for each pair of channels."""
    pairs = list(pairwise(channels))
    return sum(kernel**power * a * b + (bias + norm) * b for a, b in pairs)


_COUNT_WRONG = (
    Wrong(
        "no bias",
        lambda channels, kernel: stack_parameters(channels, kernel, bias=0),
        "each output channel of a convolution has a bias, too",
    ),
    Wrong(
        "no batch norm",
        lambda channels, kernel: stack_parameters(channels, kernel, norm=0),
        "the batch norm learns a scale and a shift for each channel",
    ),
    Wrong(
        "running statistics",
        lambda channels, kernel: stack_parameters(channels, kernel, norm=4),
        "the running mean and variance of a batch norm are measured, not learned: do not count them",
    ),
    Wrong(
        "kernel not squared",
        lambda channels, kernel: stack_parameters(channels, kernel, power=1),
        "a kernel has k x k weights, not k",
    ),
    Wrong(
        "one kernel an output",
        lambda channels, kernel: sum((kernel**2 + 3) * b for b in channels[1:]),
        "each output channel has a kernel for *every* input channel: k x k x channels in x channels out weights",
    ),
    Wrong(
        "kernels only",
        lambda channels, kernel: stack_parameters(channels, kernel, bias=0, norm=0),
        "these are the weights; add the bias, and the scale and the shift of the batch norm, of each output channel",
    ),
    Wrong(
        "norm of the inputs",
        lambda channels, kernel: stack_parameters(channels, kernel, norm=0) + 2 * sum(channels[:-1]),
        "the batch norm follows its convolution: it has as many channels as come *out*",
    ),
)


def _draw_stack(rng: torch.Generator) -> dict[str, Any]:
    widths = [whole(rng, 2, 12) for _ in range(whole(rng, 2, 4))]
    return {"channels": [1, *widths], "kernel": 3 + 2 * whole(rng, 0, 1)}


COUNT_PARAMETERS = Exercise(
    id="04-count-parameters",
    title="Parameters of a stack of convolutions",
    points=1,
    minutes=5,
    asks_for=("labkit.models.network.count_parameters",),
    inputs=lambda rng: telling(lambda: _draw_stack(rng), stack_parameters, _COUNT_WRONG),
    reference=stack_parameters,
    atol=0.1,
    rtol=0.0,
    hint="for each neighboring pair of channels a, b: k * k * a * b weights, b biases, 2 b numbers of the batch norm",
    wrong=_COUNT_WRONG,
)


# What skips cost: width, depth -> parameters


def skip_parameters(width: int, depth: int) -> int:
    """Return the number of parameters that the skips add."""
    return sum(9 * (width * 2**level) ** 2 for level in range(depth - 1))


_SKIP_WRONG = (
    Wrong(
        "bottleneck too",
        lambda width, depth: skip_parameters(width, depth + 1),
        "the bottleneck has no skip: only the depth - 1 levels above it have one",
    ),
    Wrong(
        "both convolutions",
        lambda width, depth: 2 * skip_parameters(width, depth),
        "only the *first* convolution of a decoder level sees the skip; the second sees what the first puts out",
    ),
    Wrong(
        "whole convolution",
        lambda width, depth: 3 * skip_parameters(width, depth),
        "this is the whole first convolution, with the channels that come up from below: count what the skip *adds*",
    ),
    Wrong(
        "biases too",
        lambda width, depth: skip_parameters(width, depth) + sum(width * 2**level for level in range(depth - 1)),
        "the convolution without the skip has the same biases: they are not added",
    ),
    Wrong(
        "no kernel",
        lambda width, depth: skip_parameters(width, depth) // 9,
        "each pair of channels has a 3x3 kernel: 9 weights",
    ),
    Wrong(
        "kernel not squared",
        lambda width, depth: skip_parameters(width, depth) // 3,
        "each pair of channels has a 3x3 kernel: 9 weights",
    ),
    Wrong(
        "linear in the width",
        lambda width, depth: sum(9 * width * 2**level for level in range(depth - 1)),
        "v channels more go *into* a convolution that puts v channels *out*: that is v * v pairs",
    ),
    Wrong(
        "one width",
        lambda width, depth: 9 * width**2 * (depth - 1),
        "widths double from level to level: width, 2 width, 4 width, ...",
    ),
    Wrong(
        "first level only",
        lambda width, depth: 9 * width**2,
        "every level above the bottleneck has a skip, not only the first",
    ),
)


SKIP_PARAMETERS = Exercise(
    id="04-skip-parameters",
    title="What the skips add",
    points=1,
    minutes=5,
    asks_for=("labkit.models.network.count_parameters", "labkit.models.make_network"),
    inputs=lambda rng: telling(
        lambda: {"width": 4 * whole(rng, 1, 16), "depth": whole(rng, 3, 5)}, skip_parameters, _SKIP_WRONG
    ),
    reference=skip_parameters,
    atol=0.1,
    rtol=0.0,
    hint="a level of v channels: v more channels go into a 3x3 convolution with v outputs. Add up the levels",
    wrong=_SKIP_WRONG,
)


# The up-block: x (N, C, h, w), skip (N, D, 2h, 2w), weight (K, C + D, 3, 3), bias (K,) -> (N, K, 2h, 2w)


def double(x: Tensor, mode: str = "nearest") -> Tensor:
    """Double the height and width of x (N, C, h, w), (N, C, 2h, 2w)."""
    return F.interpolate(x, scale_factor=2, mode=mode)


def up_block(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Double x, append the skip along the channels, convolve and apply ReLU, (N, K, 2h, 2w)."""
    return F.conv2d(torch.cat([double(x), skip], dim=1), weight, bias, padding=1).relu()


def _added(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(double(x) + skip, weight, bias, padding=1).relu()


def _added_both_ways(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Add, and halve the weights so that the shapes agree."""
    return F.conv2d(double(x) + skip, weight[:, : x.shape[1]], bias, padding=1).relu()


def _shrunk_skip(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(torch.cat([x, F.max_pool2d(skip, 2)], dim=1), weight, bias, padding=1).relu()


def _averaged_skip(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(torch.cat([x, F.avg_pool2d(skip, 2)], dim=1), weight, bias, padding=1).relu()


def _doubled_last(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return double(_shrunk_skip(x, skip, weight, bias))


def _swapped(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(torch.cat([skip, double(x)], dim=1), weight, bias, padding=1).relu()


def _bilinear(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(torch.cat([double(x, "bilinear"), skip], dim=1), weight, bias, padding=1).relu()


def _no_relu(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(torch.cat([double(x), skip], dim=1), weight, bias, padding=1)


def _no_padding(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(torch.cat([double(x), skip], dim=1), weight, bias).relu()


def _no_bias(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(torch.cat([double(x), skip], dim=1), weight, padding=1).relu()


def _not_doubled(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(torch.cat([x, skip], dim=1), weight, bias, padding=1).relu()


def _along_the_height(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(torch.cat([double(x), skip], dim=2), weight, bias, padding=1).relu()


def _relu_before(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(torch.cat([double(x), skip], dim=1).relu(), weight, bias, padding=1)


_ADDED = "adding mixes what the skip carries into what came up: put the channels side by side with torch.cat, dim=1"
_SIZES = "the skip keeps its size, for its detail is the point: enlarge x to it, not the other way round"
_BLOCK_WRONG = (
    Wrong("added, weights cut", _added_both_ways, _ADDED),
    Wrong("skip shrunk", _shrunk_skip, _SIZES),
    Wrong("skip averaged", _averaged_skip, _SIZES),
    Wrong(
        "enlarged last",
        _doubled_last,
        "enlarge x *before* the convolution: otherwise the convolution never sees the skip's full resolution",
    ),
    Wrong("skip first", _swapped, "the weights are made for one order of channels: first what came up, then the skip"),
    Wrong("bilinear", _bilinear, "nearest-neighbor doubling was asked for: each pixel becomes a block of 2x2"),
    Wrong("no ReLU", _no_relu, "a ReLU comes last"),
    Wrong("ReLU before", _relu_before, "the ReLU comes after the convolution, not before it"),
    Wrong("no padding", _no_padding, "two pixels a side are lost: pad the convolution with 1"),
    Wrong("no bias", _no_bias, "the bias is missing: hand it to F.conv2d after the weight"),
)
_BLOCK_RAISING = (
    Wrong("added", _added, _ADDED),
    Wrong("x not enlarged", _not_doubled, "x has half the height and width of the skip: enlarge it first"),
    Wrong("along the height", _along_the_height, "channels are axis 1 of (N, C, H, W): torch.cat(..., dim=1)"),
)


def _draw_block(rng: torch.Generator) -> dict[str, Any]:
    channels, wide = whole(rng, 2, 4), whole(rng, 2, 3)
    height, width = whole(rng, 3, 5), whole(rng, 3, 5)
    return {
        "x": torch.randn(2, channels, height, width, generator=rng),
        "skip": torch.randn(2, channels, 2 * height, 2 * width, generator=rng),
        "weight": torch.randn(wide, 2 * channels, 3, 3, generator=rng),
        "bias": 1 + torch.rand(wide, generator=rng),
    }


UP_BLOCK = Exercise(
    id="04-up-block",
    title="An up-block with a skip",
    points=2,
    minutes=8,
    asks_for=("labkit.models.unet.UNet.predict",),
    inputs=lambda rng: telling(lambda: _draw_block(rng), up_block, _BLOCK_WRONG),
    reference=up_block,
    hint="double x, put it before the skip along the channels, convolve with padding 1, ReLU: (N, K, 2h, 2w)",
    wrong=_BLOCK_WRONG + _BLOCK_RAISING,
)


# Receptive field: layers [(kernel, stride), ...] -> side in pixels


def receptive_field(layers: list[tuple[int, int]]) -> int:
    """Return the side of the receptive field in pixels, computed from the first layer to the last."""
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


def _strides_first(layers: list[tuple[int, int]]) -> int:
    """Take a layer's own stride into account for that layer already."""
    field, step = 1, 1
    for kernel, stride in layers:
        step *= stride
        field += (kernel - 1) * step
    return field


def _from_the_wrong_end(layers: list[tuple[int, int]]) -> int:
    return receptive_field(layers[::-1])


def _product(layers: list[tuple[int, int]]) -> int:
    field = 1
    for kernel, _ in layers:
        field *= kernel
    return field


def _last_stride_only(layers: list[tuple[int, int]]) -> int:
    """Each layer's growth times the stride of the layer before, not of all before."""
    before = [1] + [stride for _, stride in layers[:-1]]
    return 1 + sum((kernel - 1) * step for (kernel, _), step in zip(layers, before, strict=True))


_FIELD_WRONG = (
    Wrong(
        "strides ignored",
        lambda layers: 1 + sum(kernel - 1 for kernel, _ in layers),
        "after a stride of 2, neighbors are 2 input pixels apart: what follows reaches twice as far",
    ),
    Wrong(
        "own stride first",
        _strides_first,
        "a layer's stride spreads the layers *after* it, not the layer itself: update the step last",
    ),
    Wrong(
        "from the wrong end",
        _from_the_wrong_end,
        "the first layer of the list is the one that sees the picture",
    ),
    Wrong("product of kernels", _product, "fields do not multiply: each layer adds (k - 1) steps"),
    Wrong("last stride only", _last_stride_only, "steps multiply: after two strides of 2, neighbors are 4 apart"),
    Wrong("one too few", lambda layers: receptive_field(layers) - 1, "start from 1: no layer at all sees one pixel"),
    Wrong(
        "sum of kernels",
        lambda layers: sum(kernel for kernel, _ in layers),
        "a kernel of k adds k - 1 steps to what its input already saw, not k",
    ),
    Wrong(
        "k steps a layer",
        lambda layers: _grown_by_whole_kernels(layers),
        "a kernel of k adds k - 1 steps to what its input already saw, not k",
    ),
)


def _grown_by_whole_kernels(layers: list[tuple[int, int]]) -> int:
    field, step = 1, 1
    for kernel, stride in layers:
        field += kernel * step
        step *= stride
    return field


def _draw_layers(rng: torch.Generator) -> dict[str, Any]:
    """Convolutions of 3 or 5 with poolings (2, 2) or strided convolutions (4, 2) between, two halvings or more."""
    layers: list[tuple[int, int]] = []
    for _ in range(whole(rng, 2, 3)):
        layers += [(3 + 2 * whole(rng, 0, 1), 1) for _ in range(whole(rng, 1, 2))]
        layers += [(2 * whole(rng, 1, 2), 2)]
    return {"layers": [*layers, (3, 1)]}


RECEPTIVE_FIELD = Exercise(
    id="04-receptive-field",
    title="How far the bottleneck sees",
    points=2,
    minutes=8,
    asks_for=("labkit.models.patchgan.receptive_field",),
    inputs=lambda rng: telling(lambda: _draw_layers(rng), receptive_field, _FIELD_WRONG),
    reference=receptive_field,
    atol=0.1,
    rtol=0.0,
    hint="keep two numbers: the field, which grows by (kernel - 1) * step, and the step, which grows by the stride",
    wrong=_FIELD_WRONG,
)


# The fair control: config of a U-Net, config of somebody's control -> config of a control that differs in skips only

Config = dict[str, Any]
DEFAULTS: Config = {name: parameter.default for name, parameter in signature(UNet).parameters.items()}
SWAPS: dict[str, tuple[Any, Any]] = {  # what a careless control may have, and what the U-Net has
    "up_convolutions": (1, None),
    "convolutions": (1, 2),
    "depth": (2, 3),
    "width": (4, 8),
    "up": ("transposed", "upsample"),
    "normalization": ("none", "batch"),
}


def fair_control(unet: Config, control: Config) -> Config:
    """Return the U-Net's config under the name of the network without skips."""
    return {**unet, "name": "cnn"}


_UNCHANGED = "the control still differs from the U-Net in {}: then nobody can say what made the difference"


def _options(config: Config) -> Config:
    """All options of the network that a config describes, defaults included."""
    return DEFAULTS | config | ({"skips": False} if config["name"] == "cnn" else {})


def _judge_control(inputs: dict[str, Config], output: Any) -> Verdict:
    expected = "the config of a network without skips, equal to the U-Net in everything else"

    def wrong(hint: str) -> Verdict:
        return Verdict(False, hint, describe(output), expected)

    if type(output) is not dict:
        return wrong("return a dict, as the two configs are")
    if any(type(value) not in (str, int, float, bool, type(None)) for pair in output.items() for value in pair):
        return wrong("a config holds names, numbers and None only")
    if output.get("name") not in ("cnn", "unet"):
        return wrong('a config names its network, in "name": "unet" has skips, "cnn" has none')
    if unknown := [name for name in output if name != "name" and name not in DEFAULTS]:
        return wrong(f"no network has an option {unknown[0]!r}")
    made, wanted = _options(output), _options(inputs["unet"])
    if made["skips"]:
        return wrong(_STILL_SKIPS)
    if differ := [name for name in DEFAULTS if name != "skips" and made[name] != wanted[name]]:
        return wrong(_UNCHANGED.format(", ".join(differ)))
    return Verdict(True)


_STILL_SKIPS = "this network has skips: the control is the network *without* them"
_CONTROL_WRONG = (
    Wrong("as it was", lambda unet, control: control, "the control still differs from the U-Net in"),
    Wrong("the U-Net", lambda unet, control: unet, _STILL_SKIPS),
    Wrong(
        "the control's options with the U-Net's depth",
        lambda unet, control: {**control, "depth": unet["depth"]},
        "the control still differs from the U-Net in",
    ),
    Wrong(
        "skips for the control",
        lambda unet, control: {**control, "name": "unet"},
        _STILL_SKIPS,
    ),
    Wrong("the name only", lambda unet, control: "cnn", "return a dict, as the two configs are"),
    Wrong(
        "wider, for equal parameters",
        lambda unet, control: {**unet, "name": "cnn", "width": unet["width"] + 1},
        "the control still differs from the U-Net in width",
    ),
)


def _draw_configs(rng: torch.Generator) -> dict[str, Config]:
    """Draw a U-Net, and a control without skips that differs in two or three other things, never in depth alone."""
    chosen = torch.randperm(len(SWAPS), generator=rng).tolist()[: whole(rng, 2, 3)]
    shared = {"out_channels": whole(rng, 2, 3), "dropout": [0.0, 0.1, 0.2][whole(rng, 0, 2)]}
    unet = {"name": "unet", **shared, **{option: own for option, (_, own) in SWAPS.items()}}
    careless = {option: other for i, (option, (other, _)) in enumerate(SWAPS.items()) if i in chosen}
    return {"unet": unet, "control": {**unet, "name": "cnn", **careless}}


FAIR_CONTROL = Exercise(
    id="04-fair-control",
    title="A control that differs in one thing",
    points=1,
    minutes=4,
    inputs=_draw_configs,
    reference=fair_control,
    judge=_judge_control,
    wrong=_CONTROL_WRONG,
)


EXERCISES = (COUNT_PARAMETERS, UP_BLOCK, SKIP_PARAMETERS, FAIR_CONTROL, RECEPTIVE_FIELD)
