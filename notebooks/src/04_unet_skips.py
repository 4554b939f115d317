# %% [markdown]
# # U-Net skips
#
# A network that shrinks an image and enlarges it again does better with **skip connections**. In this lab you build such a
# network, a U-Net, train it, cut its skips, and find out what went through them.
#
# **85 minutes**, 43 of them for building. After this lab you
#
# - own a U-Net that you have written, and can count and check what is in it;
# - can say what a skip carries, and test it with a control that differs in one thing only;
# - know how far each layer sees, and what that means for images of another size;
# - know two ways to enlarge features, and what each of them leaves in a picture.

# %% tags=["setup"]
import torch
from torch import nn
from torch.nn import functional as F
from labkit import color, metrics
from labkit.analysis.resolution import checkerboard, coarse_chroma
from labkit.checks import check, hint  # noqa: F401
from labkit.colorizer import Colorizer
from labkit.data import load, toyworld
from labkit.experiments.claims import claims_of
from labkit.experiments.measured import measured
from labkit.models import count_parameters, make_network, unet
from labkit.notebook import predict
from labkit.notebook.figures import unet_skips as figures
from labkit.notebook.lab import begin
from labkit.notebook.photograph import own_photograph, show_on
from labkit.representation import make_representation
from labkit.training import train as library_train

# %% tags=["parameters"]
profile: str = "auto"  # test, quick, course, gpu or auto
dataset: str = "auto"  # toyworld, cifar10 (its horses), stl10 or flowers102
seed: int = 0  # of the scenes, the first weights and the order of training
photo: str = ""  # path of your own photograph; "" takes a packaged one

# %%
lab = begin("04_unet_skips", profile=profile, dataset=dataset, seed=seed, photo=photo)

# %% tags=["opening"]
photos = load("photos", "test", size=256)
coffee = photos.images[photos.class_names.index("coffee")]
figures.draw_u(Colorizer.starter(), coffee)

# %% [markdown]
# On the left the image gets smaller and gains channels: the **encoder**. On the right it grows again: the **decoder**. The
# arrows are the skips. Each hands the output of an encoder level to the decoder level of the same size, which sees it
# beside what comes up from below.
#
# ## 1. Build it
#
# ### Build: a block (difficulty 2 of 5, core, 8 minutes)
#
# Every level of the U-Net has the same content. Write `block(inputs, outputs)`: it returns an `nn.Module` that takes
# $(N, \text{inputs}, H, W)$ to $(N, \text{outputs}, H, W)$ with
#
# - a 3 x 3 convolution (with bias, padded by 1), a batch norm (`nn.BatchNorm2d`: each channel gets mean 0 and variance 1 over the
#   batch, times a learned factor, plus a learned number), a ReLU;
# - and the same three once more.


# %% exercise="04-block"
def block(inputs: int, outputs: int) -> nn.Module:
    """Two 3x3 convolutions, each followed by batch norm and ReLU."""
    ### BEGIN SOLUTION
    layers = []
    for channels in (inputs, outputs):
        layers.append(nn.Conv2d(channels, outputs, 3, padding=1))
        layers.append(nn.BatchNorm2d(outputs))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)
    ### END SOLUTION


# %% check="04-block"
check("04-block", block)

# %% [markdown]
# The check does not read your code. It runs your module, fills its layers with random numbers *in the order in which they
# run*, and compares what comes out.
#
# ### Build: one step up (difficulty 3 of 5, core, 10 minutes)
#
# Write the module `UpBlock(below, across, outputs)`. Its `forward(x, skip)`
#
# - enlarges `x`, shape $(N, \text{below}, h, w)$, to $2h \times 2w$, each pixel to 2 x 2 equal ones;
# - stacks `skip`, shape $(N, \text{across}, 2h, 2w)$, behind it along the channels;
# - and runs your `block` on the stack: $(N, \text{outputs}, 2h, 2w)$.
#
# Without a skip (`across` is 0 and `skip` is None) the block gets the enlarged `x` alone.


