"""The exercises of lab 04, U-Net skips: a U-Net in three pieces, and the receptive field.

The pieces are modules, and the contract names none of their parts: `labkit.checks.modules` says how they are compared.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.checks.framework import Exercise, Verdict, Wrong, as_tensor, close, describe, hand_over, telling, whole
from labkit.checks.modules import CUT, judge_modules, run_modules
from labkit.checks.scenes import halved, held_back_scenes, held_back_seed, train_on_scenes, training_scenes
from labkit.data import toyworld

PREDICTIONS: dict[str, str | tuple[float, float]] = {
    "04-skips": "a",
    "04-paste": "c",
    "04-depth": "c",
    "04-two-ways": "c",
    "04-field": (43.5, 44.5),
    "04-sizes": "b",
    "04-half": "b",
}


# ------------------------------------------------------------------------------------------------------ the block


def _layers(
    inputs: int, outputs: int, order: str = "CBR", padding: int = 1, bias: bool = True, affine: bool = True
) -> nn.Sequential:
    """Twice the layers of ``order``: C convolution, B batch norm, R ReLU; a small letter: only the first time."""
    layers: list[nn.Module] = []
    for time, channels in enumerate((inputs, outputs)):
        after_convolution = False
        for letter in order:
            if letter.islower() and time == 1:
                continue
            wide = outputs if after_convolution else channels
            if letter in "Cc":
                layers.append(nn.Conv2d(channels, outputs, 3, padding=padding, bias=bias))
                after_convolution = True
            else:
                layers.append(nn.BatchNorm2d(wide, affine=affine) if letter in "Bb" else nn.ReLU())
    return nn.Sequential(*layers)


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Return two convolutions of 3x3, each with batch norm and ReLU."""
    return _layers(inputs, outputs)


def _second_too_narrow(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_layers(inputs, outputs)[:3], *_layers(inputs, outputs)[:3])


_BLOCK_WRONG = (
    Wrong(
        "ReLU before batch norm",
        lambda inputs, outputs: _layers(inputs, outputs, "CRB"),
        "the batch norm stands after the ReLU: the order is convolution, batch norm, ReLU",
    ),
    Wrong(
        "batch norm first",
        lambda inputs, outputs: _layers(inputs, outputs, "BCR"),
        "the batch norm stands before the convolution: the order is convolution, batch norm, ReLU",
    ),
    Wrong(
        "no batch norm",
        lambda inputs, outputs: _layers(inputs, outputs, "CR"),
        "there is no batch norm: one stands between each convolution and its ReLU",
    ),
    Wrong(
        "no last ReLU",
        lambda inputs, outputs: _layers(inputs, outputs, "CBr"),
        "the last ReLU is missing: both convolutions have one",
    ),
    Wrong(
        "no ReLU",
        lambda inputs, outputs: _layers(inputs, outputs, "CB"),
        "without any ReLU two convolutions are no more than one larger convolution",
    ),
    Wrong(
        "one convolution",
        lambda inputs, outputs: _layers(inputs, outputs)[:3],
        "that is one convolution; a block has two, each with batch norm and ReLU",
    ),
    Wrong(
        "no padding",
        lambda inputs, outputs: _layers(inputs, outputs, padding=0),
        "each convolution lost a pixel on every side: pad by 1",
    ),
    Wrong(
        "no bias",
        lambda inputs, outputs: _layers(inputs, outputs, bias=False),
        "these convolutions have no bias. Before a batch norm it is not needed, but the contract counts it",
    ),
    Wrong(
        "batch norm without weights",
        lambda inputs, outputs: _layers(inputs, outputs, affine=False),
        "these batch norms have no weight and bias to learn: leave out affine=False",
    ),
    Wrong(
        "second convolution too narrow",
        _second_too_narrow,
        "the second convolution gets what the first one gives: it has as many channels in as out",
    ),
)


def _draw_block(rng: torch.Generator) -> dict[str, Any]:
    inputs, outputs = whole(rng, 2, 3), whole(rng, 5, 7)
    images = [torch.randn(3, inputs, whole(rng, 6, 8), 7, generator=rng)]
    return {"block": {"arguments": [inputs, outputs], "images": images, "seed": whole(rng, 0, 10**6)}}


