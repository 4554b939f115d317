# %% [markdown]
# # U-Net skips
#
# A network that takes a picture apart and puts it together again does better with skip connections, as a U-Net, than
# without. Two reports of this course measured it, and it is true. The usual explanation, "skips preserve detail", is
# true as well. But *which* detail? In this lab we cut skips, put them back, and look at what went through them.
#
# **75 minutes**, 30 of them exercises. After this lab you can
#
# - say what a skip connection carries, and test it;
# - build a control that differs from a network in one thing only;
# - count parameters and receptive fields on paper;
# - check four popular explanations (lost position, vanishing gradients, a bottleneck that is too small, checkerboards)
#   by measuring them.

# %% tags=["setup"]
from functools import cache
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from labkit import color, metrics, plots
from labkit.analysis import activations
from labkit.checks import check
from labkit.colorizer import Colorizer
from labkit.data import load, toyworld
from labkit.experiments.claims import claims_of, test_claim
from labkit.experiments.measured import measured
from labkit.experiments.printed import printed_value
from labkit.experiments.published import published
from labkit.experiments.recipes.qureshi import SKIPS
from labkit.models import count_parameters, make_network, patchgan
from labkit.notebook.lab import begin
from labkit.representation import make_representation
from labkit.widgets import explore

# %% tags=["parameters"]
profile: str = "auto"  # test, quick, course, gpu or auto
dataset: str = "auto"  # what to train on: toyworld, cifar10 (its horses), stl10, flowers102
seed: int = 0  # of the scenes, the first weights and the order of training
width: int = 16  # channels of the first level; 64 in the papers

# %%
lab = begin("04_unet_skips", profile=profile, dataset=dataset, seed=seed, width=width)

# %%
TOY = lab.dataset == "toyworld"
WIDTH = lab.choose(test=4, quick=width, course=max(width, 32), gpu=64)
SETTINGS = {
    "epochs": lab.choose(test=1, quick=3, course=8, gpu=40),
    "batch_size": 8 if TOY else 64,
    "learning_rate": 1e-2 if TOY else 4e-3,
}
# Batches this small are computed faster by several threads, but far slower when other programs
# keep the cores busy: on a CPU one thread is the safe choice.
torch.set_num_threads(1)


def pictures(split, count):
    """Pictures of 32 x 32 pixels to train or to test on."""
    if TOY:
        return toyworld.generate(count, seed=lab.seed, split=split)
    classes = "horse" if lab.dataset == "cifar10" else None
    parts = "train+validation" if split == "train" else split
    return load(lab.dataset, parts, size=32, classes=classes, limit=count, seed=lab.seed)


@cache  # a network that is asked for again is not trained again
def fitted(representation, network, seed, **options):
    """A colorizer of these parts, trained."""
    made = Colorizer(representation, network, seed=seed, **({"width": WIDTH} | options))
    made.fit(seen, **SETTINGS, seed=seed)
    return made


seen = pictures("train", lab.choose(test=24, quick=256, course=5000)).images
unseen = pictures("test", lab.choose(test=16, quick=200, course=1000))
truth = color.to_float(unseen.images)
gray = color.luma(unseen.images)  # (N, 1, 32, 32): all that a network gets

blurred, sharp = fitted("rgb", "cnn", lab.seed), fitted("rgb", "unet", lab.seed)