# %% exercise="04-up-block"
class UpBlock(nn.Module):
    """Double the resolution, put the skip beside it, run a block."""

    def __init__(self, below: int, across: int, outputs: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.block = block(below + across, outputs)
        ### END SOLUTION

    def forward(self, x: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        ### BEGIN SOLUTION
        x = F.interpolate(x, scale_factor=2)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        return self.block(x)
        ### END SOLUTION


# %% check="04-up-block"
check("04-up-block", UpBlock)

# %% [markdown]
# ### Build: the U-Net (difficulty 4 of 5, core, 25 minutes)
#
# Write the module `UNet(out_channels, width, depth, skips)`.
#
# - **Encoder:** `depth` blocks of `width`, 2 `width`, 4 `width`, ... channels. The first sees the gray image, one channel.
#   Before each of the others a 2 x 2 max-pooling halves the size.
# - **Decoder:** `depth - 1` up-blocks, from the lowest level to the first. Each gives as many channels as the encoder level
#   whose output it receives as its skip.
# - **Output:** a 1 x 1 convolution to `out_channels`, and nothing after it: chroma has both signs.
# - `skips=False` is the same network without skips: `across` is 0 everywhere.
# - Any height and width: pad the gray image at the right and at the bottom, repeating its border, until
#   $m = 2^{\text{depth} - 1}$ divides both sides, and crop the output to the original size. (`-height % m` rows are missing.)
#
# Keep the levels in `nn.ModuleList`. Three checks follow: shapes, number of parameters and values; a gradient through every
# skip; and a short training on scenes of 16 x 16 pixels.


# %% exercise="04-unet"
class UNet(nn.Module):
    """Gray (N, 1, H, W) -> (N, out_channels, H, W)."""

    output_stride = 1  # what a Colorizer asks: one prediction for each pixel

    def __init__(
        self, out_channels: int, width: int = 16, depth: int = 3, skips: bool = True
    ) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.skips = skips
        self.multiple = 2 ** (depth - 1)
        widths = [width * 2**level for level in range(depth)]
        self.encoder = nn.ModuleList()
        self.decoder = nn.ModuleList()
        channels = 1
        for wide in widths:
            self.encoder.append(block(channels, wide))
            channels = wide
        for wide in reversed(widths[:-1]):
            self.decoder.append(UpBlock(channels, wide if skips else 0, wide))
            channels = wide
        self.output = nn.Conv2d(channels, out_channels, 1)
        ### END SOLUTION

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        ### BEGIN SOLUTION
        height, width = gray.shape[-2:]
        missing = (0, -width % self.multiple, 0, -height % self.multiple)
        x = F.pad(gray, missing, mode="replicate")
        across = []
        for level, encode in enumerate(self.encoder):
            if level > 0:
                x = F.max_pool2d(x, 2)
            x = encode(x)
            across.append(x)
        across.pop()  # the lowest level has no skip
        for up in self.decoder:
            skip = across.pop()
            x = up(x, skip if self.skips else None)
        return self.output(x)[..., :height, :width]
        ### END SOLUTION


# %% check="04-unet"
check("04-unet", UNet)
check("04-unet-gradients", UNet)
check("04-unet-trains", UNet)

# %% [markdown]
# ## 2. Train it
#
# From here on the lab uses **your** network (or the library's, until yours passes its checks), and the loop that you wrote
# in lab 01: `labkit start 04` puts it into `mine.py` beside this notebook.

# %%
mine = lab.built(UNet, otherwise=unet.UNet)
loop = lab.mine("01-train", "train", otherwise=library_train)
TOY = lab.dataset == "toyworld"
WIDTH = lab.choose(test=4, quick=16, course=32, gpu=64)  # 64 in the papers
RATE, BATCH = (1e-2, 8) if TOY else (4e-3, 64)
EPOCHS = lab.choose(test=1, quick=3, course=8, gpu=40)
SETTINGS = {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE}
torch.set_num_threads(1)  # more help little with small batches, and harm on a busy machine


def images_of(split, count):
    """Images of 32 x 32 pixels."""
    if TOY:
        return toyworld.generate(count, seed=lab.seed, split=split)
    horses = "horse" if lab.dataset == "cifar10" else None
    return load(lab.dataset, split, size=32, classes=horses, limit=count, seed=lab.seed)


seen = images_of("train", lab.choose(test=24, quick=192, course=4000)).images
unseen = images_of("test", lab.choose(test=16, quick=200, course=1000))
truth, gray = color.to_float(unseen.images), color.luma(unseen.images)


# %%
def error(rgb, true=truth):
    """Mean squared error of images."""
    return float(metrics.mse(rgb.cpu(), true).mean())


gray_mse = error(metrics.gray_prediction(truth))


def row(name, mse, none=gray_mse):
    """A row of a table."""
    return {"network": name, "MSE": mse, "skill": metrics.skill(mse, none)}


GRAY = row("gray (no color)", gray_mse)
best = toyworld.best_scores(unseen)["mse_realized"] if TOY else float("nan")
BEST = [row("the best possible", best)] if TOY else []


def make(representation, network=None, seed=lab.seed, width=WIDTH, **options):
    """A fresh colorizer with your U-Net, or with a network of the library by name."""
    space = make_representation(representation)
    torch.manual_seed(seed)
    if network is None:
        return Colorizer(space, mine.piece(space.channels, width=width, **options))
    return Colorizer(space, make_network(network, space.channels, width=width, **options))


def fitted(representation, network=None, seed=lab.seed, **options):
    """The same, trained."""
    model = make(representation, network, seed, **options)
    model.fit(seen, **SETTINGS, seed=seed, progress=False)
    return model


# %%
yours = make("luma-chroma")
loop.piece(yours.network, yours.representation, seen, **SETTINGS, seed=lab.seed)
library = fitted("luma-chroma", "unet")
rows = [row(f"U-Net: {mine.label}; loop: {loop.label}", error(yours(unseen)))]
rows += [row("U-Net and loop of the library", error(library(unseen)))]
caption = f"{lab.dataset}: {len(seen)} images to learn from, {len(unseen)} test images"
lab.table([GRAY, *rows, *BEST], caption, key="yours")
print(f"yours has {count_parameters(yours.network):,} parameters")

# %%
few = unseen.images[:6]
shown = {
    "gray": gray[:6],
    mine.label: yours(few),
    "library": library(few),
    "true": truth[:6],
}
figures.scenes(
    shown, "Your U-Net, and the library's. Neither can know the color of a ball."
)

# %% [markdown]
# ## 3. What do skips carry?
#
# There are two ways to let a network color. It can predict **R, G and B**, as the U-Net paper of this course (`qureshi`) does.
# Or it predicts **chroma** only, and the luma, which was given, is put under it, as you just did. Together with skips or
# none, that makes four networks. Each pair differs in its skips alone.

# %%
same = "by about as much in both"
rgb_more = "by much when R, G and B are predicted, by little when luma is given"
chroma_more = "by little when R, G and B are predicted, by much when luma is given"
predict("04-skips", "How much do skips lower the MSE?", [rgb_more, chroma_more, same])

# %%
KINDS = {
    "RGB, no skips": ("rgb", False),
    "RGB, skips": ("rgb", True),
    "chroma, no skips": ("luma-chroma", False),
    "chroma, skips": ("luma-chroma", True),
}
seeds = [lab.seed + i for i in range(lab.choose(test=1, quick=3))]
trained, rows, mean = {}, [], {}
for kind, (space, skips) in KINDS.items():
    trained[kind] = [fitted(space, seed=s, skips=skips) for s in seeds]
    each = [error(model(unseen)) for model in trained[kind]]
    mean[kind] = sum(each) / len(each)
    rows.append(row(kind, mean[kind]) | {"lowest": min(each), "highest": max(each)})
caption = f"{lab.dataset}: U-Net: {mine.label}, {len(seeds)} seed(s)"
lab.table([GRAY, *rows, *BEST], caption, key="two_by_two")
for name in ("RGB", "chroma"):
    gain = 1 - mean[f"{name}, skips"] / mean[f"{name}, no skips"]
    print(f"{name}: skips lower the MSE by {gain:.0%}")

# %% [markdown] answer=true
# **(a).** Three of the four networks have the luma. One has it through its skips, one has it given by the formula, one has it
# both ways. The fourth must press it through the lowest level, 8 x 8 cells here, and draw it again.
#
# **"Chroma over the given luma" is itself a skip**, from the input to the output, without parameters and without error. What
# is left for the others to carry is *where colors end*.

# %% [markdown]
# If that is right, the RGB network without skips knows its colors well enough and lacks only the luma. That can be tested
# without any training: take its output, remove its own luma, and **paste in the true one**. (It is the gray image. We are
# allowed to.)

# %%
question = "How much of the way from 'RGB, no skips' to 'RGB, skips' does pasting go?"
predict(
    "04-paste",
    question,
    ["little: the colors are blurred, too", "half", "nearly all, or more"],
)


# %%
def paste(rgb, luma):
    """The colors of rgb over another luma."""
    return color.scale_to_gamut(rgb - color.luma(rgb) + luma)


blurred = [model(unseen).cpu() for model in trained["RGB, no skips"]]
pasted = [paste(rgb, gray) for rgb in blurred]
mean["pasted"] = sum(map(error, pasted)) / len(pasted)
rows = [row(name, mean[name]) for name in ("RGB, no skips", "pasted", "RGB, skips")]
gap = mean["RGB, no skips"] - mean["RGB, skips"]
part = (mean["RGB, no skips"] - mean["pasted"]) / gap
lab.table([GRAY, *rows], f"{lab.dataset}: pasting goes {part:.0%} of the way", key="pasted")
shown = {"RGB, no skips": blurred[0][:6], "pasted": pasted[0][:6], "true": truth[:6]}
figures.scenes(shown, "The network's own colors, over the luma that it was given and lost.")

# %% [markdown] answer=true
# **(c).** Nearly all of what skips gave the RGB network was the luma, which was given. (With other seeds pasting may go *more*
# than all the way: the pasted luma is exact; the one that came through the skips is not.)

# %% [markdown]
# ## 4. Depth
#
# One more level halves the lowest level once more: 16 x 16 cells at depth 2, 8 x 8 at depth 3, 4 x 4 at depth 4. The channels
# double: with width 16 the lowest level at depth 4 still holds 2,048 numbers, twice as many as the image has pixels. One report (`zhuang`) suspects that 4 x 4 "probably retains too few" features.

# %%
question = (
    "Chroma over the given luma. What does a lowest level of 4 x 4 do, instead of 16 x 16?"
)
both, one = "it harms both networks", "it harms only the network without skips"
predict("04-depth", question, [both, "it helps both: they see more", one])

# %%
by_depth = {kind: {2: 0.0, 3: mean[kind], 4: 0.0} for kind in KINDS}
for kind, (space, skips) in KINDS.items():
    for depth in (2, 4):
        by_depth[kind][depth] = error(fitted(space, skips=skips, depth=depth)(unseen))
figures.by_depth(by_depth, {"gray": gray_mse, "the best possible": best})
rows = [row(f"{kind}, depth {d}", by_depth[kind][d]) for kind in KINDS for d in (2, 3, 4)]
caption = f"{lab.dataset}: one seed at depth 2 and 4, {len(seeds)} at depth 3"
lab.table([GRAY, *rows, *BEST], caption, key="depth")

# %% [markdown] answer=true
# **(c).** This is what skips do even when luma is given: they let a network be *deep*. Without them, every border must come
# back up from the lowest level, and the coarser that is, the worse the borders. With them the lowest level can care about
# what things are. Compare the differences with the spread over seeds in section 3. And look at "RGB, no skips" at depth 4:
# a network with color that loses to the gray image.

# %% [markdown]
# ## 5. How far does a network see?
#
# The **receptive field** of a cell is the square of input pixels that it can depend on.

# %%
question = (
    "At depth 3 a cell of the lowest level sees 32 x 32 pixels. How wide is the square "
)
predict("04-field", question + "that one pixel of the OUTPUT depends on?", unit="pixels")

# %%
scene = toyworld.generate(8, seed=lab.seed, size=64, split="test").images[2]
figures.reach(yours.network, scene)

# %% [markdown] answer=true
# **44.** The decoder looks around, too. A 3 x 3 convolution reaches one step to each side, and a step is 2 pixels on the
# level of half the size: two convolutions there add 8, two more at full size add 4.
#
# Look at the map in the middle: the square says what *can* count. What does count lies near the center.

# %% [markdown]
# ### Compute it (difficulty 2 of 5, extra, 8 minutes)
#
# Write `receptive_field(layers)`. `layers` are pairs `(kernel, stride)` from the input on: a 3 x 3 convolution is `(3, 1)`, a
# 2 x 2 max-pooling `(2, 2)`. Return the side of the square that one cell of the last layer depends on. No layer at all sees 1
# pixel; `[(3, 1), (2, 2), (3, 1)]` sees 8.


# %% exercise="04-receptive-field"
def receptive_field(layers: list[tuple[int, int]]) -> int:
    """Side, in input pixels, of what one cell of the last layer depends on."""
    ### BEGIN SOLUTION
    field, step = 1, 1
    for kernel, stride in layers:
        field = field + (kernel - 1) * step
        step = step * stride
    return field
    ### END SOLUTION


# %% check="04-receptive-field"
check("04-receptive-field", receptive_field)

# %% [markdown]
# ## 6. Larger images
#
# Your network takes images of any size. It was trained on 32 x 32 pixels. What does it do with scenes of 256 x 256?
#
# There is a second way: show it a small copy of 32 pixels, enlarge the *chroma* that it predicts, and put that under the luma
# at full resolution. For a network that predicts R, G and B the same works with the paste of section 3.

# %%
question = "What happens to the skill of 'chroma, skips' at 256 x 256 pixels?"
stays, rises = (
    "it stays: convolutions do not care about size",
    "it rises: there is more to see",
)
predict("04-sizes", question, [stays, "it falls, and the small copy gives more", rises])

# %%
size, count = lab.choose(test=(64, 2), quick=(256, 12))
if TOY:
    large = toyworld.generate(count, seed=lab.seed, size=size, split="test").images
else:
    large = load("photos", "test", size=size).images
large_truth, large_gray = color.to_float(large), color.luma(large)
rgb, chroma = trained["RGB, skips"][0], trained["chroma, skips"][0]
copy = F.interpolate(large_gray, size=32, mode="bilinear", antialias=True)
enlarged = F.interpolate(rgb.colorize(copy).cpu(), size=size, mode="bicubic").clamp(0, 1)
ways = {
    "gray": large_gray.expand(-1, 3, -1, -1),
    "RGB": rgb(large).cpu(),
    "RGB, 32 px copy": paste(enlarged, large_gray),
    "chroma": chroma(large).cpu(),
    "chroma, 32 px copy": chroma.colorize(large, working_size=32).cpu(),
}
none = error(ways["gray"], large_truth)
rows = [row(name, error(out, large_truth), none) for name, out in ways.items()]
lab.table(rows, f"{len(large)} images of {size} x {size} pixels", key="sizes")
figures.sizes({name: out[1] for name, out in ways.items()} | {"true": large_truth[1]})

# %% [markdown] answer=true
# **(b).** Convolutions do not care *where* things are. They do care how large they are: at 256 pixels a ball is eight times as
# wide, and the 44 pixels that an output depends on may show nothing but plain gray. The copy shows things at the size that the
# network knows, for the RGB network as well. It costs outlines: in toyworld they are one pixel wide at every size, and
# nearly gone in the copy.

# %% [markdown]
# ## 7. Two ways up
#
# Your up-block enlarges, then convolves. The other common way is a **transposed convolution**: it spreads each pixel over a
# patch of the larger image with learned weights, and adds up where patches overlap.

# %%
question = (
    "A transposed convolution with random weights doubles a constant image. What comes out?"
)
predict(
    "04-two-ways",
    question,
    ["a constant", "noise", "a pattern with a period of 2 pixels"],
)

# %%
UP = {
    "transposed, kernel 3": lambda: nn.ConvTranspose2d(8, 1, 3, 2, 1, output_padding=1),
    "transposed, kernel 4": lambda: nn.ConvTranspose2d(8, 1, 4, 2, 1),
    "enlarge, convolve": lambda: nn.Sequential(
        nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 3)
    ),
}
torch.manual_seed(lab.seed)
flat = torch.full((1, 8, 24, 24), 0.5)
with torch.no_grad():
    drawn = {
        n: torch.cat([f()(flat)[0, :, 8:40, 8:40] for _ in range(20)])
        for n, f in UP.items()
    }
figures.checkerboards(drawn)

# %%
transposed = fitted("luma-chroma", "unet", up="transposed")
rows = [GRAY | {"checkerboard": 0.0}]
for name, model in {"enlarge, convolve": library, "transposed": transposed}.items():
    rows.append(row(name, error(model(unseen))) | {"checkerboard": checkerboard(model)})
lab.table(rows, f"{lab.dataset}: two ways up, trained, one seed", key="checkerboard")

# %% [markdown] answer=true
# **(c).** With stride 2, pixels at even and at odd places are made by *different weights*. (With kernel 3 even by a different
# *number* of weights, which kernel 4 mends.) Training has to find weights that agree. To enlarge first is to use the same
# weights everywhere. (*checkerboard* in the table: how far even and odd pixels of a flat image are apart, in steps of 1/255.)

# %% [markdown]
# ## 8. Half of the chroma
#
# JPEG and video store chroma at half the resolution. Then a network need not predict more: `unet-half` folds each 2 x 2 pixels of
# gray into four channels, works on a quarter of the pixels throughout, and its chroma is enlarged at the end.
#
# What can be lost? One answer: average the *true* chroma over 2 x 2 pixels and enlarge it again. A network can do better: it
# may choose the coarse chroma that looks best *after* enlarging. We find that one by gradient descent.

# %%
question = "How much skill does half resolution cost at the least?"
more = "a few hundredths on photographs, more on toyworld"
predict("04-half", question, ["a tenth or more on both", more, "nothing on either"])

# %%
sets = {"toyworld, 32 px": toyworld.generate(50, seed=lab.seed, split="test").images}
sets |= {
    f"photographs, {side} px": load("photos", "test", size=side).images
    for side in (32, 128)
}
rows = []
for name, images in sets.items():
    true, space = color.to_float(images), make_representation("luma-chroma")
    none = error(metrics.gray_prediction(true), true)
    averaged = error(coarse_chroma(images, space, steps=0), true)
    found = error(coarse_chroma(images, space, steps=lab.choose(test=3, quick=100)), true)
    rows += [row(f"{name}: gray", none, none), row(f"{name}: averaged", averaged, none)]
    rows += [row(f"{name}: best found", found, none)]
lab.table(rows, "The true chroma at half resolution", key="coarse")

# %%
rows = [GRAY, row("full resolution", error(library(unseen)))]
for name, factor in {"half": 1, "half, twice as wide": 2}.items():
    model = fitted("luma-chroma", "unet-half", width=factor * WIDTH)
    rows.append(row(f"{name} resolution" if factor == 1 else name, error(model(unseen))))
lab.table([*rows, *BEST], f"{lab.dataset}: the library's U-Net, one seed", key="half")

# %% [markdown] answer=true
# **(b).** Photographs have few color edges that are sharp to the pixel, and the larger the image, the fewer. Toyworld is a cartoon,
# the worst case, and its networks pay for it (one seed).

# %% [markdown]
# ## 9. Your photograph
#
# Your network has seen nothing but the training images of this lab. With the quick profile that is toyworld: it will look for
# sky, grass and balls.

# %%
own = own_photograph(photo)

# %%
show_on(own.image, {mine.label: yours, "starter": Colorizer.starter()})

# %% [markdown]
# ## Open task: the smallest network
#
# Reach a skill of **.55** on the validation scenes of toyworld with as few parameters as you can. Ours has 29,946
# (width 8, depth 3, 400 scenes, 3 epochs) and .566. Change anything: width, depth, the block, the loss, the training. Choose with
# the validation scenes below, never with test images.

# %%
small = make("luma-chroma", width=lab.choose(test=4, quick=8))  # change me
scenes = toyworld.generate(lab.choose(test=24, quick=400), seed=lab.seed).images
history = small.fit(scenes, epochs=EPOCHS, batch_size=8, learning_rate=1e-2, progress=False)

# %%
validation = toyworld.generate(200, seed=lab.seed, split="validation")
score = small.score(validation, keys=("mse", "psnr_mean", "colorfulness"))
lab.record(validation_skill=score["skill"], parameters=count_parameters(small.network))

# %% [markdown]
# ## Reading the papers
#
# These were measured with `labkit reproduce` on photographs, three seeds. *Gain* is by how much the MSE of the one that should
# be better is lower; *undecided* means that its 95 % interval holds zero.

# %%
runs = measured("skips", metric="mse", profile="quick")
rows = [row("gray (no color)", runs[0].gray, runs[0].gray)]
rows += [row(run.system, run.mean, run.gray) | {"sd": run.sd} for run in runs]
lab.table(rows, "Horses of CIFAR-10, width 32, 8 epochs, three seeds", key="horses")
claims = claims_of("skips") + claims_of("qureshi", about=("U-Net",))
claims += claims_of("zhuang", about=("complex U-Net beats",))
lab.table(claims, "Claims about U-Nets, tested", key="claims")

# %% [markdown]
# - `qureshi` reports that the U-Net beats the CNN without skips. Where R, G and B are predicted we find the same, and a reason: luma.
#   With luma given, the interval of the gain holds zero: at most a few percent. Of the paper's two *classifiers* (its Tables 4
#   and 5) the U-Net also has two convolutions more. That comparison cannot say which of the two helped.
# - It adds that skips "likely" help against vanishing gradients "in deeper networks". Its own networks have depth 3 and a batch norm
#   after each convolution; whether deeper ones need the help these rows cannot say.
# - `zhuang` reports no difference between a simple and a "complex" U-Net (strided and transposed convolutions). It compares
#   losses. Its RGB and UV losses have different units (lab 02).
# - Where a row says *not comparable*, one side does not even reach the gray image.

# %% [markdown]
# ## What to remember
#
# - **Ask what a shortcut carries.** In colorization a skip carries, above all, the luma, which was given.
# - A control differs in one thing. Yours differed in `skips=False`.
# - With luma given, skips still let a network be deep.
# - A network sees things at the size at which it has learned them.
#
# **Reading:** O. Ronneberger, P. Fischer, T. Brox, "U-Net", MICCAI 2015: a task that needs borders and is *not* given them. A.
# Odena, V. Dumoulin, C. Olah, "Deconvolution and checkerboard artifacts", *Distill*, 2016. W. Luo et al., "Understanding the
# effective receptive field", NeurIPS 2016.