BLOCK = Exercise(
    id="04-block",
    title="A block of two convolutions",
    points=2,
    minutes=8,
    level=2,
    inputs=_draw_block,
    call=run_modules,
    reference=block,
    judge=judge_modules(block, "a block is convolution, batch norm, ReLU, and the same once more"),
    wrong=_BLOCK_WRONG,
    hints=(
        "Three layers, twice. The first convolution changes the number of channels, the second keeps it.",
        "nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), and again.",
        "return nn.Sequential(nn.Conv2d(...), nn.BatchNorm2d(...), nn.ReLU(), nn.Conv2d(...), ...): six layers.",
    ),
)


# --------------------------------------------------------------------------------------------------- the up-block


class UpBlock(nn.Module):
    """Double the resolution, put the skip beside it, and run a block."""

    def __init__(self, below: int, across: int, outputs: int) -> None:
        """Build the block for ``below + across`` channels."""
        super().__init__()
        self.block = block(below + across, outputs)

    def up(self, x: Tensor) -> Tensor:
        """Double height and width; each pixel becomes a block of 2x2."""
        return F.interpolate(x, scale_factor=2)

    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        """Put the skip's channels after those of x."""
        return torch.cat([x, skip], dim=1)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Return the features of the next higher resolution."""
        x = self.up(x)
        if skip is not None:
            x = self.join(x, skip)
        return self.block(x)


class _Added(UpBlock):
    def __init__(self, below: int, across: int, outputs: int) -> None:
        super().__init__(below, 0, outputs)
        self.fit = nn.Conv2d(below, across, 1) if across and across != below else nn.Identity()
        if across:
            self.block = block(across, outputs)

    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.fit(x) + skip


class _AddedAsIs(UpBlock):
    def __init__(self, below: int, across: int, outputs: int) -> None:
        super().__init__(below, 0, outputs)

    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        return x + skip


class _SkipFirst(UpBlock):
    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([skip, x], dim=1)


class _AlongHeight(UpBlock):
    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([x, skip], dim=2)


class _Bilinear(UpBlock):
    def up(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear")


class _NotEnlarged(UpBlock):
    def up(self, x: Tensor) -> Tensor:
        return x


class _SkipShrunk(UpBlock):
    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        if skip is not None:
            x = self.join(x, F.max_pool2d(skip, 2))
        return self.up(self.block(x))


class _SkipNeeded(UpBlock):
    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        return self.block(self.join(self.up(x), skip))  # type: ignore[arg-type]  # the mistake


class _Narrow(UpBlock):
    def __init__(self, below: int, across: int, outputs: int) -> None:
        super().__init__(below, across, outputs)
        self.block = block(below, outputs)


class _SkipDetached(UpBlock):
    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        return super().forward(x, None if skip is None else skip.detach())


class _SkipIgnored(UpBlock):
    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        x = self.up(x)
        if skip is not None:
            x = self.join(x, torch.zeros_like(skip))
        return self.block(x)


_ADDED = (
    "the skip is added: that mixes it into what came up. Put the channels side by side, torch.cat([x, skip], dim=1), "
    "and let the block take below + across channels"
)
_NOT_ENLARGED = "x has half the height and width of the skip: enlarge it first"

_UP_WRONG = (
    Wrong("added, after a 1x1 convolution", _Added, _ADDED),
    Wrong("added", _AddedAsIs, _ADDED),
    Wrong("skip first", _SkipFirst, "the skip comes first in your stack: what came up comes first, then the skip"),
    Wrong("along the height", _AlongHeight, "channels are axis 1 of (N, C, H, W): torch.cat(..., dim=1)"),
    Wrong(
        "bilinear",
        _Bilinear,
        "enlarged with interpolation: here each pixel becomes a block of 2x2 equal ones (mode nearest)",
    ),
    Wrong("not enlarged", _NotEnlarged, _NOT_ENLARGED),
    Wrong("too narrow", _Narrow, "the stack has below + across channels, and so many the block must take"),
    Wrong(
        "skip shrunk",
        _SkipShrunk,
        "the skip was shrunk to the size of x: its detail is the point. Enlarge x, then stack",
    ),
    Wrong(
        "skip always needed",
        _SkipNeeded,
        "without a skip (skip is None) the block runs on the enlarged x alone",
    ),
    Wrong("skip detached", _SkipDetached, CUT),
    Wrong("skip ignored", _SkipIgnored, "what comes across does not change the output: stack it with x"),
)


def _draw_up(rng: torch.Generator) -> dict[str, Any]:
    below, outputs = whole(rng, 4, 5), whole(rng, 2, 3)
    height, width = whole(rng, 3, 4), whole(rng, 5, 6)
    x = torch.randn(2, below, height, width, generator=rng)
    skip = torch.randn(2, below, 2 * height, 2 * width, generator=rng)
    seed = whole(rng, 0, 10**6)
    return {
        "with a skip": {"arguments": [below, below, outputs], "images": [x, skip], "seed": seed},
        "without": {"arguments": [below, 0, outputs], "images": [x], "seed": seed},
        "with a narrow skip": {"arguments": [below, 2, outputs], "images": [x, skip[:, :2].clone()], "seed": seed},
    }


UP_BLOCK = Exercise(
    id="04-up-block",
    title="An up-block with a skip",
    points=2,
    minutes=10,
    level=3,
    inputs=_draw_up,
    call=run_modules,
    reference=UpBlock,
    judge=judge_modules(UpBlock, "enlarge x, stack x and the skip along the channels, run your block on the stack"),
    wrong=_UP_WRONG,
    hints=(
        "Three steps: enlarge what comes from below, stack the skip beside it, convolve. Only the last one learns.",
        "F.interpolate with scale_factor=2 enlarges; torch.cat([x, skip], dim=1) stacks below + across channels.",
        "__init__ keeps one block of below + across channels. forward has three lines: enlarge; stack, but only where "
        "there is a skip; return what the block makes of it.",
    ),
)


# ------------------------------------------------------------------------------------------------------ the U-Net


class UNet(nn.Module):
    """The reference, with what known mistakes change as methods of their own."""

    output_stride = 1
    multiple_of = 2
    border = "replicate"

    def __init__(self, out_channels: int, width: int = 16, depth: int = 3, skips: bool = True) -> None:
        """Build encoder, decoder and output."""
        super().__init__()
        self.skips = skips
        self.multiple = self.multiple_of ** (depth - 1)
        widths = [width * 2**level for level in range(depth)]
        self.encoder = nn.ModuleList(block(a, b) for a, b in zip([1, *widths], widths, strict=False))
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.decoder = nn.ModuleList(UpBlock(below, wide * skips, wide) for below, wide in pairs)
        self.output = self.last(width, out_channels)

    def last(self, width: int, out_channels: int) -> nn.Module:
        """Return the last layer."""
        return nn.Conv2d(width, out_channels, 1)

    def carry(self, across: list[Tensor]) -> list[Tensor]:
        """Return what the skips carry, the highest resolution first."""
        return across

    def forward(self, gray: Tensor) -> Tensor:
        """Predict (N, out_channels, H, W) for gray (N, 1, H, W)."""
        height, width = gray.shape[-2:]
        x = F.pad(gray, (0, -width % self.multiple, 0, -height % self.multiple), mode=self.border)
        outputs: list[Tensor] = []
        for level, encode in enumerate(self.encoder):
            x = encode(F.max_pool2d(x, 2) if level else x)
            outputs.append(x)
        across = self.carry(outputs[:-1])
        for up in self.decoder:
            skip = across.pop()
            x = up(x, skip if self.skips else None)
        return self.output(x)[..., :height, :width]


class _NoPadding(UNet):
    multiple_of = 1  # nothing is padded: sides of any size come through


class _ZeroBorder(UNet):
    border = "constant"


class _ReflectedBorder(UNet):
    border = "reflect"


class _PaddedInFront(UNet):
    def forward(self, gray: Tensor) -> Tensor:
        height, width = gray.shape[-2:]
        padded = F.pad(gray, (-width % self.multiple, 0, -height % self.multiple, 0), mode="replicate")
        return super().forward(padded)[..., -height:, -width:]


class _WrongLevel(UNet):
    def carry(self, across: list[Tensor]) -> list[Tensor]:
        """Return, at each level, the first level's features, shrunk and repeated to fit."""
        first, shrunk = across[0], []
        for level, skip in enumerate(across):
            small = F.max_pool2d(first, 2**level) if level else first
            shrunk.append(small.repeat(1, skip.shape[1] // small.shape[1], 1, 1))
        return shrunk


class _Detached(UNet):
    def carry(self, across: list[Tensor]) -> list[Tensor]:
        return [skip.detach() for skip in across]


class _Zeros(UNet):
    def carry(self, across: list[Tensor]) -> list[Tensor]:
        return [torch.zeros_like(skip) for skip in across]


class _FirstSkipOnly(UNet):
    def carry(self, across: list[Tensor]) -> list[Tensor]:
        return [across[0], *[torch.zeros_like(skip) for skip in across[1:]]]


class _Reversed(UNet):
    def carry(self, across: list[Tensor]) -> list[Tensor]:
        return across[::-1]


class _NotCropped(UNet):
    def forward(self, gray: Tensor) -> Tensor:
        height, width = gray.shape[-2:]
        edges = (0, -width % self.multiple, 0, -height % self.multiple)
        return super().forward(F.pad(gray, edges, mode="replicate"))


class _LastTanh(UNet):
    def last(self, width: int, out_channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(width, out_channels, 1), nn.Tanh())


class _LastReLU(UNet):
    def last(self, width: int, out_channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(width, out_channels, 1), nn.ReLU())


class _LastSigmoid(UNet):
    def last(self, width: int, out_channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(width, out_channels, 1), nn.Sigmoid())


class _LastNorm(UNet):
    def last(self, width: int, out_channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(width, out_channels, 1), nn.BatchNorm2d(out_channels))


class _LastWide(UNet):
    def last(self, width: int, out_channels: int) -> nn.Module:
        return nn.Conv2d(width, out_channels, 3, padding=1)


_PLAIN = "too few parameters: modules in a plain list are not registered. Keep them in nn.ModuleList"


class _PlainList(UNet):
    """The levels in a list, which no module knows: their parameters are not the network's."""

    plain: tuple[str, ...] = ("encoder", "decoder")

    def __init__(self, out_channels: int, width: int = 16, depth: int = 3, skips: bool = True) -> None:
        super().__init__(out_channels, width, depth, skips)
        for name in self.plain:
            levels = list(getattr(self, name))
            delattr(self, name)
            self.__dict__[name] = levels


class _PlainEncoder(_PlainList):
    plain = ("encoder",)


class _PlainDecoder(_PlainList):
    plain = ("decoder",)


class _PooledAtTheEnd(UNet):
    def forward(self, gray: Tensor) -> Tensor:
        pool = self.encoder[-1].register_forward_hook(lambda level, _, x: F.max_pool2d(x, 2))
        try:
            return super().forward(gray)
        finally:
            pool.remove()


class _AlwaysSkips(UNet):
    def __init__(self, out_channels: int, width: int = 16, depth: int = 3, skips: bool = True) -> None:
        super().__init__(out_channels, width, depth, skips=True)


_LAST_RELU = "nothing negative comes out: no ReLU (or sigmoid) after the last convolution, for chroma has both signs"
_WRONG_LEVEL = "a skip comes from the wrong level: each decoder level gets the encoder's output of its own resolution"
_BORDER = "what is added at the right and at the bottom repeats the border of the gray image: F.pad with mode replicate"
_ZERO = "what the encoder hands across does not reach the decoder: pass its outputs, unchanged"

_UNET_WRONG = (
    Wrong(
        "odd sizes",
        _NoPadding,
        "sides that 2 ** (depth - 1) does not divide fail: pad the gray image at the start (F.pad, mode replicate) and "
        "crop the output to the input's size",
    ),
    Wrong("zeros at the border", _ZeroBorder, _BORDER),
    Wrong("skips detached", _Detached, CUT),
    Wrong("reflected border", _ReflectedBorder, _BORDER),
    Wrong("padded in front", _PaddedInFront, "pad at the right and at the bottom, not at the left and at the top"),
    Wrong("skip from the wrong level", _WrongLevel, _WRONG_LEVEL),
    Wrong(
        "skips in the order of the encoder",
        _Reversed,
        "the skips come in the wrong order: the decoder starts at the lowest level, so it takes the last output first",
    ),
    Wrong("not cropped", _NotCropped, "the output has the padded size: crop it to the height and width of the input"),
    Wrong("tanh at the end", _LastTanh, "the output stays between -1 and 1: nothing comes after the last convolution"),
    Wrong("zeros carried", _Zeros, _ZERO),
    Wrong("first skip only", _FirstSkipOnly, "one skip alone reaches the decoder: every level but the lowest has one"),
    Wrong("ReLU at the end", _LastReLU, _LAST_RELU),
    Wrong("sigmoid at the end", _LastSigmoid, _LAST_RELU),
    Wrong(
        "batch norm at the end",
        _LastNorm,
        "the output has a batch norm: it would force the mean and spread of the colors. A 1x1 convolution comes last",
    ),
    Wrong("3x3 at the end", _LastWide, "the last convolution is 1x1: it only mixes channels"),
    Wrong("plain Python list", _PlainList, _PLAIN),
    Wrong("encoder in a plain list", _PlainEncoder, _PLAIN),
    Wrong("decoder in a plain list", _PlainDecoder, _PLAIN),
    Wrong("pooled after the lowest level", _PooledAtTheEnd, "no pooling after the lowest level: the next step goes up"),
    Wrong(
        "skips=False ignored",
        _AlwaysSkips,
        "with skips=False the decoder still has channels for skips: UpBlock(below, 0, outputs), and no skip in forward",
    ),
)


def _draw_unet(rng: torch.Generator) -> dict[str, Any]:
    """Draw five cases: networks of two depths, without skips, and for odd sizes."""
    seed, width = whole(rng, 0, 10**6), whole(rng, 2, 4)

    def case(height: int, breadth: int, channels: int, depth: int, skips: bool, values: bool) -> dict[str, Any]:
        options = {"width": width, "depth": depth, "skips": skips}
        images = [torch.rand(2, 1, height, breadth, generator=rng)]
        return {"arguments": [channels], "options": options, "images": images, "seed": seed, "values": values}

    return {
        "depth 3": case(8, 12, 3, 3, True, True),
        "depth 4": case(16, 8, 2, 4, True, True),
        "skips=False": case(8, 8, 2, 3, False, True),
        "odd sides": case(9 + 2 * whole(rng, 0, 1), 14, 2, 3, True, True),
        "odd sides, skips=False": case(7, 13, 2, 4, False, False),
    }


UNET = Exercise(
    id="04-unet",
    title="The U-Net: shapes and values",
    points=4,
    minutes=20,
    level=4,
    asks_for=("labkit.models.unet.UNet.predict",),
    inputs=_draw_unet,
    call=run_modules,
    reference=UNet,
    judge=judge_modules(UNet, "compare with the picture: block, pool, block, ..., and the same levels back up"),
    wrong=_UNET_WRONG,
    draws=2,
    hints=(
        "On the way down keep each level's output in a list. On the way up take them from its end.",
        "self.encoder and self.decoder are nn.ModuleLists; in forward: x = block(x); across.append(x); "
        "x = F.max_pool2d(x, 2), but no pooling after the lowest level.",
        "widths = [width * 2**level ...]; encoder: a block a level; decoder, for wide in reversed(widths[:-1]): "
        "UpBlock(channels, wide if skips else 0, wide); output: nn.Conv2d(width, out_channels, 1). forward: pad, down, "
        "up with across.pop(), output, crop.",
    ),
)


# ------------------------------------------------------------------------------------------ the gradients' paths


def _gradients(answer: Any, inputs: Any) -> Any:
    """Cut the network below each level in turn, and return the gradient that its skip alone brings back.

    With the first convolution of level l + 1 set to zero, nothing from there on depends on the picture: what reaches
    the batch norm of level l on the way back has come through the skip of level l.
    """
    depth = inputs["depth"]
    kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d)
    found = {}
    for level in range(depth - 1):
        torch.manual_seed(inputs["seed"])
        network = answer(2, width=inputs["width"], depth=depth).train()
        ran: list[Any] = []
        layers = [layer for layer in network.modules() if isinstance(layer, kinds)]
        hooks = [layer.register_forward_pre_hook(lambda layer, _, ran=ran: ran.append(layer)) for layer in layers]
        network(inputs["gray"])
        for hook in hooks:
            hook.remove()
        convolutions: list[Any] = [layer for layer in ran if isinstance(layer, torch.nn.Conv2d)]
        norms: list[Any] = [layer for layer in ran if isinstance(layer, torch.nn.BatchNorm2d)]
        random = torch.Generator().manual_seed(inputs["seed"])
        with torch.no_grad():
            for layer in convolutions:
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=random) / layer.weight[0].numel() ** 0.5)
                if layer.bias is not None:
                    layer.bias.zero_()
            for layer in norms:  # however they were initialized
                if layer.weight is not None:
                    layer.weight.fill_(1)
                    layer.bias.zero_()
            convolutions[2 * (level + 1)].weight.zero_()
        (network(inputs["gray"]) * inputs["toward"]).sum().backward()
        gradient = getattr(norms[2 * level + 1].bias, "grad", None)  # a batch norm without affine has no bias
        found[f"level {level}"] = torch.zeros(norms[2 * level + 1].num_features) if gradient is None else gradient
    return found


