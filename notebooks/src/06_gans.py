# %% [markdown]
# # GANs
#
# A network trained with squared error paints the average of all possible colors, and looks dull. A classifier keeps all
# the possibilities and still has to choose. Here is a third way: let a **second network** look at the pictures and say
# which of them are painted. Whoever paints brown balls into a world without brown balls will be found out.
#
# **75 minutes**, of which about 27 for the four exercises. After this lab you can
#
# - say why an adversary makes a network commit to a color, and what the game asks for in the end;
# - write the losses of both players, and read their curves;
# - compute what a discriminator can see, and find a famous setting that makes no sense on small images;
# - measure whether a conditional GAN *samples* from the possible colors or always picks the same one;
# - compare regressor, classifier and GAN without being fooled by a score.

# %% tags=["setup"]
import dataclasses
import functools
import math

import torch
from labkit import color, metrics, plots
from labkit.checks import check
from labkit.colorizer import Colorizer
from labkit.data import load, toyworld
from labkit.experiments.claims import claims_of
from labkit.experiments.published import published
from labkit.models import PatchGAN
from labkit.notebook.lab import begin
from labkit.representation import make_representation
from labkit.training import gan as gan_training
from labkit.widgets import explore
from scipy import ndimage

# %% tags=["parameters"]
profile: str = "auto"  # test, quick, course, gpu or auto
dataset: str = "auto"  # photographs to train on in section 7: cifar10; toyworld for none
seed: int = 0  # of the scenes, the first weights, the order of training and the noise
lambda_l1: float = 3.0  # weight of L1 beside the adversary in our first GAN, 0 or more

# %%
lab = begin("06_gans", profile=profile, dataset=dataset, seed=seed, lambda_l1=lambda_l1)

# %% [markdown]
# First we train three small U-Nets on toyworld, where the true probability of every color is known: a regressor (MSE),
# a classifier (313 bins, annealed mean, as in lab 03), and a GAN. It takes about half a minute. How the third one
# works is what this lab is about.

# %%
scenes = toyworld.generate(lab.choose(test=32, quick=1000, course=4000), seed=lab.seed)
world = toyworld.generate(
    lab.choose(test=40, quick=300, course=1000), seed=lab.seed, split="test"
)
torch.set_num_threads(1)  # the safe choice for batches this small, see lab 01


def trained(representation, network, learning_rate):
    """A small network, trained the usual way."""
    model = Colorizer(representation, network, width=16, convolutions=1, seed=lab.seed)
    history = model.fit(
        scenes.images,
        epochs=lab.choose(test=1, quick=3),
        batch_size=16,
        learning_rate=learning_rate,
        seed=lab.seed,
    )
    return model, history


def trained_gan(lambda_l1, noise=4):
    """The same network as a generator (`noise` random numbers are a second input), against a discriminator."""
    network = {"network": "unet-noise", "noise": noise} if noise else {"network": "unet"}
    painter = Colorizer("luma-chroma", **network, width=16, convolutions=1, seed=lab.seed)
    space = painter.representation
    discriminator = gan_training.discriminator_for(space, layers=1, width=16, seed=lab.seed)
    history = gan_training.fit_gan(
        painter.network,
        discriminator,
        space,
        scenes.images,
        epochs=lab.choose(test=1, quick=6),
        learning_rate=2e-3,
        lambda_l1=lambda_l1,
        seed=lab.seed,
    )
    return painter, history


regressor, regressor_history = trained("luma-chroma", "unet", 1e-2)
classifier, _ = trained(make_representation("ab313", input_gray="luma"), "unet-half", 1e-2)
gan, gan_history = trained_gan(lambda_l1)

# %%
truth = color.to_float(world.images)
gray = color.luma(truth)
space = regressor.representation
pictures = {
    "gray (no color)": metrics.gray_prediction(truth),
    "regressor": regressor(world.images).cpu(),
    "classifier": classifier(world.images).cpu(),
    "GAN": gan(world.images).cpu(),
}

# The scenes with the most kinds of things whose color is in doubt.
uncertain = [material for material in toyworld.MATERIALS if len(material.colors) > 1]
KIND = {material.name: index for index, material in enumerate(toyworld.MATERIALS)}
kinds = sum(
    (world.material == KIND[thing.name]).flatten(1).any(dim=1).int() for thing in uncertain
)
several = (kinds * 10_000 + world.ambiguous().flatten(1).sum(dim=1)).topk(6).indices

plots.show(
    plots.image_grid(
        {name: picture[several] for name, picture in (pictures | {"true": truth}).items()},
        scale=0.95,
    ),
    alt="Six scenes in five rows: gray; painted by the regressor, with dull brownish and grayish balls, "
    "balloons and kites; by the classifier, hardly livelier; by the GAN, in strong red, green, blue "
    "and violet, often others than the true ones and often one for a whole scene; and as they truly are.",
    caption="The same gray pictures, painted by three networks. Nothing tells them which color a "
    "ball, balloon or kite has.",
)

# %% [markdown]
# Which row would you hang on the wall? Now the scores.


# %%
def row(name, picture):
    """Colorfulness and scores of the pictures in one row of a table."""
    mse = float(metrics.mse(picture, truth).mean())
    mse_gray = float(metrics.mse(pictures["gray (no color)"], truth).mean())
    return {
        "painted by": name,
        "colorfulness": float(metrics.colorfulness(picture).mean()),
        "MSE": mse,
        "skill": metrics.skill(mse, mse_gray),
    }


best = space.decode(gray, toyworld.optimum(world, space, "mse").prediction)
rows = [row(name, picture) for name, picture in pictures.items()]
rows += [row("best by MSE (closed form)", best), row("true", truth)]
lab.table(rows, f"{len(world)} scenes not trained on", key="opening")

three = rows[1:4]
for key, way in (
    ("colorfulness", "from dull to colorful"),
    ("MSE", "from best to worst MSE"),
):
    order = sorted(three, key=lambda entry: entry[key])
    print(f"{way}:", ", ".join(str(entry["painted by"]) for entry in order))

# %% [markdown]
# Read the last two lines. If they agree (in the profile quick they do), then **the livelier, the worse**. Keep the gray
# row in mind, whose skill is 0 by definition. That the GAN loses by MSE is no accident of a short training: by the end
# of this lab you will know what a *perfect* one would score.