# %%
painted = [made(unseen.images).cpu() for made in (blurred, sharp)]
lost = (color.luma(painted[0]) - gray).square()  # where the blur costs most
scene = int(lost.mean(dim=(1, 2, 3)).argsort()[len(lost) // 2])  # a scene of middling loss
window = F.avg_pool2d(lost[scene], 12, stride=1)[0]
top, left = divmod(int(window.argmax()), window.shape[1])
row = [gray[scene].expand(3, -1, -1), *(images[scene] for images in painted), truth[scene]]
edge = [picture[:, top : top + 12, left : left + 12] for picture in row]
plots.show(
    plots.image_grid(
        {"whole": row, "a part, enlarged": edge},
        columns=["given", "without skips", "with skips", "true"],
        scale=1.4,
    ),
    alt="Two rows of four small pictures: the gray input, what a network without skips paints, "
    "what one with skips paints, and the true picture. The second row enlarges a part with "
    "edges. Without skips the edges are smeared over several pixels; with skips they are as "
    "sharp as in the gray input.",
    caption="Two networks of the same depth and width, trained in the same way to paint R, G and "
    "B. All that tells them apart is a pair of skip connections.",
)

# %% [markdown]
# Look at the enlarged row. The second picture has lost the edges; the third has them all. A triumph for skip
# connections.
#
# Now look at the *first* picture in that row. The edges were there. Nobody asked either network to lose them. Keep that
# in mind.

# %% [markdown]
# ## 1. What a skip is
#
# An **encoder-decoder** works at several resolutions: it halves the picture and doubles the channels a few times, down
# to the **bottleneck**, and then goes the same way back up. A **U-Net** is an encoder-decoder in which every level of
# the encoder is also handed *across* to the decoder level of the same resolution, and stacked onto the channels that
# come up from below. That is all. Here is what each level puts out, for a picture of 32 x 32 pixels:

# %%
# NBVAL_CHECK_OUTPUT
levels = ["encoder.0", "encoder.1", "encoder.2", "decoder.0", "decoder.1", "output"]
for name in ("cnn", "unet"):
    network = make_network(name, 3, width=64)
    found = activations.activations(network, torch.zeros(1, 1, 32, 32), levels)
    print(f"{name}: {count_parameters(network):,} parameters")
    for level, out in found.items():
        conv = getattr(network, level.split(".")[0])
        conv = conv[0] if level == "output" else conv[int(level[-1])][0]
        print(f"  {level:9}  {conv.in_channels:3} channels in, out: {tuple(out.shape[1:])}")

# %% [markdown]
# The shapes that come out are the same in both. Only what goes *into* the two decoder levels differs: 256 channels from
# below, or 256 + 128 with the skip. These two, with three outputs, are the regression networks of the paper `qureshi`
# (its Tables 1 and 2).
#
# ### Exercise 1: count parameters (5 minutes)
#
# Write `stack_parameters(channels, kernel)`: how many numbers does a stack of convolutions learn?
#
# - In: `channels`, a list of whole numbers $[c_0, c_1, \dots, c_n]$; `kernel`, a whole number $k$. The stack has $n$
#   convolutions with $k \times k$ kernels. Number $i$ takes $c_{i-1}$ channels to $c_i$, has a bias, and is followed by
#   a batch norm, which learns a scale and a shift for each channel. (A ReLU learns nothing.)
# - Out: the number of trainable parameters of the whole stack, a whole number.
#
# Do it with arithmetic. For example, `stack_parameters([1, 64, 64], 3)` is 37,824.


# %% exercise="04-count-parameters"
def stack_parameters(channels: list[int], kernel: int) -> int:
    """Trainable numbers of convolutions (with bias), each followed by a batch norm."""
    ### BEGIN SOLUTION
    total = 0
    for before, after in pairwise(channels):
        total += kernel * kernel * before * after  # weights
        total += after  # biases
        total += 2 * after  # scale and shift of the batch norm
    return total
    ### END SOLUTION


# %% check="04-count-parameters"
check("04-count-parameters", stack_parameters)

# %% [markdown]
# ### Exercise 2: an up-block (8 minutes)
#
# Write `up_block(x, skip, weight, bias)`, one step of the way up, with **one** convolution:
#
# - In: `x`, float, shape $(N, C, h, w)$, what comes from below; `skip`, shape $(N, D, 2h, 2w)$, what comes across;
#   `weight`, shape $(K, C + D, 3, 3)$, and `bias`, shape $(K,)$, of a convolution.
# - Out: shape $(N, K, 2h, 2w)$. Enlarge `x` to twice its size, each pixel to a block of 2 x 2 (nearest neighbor); stack
#   it and the skip along the channels, `x` first; convolve, padded with zeros so that the size stays; apply a ReLU.
#
# `F.interpolate(x, scale_factor=2)`, `torch.cat`, `F.conv2d(x, weight, bias, padding=...)` and `.relu()` are the parts.


# %% exercise="04-up-block"
def up_block(x: torch.Tensor, skip: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor):
    """x (N, C, h, w) and skip (N, D, 2h, 2w) -> (N, K, 2h, 2w)."""
    ### BEGIN SOLUTION
    enlarged = F.interpolate(x, scale_factor=2)
    stacked = torch.cat([enlarged, skip], dim=1)
    return F.conv2d(stacked, weight, bias, padding=1).relu()
    ### END SOLUTION


# %% check="04-up-block"
check("04-up-block", up_block)

# %% [markdown]
# ## 2. Two by two
#
# There are two ways to let a network color. It can paint **R, G and B**, as the paper's networks do: then it must
# produce the gray picture again, too. Or it can predict only the two **chroma** coordinates, and the luma, which was
# given, is put under them (lab 02). Together with skips or none, that makes four networks, equal in depth and width.
#
# **Predict:** how much do skips lower the MSE?
#
# - (a) by about as much in both cases: skips help, whatever is painted;
# - (b) by much when R, G and B are painted, by little when luma is given;
# - (c) by little when R, G and B are painted, by much when luma is given: colors need the detail more.
#
# We train each with several seeds, so that chance can be told from effect. Our networks see few batches (the cell
# prints how many). What cannot be done and what is not *yet* learned look alike; in the profile course look again.

# %%
KINDS = {
    "RGB, no skips": ("rgb", "cnn"),
    "RGB, skips": ("rgb", "unet"),
    "chroma, no skips": ("luma-chroma", "cnn"),
    "chroma, skips": ("luma-chroma", "unet"),
}
seeds = [lab.seed + i for i in range(lab.choose(test=1, quick=3))]
two_by_two = {
    kind: [fitted(*parts, seed) for seed in seeds] for kind, parts in KINDS.items()
}
batches = SETTINGS["epochs"] * -(-len(seen) // SETTINGS["batch_size"])  # rounded up
print(f"each network saw {batches} batches of up to {SETTINGS['batch_size']} pictures")


# %%
gray_score = metrics.score(metrics.gray_prediction(truth), truth)
gray_mse = gray_score["mse"]


@cache
def scores(made):
    """MSE, SSIM, the MSE of the luma alone, and the MSE once the true luma is pasted in."""
    picture = made(unseen.images).cpu()
    mse = float(metrics.mse(picture, truth).mean())
    wrong_luma = color.luma(picture) - gray
    pasted = color.scale_to_gamut(picture - wrong_luma)
    return {
        "MSE": mse,
        "skill": metrics.skill(mse, gray_mse),
        "SSIM": float(metrics.ssim(picture, truth).mean()),
        "MSE of the luma": round(float(wrong_luma.square().mean()), 7),
        "MSE, true luma pasted in": float(metrics.mse(pasted, truth).mean()),
    }


def over_seeds(networks):
    """The mean of each score over the seeds, and the standard deviation of the MSE."""
    each = [scores(made) for made in networks]
    mean = {key: sum(s[key] for s in each) / len(each) for key in each[0]}
    spread = torch.tensor([s["MSE"] for s in each]).std() if len(each) > 1 else None
    return {"MSE": mean["MSE"], "sd": spread} | mean


results = {kind: over_seeds(networks) for kind, networks in two_by_two.items()}
floor = toyworld.best_scores(unseen)["mse_realized"] if TOY else 0.0

rows = [
    {
        "painted by": "gray (no color)",
        "MSE": gray_mse,
        "skill": 0.0,
        "SSIM": gray_score["ssim"],
    }
]
rows += [{"painted by": kind} | result for kind, result in results.items()]
if TOY:
    best = metrics.skill(floor, gray_mse)
    rows.append({"painted by": "the best there can be", "MSE": floor, "skill": best})
lab.table(
    [{k: v for k, v in row.items() if "luma" not in k} for row in rows],
    f"{lab.dataset}: mean over {len(seeds)} seed(s), {len(unseen)} pictures not trained on",
    key="two_by_two",
)
for kind in ("RGB", "chroma"):
    before, after = (results[f"{kind}, {skips}"]["MSE"] for skips in ("no skips", "skips"))
    above = f", {(before - after) / (before - floor):.0%} of what could be gained" * TOY
    print(f"{kind}: skips lower the MSE by {1 - after / before:.0%}{above}")
    pairs = zip(two_by_two[f"{kind}, no skips"], two_by_two[f"{kind}, skips"], strict=True)
    each = [1 - scores(skips)["MSE"] / scores(none)["MSE"] for none, skips in pairs]
    print("  seed by seed:", ", ".join(f"{gain:.0%}" for gain in each))

# %%
chosen = [scene, *[i for i in range(len(unseen)) if i != scene][:4]]
plots.show(
    plots.image_grid(
        {
            kind: networks[0](unseen.images[chosen]).cpu()
            for kind, networks in two_by_two.items()
        }
        | {"true": truth[chosen]},
        scale=0.95,
    ),
    alt="Five pictures in five rows: painted by the four networks, and true. Painted as RGB "
    "without skips they are blurred, with skips sharp. Painted as chroma over the given luma "
    "they are sharp in both rows; without skips some colors run over their borders.",
    caption="Four networks of one depth and width. One row is blurred.",
)

# %% [markdown] answer=true
# **(b)**, in the profiles quick and course: see the two printed lines, and compare the standard deviations (sd) with
# the differences.
#
# Three of the four networks have the luma. One has it from the skips; one has it given, in the formula that puts chroma
# under it; one has it in both ways. The fourth must bring it through the bottleneck and paint it again.
#
# **"Chroma over the given luma" is itself a skip connection**, from the input to the output, with no parameters and no
# error. Once it is there, the others have less to carry. What they still carry is *where colors end*. In toyworld,
# where a red ball borders on green grass, that is worth a few percent: in the profile quick the gain is there in each
# of the three seeds, as the last line prints.

# %% [markdown]
# ### The test: give it back
#
# If we are right, the blurred network knows its *colors* well enough, and lacks only the luma. That can be tested
# without training anything. Take its picture, remove its own luma, **paste in the true one**. (It is the gray picture:
# we are allowed to.)
#
# **Predict:** how much of the distance between "RGB, no skips" and "RGB, skips" does that close?
#
# - (a) a little: the blurred network has blurred colors, too;
# - (b) about half;
# - (c) nearly all.

# %%
columns = ("MSE", "MSE of the luma", "MSE, true luma pasted in")
rows = [
    dict(
        zip(
            ("painted by", *columns),
            ("gray (no color)", gray_mse, 0.0, gray_mse),
            strict=True,
        )
    )
]
rows += [
    {"painted by": kind} | {key: results[kind][key] for key in columns} for kind in KINDS
]
lab.table(
    rows, f"{lab.dataset}: what is wrong is the luma ({len(seeds)} seed(s))", key="pasted"
)
without, with_skips = results["RGB, no skips"], results["RGB, skips"]
gap = without["MSE"] - with_skips["MSE"]
closed = without["MSE"] - without["MSE, true luma pasted in"]
print(f"pasting closes {closed / gap:.0%} of the distance, without any skip")

picture = painted[0][chosen]
pasted = color.scale_to_gamut(picture - color.luma(picture) + gray[chosen])
plots.show(
    plots.image_grid(
        {"RGB, no skips": picture, "true luma pasted in": pasted, "true": truth[chosen]},
        scale=0.95,
    ),
    alt="Five pictures in three rows. The first row, RGB without skips, is blurred. In the second "
    "row the same pictures have the true luma: they are sharp, and sky and grass look like "
    "those of the third row, the true pictures. The sun is pale, and things whose color cannot "
    "be known are brownish.",
    caption="The blurred network's own colors over the luma that it was given and lost.",
)

# %% [markdown] answer=true
# **(c)** in the profile quick. On toyworld nearly all of the benefit of skips is the transport of luma, which was
# given. (A share near or above 100 % is no magic: the pasted luma is exact, the one that came through the skips is not,
# see the column *MSE of the luma*.)

# %% [markdown]
# ### On photographs
#
# The paper's numbers are for the horses of CIFAR-10. There the recipe `skips` (`labkit reproduce skips`) has measured
# our two by two: three seeds, 5,000 horses to learn from, all 1,000 test horses to score on. Its networks are smaller
# than the paper's and learn for a shorter time: **width 32** (the paper's: 64) and **8 epochs** (the paper's: 21
# without skips, 40 with).
#
# **Predict:** which of the four networks does worse than gray, that is, worse than not coloring at all?
#
# - (a) none: a network that has seen 5,000 horses can only gain;
# - (b) the one that paints R, G and B without skips;
# - (c) both networks without skips.

# %%
horses = measured("skips", profile="quick")
found = {(row.system, row.metric): row for row in horses}
gray_horses = {metric: found["rgb, skips", metric].gray for metric in ("mse", "ssim")}
rows = [
    {"painted by": "gray (no color)", "MSE": gray_horses["mse"], "sd": None, "skill": 0.0}
    | {"SSIM": gray_horses["ssim"]}
]
for system in SKIPS.systems:
    mse, ssim = (found[system.name, metric] for metric in ("mse", "ssim"))
    row = {"painted by": system.name, "MSE": mse.mean, "sd": mse.sd}
    row |= {"skill": metrics.skill(mse.mean, mse.gray), "SSIM": ssim.mean}
    if system.printed:
        printed = printed_value(SKIPS, system.printed, "mse")
        row |= {"published MSE": printed, "its skill": metrics.skill(printed, mse.gray)}
        row |= {"published SSIM": printed_value(SKIPS, system.printed, "ssim")}
    rows.append(row)
count = len(found["rgb, skips", "mse"].seeds)
lab.table(rows, f"{mse.data}; ours: width 32, 8 epochs, {count} seeds", key="horses")

for claim in SKIPS.claims:
    result = test_claim(SKIPS, claim, horses)
    gain, margin = (100 * x / result.worse.mean for x in (result.gain, result.margin))
    print(f"{result.explained}: {claim.claim}")
    interval = f"95 % interval {gain - margin:.1f} to {gain + margin:.1f}"
    print(f"  lowers the MSE by {gain:.1f} %, {interval}")

# %% [markdown] answer=true
# **(b)**, ours as the published one: its *skill* is below 0. How can a network with color lose to a picture without?
# Gray has the luma *exactly* right. A network that paints R, G and B begins with nothing: it must first paint the luma
# again, and an error of the luma is an error in all three channels. Without skips the luma must come through a map of
# 8 x 8 cells. The column *SSIM* tells how it arrives: gray has far more of it than this network has, and with skips it
# is back.
#
# There would be room, $8 \times 8 \times 128 = 8192$ numbers at width 32 for the 1,024 of the gray picture. But to
# pack pixels into channels, and to unpack them again, must be *learned*, and neither our 8 epochs nor the paper's 21
# were enough: what is lost in luma is more than the colors gain. How slowly it is learned the recipe `qureshi` shows. There
# the same network, in as many epochs, but in batches of 16 instead of 64, takes four times as many steps, and it gets
# past gray, and past the paper.
#
# What do skips alone do, then? The printed lines compare networks of equal seed. When R, G and B are painted, skips
# take away nearly half of the MSE. When the luma is given, the interval reaches from a little harm to a gain of a few
# percent, and zero lies within. "Undecided" does not mean "no effect": three seeds leave room for a small one, and the
# interval says how small.
#
# And giving the luma while cutting *every* skip does not cost anything that three seeds could show: in the mean it is
# ahead of RGB with skips.

# %% [markdown]
# ## 3. A control that differs in one thing
#
# The paper has a second pair of networks, classifiers of 24 colors. Its Tables 4 and 5 list them layer by layer. Built
# as listed:

# %%
# NBVAL_CHECK_OUTPUT
theirs = make_network("cnn", 24, width=64, up_convolutions=1)  # Table 4
unet = make_network("unet", 24, width=64)  # Table 5
for name, network in {"Table 4, CNN": theirs, "Table 5, U-Net": unet}.items():
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    print(f"{name}: {count_parameters(network):,} parameters, {convolutions} convolutions")

# %% [markdown]
# ### Spot the error
#
# About all its networks, the paper says (in our words):

# %%
for metric in ("skips", "gradients"):
    for fact in published("qureshi", "text", metric=metric):
        print(f"- {fact.claim}")

# %% [markdown]
# Count the convolutions that the cell before it printed. What can a comparison of Table 4 with Table 5 *not* show? (We
# come to the last statement in section 5.)

# %% [markdown] answer=true
# It cannot show what skips do. The U-Net has skips **and** two convolutions more, one in each level of the decoder. Two
# things were changed at once; such a comparison is called **confounded**. Even if the U-Net is better, nobody can say
# by which of the two.
#
# (The first pair, Tables 1 and 2, has two convolutions a level in both networks. There, skips are the only difference
# in layers; but one was trained for 21 epochs and the other for 40, as early stopping would have it.)

# %% [markdown]
# ### Exercise 3: what the skips add (5 minutes)
#
# A skip makes the convolution that receives it larger. Write `skip_parameters(width, depth)`: by how many parameters
# does a U-Net exceed the same network without skips?
#
# - In: `width`, the channels of the first level, and `depth`, the number of levels, bottleneck included. Channels
#   double from level to level: `width`, 2 `width`, 4 `width`, ... Every level above the bottleneck has a skip. A decoder
#   level has as many output channels as the encoder level whose skip it receives. All kernels are 3 x 3, and each level
#   has two convolutions.
# - Out: a whole number. For `width=64, depth=3` it is the difference of the two numbers of parameters in section 1.


# %% exercise="04-skip-parameters"
def skip_parameters(width: int, depth: int) -> int:
    """How many parameters the skips of a U-Net add."""
    ### BEGIN SOLUTION
    channels = [width * 2**level for level in range(depth - 1)]
    return sum(
        9 * c * c for c in channels
    )  # only the first convolution of a level sees the skip
    ### END SOLUTION


# %% check="04-skip-parameters"
check("04-skip-parameters", skip_parameters)

# %% [markdown]
# ### Exercise 4: the fair control (4 minutes)
#
# Every network of labkit can say how it was made: `network.config()` is a dict with its name (`"unet"` has skips,
# `"cnn"` has none) and its options.
#
# Write `fair_control(unet, control)`:
#
# - In: two such dicts. `unet` is a U-Net. `control` is a network without skips that somebody compared it with; it
#   differs in other options, too.
# - Out: the config of the network that should have been used: without skips, and equal to the U-Net in everything
#   else.


# %% exercise="04-fair-control"
def fair_control(unet: dict, control: dict) -> dict:
    """The config of the control that differs from the U-Net in its skips only."""
    ### BEGIN SOLUTION
    return {**unet, "name": "cnn"}
    ### END SOLUTION


# %% check="04-fair-control"
check("04-fair-control", fair_control)

# %% [markdown]
# Where do the parameters between Table 4 and Table 5 come from?

# %%
# NBVAL_CHECK_OUTPUT
fair = make_network("cnn", 24, width=64)
print(f"two more convolutions: {count_parameters(fair) - count_parameters(theirs):,}")
print(f"the skips:             {count_parameters(unet) - count_parameters(fair):,}")

# %% [markdown]
# Half and half. (Is even our control fair? The U-Net still has more parameters, because its convolutions have more to
# look at. One can instead widen the control until the numbers agree; then the widths differ. No control is equal in
# everything: say which you chose.)
#
# Now the measurement, painting RGB: the paper's control with one convolution fewer per up-block, the fair one, and the
# U-Net.

# %%
confounded = [fitted("rgb", "cnn", seed, up_convolutions=1) for seed in seeds]
three = {
    "no skips, fewer convolutions": [scores(made) for made in confounded],
    "no skips": [scores(made) for made in two_by_two["RGB, no skips"]],
    "skips": [scores(made) for made in two_by_two["RGB, skips"]],
}
rows = [
    {"painted by": "gray (no color)"} | {f"MSE, seed {seed}": gray_mse for seed in seeds}
]
rows[0]["skill, mean"] = 0.0
for name, each in three.items():
    row = {
        f"MSE, seed {seed}": score["MSE"] for seed, score in zip(seeds, each, strict=True)
    }
    mean_skill = sum(score["skill"] for score in each) / len(each)
    rows.append({"painted by": name} | row | {"skill, mean": mean_skill})
lab.table(rows, f"{lab.dataset}: skips and depth, apart", key="confounded")
for seed, fewer, none, skips in zip(seeds, *three.values(), strict=True):
    share = (fewer["MSE"] - none["MSE"]) / (fewer["MSE"] - skips["MSE"])
    harm = " (below 0: here they did harm)" * (min(share, 1 - share) < 0)
    parts = f"extra convolutions: {share:.0%} of the difference, skips: {1 - share:.0%}"
    print(f"seed {seed}: {parts}{harm}")

# %% [markdown]
# In the profile quick the share that goes to the extra convolutions swings widely from seed to seed. That is a finding:
# from *one* run of each network, as the paper has it, nobody can say how large either share is, not even with the right
# control. (That skips have the larger one, all our seeds agree on.)

# %% [markdown]
# ## 4. What the bottleneck keeps
#
# First, look. The panel shows what a level of the two RGB networks puts out for one picture: the eight channels that
# vary most, each stretched from black to white.

# %%
pair = {"no skips": blurred, "skips": sharp}


def look(level, picture):
    """Eight channels of one level, in the network without and with skips."""
    rows = {}
    for name, made in pair.items():
        found = activations.activations(made.network, gray[[picture]], [level])[level]
        rows[name] = [
            gray[picture],
            *activations.channel_images(found[0], min(8, found.shape[1])),
        ]
    channels, height, breadth = found.shape[1:]
    title = f"{level}: {min(8, channels)} of {channels} channels, {height} x {breadth} pixels each"
    return plots.image_grid(rows, title=title)


explore(
    look,
    level=["encoder.0", "encoder.1", "encoder.2", "decoder.0", "decoder.1"],
    picture=(0, len(unseen) - 1, 1),
    static={"level": "decoder.1", "picture": scene},
    alt="The last level before the output, at full resolution, in two rows: eight channels of "
    "the network without skips are soft; several of those of the network with skips show the "
    "sharp outlines that the gray picture on the left has.",
    caption="The last level of the decoder. In a live notebook choose another level: encoder.2 is "
    "the bottleneck.",
)

# %% [markdown]
# In a live notebook go to `encoder.0`: the two networks look alike, and sharp. At `encoder.2`, the bottleneck, both are
# coarse. Only on the way up do they part.
#
# The paper reports a "significant loss of spatial information" in the bottleneck of its CNN. Another, `zhuang`, suspects
# that a bottleneck of 4 x 4 "probably retains too few" features. Is position lost? Count first:

# %%
# NBVAL_CHECK_OUTPUT
for depth in (3, 4, 5):
    side, channels = 32 // 2 ** (depth - 1), 16 * 2 ** (depth - 1)
    print(f"depth {depth}: {side} x {side} x {channels} = {side * side * channels} numbers")
print("gray picture: 32 x 32 =", 32 * 32)

# %% [markdown]
# At width 16 the bottlenecks of depth 3 to 5 hold *more* numbers than, or as many as, the picture that came in (at
# width 64, four times as many). A small map is not the same as little room: position can move into the channels.
#
# Whether it does can be measured by a **linear read-out**. We show the network pictures of a soft bright disk at
# random places (not on the pixel grid), take the numbers of its bottleneck, fit a *linear* function from them to the
# place on one half, and predict the place for the other half.
#
# **Predict:** at a bottleneck of 4 x 4, where each cell stands for 8 x 8 pixels, how far off is the place?
#
# - (a) about 4 pixels: half a cell;
# - (b) about 2 pixels;
# - (c) less than 1 pixel.

# %%
deep = {
    (skips, depth): fitted("luma-chroma", network, lab.seed, depth=depth)
    for depth in (4, 5)
    for skips, network in {"no skips": "cnn", "skips": "unet"}.items()
}
for skips in ("no skips", "skips"):
    deep[skips, 3] = two_by_two[f"chroma, {skips}"][0]

# %%
count = lab.choose(test=60, quick=400)
generator = torch.Generator().manual_seed(lab.seed)
place = 4 + 24 * torch.rand(count, 2, generator=generator)  # x, y in pixels
y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
distance = ((x - place[:, :1, None]) ** 2 + (y - place[:, 1:, None]) ** 2).sqrt()
disks = 0.45 + 0.3 * torch.sigmoid(2 * (3 - distance))[:, None]  # (N, 1, 32, 32)

fresh = Colorizer("luma-chroma", "cnn", width=WIDTH, depth=4, seed=lab.seed)
looked_at = {
    "RGB, no skips": blurred,
    "RGB, skips": sharp,
    "chroma, no skips": deep["no skips", 3],
    "chroma, skips": deep["skips", 3],
    "chroma, no skips, deeper": deep["no skips", 4],
    "chroma, skips, deeper": deep["skips", 4],
    "chroma, no skips, deeper, untrained": fresh,
}


def bottleneck(made, images):
    """What the lowest level of a network puts out."""
    level = f"encoder.{len(made.network.encoder) - 1}"
    return activations.activations(made.network, images, [level])[level].cpu()


rows = []
for name, made in looked_at.items():
    inside = bottleneck(made, disks)
    read = activations.linear_probe(inside, place)
    error = (read - place[count // 2 :]).square().sum(dim=1).mean().sqrt()

    inside = bottleneck(made, gray[:100])
    cell = 32 // inside.shape[-1]
    each = inside.permute(0, 2, 3, 1).flatten(0, 2)  # (cells, C)
    under = F.avg_pool2d(gray[:100], cell).flatten()[
        :, None
    ]  # (cells, 1): luma of the cell
    read = activations.linear_probe(each, under)
    rows.append(
        {
            "bottleneck of": name,
            "map": f"{inside.shape[-1]} x {inside.shape[-1]}",
            "pixels a cell": cell,
            "place: error in pixels": float(error),
            "luma of a cell: share read": activations.r_squared(
                read, under[len(under) // 2 :]
            ),
        }
    )
blind = (place[: count // 2].mean(dim=0) - place[count // 2 :]).square().sum(dim=1).mean()
rows.append(
    {"bottleneck of": "nothing (always the middle)", "place: error in pixels": blind.sqrt()}
)
lab.table(rows, "What can be read out of a bottleneck by a linear function", key="readout")

# %% [markdown] answer=true
# **(c)**, in the profiles quick and course: a fraction of a pixel, from cells of 8 x 8. Even an *untrained* network
# keeps the place to within about a pixel. Each channel of a cell is another weighted look at what lies under it; a
# hundred such looks fix a place far better than the grid.
#
# The last column is different: it tells how well the luma under a cell can be read. In the profile quick, RGB without
# skips keeps most, and it is the one network that must bring the luma through here. Perhaps a bottleneck keeps what the
# output asks of it, not "the picture minus detail". One seed: a hint, no more. (With another seed the other rows change
# their order.)
#
# (What a linear function cannot read may still be there, in another form.)

# %% [markdown]
# So is 4 x 4 too small? Read-outs are one thing; the test is to train. Depth 3, 4 and 5 have bottlenecks of 8 x 8,
# 4 x 4 and 2 x 2; all networks below predict chroma over the given luma.
#
# **Predict:** what does 4 x 4 instead of 8 x 8 do?
#
# - (a) harm both networks;
# - (b) harm the one without skips, but not the U-Net;
# - (c) harm neither.

# %%
zero = {"skill, no skips": 0.0, "skill, skips": 0.0}
rows = [
    {"bottleneck": "gray (no color)", "MSE, no skips": gray_mse, "MSE, skips": gray_mse}
    | zero
]
shown = {}
for depth in (3, 4, 5):
    side = 32 // 2 ** (depth - 1)
    score = {skips: scores(deep[skips, depth]) for skips in ("no skips", "skips")}
    shown[f"{side} x {side}"] = {skips: s["MSE"] for skips, s in score.items()}
    row = {
        f"{what}, {skips}": s[what]
        for what in ("MSE", "skill")
        for skips, s in score.items()
    }
    rows.append({"bottleneck": f"{side} x {side}"} | row)
lab.table(rows, f"{lab.dataset}: chroma over the given luma, one seed", key="depth")
plots.show(
    plots.bars(
        shown,
        xlabel="MSE",
        better="lower",
        reference=("the best there can be", floor) if TOY else None,
    ),
    alt="Bars of MSE for bottlenecks of 8 x 8, 4 x 4 and 2 x 2. "
    + " ".join(
        f"{side}: {mse['no skips']:.4f} without skips, {mse['skips']:.4f} with skips."
        for side, mse in shown.items()
    ),
    caption="From a shallow network to a deep one, without and with skips.",
)

# %% [markdown] answer=true
# **(b)**, in the profile quick. Here is something that skips do for colorization even when luma is given: they let a
# network be *deep*. Without them, everything about borders must come back up from the lowest level, and the deeper that
# lies, the worse the borders of the colors. With them the lowest level can care about what things are.
#
# `zhuang`'s networks are U-Nets. For them the suspicion is not confirmed: hardly anything is lost at 4 x 4 that the
# skips do not carry (one seed), and the paper's larger pictures have another data set, another depth and other things
# to see, all at once.

# %% [markdown]
# ## 5. Do gradients vanish?
#
# The second statement of section 3: skips help because without them gradients vanish on the way back to the first
# layers. It is often repeated. It is rarely measured, and it is easy to measure.
#
# **Predict:** in the paper's kind of network (three levels, a batch norm after each convolution), how large is the
# gradient of the first layer, relative to the last?
#
# - (a) with skips about as large, without them a thousand times smaller;
# - (b) about the same with and without skips;
# - (c) larger without skips.
#
# `GradientNorms` writes down the norm of every layer's gradient at each step of `training.fit`. We also take the batch
# norms away.

# %%
rows, profiles = [], {}
for normalization in ("batch", "none"):
    for skips, network in {"no skips": "cnn", "skips": "unet"}.items():
        made = Colorizer(
            "rgb", network, width=WIDTH, normalization=normalization, seed=lab.seed
        )
        made.network.to(lab.device)
        with activations.GradientNorms(made.network) as norms:
            few = seen[: lab.choose(test=24, quick=160)]
            made.fit(few, **(SETTINGS | {"epochs": 1}), seed=lab.seed)
        first_steps = norms.values()[:5]
        relative = (first_steps / first_steps[:, -1:]).median(dim=0).values
        name = f"{'batch norm' if normalization == 'batch' else 'no norm'}, {skips}"
        profiles[name] = relative.tolist()
        rows.append(
            {
                "network": name,
                "first layer": float(first_steps[:, 0].median()),
                "last layer": float(first_steps[:, -1].median()),
                "first / last": float(relative[0]),
            }
        )
lab.table(
    rows, f"{lab.dataset}, RGB: gradient norms, median of the first steps", key="gradients"
)

steps = ["E1", "E1", "E2", "E2", "B", "B", "D2", "D2", "D1", "D1", "out"]
figure = plots.curves(
    {name: (list(range(len(steps))), sizes) for name, sizes in profiles.items()},
    xlabel="convolution, from input to output",
    ylabel="gradient norm / that of the last",
    log=True,
)
figure.axes[0].set_xticks(range(len(steps)), steps)
plots.show(
    figure,
    alt="Four lines of the gradient norm over eleven convolutions, relative to the last, on a "
    "logarithmic scale. With batch norm the two lines, with and without skips, run close "
    "together. Without norm and without skips the line falls steeply toward the input; with "
    "skips it dips at the bottleneck B and comes up again at the first layers. First layer: "
    + "; ".join(f"{name} {sizes[0]:.1e}" for name, sizes in profiles.items())
    + ".",
    caption="Gradients at the start of training: E encoder, B bottleneck, D decoder.",
)

# %% [markdown] answer=true
# **(b).** With a batch norm after each convolution the gradients of the first layers are about as large with skips as
# without: there was nothing to rescue. (The paper's Tables 4 and 5 list a batch norm after every convolution but the last.)
#
# The statement is not foolish. *Without* norms, and with PyTorch's default first weights, each layer passes on less
# than it gets, and the gradient at the first layer of the network without skips is smaller by orders of magnitude. Two
# skips mend it: look how the line dips at the bottleneck and comes back. But that is another network than the paper's.
#
# And a small gradient alone need not stop Adam, which divides each gradient by its own usual size. An explanation that
# sounds right is a reason to measure, not a result.

# %% [markdown]
# ## 6. Two ways up
#
# `zhuang` compares a **simple** U-Net (max-pooling down; on the way up, enlarge, then convolve) and a **complex** one:
# down with convolutions of stride 2, up with **transposed convolutions**, which spread each pixel over a small patch
# with learned weights. Patches overlap, and they need not overlap evenly.
#
# **Predict:** we feed three *fresh* layers (random weights, drawn 20 times) a constant picture. What comes out of a
# layer that doubles the size by a transposed convolution?
#
# - (a) a constant, away from the border: constant in, constant out;
# - (b) noise;
# - (c) a pattern that repeats every two pixels.

# %%
torch.manual_seed(lab.seed)
layers = {
    "transposed, kernel 3": lambda: nn.ConvTranspose2d(
        8, 1, 3, stride=2, padding=1, output_padding=1
    ),
    "transposed, kernel 4": lambda: nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1),
    "enlarge, then convolve": lambda: nn.Sequential(
        nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 3, padding=1)
    ),
}
constant = torch.full((1, 8, 24, 24), 0.5)
figure, panels = plots.subplots(
    2, 3, height=3.9, sharey="row", gridspec_kw={"height_ratios": [1.3, 1]}
)
amplitude = {}
for column, (name, fresh_layer) in enumerate(layers.items()):
    with torch.no_grad():  # 20 draws, away from the border: (20, 32, 32)
        out = torch.cat([fresh_layer()(constant)[0, :, 8:40, 8:40] for _ in range(20)])
    along = out - out.mean(dim=2, keepdim=True)  # each row without its mean
    spectrum = torch.fft.rfft(along).abs().mean(dim=(0, 1)) / 32  # 0 to 1/2 cycles a pixel
    amplitude[name] = float(spectrum[-1])
    around = out[0, :12, :12] - out[0].mean()
    panels[0, column].imshow(around, cmap="gray", vmin=-0.4, vmax=0.4)
    panels[0, column].set_axis_off()
    panels[0, column].set_title(name)
    panels[1, column].bar(
        torch.arange(17) / 32, spectrum, width=0.025, color=plots.PALETTE[0]
    )
    panels[1, column].set(xlabel="cycles a pixel")
panels[1, 0].set_ylabel("amplitude")
plots.show(
    figure,
    alt="Three columns. Two transposed convolutions turn a constant into a strong checkered "
    "pattern with a period of two pixels, and their spectra have a bar at half a cycle a "
    "pixel. Enlarging and then convolving leaves a constant, with an empty spectrum.",
    caption="Fresh layers, constant input: what comes out of the first draw (12 x 12 pixels), and "
    "the mean spectrum of 20 draws.",
)
for name, value in amplitude.items():
    print(f"amplitude at half a cycle a pixel, mean of 20 draws, {name}: {value:.3f}")

# %% [markdown] answer=true
# **(c).** With stride 2, output pixels of even and odd coordinates are made by *different weights* of the kernel. With
# kernel 3 they are even made by a different *number* of weights; a kernel that the stride divides (4) evens out the
# numbers, as is often recommended, but not the weights. Training must find weights that agree. Enlarging first uses the
# same weights everywhere: constant in, constant out, whatever the weights.
#
# This is the **checkerboard** of generated pictures (Odena, Dumoulin, Olah, 2016).

# %% [markdown]
# Does training find such weights? Four networks as in the YUV paper: simple and complex, RGB and UV output, three
# halvings, one convolution a level, tanh at the end. What the paper says about them:

# %%
for fact in [
    *published("zhuang", system="simple and complex U-Net"),
    *published("zhuang", system="U-Net UV"),
]:
    print(f"- {fact.system}, {fact.metric}: {fact.claim}")

# %% [markdown]
# We score them in *one* unit, MSE of the RGB picture, beside their own loss. And we give each a flat gray picture of 64
# x 64 pixels and measure how much its output differs, in the mean, between pixels of even and odd coordinates, in steps
# of 1/255.

# %%
ZHUANG = {
    "depth": 4,
    "max_width": 4 * WIDTH,
    "convolutions": 1,
    "output_activation": "tanh",
}
COMPLEX = {"down": "strided", "up": "transposed"}
flat = torch.full((1, 1, 64, 64), 0.5)


def checkered(picture):
    """Standard deviation over the four (even, odd) classes of pixels of their mean, of 255."""
    inner = picture[..., 8:-8, 8:-8]
    means = [inner[..., i::2, j::2].mean(dim=(-2, -1)) for i in (0, 1) for j in (0, 1)]
    return 255 * float(torch.stack(means).std(dim=0, correction=0).mean())


rows = [{"painted by": "gray (no color)", "MSE": gray_mse, "skill": 0.0}]
flat_pictures = {}
for output, representation in {"RGB": "rgb", "UV": "yuv"}.items():
    for kind, options in {"simple": {}, "complex": COMPLEX}.items():
        made = fitted(representation, "unet", lab.seed, **ZHUANG, **options)
        flat_pictures[f"{kind}, {output}"] = made.colorize(flat).cpu()[0, :, 16:48, 16:48]
        score = scores(made)
        rows.append(
            {
                "painted by": f"{kind} U-Net, {output}",
                "parameters": count_parameters(made.network),
                "own loss": made.loss(unseen.images),
                "MSE": score["MSE"],
                "skill": score["skill"],
                "checkerboard": checkered(made.colorize(flat).cpu()),
            }
        )
lab.table(
    rows,
    f"{lab.dataset}: the U-Nets of the YUV paper, one seed (it prints curves, no numbers)",
    key="zhuang",
)
plots.show(
    plots.image_grid(
        {"": list(flat_pictures.values())}, columns=list(flat_pictures), scale=1.4
    ),
    alt="What four trained networks paint for a flat gray picture. Standard deviation between "
    "even and odd pixels, of 255: "
    + "; ".join(f"{row['painted by']} {row['checkerboard']:.1f}" for row in rows[1:])
    + ".",
    caption="A flat gray picture, painted by the four (its middle, 32 x 32 pixels).",
)

# %% [markdown]
# Three things to see, in the profile quick. The complex networks have more than twice the parameters, and nothing to
# show for them. Their checkerboards survive training, at least in a picture like none that they saw. And *own loss*
# says nothing about pictures: in the paper it is much lower for UV than for RGB, here it is higher. Why? labkit divides
# U and V by their largest values (.436 and .615) before it takes the loss. The unit decides; compare the column *MSE*
# instead (lab 02 has the factor).

# %% [markdown]
# ## 7. Larger pictures
#
# The networks are *fully convolutional*: they take pictures of any size. So train at 32 pixels, and color photographs
# of 256? How far does a network see?
#
# ### Exercise 5: the receptive field (8 minutes)
#
# The **receptive field** of an output is the square of input pixels that it can depend on. Write
# `receptive_field(layers)`:
#
# - In: `layers`, a list of pairs `(kernel, stride)` of whole numbers, from the input on: a 3 x 3 convolution is
#   `(3, 1)`, a 2 x 2 max-pooling is `(2, 2)`.
# - Out: the side of the receptive field of one output of the last layer, in input pixels, a whole number.
#
# No layer at all sees 1 pixel. A kernel of $k$ reaches over $k - 1$ steps between neighbors. How far apart, in input
# pixels, neighbors are, the layers *before* decide: each stride multiplies it. For example, `[(3, 1), (2, 2), (3, 1)]`
# sees 8 pixels.


# %% exercise="04-receptive-field"
def receptive_field(layers: list[tuple[int, int]]) -> int:
    """Side, in input pixels, of what one output of the last layer depends on."""
    ### BEGIN SOLUTION
    field, step = 1, 1
    for kernel, stride in layers:
        field = field + (kernel - 1) * step
        step = step * stride
    return field
    ### END SOLUTION


# %% check="04-receptive-field"
check("04-receptive-field", receptive_field)

# %%
# NBVAL_CHECK_OUTPUT
level, pooling = [(3, 1), (3, 1)], [(2, 2)]
for depth in (3, 4, 5):
    field = patchgan.receptive_field(level + (depth - 1) * (pooling + level))
    print(f"depth {depth}: one cell of the bottleneck sees {field} x {field} pixels")

# %% [markdown]
# At depth 3 one cell of the bottleneck sees a square as large as the whole training picture. In a picture of 256 pixels
# it is a keyhole.
#
# We color the same kind of picture at 32, 64, 96 and 256 pixels, with networks trained at 32. For the chroma networks
# there is a second way, because luma need not pass through them: let the network look at a small copy of **32 pixels**,
# enlarge the *chroma* that it predicts, and put it under the luma at full resolution (`working_size=32`).
#
# **Predict:** what happens to the skill of "chroma, skips" at 256 pixels?
#
# - (a) it stays: convolutions do not care about size;
# - (b) it falls, and the small copy gives more;
# - (c) it rises: there is more detail to see.

# %%
large = {}
for size in lab.choose(test=(32, 64), quick=(32, 64, 96, 256)):
    if TOY:
        few = max(4, min(lab.choose(test=4, quick=40), 2**17 // size**2))
        large[size] = toyworld.generate(few, seed=lab.seed, size=size, split="test").images
    else:
        large[size] = load("photos", "test", size=size).images

ways = {
    "RGB, skips": (sharp, None),
    "chroma, no skips": (deep["no skips", 3], None),
    "chroma, skips": (deep["skips", 3], None),
    "chroma, skips, 32 px copy": (deep["skips", 3], 32),
}
rows, shown = [], {}
for size, images in large.items():
    true = color.to_float(images)
    none = float(metrics.mse(metrics.gray_prediction(true), true).mean())
    row = {"pixels": f"{size} x {size}", "pictures": len(images), "MSE of gray": none}
    for name, (made, working_size) in ways.items():
        out = made.colorize(images, working_size=working_size).cpu()
        row[f"skill: {name}"] = metrics.skill(float(metrics.mse(out, true).mean()), none)
        shown.setdefault(name, {})[size] = out[1]
    rows.append(row)
lab.table(
    rows, "Networks trained at 32 pixels, skill at other sizes (gray: 0)", key="sizes"
)
few = {size: images[1] for size, images in large.items() if size != 64}
plots.show(
    plots.image_grid(
        {name: [out[size] for size in few] for name, out in shown.items()}
        | {"true": list(few.values())},
        columns=[f"{size} px" for size in few],
        scale=1.1,
    ),
    alt="One kind of picture at growing sizes, from left to right, painted in four ways, over the "
    "true one. At 32 pixels sky and grass are right in all. At full size the larger pictures "
    "come apart: one and the same thing is brown here and green there, and patches of sky and "
    "grass have wrong colors. From a copy of 32 pixels sky and grass come out right at every "
    "size, but in the larger pictures things whose thin outline is lost in the copy take the "
    "color around them.",
    caption="The same kind of picture at other sizes than the one trained on.",
)

# %% [markdown] answer=true
# **(b)**, in the profile quick. Convolutions do not care about *where*; they do care about *how large*. At 256 pixels a
# ball is eight times as wide as at 32. Its shading, its distance from the horizon in pixels, all are new, and a cell of
# the bottleneck that sees 32 pixels may see nothing but plain gray. The copy shows the network what it knows. (At 64
# pixels it still loses; and 256 rests on very few pictures, see the table.)
#
# One thing runs against the story of this lab, in the profile quick: on larger pictures "chroma, skips" is worse than
# "chroma, no skips". Why? We have not measured it. What would you change, one thing only, to find out?
#
# The copy does not bring back the whole skill of 32 pixels. The picture shows why: outlines in toyworld are one pixel
# wide at every size; in the shrunken copy they are nearly gone, and the network has never seen things without an outline.
#
# The RGB network has no such way out. Its output *is* the picture; at 32 pixels it would be a picture of 32 pixels.

# %% [markdown]
# ## 8. The surprise: throw half of it away
#
# If chroma can be coarse, why predict it at every pixel? The network `unet-half` folds each 2 x 2 pixels of the gray
# picture into four channels, works on a quarter of the pixels throughout, and predicts chroma at half the resolution.
#
# First the floor: the *true* chroma, averaged over 2 x 2 pixels and enlarged again. Nothing at half resolution can be
# better.
#
# **Predict:** how much skill does that cost at most, on photographs? And on toyworld, whose things have outlines one
# pixel wide?
#
# - (a) a tenth or more on both;
# - (b) a few hundredths on photographs, more on toyworld;
# - (c) nothing on either: chroma is invisible.

# %%
space = make_representation("luma-chroma")
sets = {"toyworld, 32 px": toyworld.generate(50, seed=lab.seed, split="test").images}
sets |= {
    f"photographs, {size} px": load("photos", "test", size=size).images
    for size in (32, 256)
}
rows = []
for name, images in sets.items():
    true = color.to_float(images)
    none = float(metrics.mse(metrics.gray_prediction(true), true).mean())
    row = {"pictures": name, "MSE of gray": none}
    for stride in (2, 4):
        coarse = space.decode(space.gray(images), space.target(images, stride))
        mse = float(metrics.mse(coarse, true).mean())
        row[f"MSE, {stride} x {stride}"] = mse
        row[f"skill left, {stride} x {stride}"] = metrics.skill(mse, none)
    rows.append(row)
lab.table(rows, "The true chroma, averaged over 2 x 2 or 4 x 4 pixels", key="coarse")

# %% [markdown] answer=true
# **(b).** It depends on the pictures. Photographs have few color edges that are sharp to the pixel, and the larger the
# picture, the fewer. JPEG has lived on that for thirty years. Toyworld is a cartoon, and the worst case.


# %%
def multiply_adds(made):
    """How many multiplications and additions one picture of 32 x 32 pixels takes."""
    with FlopCounterMode(display=False) as counter:
        made.predict(gray[:1])
    return counter.get_total_flops() / 2  # it counts the two separately


HALF = {"half resolution": WIDTH, "half resolution, twice as wide": 2 * WIDTH}
halves = {
    name: fitted("luma-chroma", "unet-half", lab.seed, width=wide)
    for name, wide in HALF.items()
}
rows = [{"painted by": "gray (no color)", "MSE": gray_mse, "skill": 0.0}]
for name, made in {"full resolution": two_by_two["chroma, skips"][0], **halves}.items():
    score = scores(made)
    rows.append(
        {
            "painted by": name,
            "parameters": count_parameters(made.network),
            "million multiply-adds": multiply_adds(made) / 1e6,
            "MSE": score["MSE"],
            "skill": score["skill"],
        }
    )
lab.table(
    rows, f"{lab.dataset}: chroma at full and at half resolution, one seed", key="half"
)
best = published("qureshi", "3", "regression U-Net", "mse")[0].value
epochs = published("qureshi", "training", "regression U-Net", "epochs")[0].value
print(f"CIFAR-10 horses, published U-Net: MSE {best} after {epochs:.0f} epochs")
print(f"  its skill over our gray: {metrics.skill(best, gray_horses['mse']):.2f}")

# %% [markdown]
# At half resolution the same network needs about a quarter of the arithmetic. On toyworld it pays for that in MSE, and
# in the profile quick it still loses when it is twice as wide, at equal arithmetic (one seed). On photographs there is
# far less to lose, as the floor above says: at 256 pixels not a hundredth of the skill.
#
# **Predict:** the published U-Net took 40 epochs of the 5,000 horses to a skill of .365. How long does it take two CPU
# cores to get there, with all that this lab has found: chroma over the exact luma, and at half resolution?
#
# - (a) some twenty minutes;
# - (b) two minutes;
# - (c) less than twenty seconds.

# %%
# Measured by `labkit reproduce labkit-best --profile quick --seeds 3`, on two otherwise idle cores.
runs = measured("labkit-best", metric="mse", profile="quick")
lab.table(
    [
        {
            "painted by": "gray (no color)",
            "seconds of training": None,
            "MSE": runs[0].gray,
            "sd": None,
            "skill": 0.0,
        }
    ]
    + [
        {
            "painted by": run.system,
            "seconds of training": round(run.seconds),
            "MSE": run.mean,
            "sd": run.sd,
            "skill": round(metrics.skill(run.mean, run.gray), 3),
        }
        for run in runs
    ]
    + [
        {
            "painted by": f"published U-Net, {epochs:.0f} epochs",
            "MSE": best,
            "skill": round(metrics.skill(best, runs[0].gray), 3),
        }
    ],
    "The test horses of CIFAR-10, three seeds: how much color for how many seconds",
    key="best",
)

# %% [markdown] answer=true
# **(c).** Nothing here is clever; it is what was *not* computed. Luma is not painted, because it was given; chroma is
# painted at half resolution, because photographs have hardly more; and small batches make many steps of few epochs.
# Given two minutes, full resolution is worth its price. Given four, one look at all ten classes of CIFAR-10 before the
# horses helps a little more (whether other classes do that, or the time, two more minutes of horses would have to show).
#
# There is no contradiction with section 2. The half-resolution network is a U-Net, with skips. It just does not carry
# what it was given.

# %% [markdown]
# ### The papers' claims, tested
#
# A lab trains small networks, mostly once. `labkit reproduce` trains the papers' systems on photographs over three seeds.
# *Gain* is by how much the one that should be better is better; a claim stays *undecided* where the 95 % interval of its
# gain holds zero.

# %%
lab.table(
    claims_of("qureshi", "qureshi-curves", about=("U-Net", "at 64"))
    + claims_of("labkit-best")
    + claims_of("zhuang", "dalban", about=("complex U-Net beats", "skips")),
    "U-Nets and encoder-decoders: horses of CIFAR-10; in the last two rows all its classes, and flowers",
    key="claims",
)

# %% [markdown] answer=true
# Where a network has to paint luma, in RGB or as one of 24 RGB colors, the U-Net wins clearly, as the paper says. (Among
# the classifiers, as in the paper, it is deeper as well: section 3.) What this lab adds is the reason, and that little is
# left of it once luma is given.
#
# The paper warns that a network may not carry what it learned at 32 pixels over to larger pictures. Show both networks
# the same horses enlarged to 64: the U-Net loses skill. The network without skips *gains*, presumably because an enlarged
# picture has less fine detail for its bottleneck to lose; nobody has measured that.
#
# And Zhuang's "complex" U-Net, with strided and transposed convolutions and more than twice the parameters? The report
# found no difference in its losses. After one look at 40,000 images the complex one is *behind*, in RGB. It has to learn
# what the simple one is given, pooling and enlarging; perhaps one look is too short for that.

# %% [markdown]
# ## What to remember
#
# - **Ask what the shortcut carries.** In colorization it carries, above all, the luma, which was given. Predict chroma
#   over it, and the skips' gain shrinks from a triumph to a detail.
# - A control differs in one thing. Skips and depth together prove neither; nor does one seed.
# - A small map is not little room: position lives on in the channels. With skips, a deep bottleneck costs little.
# - "Vanishing gradients", "lost detail", "too few features" are measurements waiting to be made.
#
# **Decoding**
#
# - O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.
#   Its task needs the place of borders, and is *not* given them.
# - A. Odena, V. Dumoulin, C. Olah, "Deconvolution and checkerboard artifacts", *Distill*, 2016.
# - S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015; K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into
#   rectifiers", ICCV 2015: first weights that keep gradients alive without it.
# - G. Alain, Y. Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshop 2017.
# - A. Qureshi (`qureshi`) and A. Zhuang, A. Zhou, Y. Chen (`zhuang` in the published tables): the networks of this lab.