def _judge_gradients(inputs: Any, output: Any) -> Verdict:
    expected = hand_over(UNet, inputs, _gradients)
    for level, wanted in expected.items():
        given = as_tensor(output[level])
        if given is not None and given.abs().max() < 1e-8:
            hint = f"no gradient comes back through the skip of {level}: nothing may cut it (detach, .data, no_grad)"
            return Verdict(False, hint, "a gradient of 0", "another")
        verdict = close(output[level], wanted, atol=1e-3, rtol=1e-2, hint=_WRONG_LEVEL)
        if not verdict.ok:
            return verdict
    return Verdict(True)


def _draw_gradients(rng: torch.Generator) -> dict[str, Any]:
    return {
        "seed": whole(rng, 0, 10**6),
        "width": whole(rng, 3, 5),
        "depth": whole(rng, 3, 4),
        "gray": torch.rand(2, 1, 16, 16, generator=rng),
        "toward": torch.randn(2, 2, 16, 16, generator=rng),
    }


_CUT = "no gradient comes back through the skip of"

UNET_GRADIENTS = Exercise(
    id="04-unet-gradients",
    title="The U-Net: a gradient through every skip",
    points=2,
    minutes=2,
    level=4,
    inputs=_draw_gradients,
    call=_gradients,
    reference=UNet,
    judge=_judge_gradients,
    wrong=(
        Wrong("detached", _Detached, f"{_CUT} level 0"),
        Wrong("zeros carried", _Zeros, f"{_CUT} level 0"),
        Wrong("first skip only", _FirstSkipOnly, f"{_CUT} level 1"),
        Wrong("skip from the wrong level", _WrongLevel, f"{_CUT} level 1"),
    ),
)