# %% [markdown]
# ## 1. Why an adversary commits
#
# Go back to one pixel of a ball: red, green or blue with the probabilities .42, .28 and .30, and a gray picture that
# does not tell. Two players:
#
# - the **generator** paints a color;
# - the **discriminator** is shown a color, sometimes a true one, sometimes a painted one, and says how probable it is
#   that it is true.
#
# If it has seen true colors with density $p(c)$ and painted ones with density $q(c)$, as often, its best answer is, by
# Bayes,
#
# $$D(c) = \frac{p(c)}{p(c) + q(c)} .$$
#
# The generator pays $-\log D(c)$ for a color. To this, pix2pix adds a fine for being far from the true color: $\lambda$
# times the L1 distance, which asks for the median of each coordinate, as in lab 01.
#
# Suppose that the generator paints the mean, as a regressor does. The map shows what each color would now cost it.
#
# **Predict:** where is the cheapest color, for $\lambda = 0$, for 1, and for 100?
#
# - (a) always at the mean: it is the best compromise;
# - (b) at a true color for 0 and 1, at a compromise for 100;
# - (c) at a true color for all three.

# %%
ball = toyworld.material("ball")
chance = torch.tensor(ball.probabilities)
palette = torch.tensor(ball.colors) / 255  # (3 colors, 3 channels)
names = ("red", "green", "blue")
candidates = space.target(palette.T[None, :, None])[
    0, :, 0
].T  # (3, 2), in the chroma plane
answers = {"the mean": chance @ candidates, **dict(zip(names, candidates, strict=True))}

side = torch.linspace(-0.62, 0.62, 125)
plane = torch.stack(torch.meshgrid(side, side, indexing="xy"), dim=-1)  # (125, 125, 2)


def density(centers, weights, width=0.1):
    """A smooth density on the plane: a network cannot tell colors apart that are much closer than `width`."""
    squared = (plane[:, :, None] - centers).square().sum(dim=-1)  # (125, 125, K)
    return (weights * (-squared / (2 * width**2)).exp()).sum(dim=-1) + 0.005


def costs(weight, painted_now):
    """What every color of the plane costs the generator: adversary and L1."""
    true = density(candidates, chance)
    painted = density(answers[painted_now][None], torch.ones(1))
    adversary = -(true / (true + painted)).log()
    l1 = ((plane[:, :, None] - candidates).abs().mean(dim=-1) * chance).sum(dim=-1)
    return adversary + weight * l1


def cheapest(weight, painted_now="the mean"):
    """The color (2,) of the plane that costs least."""
    return plane.flatten(0, 1)[costs(weight, painted_now).argmin()]


level = color.luma(palette.T[None, :, None])[:, :, :, :1]  # the luma that all three share
colors = color.luma_chroma_to_rgb(
    level.expand(1, 1, 125, 125), plane.permute(2, 0, 1)[None]
)
inside = ((colors >= 0) & (colors <= 1)).all(dim=1, keepdim=True)
background = torch.where(inside, colors, torch.ones(()))[0].permute(1, 2, 0).numpy()


def draw_costs(weight, painted_now):
    figure, axes = plots.subplots(height=3.3, width=4.9)
    extent = [float(side[0]), float(side[-1])] * 2
    axes.imshow(background, extent=extent, origin="lower")
    height = costs(weight, painted_now).numpy()
    axes.contour(
        side, side, height, levels=14, colors=plots.INK, linewidths=0.7, linestyles="-"
    )
    for name, place in zip(names, candidates, strict=True):
        axes.plot(*place, "o", color="white", markeredgecolor=plots.INK, markersize=8)
        axes.annotate(name, place, (8, 5), textcoords="offset points", size=9)
    marks = {
        f"painted now: {painted_now}": (answers[painted_now], "X"),
        "cheapest": (cheapest(weight, painted_now), "*"),
    }
    for name, (place, mark) in marks.items():
        axes.plot(
            *place,
            mark,
            color="white",
            markeredgecolor=plots.INK,
            markersize=13,
            label=name,
            linestyle="none",
        )
    axes.set_xlabel("first chroma coordinate", size=9)
    axes.set_ylabel("second chroma coordinate", size=9)
    axes.set_title(f"lambda = {weight:g}", size=9.5)
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        fontsize=8.5,
        frameon=False,
        labelspacing=1.2,
    )
    return figure


explore(
    draw_costs,
    weight=[0.0, 1.0, 3.0, 10.0, 100.0],
    painted_now=["the mean", *names],
    static={"weight": 1.0, "painted_now": "the mean"},
    alt="A map of all colors of one luma, with contour lines of what each costs the generator for lambda "
    "1. The mean, near the gray middle, where the generator is now, is the top of a hill. Around the "
    "true colors red, green and blue there are hollows, and the cheapest color lies in one of them.",
    caption="What every color of the same luma would cost a generator that now paints the mean, as a map "
    "with lines of equal cost: the top is where the generator is now, the star is the lowest point. The "
    "circles are the true colors of a ball. In the widget, *weight* is $\\lambda$.",
)


# %%
# NBVAL_CHECK_OUTPUT
for weight in (0, 1, 10, 100):
    away = (candidates - cheapest(weight)).norm(dim=1)
    near = names[int(away.argmin())]
    place = near if away.min() < 0.1 else f"none of the three, {near} is nearest"
    print(f"lambda {weight:3d}: the cheapest color is {place}")

# %% [markdown] answer=true
# **(b).** The mean is where the generator has been caught: nothing true looks like that ($p \approx 0$), much painted
# does, so $D \approx 0$ and $-\log D$ is large. The adversary turns the best compromise into the worst place on the
# map. Any true color is better, and *which* one hardly matters to it.
#
# L1 remembers the true color and pulls toward the compromise, harder the larger $\lambda$. At pix2pix's 100 it has the
# last word. (The map has one pixel and a discriminator that is always at its best; do not expect a network to change
# its mind at exactly the same $\lambda$.)

# %% [markdown]
# So the generator moves to, say, red. Is that the end? Set *painted now* to red in the widget, or think: now red is
# what is painted too often.
#
# **Predict:** the generator always moves to the color for which $D = p_k / (p_k + q_k)$ is largest, where $q_k$ is how
# often it has painted that color so far. After 100 rounds, how often has it painted red, green and blue?
#
# - (a) 100, 0, 0;
# - (b) about 33 times each;
# - (c) 42, 28 and 30 times.

# %%
# NBVAL_CHECK_OUTPUT
painted = torch.zeros(3)
first = []
for _ in range(100):
    D = chance / (chance + painted / painted.sum().clamp(min=1))
    move = int(D.argmax())
    painted[move] += 1
    first.append(names[move])
print("the first moves:", ", ".join(first[:8]), "...")
print("after 100:", dict(zip(names, painted.int().tolist(), strict=True)))

# %% [markdown] answer=true
# **(c).** The game has one state in which the discriminator learns nothing any more: $q = p$, where $D = 1/2$
# everywhere. What a GAN asks for is neither the mean nor the mode but a **draw from the posterior**. In this it differs
# from every loss of lab 01.
#
# But mind how the player reached it: by painting a different color each time. A network is a *function*. Shown the same
# gray picture, it paints the same color. Unless it has something to roll dice with, it cannot play this strategy. We
# come back to that in section 5.

# %% [markdown]
# ## 2. Two losses
#
# In practice both players are networks and take turns, one step each per batch. Scores are numbers without a limit;
# their sigmoid is the probability "true". With binary cross-entropy (BCE) the discriminator's loss asks for "true" on
# true pairs of gray and color and for "painted" on painted ones. The generator's loss asks for "true" on painted ones.
#
# ### Exercise 1: two players, two losses (10 minutes)
#
# Write `gan_losses(judge, gray, real, painted)`.
#
# - In: `judge(gray, color)`, a function that gives scores, of shape $(N, 1, h, w)$, one for each patch, not yet through
#   a sigmoid; `gray`, shape $(N, 1, H, W)$; `real` and `painted`, colors of shape $(N, 2, H, W)$. `painted` comes from
#   the generator, and slopes flow back through it.
# - Out: two scalar tensors, the discriminator's loss and the generator's. Both are binary cross-entropies averaged over
#   all scores. The discriminator's is **half** of the sum of its two parts, as in pix2pix. The generator's is the
#   cross-entropy of the painted scores with the label "true" (1).
# - The discriminator's loss must not teach the generator: no slope of it may reach `painted`. The generator's must.
#
# `torch.nn.functional.binary_cross_entropy_with_logits(scores, labels)` takes scores and labels of the same shape;
# `tensor.detach()` cuts a tensor off from what made it.