# -------------------------------------------------------------------------------------------------- it trains


# A right network leaves less than these fractions of the luma's variance and of the chroma: over 10 seeds .05 to .12
# and .41 to .57 are left; without skips .59 and more of the luma's, with a last ReLU .78 and more of the chroma.
LUMA_FLOOR, CHROMA_FLOOR = 0.35, 0.75
_WEIGHTS = torch.tensor([[0.299, 0.587, 0.114], [0.701, -0.587, -0.114], [-0.299, -0.587, 0.886]])  # Y, R - Y, B - Y


def _encoded(world: toyworld.ToyWorld) -> tuple[Tensor, Tensor]:
    """Return gray (N, 1, 16, 16) of scenes at half size, and a target (N, 3, 16, 16): luma, R - Y and B - Y.

    The luma is centered and three times as large, so that it is learned as fast as the colors.
    """
    gray, chroma = torch.einsum("kc,nchw->nkhw", _WEIGHTS, halved(world)).split([1, 2], dim=1)
    return gray, torch.cat([3 * (gray - 0.47), chroma], dim=1)


def _draw_training(rng: torch.Generator) -> dict[str, Any]:
    gray, target = _encoded(training_scenes(rng, 64))
    how = {"seed": whole(rng, 0, 10**6), "arguments": (3,), "options": {"width": 8, "depth": 3}}
    made = {**how, "steps": 150, "rate": 2e-2, "gray": gray, "target": target, **held_back_seed(rng)}
    return made | {"new gray": _encoded(held_back_scenes(made, 64))[0]}