# %% exercise="06-gan-losses"
def gan_losses(
    judge, gray: torch.Tensor, real: torch.Tensor, painted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(discriminator's loss, generator's loss); judge(gray, color) gives scores (N, 1, h, w)."""
    ### BEGIN SOLUTION
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    on_real, on_painted = judge(gray, real), judge(gray, painted.detach())
    discriminators = 0.5 * (
        bce(on_real, torch.ones_like(on_real))
        + bce(on_painted, torch.zeros_like(on_painted))
    )
    fooled = judge(gray, painted)
    return discriminators, bce(fooled, torch.ones_like(fooled))
    ### END SOLUTION


# %% check="06-gan-losses"
check("06-gan-losses", gan_losses)

# %% [markdown]
# The whole loop is in `labkit/training/gan.py`, in one visible piece; it uses these losses. (`gan_loss="lsgan"` would
# replace cross-entropy by squared distances from 1 and 0.) Here is what happened while the GAN of the first picture was
# trained.
#
# **Predict:** for a discriminator that knows nothing, the loss is $\ln 2 \approx 0.69$. In a healthy training, where
# does it go?
#
# - (a) to 0: it is trained, so its loss falls;
# - (b) it stays somewhat below 0.69, the generator's stays somewhat above, and neither comes near 0;
# - (c) both losses fall to 0 together.

# %%
history = gan_history.rows
plots.show(
    plots.curves(
        {
            "discriminator": [entry["discriminator_loss"] for entry in history],
            "generator": [entry["generator_loss"] for entry in history],
            "L1 distance (not a player)": [entry["l1"] for entry in history],
        },
        optimum={"knows nothing": gan_training.uninformed_loss("bce")},
        ylabel="loss per epoch",
    ),
    alt="Three curves over the epochs of the training. The discriminator's loss lies a little below the "
    "dotted line at 0.69, the generator's a little above it, and neither comes near 0; the L1 "
    "distance falls. In numbers, per epoch: discriminator "
    + ", ".join(f"{entry['discriminator_loss']:.2f}" for entry in history)
    + "; generator "
    + ", ".join(f"{entry['generator_loss']:.2f}" for entry in history)
    + ".",
    caption="The losses of both players, and beside them the mean L1 distance of the painted from the true "
    "chroma.",
)
last = history[-1]
lab.record(
    discriminator_loss=last["discriminator_loss"],
    generator_loss=last["generator_loss"],
    share_of_patches_judged_rightly=last["discriminator_accuracy"],
)

# %% [markdown] answer=true
# **(b).** These are no ordinary loss curves: each is measured against an opponent who is learning, too. Level curves
# mean that both improve at the same pace, or that neither does. **You cannot read progress off them**; look at
# pictures, or at a number that has no opponent, such as the L1 distance here.
#
# What you *can* read off them is defeat. A discriminator at a loss near 0 has won: no painted patch fools it, whatever
# the generator tries, and a player whom nothing helps learns nothing. The numbers under the figure are far from that:
# in the last epoch the discriminator judged little more than half of the patches rightly, and half is guessing.

# %% [markdown]
# There is another defeat: a generator that paints the same colors whatever it is shown. labkit watches for both while
# it trains. This is what it would say of an invented epoch in which everything is lost, and of a healthy one:

# %%
# NBVAL_CHECK_OUTPUT
lost = {"discriminator_loss": 0.004, "discriminator_accuracy": 0.999, "variation": 0.02}
for kind, text in gan_training.collapse_warnings(lost).items():
    print(f"[{kind}] {text}.\n")
healthy = {"discriminator_loss": 0.6, "discriminator_accuracy": 0.7, "variation": 0.9}
print("in a healthy epoch:", gan_training.collapse_warnings(healthy) or "nothing")

# %% [markdown]
# ## 3. What the discriminator can see
#
# pix2pix's discriminator, a **PatchGAN**, does not judge a picture as a whole. It is a stack of 4x4 convolutions, some
# with stride 2, and ends in a small map of scores. Each score depends on one patch of the picture, its **receptive
# field**. Small patches ask "is this texture, this edge, this ball true?"; large ones "is this scene?". But a picture
# has few different large patches, and the training pictures are the more easily learned by heart.
#
# ### Exercise 2: what one score can see (5 minutes)
#
# Write `receptive_field(layers)`.
#
# - In: `layers`, a list of pairs (kernel, stride) of whole numbers, one for each convolution, from the picture to the
#   score. pix2pix with one layer is `[(4, 2), (4, 1), (4, 1)]`.
# - Out: how many pixels a side one score depends on, a whole number. (Padding does not count. For the example: 16.)
#
# Start from one score and go *backward*. One output of the last layer depends on `kernel` of its inputs. And if you
# need $k$ neighboring outputs of a layer: how many of its inputs do they depend on? Draw it for kernel 4 and stride 2.


# %% exercise="06-receptive-field"
def receptive_field(layers: list[tuple[int, int]]) -> int:
    """Pixels a side that one output depends on; layers of (kernel, stride), from the input on."""
    ### BEGIN SOLUTION
    size = 1
    for kernel, stride in reversed(layers):
        size = (size - 1) * stride + kernel
    return size
    ### END SOLUTION


# %% check="06-receptive-field"
check("06-receptive-field", receptive_field)

# %%
# NBVAL_CHECK_OUTPUT
judges = {layers: PatchGAN(2, layers=layers, width=4) for layers in (1, 2, 3)}
print("layers  receptive field  scores of a 32x32 picture  of a 256x256 picture")
for layers, judge in judges.items():
    field, few, many = judge.receptive_field, judge.scores_for(32), judge.scores_for(256)
    print(
        f"{layers:6}  {f'{field}x{field}':>15}  {f'{few}x{few}':>25}  {f'{many}x{many}':>20}"
    )

# %%
example = truth[several[0]]
figure, panels = plots.subplots(1, 3, height=2.75)
for axes, (layers, judge) in zip(panels, judges.items(), strict=True):
    field, few = judge.receptive_field, judge.scores_for(32)
    axes.imshow(example.permute(1, 2, 0).numpy(), extent=(0, 32, 32, 0))
    a, z = 16 - field / 2, 16 + field / 2
    axes.plot([a, z, z, a, a], [a, a, z, z, a], "-", color=plots.INK, linewidth=2)
    axes.set_xlim(-20, 52)
    axes.set_ylim(52, -20)
    axes.set_title(
        f"{layers} layer{'s' * (layers > 1)}: {field}x{field}, {few * few} scores"
    )
    axes.set_axis_off()
plots.show(
    figure,
    alt="The same 32x32 scene three times, with a square around what one score sees. With one layer the "
    "square covers half of the scene's width; with two it is just larger than the scene; with three "
    "it is more than twice as wide as the scene, and most of it lies outside.",
    caption="The receptive field of the middle of the picture, for one, two and three layers.",
)

# %% [markdown]
# ### Spot the error
#
# pix2pix's standard discriminator has three layers, and everybody calls it "the 70x70 PatchGAN". You read of a study on
# CIFAR-10, 32x32 pixels: "we use a 70x70 PatchGAN, which judges local patches". What is wrong, and which number of
# layers would do what the sentence says?

# %% [markdown] answer=true
# There is no 70x70 patch in a picture of 32x32. Its 2x2 scores all see the *whole* picture (and much padding): a global
# discriminator in four nearly identical copies. Two layers (34x34) are nearly global, too: the scores in the middle see
# 31 of the 32 rows and columns, and even those in the corners see 23. To judge local patches there takes **one layer**:
# 16x16 patches, 14x14 scores. That is what our GAN has. A setting that is right at 256 pixels need not be right at 32.

# %% [markdown]
# ## 4. Lambda, from 0 to 100
#
# $\lambda$ weighs L1, which knows the true color, against the adversary, which knows what true colors look like.
# pix2pix takes 100, our GAN 3. We train one with 100, one with 0, and one network with L1 alone ($\lambda = \infty$, if
# you like).
#
# Beside skill stands **KID**, a distance between two *sets* of pictures in what a small classifier sees in them: low
# means that painted and true pictures look alike as sets, whether or not each is like its own original. Exercise 4
# takes it apart.
#
# **Predict:** from $\lambda = 100$ down to 0, what happens?
#
# - (a) skill and KID both get better: less L1, less averaging;
# - (b) skill gets worse, KID better, all the way: at 0 only realism counts;
# - (c) skill gets worse all the way, KID gets better at first and then worse again.

# %%
sweep = {lambda_l1: (gan, gan_history)}
for weight in lab.choose(test=(100.0,), quick=(0.0, 100.0), course=(0.0, 1.0, 10.0, 100.0)):
    if weight not in sweep:
        sweep[weight] = trained_gan(weight)
sweep = dict(sorted(sweep.items(), reverse=True))
only_l1, _ = trained(make_representation("luma-chroma", alpha=0.0), "unet", 2e-2)
swept = {"L1 alone": only_l1(world.images).cpu()} | {
    f"lambda {weight:g}": pictures["GAN"] if model is gan else model(world.images).cpu()
    for weight, (model, _) in sweep.items()
}

plots.show(
    plots.image_grid(
        {
            **{name: picture[several[:4]] for name, picture in swept.items()},
            "true": truth[several[:4]],
        },
        scale=0.75,
    ),
    alt="Four scenes painted by a network with L1 alone, then by GANs with falling lambda, then true. L1 "
    "alone paints its balls in one dull color. With lambda 100 it is stronger, but much the same in all "
    "scenes; with 3 it changes from scene to scene; with 0 it does, too, and sky, grass, hedge or "
    "sun are stained here and there.",
    caption="One generator, trained with different weights of L1.",
)

# %%
certain = ~world.ambiguous()[:, None].expand_as(truth)


@functools.cache  # some pictures come again in section 6
def kid(picture):
    """KID of pictures in the place of the true ones."""
    return metrics.kid(picture, truth)[0]


def sweep_row(name, picture):
    wrong = (picture - truth)[certain].square().mean().sqrt()
    return row(name, picture) | {
        "error where one color is possible, of 255": round(255 * float(wrong), 2),
        metrics.KID_NAME: kid(picture),
    }


rows = [
    sweep_row(name, picture)
    for name, picture in ({"gray (no color)": pictures["gray (no color)"]} | swept).items()
]
rows += [sweep_row("best by MSE (closed form)", best), sweep_row("true", truth)]
lab.table(rows, "From much L1 to none", key="sweep")
for weight, (_, notes) in sweep.items():
    for warning in notes.warnings.values():
        print(f"lambda {weight:g}, {warning}")

# %% [markdown] answer=true
# In the profile quick: **(c)**. Every step away from L1 costs skill. KID is lowest in between, at $\lambda = 3$: a
# fraction of that of the *best prediction by MSE*, whose colors are perfect by one measure and conspicuous by the
# other. (The features are those of a classifier that has never seen a toyworld. Take KID as a hint.)
#
# At $\lambda = 0$ the adversary is alone. It must find out by itself, from "true" and "painted", that grass is green.
# It would in the end; in our short training the error where *only one* color is possible is clearly larger. L1 is a
# cheap teacher of all that is certain, and a little of it is enough.
#
# And colorfulness? L1 alone stays as dull as the best prediction, but from 100 down to 0 not much happens: even at 100
# the adversary makes itself felt. That is lab 01's flat valley. Where several colors are possible, L1 hardly minds
# which strong color is painted, so a weak adversary can decide. But look at the balls in the pictures: at 100 most of
# them have *the same* color, from scene to scene. What a smaller $\lambda$ buys is not color. It is variety.

# %% [markdown]
# ## 5. Does it sample?
#
# Section 1 said: the game asks for a draw from the posterior. Does our GAN do that? We take every ball among the scenes
# not trained on, average its color with light and shade taken out, and find the nearest of the ball's three true
# colors. If they come out .42, .28, .30, then the GAN draws as nature does. How far it is off says the **total
# variation**, $\frac{1}{2} \sum_k |q_k - p_k|$: 0 is perfect, and always painting red would be .58.
#
# One more network joins: the same GAN *without* noise, whose only input is the gray picture.

# %%
mute, _ = trained_gan(lambda_l1, noise=0)
pictures["GAN without noise"] = mute(world.images).cpu()

# Things, one by one: what lies within an outline.
within = world.ambiguous()
for name in ("stripe", "glint", "string"):
    within = within | (world.material == KIND[name])
things = []  # (scene, mask, kind)
for number, picture in enumerate(within.numpy()):
    parts, count = ndimage.label(picture)
    for part in range(1, count + 1):
        mask = torch.from_numpy(parts == part) & world.ambiguous()[number]
        if mask.sum() >= 20:
            things.append((number, mask, int(world.material[number][mask][0])))
balls = [(number, mask) for number, mask, kind in things if kind == KIND["ball"]]
scene_of = torch.tensor([number for number, _ in balls])  # (B,)
masks = torch.stack([mask for _, mask in balls])[:, None]  # (B, 1, 32, 32)


def over_balls(picture):
    """The mean over the pixels of each ball: (N, C, 32, 32) -> (B, C)."""
    return (picture[scene_of] * masks).sum(dim=(2, 3)) / masks.sum(dim=(2, 3))


def ball_colors(picture):
    """The mean color of every ball without its shade, (B, 3) in 0..1, and the nearest candidate, (B,)."""
    found = over_balls(picture - world.shade[:, None] / 255)
    return found, torch.cdist(found, palette).argmin(dim=1)


def shares(chosen):
    """How often each candidate was chosen, (3,)."""
    return torch.bincount(chosen.flatten(), minlength=3) / chosen.numel()


def total_variation(q, p):
    return float((q - p).abs().sum()) / 2


# What a perfect GAN would paint: every thing drawn anew from its posterior.
possible, probability = world.posterior()


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    picture = truth.clone()
    for number, mask, kind in things:
        odds = torch.tensor(toyworld.MATERIALS[kind].probabilities)
        choice = int(torch.multinomial(odds, 1, generator=generator))
        picture[number][:, mask] = possible[number, choice][:, mask] / 255
    return picture


pictures["drawn from the posterior"] = drawn(lab.seed)

# %% [markdown]
# **Predict:** which network comes nearest to .42, .28, .30, and what do the others do?
#
# - (a) the regressor paints all balls in one brown, both GANs paint in all three colors;
# - (b) the regressor paints all balls in one brown, the GAN without noise in one favorite color, with noise in all
#   three;
# - (c) both GANs have a favorite color: a network is a function, and noise is just one more input to ignore.

# %%
rows = []
mirrored = mute(world.images.flip(-1)).flip(-1).cpu()
for name, picture in (
    pictures | {"GAN without noise, mirrored pictures": mirrored, "true": truth}
).items():
    found, chosen = ball_colors(picture)
    off = (found - palette[chosen]).square().mean(dim=1).sqrt().mean()
    share = shares(chosen)
    rows.append(
        {
            "painted by": name,
            **{f"{c}, %": 100 * float(v) for c, v in zip(names, share, strict=True)},
            "total variation": total_variation(share, chance),
            "distance from that color, of 255": round(255 * float(off), 2),
        }
    )
rows.append(
    {
        "painted by": "the posterior itself",
        **{f"{c}, %": 100 * float(v) for c, v in zip(names, chance, strict=True)},
        "total variation": 0.0,
        "distance from that color, of 255": 0.0,
    }
)
lab.table(
    rows,
    f"The nearest true color of {len(balls)} balls, each painted once",
    key="histogram",
)

changed = ball_colors(mirrored)[1] != ball_colors(pictures["GAN without noise"])[1]
lab.record(
    without_noise_other_color_in_the_mirrored_picture_percent=100
    * float(changed.float().mean())
)

# %% [markdown] answer=true
# In the profile quick with seed 0: **(b)**. The regressor paints one brown for all balls, the classifier another. (The
# last column says how far it is from any color that a ball can have. Its *nearest* color means little then.)
#
# The GAN without noise commits to colors that exist. With seed 0 it paints nearly all balls alike. With others (try 2)
# a good part comes out in a second and third color, although this network has nothing to roll dice with! What decides
# the color of a ball then? Something in the gray picture that has nothing to do with it. Look at the other row of this
# GAN, where each picture was mirrored before it was painted (and mirrored back). Mirroring changes nothing that
# matters, and yet most balls change their color (the last line counts them). labkit mirrors half of the training
# pictures, as is usual, so the light falls from the left in one half and from the right in the other. That says nothing
# about the color of a ball. Just for this reason it makes good **dice**, and the generator has learned to read them.
# (With yet another seed it may find others.) The adversary asks only that the colors *occur*, not why. A function
# cannot roll dice, but it looks for some.
#
# The GAN with noise paints all three colors, much nearer the true odds than any favorite would be. Nobody told it these
# odds, and it was never shown two colors for one picture.

# %% [markdown]
# A histogram over many pictures does not show that a *single* picture can come out in several colors. So we fix the
# pictures and roll the dice: each ball is painted many times with other noise.
#
# **Predict:** how many balls have the same color every time, for $\lambda = 3$, and for pix2pix's 100?
#
# - (a) hardly any, for both: the noise is an input like any other;
# - (b) hardly any for 3, many for 100;
# - (c) nearly all, for both: the gray picture says more than noise.

# %%
rolls = lab.choose(test=3, quick=8, course=32)
dice = {"GAN without noise": mute} | {
    f"GAN, lambda {weight:g}": model for weight, (model, _) in sweep.items()
}
paintings = {
    name: [
        gan_training.sample(model.network, model.representation, world.images, roll).cpu()
        for roll in range(rolls)
    ]
    for name, model in dice.items()
} | {"drawn from the posterior": [drawn(roll) for roll in range(rolls)]}
pairs = [
    (one, other)
    for other in range(len(balls))
    for one in range(other)
    if scene_of[one] == scene_of[other]
]

rows = []
for name, painted in paintings.items():
    chosen = torch.stack([ball_colors(picture)[1] for picture in painted])  # (rolls, B)
    each = [total_variation(shares(column), chance) for column in chosen.T]
    alike = [
        float((chosen[:, one] == chosen[:, other]).float().mean()) for one, other in pairs
    ]
    rows.append(
        {
            "painted by": name,
            "same color in every roll, %": 100
            * float((chosen == chosen[0]).all(dim=0).float().mean()),
            "total variation, per ball": sum(each) / len(each),
            "total variation, all together": total_variation(shares(chosen), chance),
            "two balls of one scene alike, %": 100 * sum(alike) / max(1, len(alike)),
        }
    )
lab.table(
    rows,
    f"{len(balls)} balls, each painted {rolls} times with other noise: the nearest true color",
    key="rolls",
)

# How many of the discriminator's patches, 16x16 pixels every 2, show at least 10 pixels of two balls?
pixels = 256 * torch.nn.functional.avg_pool2d(masks.float(), 16, stride=2, padding=5)
seen_balls = torch.zeros(len(world), 14, 14).index_add(
    0, scene_of, (pixels[:, 0] >= 10).float()
)
lab.record(
    patches_that_show_two_balls_percent=100 * float((seen_balls >= 2).float().mean())
)

# %%
largest = max(balls, key=lambda found: int(found[1].sum()))[0]
shown = min(6, rolls)
plots.show(
    plots.image_grid(
        {
            name: torch.stack([picture[largest] for picture in painted[:shown]])
            for name, painted in paintings.items()
            if name not in ("GAN, lambda 10", "GAN, lambda 1", "GAN, lambda 0")
        },
        columns=[f"roll {roll + 1}" for roll in range(shown)],
        scale=0.9,
    ),
    alt="One scene with a large ball, painted with different noise from left to right. The GAN without "
    "noise paints the same picture every time, and with lambda 100 the noise changes little. With lambda "
    "3 the ball comes out in clearly different colors. The last row is drawn from the true posterior.",
    caption="One gray picture, painted again and again. Only the noise differs.",
)

# %% [markdown] answer=true
# In the profile quick: **(b)**. Without noise nothing can change, of course. With it, hardly a ball keeps its color at
# $\lambda = 3$: this conditional GAN **does sample**. At 100 many balls keep theirs (with seed 0 nearly all), and the
# odds are far off: its total variation is near that of one color for all. To L1 every variation is an error, and at 100
# it outweighs most of what the adversary pays for variety. pix2pix's authors report the same: their network learned to
# ignore the noise.
#
# Compare the column "per ball" with the last row: even perfect dice do not hit .42, .28, .30 in so few rolls. Ours are
# a little worse than perfect.
#
# So is it nearly perfect? Look at the last column. In nature the balls of one scene are drawn one by one, and two of
# them are alike with probability $.42^2 + .28^2 + .30^2 = .34$. Our GAN paints them alike much more often: its few
# random numbers are the same all over the picture, so everything in it follows the same dice. And its discriminator
# seldom has anything to object to: few of its patches show much of two balls (the line below the table counts them). (A
# ball wider than a patch may even get two colors.) **Ball by ball it draws from something like the posterior, scene by
# scene it does not.** A histogram of single colors does not show that. Whatever you do not measure, a GAN need not get
# right.
#
# "Does a conditional GAN sample, or does it pick one color per context?" has three answers, then. Without noise it
# cannot sample. With noise and a small $\lambda$ it can. With noise and a large $\lambda$ it mostly picks.

# %% [markdown]
# ## 6. By the numbers
#
# The paper whose topic this lab follows (`gan` in the published tables) compares a classifier with a conditional GAN on
# CIFAR-10. One of its scores is **pixel accuracy**: the share of pixels whose color is right within a threshold.
#
# ### Exercise 3: pixel accuracy, channel by channel (4 minutes)
#
# Write `channel_accuracy(pred, true, threshold)`.
#
# - In: two batches of pictures, float tensors of shape $(N, 3, H, W)$ in 0 to 1, and a threshold, for example .05.
# - Out: three numbers, shape $(3,)$: for red, green and blue the share of values, among all pixels of all pictures,
#   that differ from the true ones by at most the threshold.


# %% exercise="06-channel-accuracy"
def channel_accuracy(
    pred: torch.Tensor, true: torch.Tensor, threshold: float
) -> torch.Tensor:
    """Share (3,) of right values of each channel; pred and true (N, 3, H, W) in 0..1."""
    ### BEGIN SOLUTION
    right = (pred - true).abs() <= threshold
    return right.float().mean(dim=(0, 2, 3))
    ### END SOLUTION


# %% check="06-channel-accuracy"
check("06-channel-accuracy", channel_accuracy)

# %% [markdown]
# The paper finds that red is harder to predict than green and blue.
#
# **Predict:** a network is given the luma, $.299\,R + .587\,G + .114\,B$, and keeps it exactly. Which channel will have
# the largest error?
#
# - (a) red is the hardest, as they say;
# - (b) green never has the largest error; which of the other two does depends on the pictures;
# - (c) all three are alike: the network is trained on all of them.


# %%
def accuracies(name, picture, true):
    """Pixel accuracy, and the root mean square error of each channel: a row of a table."""
    true = color.to_float(true)
    right = metrics.pixel_accuracy(picture, true, threshold=0.05)
    error = 255 * (picture - true).square().mean(dim=(0, 2, 3)).sqrt()
    return (
        {"painted by": name}
        | {f"right, {key}": float(value.mean()) for key, value in right.items()}
        | {f"error, {key}": float(e) for key, e in zip(names, error, strict=True)}
    )


photos = load("photos", "test").images
starter = Colorizer.starter().colorize(photos, working_size=96).cpu()
rows = [
    accuracies(f"toyworld: {name}", picture, truth) for name, picture in pictures.items()
]
rows += [
    accuracies("photographs: gray (no color)", metrics.gray_prediction(photos), photos),
    accuracies("photographs: starter model", starter, photos),
]
lab.table(
    rows,
    "Share of pixels within .05 (all channels, and each), and root mean square error, of 255",
    key="accuracy",
)

# %% [markdown] answer=true
# **(b).** The luma is right, so the errors are bound to each other: $.299\,e_R + .587\,e_G + .114\,e_B = 0$. Solve for
# $e_G$, and for the root mean squares it follows (triangle inequality) that
#
# $$\text{rms}_G \le \frac{.299\,\text{rms}_R + .114\,\text{rms}_B}{.587} \le .70 \max(\text{rms}_R, \text{rms}_B) .$$
#
# **Green cannot have the largest root mean square error**, whatever the network; see the gray rows, where there is
# none. Which of the other two has it depends on the pictures and the painter: on these scenes it is blue for gray, and
# red for the regressor. And it depends on the score: on these photographs red has a slightly larger root mean square
# error than blue, and yet *blue* is less often within .05, for gray as for the starter model. A study that finds red
# the hardest has found something about its pictures, its color space or its score; without a gray row one cannot tell
# what is due to the network.

# %% [markdown]
# ### Exercise 4: KID on features (8 minutes)
#
# PSNR compares each picture with its original. The **kernel inception distance** compares two *sets*: are the painted
# pictures, as a set, like true ones? It takes a classifier's inner numbers, $d$ **features** a picture, $x_1 \dots x_m$
# of the painted and $y_1 \dots y_n$ of the true ones. With the kernel
#
# $$k(a, b) = \left(\frac{a \cdot b}{d} + 1\right)^3$$
#
# it is the mean of $k$ within the one set, plus the mean of $k$ within the other, minus twice the mean of $k$ between
# them:
#
# $$\frac{1}{m(m-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{n(n-1)} \sum_{i \ne j} k(y_i, y_j)
# {} - \frac{2}{mn} \sum_{i, j} k(x_i, y_j) .$$
#
# Within a set, a picture is not compared with itself. That makes the estimate **unbiased**: for two samples of the same
# pictures it is 0 on average, now a little above, now a little below.
#
# Write `kernel_distance(x, y)`. In: `x` of shape $(m, d)$ and `y` of shape $(n, d)$, float. Out: one number. (`x @ y.T`
# holds all products; `matrix.trace()` sums a diagonal.)


# %% exercise="06-kid"
def kernel_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """The unbiased squared kernel distance of features x (m, d) and y (n, d)."""

    ### BEGIN SOLUTION
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a):
        k = kernel(a, a)
        return (k.sum() - k.trace()) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())
    ### END SOLUTION


# %% check="06-kid"
check("06-kid", kernel_distance)

# %% [markdown]
# Now everything in one table. The features are those of a small classifier that ships with labkit, not the Inception
# network of the literature: the column is named after it, and **no published KID can be compared with it**.
#
# **Predict:** how does a *perfect* GAN, whose colors are drawn from the true posterior, score by MSE, beside the best
# prediction by MSE?
#
# - (a) as well: it knows all that can be known;
# - (b) its MSE is twice as large;
# - (c) that depends on the posterior.
#
# And by PSNR, in which papers report the same errors?

# %%
everything = {
    **pictures,
    "313 bins, best possible (oracle)": classifier.representation.oracle(world.images, 2),
    "best by MSE (closed form)": best,
    "true": truth,
}
rows = []
for name, picture in everything.items():
    scores = metrics.score(picture, truth)
    rows.append(
        row(name, picture)
        | {
            "PSNR (pooled)": scores["psnr_pooled"],
            "PSNR (mean)": scores["psnr_mean"],
            "SSIM": scores["ssim"],
            "pixel accuracy": float(metrics.pixel_accuracy(picture, truth)["all"].mean()),
            metrics.KID_NAME: kid(picture),
        }
    )
lab.table(rows, f"All painters, {len(world)} scenes not trained on", key="scores")
by_name = {entry["painted by"]: entry for entry in rows}
lab.record(
    mse_of_draws_over_best_mse=by_name["drawn from the posterior"]["MSE"]
    / by_name["best by MSE (closed form)"]["MSE"]
)

# %% [markdown] answer=true
# **(b).** Let the true color $X$ and the painted one $Y$ be drawn independently from the same posterior, with mean $m$.
# Then
#
# $$E\lVert X - Y \rVert^2 = E\lVert X - m \rVert^2 + E\lVert Y - m \rVert^2 = 2\, E\lVert X - m \rVert^2 :$$
#
# once for not knowing the truth, once for daring to choose. A perfect sampler has **exactly twice the MSE of the best
# answer, 3 dB less PSNR**, whatever the posterior. (The printed ratio is near 2; luck moves it.) That is what a GAN
# aims at: the row "drawn from the posterior", and by MSE ours comes close. It must lose to the best prediction, and if
# it does not, it has not done its own job. By KID the order is another one: there the draws are as good as the truth,
# up to chance, and dull pictures pay.
#
# Now the trap. The 3 dB hold for the PSNR of the *pooled* MSE. Most papers print the *mean of the pictures' PSNR*, and
# there the draws win! A draw that happens to be right in a whole scene is perfect, and a perfect picture counts 50 dB
# here (and infinitely much where nobody caps it); the mean prediction is never quite right anywhere. The same pictures,
# the same errors, and the averaging decides who wins.

# %%
claims = {"psnr": "PSNR (mean)", "ssim": "SSIM", "pixel accuracy": "pixel accuracy"}
rows = []
for metric, column in claims.items():
    (claim,) = published("gan", system="GAN", metric=metric)
    rows.append(
        {
            "score": column,
            "published, of the GAN": claim.claim,
            "ours: GAN": by_name["GAN"][column],
            "ours: classifier": by_name["classifier"][column],
            "gray": by_name["gray (no color)"][column],
            "drawn from the posterior": by_name["drawn from the posterior"][column],
        }
    )
rows.append(
    {
        "score": "skill",
        "published, of the GAN": "not given (no gray row)",
        **{
            column: by_name[name]["skill"]
            for column, name in {
                "ours: GAN": "GAN",
                "ours: classifier": "classifier",
                "gray": "gray (no color)",
                "drawn from the posterior": "drawn from the posterior",
            }.items()
        },
    }
)
lab.table(
    rows,
    "What the paper says of its GAN, beside ours on toyworld (other pictures, other networks)",
    key="claims",
)

# %% [markdown]
# The paper's GAN beats its classifier by PSNR and by pixel accuracy. How can that be, when drawing costs 3 dB? We know
# its networks only in outline, and our source names neither its $\lambda$, nor its threshold, nor the averaging of its
# PSNR. Each of the three may turn the order round. With pix2pix's 100 a GAN learns much from L1, and a network trained
# by distance alone is no bad guesser: our regressor beats classifier *and* GAN in pixel accuracy. It might be L1 that
# wins, not realism. And pixel accuracy is unkind to classifiers for another reason: see the oracle row. Even the *best
# possible* choice among 313 bins, at half resolution as here, is right within .05 for fewer than half of the pixels,
# although its MSE is small.

# %% [markdown]
# ### Spot the errors
#
# From the same paper, in our words:

# %%
for fact in [
    *published("gan", metric="cost"),
    *published("gan", metric="training hours"),
    *published("gan", metric="mistaken for true, percent"),
    *published("gan", metric="raters"),
]:
    value = "" if fact.value is None else f" {fact.value:g}:"
    print(f"- {fact.system}, {fact.metric}:{value} {fact.claim}")

for name, notes in {"regressor": regressor_history, "GAN": gan_history}.items():
    each = 1000 * notes.seconds / (len(scenes) * len(notes.rows))
    print(f"- ours: {name}, {each:.2f} milliseconds of training per image and epoch")

# %% [markdown]
# **Two** things do not hold together. Which? And for the second: how many trials must there have been? Try it before
# you run the next cell. (16 raters, each with the same number of trials; both percentages have two decimals.)


# %%
# NBVAL_CHECK_OUTPUT
def possible_share(trials, percent):
    """Whether a whole number out of `trials` is this percentage, to two decimals."""
    nearest_count = round(trials * percent / 100)
    return round(100 * nearest_count / trials, 2) == percent


percents = [fact.value for fact in published("gan", metric="mistaken for true, percent")]
fits = [n for n in range(16, 10_000, 16) if all(possible_share(n, p) for p in percents)]
print(f"{percents} percent, 16 raters with equally many trials: at least {fits[0]} trials")
for trials in (160, 480, fits[0]):
    p = percents[0] / 100
    half = 1.96 * math.sqrt(p * (1 - p) / trials)
    print(f"  with {trials:4d} trials: {percents[0]} +- {100 * half:.1f} percent")

# %% [markdown] answer=true
# 1. **"More computation", and 4 hours against 4.5.** The GAN is called the costlier one and took less time. Per step a
#    GAN does cost more: it runs a second network three times (ours shows how much, per image). But the two trainings
#    ran on different GPUs, each with its own number of epochs. Neither the hours nor the claim can be used.
# 2. **40.69 % without a number of trials.** No interval can be given without $n$. If each of the 16 raters judged
#    equally many pictures, both percentages need at least 2,352 trials, 147 for each student. Perhaps they did. Perhaps
#    somebody divided otherwise. With 160 trials the interval would be 15 points wide. And what is chance? If each trial
#    showed three pictures, the original, the classifier's and the GAN's, then a rater who guesses takes each for true
#    in 33.3 % of the trials.

# %% [markdown]
# ## 7. Photographs
#
# Toyworld knows its posterior, photographs do not tell theirs. What is left are the scores. The profile course (or
# `dataset = "cifar10"`) trains regressor, classifier and three GANs on photographs: ours, one with pix2pix's $\lambda$,
# and the paper's, as far as it is told.
#
# **Predict**, before you run it: which of them will have the best skill, and which the best KID? (The table is the
# answer.)

# %%
if lab.dataset not in ("toyworld", "photos"):
    seen = load(
        lab.dataset,
        "train",
        limit=lab.choose(test=32, quick=500, course=20_000),
        seed=lab.seed,
    ).images
    unseen = load(
        lab.dataset,
        "test",
        limit=lab.choose(test=32, quick=300, course=2000),
        seed=lab.seed,
    ).images
    true = color.to_float(unseen)
    width, epochs = (
        lab.choose(test=4, quick=16, course=32),
        lab.choose(test=1, quick=2, course=8),
    )
    painted = {"gray (no color)": metrics.gray_prediction(true)}
    for name, representation in {"regressor": "luma-chroma", "classifier": "ab313"}.items():
        model = Colorizer(representation, "unet-half", width=width, seed=lab.seed)
        model.fit(seen, epochs=epochs, seed=lab.seed)
        painted[name] = model(unseen).cpu()

    players = {}
    for weight in (lambda_l1, 100.0):
        model = Colorizer("luma-chroma", "unet-noise", width=width, seed=lab.seed)
        space = model.representation
        discriminator = gan_training.discriminator_for(
            space, layers=1, width=width, seed=lab.seed
        )
        settings = gan_training.GanSettings(learning_rate=1e-3, lambda_l1=weight)
        players[f"GAN, lambda {weight:g}"] = (model.network, discriminator, space, settings)
    players["C-DCGAN, as far as told"] = gan_training.c_dcgan(width=width, seed=lab.seed)
    for name, (generator, discriminator, space, settings) in players.items():
        settings = dataclasses.replace(
            settings, epochs=epochs, batch_size=64, seed=lab.seed
        )
        notes = gan_training.fit_gan(
            generator, discriminator, space, seen, **vars(settings)
        )
        painted[name] = Colorizer(space, generator)(unseen).cpu()
        for warning in notes.warnings.values():
            print(f"{name}, {warning}")

    rows = []
    for name, picture in painted.items():
        scores = metrics.score_with_gray(picture, true)
        kept = {key: scores[key] for key in ("psnr_mean", "ssim", "skill", "colorfulness")}
        right = accuracies(name, picture, true)
        distance, _ = metrics.kid(picture, true)
        rows.append(right | kept | {metrics.KID_NAME: distance})
    lab.table(
        rows, f"{lab.dataset}: {len(unseen)} photographs not trained on", key="photographs"
    )
    plots.show(
        plots.image_grid(
            {name: picture[:8] for name, picture in painted.items()} | {"true": true[:8]}
        ),
        alt=f"Eight photographs of {lab.dataset}, gray, painted by each network, and true.",
        caption="The same comparison on photographs.",
    )
else:
    print('photographs to train on: set dataset="cifar10" (profile course does)')

# %% [markdown]
# ### The papers' claims, tested
#
# A lab trains small networks, mostly once. `labkit reproduce` trains the papers' systems on photographs over three seeds.
# *Gain* is by how much the one that should be better is better; a claim stays *undecided* where the 95 % interval of its
# gain holds zero.

# %%
lab.table(
    claims_of("cnn-vs-gan"),
    "Classifier and GAN on CIFAR-10",
    key="claims_photographs",
)

# %% [markdown] answer=true
# On photographs, too, the GAN loses by PSNR and by right pixels, to the classifier as to its own generator trained without
# an adversary, and it paints the more colorful pictures. It is *our* GAN after three epochs: where the paper's own settings
# are not told, only the order can be tested, and it came out the other way round.
#
# Which channel is hardest? Green is right most often whoever paints, and that is no feat: green is .587 of luma, and luma
# is given. By the same token blue, .114 of it, should be hardest, and it is: "red is predicted worse than green and blue"
# holds against green and is refuted against blue.

# %% [markdown]
# ## What to remember
#
# - **Realism and accuracy pull apart.** A perfect sampler has twice the MSE of the best guess. A score that rewards the
#   mean cannot judge a GAN, and a score of sets cannot say whether a picture is right.
# - An adversary makes the mean the worst answer there is. Which color a network then commits to is another question:
#   with noise and little L1 it can be drawn from the posterior; with much L1 the noise is mostly ignored; without
#   noise, whatever is in the picture serves as dice.
# - GAN losses are not progress. Read them for defeat; for progress look at pictures, or at a number without an
#   opponent.
# - A setting carries its scale with it: "70x70" judges patches at 256 pixels, and everything at 32.
#
# **Decoding**
#
# - I. Goodfellow and others, "Generative adversarial nets", NeurIPS 2014: the game, its optimal discriminator, and the
#   generator's loss used here.
# - P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, "Image-to-image translation with conditional adversarial networks", CVPR
#   2017: pix2pix, PatchGAN, $\lambda = 100$, and why its noise is ignored.
# - X. Mao and others, "Least squares generative adversarial networks", ICCV 2017: LSGAN.
# - Y. Blau, T. Michaeli, "The perception-distortion tradeoff", CVPR 2018: realism against accuracy, proved.
# - M. Bińkowski, D. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", ICLR 2018: KID.
# - "Automatic image colorization with convolutional neural networks and generative adversarial networks" (`gan` in the
#   published tables): classifier and GAN on CIFAR-10.