def left_over(inputs: Mapping[str, Any], output: Tensor) -> tuple[float, float]:
    """Return the fractions of the luma's variance and of the chroma's mean square that a prediction leaves."""
    _, truth = _encoded(held_back_scenes(inputs, len(inputs["new gray"])))
    wrong = (output - truth).square()
    luma = wrong[:, 0].mean() / truth[:, 0].var()
    return float(luma), float(wrong[:, 1:].mean() / truth[:, 1:].square().mean())


def _judge_training(inputs: Any, output: Any) -> Verdict:
    given = as_tensor(output)
    if given is None or given.shape != (len(inputs["new gray"]), 3, 16, 16):
        return Verdict(False, "the network must predict 3 numbers for each pixel", describe(output))
    luma, chroma = left_over(inputs, given.float())
    said = f"{luma:.2f} of the luma's variance and {chroma:.2f} of the chroma are left after training"
    floors = f"at most {LUMA_FLOOR} and {CHROMA_FLOOR}"
    if bool((given >= 0).all()):
        return Verdict(False, _LAST_RELU, said, floors)
    if luma > LUMA_FLOOR:
        return Verdict(False, "the luma comes out blurred: the first level's skip does not do its work", said, floors)
    if chroma > CHROMA_FLOOR:
        return Verdict(False, "the colors are not learned: look at the lower levels", said, floors)
    return Verdict(True)


UNET_TRAINS = Exercise(
    id="04-unet-trains",
    title="The U-Net: trained for a few seconds",
    points=2,
    minutes=3,
    level=4,
    inputs=_draw_training,
    call=train_on_scenes,
    reference=UNet,
    judge=_judge_training,
    draws=1,
    wrong=(
        Wrong("ReLU at the end", _LastReLU, _LAST_RELU),
        Wrong("zeros carried", _Zeros, "the luma comes out blurred: the first level's skip does not do its work"),
    ),
)
# ------------------------------------------------------------------------------------------- the receptive field

# layers [(kernel, stride), ...] -> side in pixels


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
    level=2,
    core=False,
    asks_for=("labkit.models.patchgan.receptive_field",),
    inputs=lambda rng: telling(lambda: _draw_layers(rng), receptive_field, _FIELD_WRONG),
    reference=receptive_field,
    atol=0.1,
    rtol=0.0,
    hint="keep two numbers: the field, which grows by (kernel - 1) * step, and the step, which grows by the stride",
    wrong=_FIELD_WRONG,
    hints=(
        "Two numbers grow from layer to layer: the field, and how far apart neighbors are in input pixels.",
        "A kernel of k adds (k - 1) steps to the field.",
        "field, step = 1, 1; for each layer: field += (kernel - 1) * step, and only then step *= stride.",
    ),
)


EXERCISES = (BLOCK, UP_BLOCK, UNET, UNET_GRADIENTS, UNET_TRAINS, RECEPTIVE_FIELD)
