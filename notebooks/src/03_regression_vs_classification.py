# %% [markdown]
# # Regression vs classification
#
# Lab 01 ended with a dull truth: a network trained with squared error paints the mean of all possible colors, and the
# mean of red, green and blue is brown. So do not ask it for a color. Ask **how probable each color is**, and choose
# afterwards. Colors become classes, and colorization becomes classification.
#
# **75 minutes**, of which about 27 for the five exercises. After this lab you can
#
# - turn colors into classes, and say what a classifier with these classes can score at best, before you train it;
# - hold a predicted distribution against the true one;
# - paint four pictures from one distribution, and predict which of them wins by which score;
# - take "classification scores slightly worse" apart: how much of it is due to the classes, and how much to choosing.

# %% tags=["setup"]
import torch
from labkit import color, metrics, plots
from labkit.checks import check
from labkit.colorizer import Colorizer
from labkit.data import load, toyworld
from labkit.experiments.claims import claims_of
from labkit.experiments.measured import measured
from labkit.experiments.published import published
from labkit.notebook.lab import begin
from labkit.quantize import Quantizer, ab313, ab676, rebalancing_weights, spread
from labkit.representation import Classification, make_representation
from labkit.widgets import explore

# %% tags=["parameters"]
profile: str = "auto"  # test, quick, course, gpu or auto
dataset: str = "auto"  # photographs to train on in section 8: cifar10; toyworld for none
seed: int = 0  # of the scenes, the first weights, the order of training and the samples
temperature: float = 0.38  # of the annealed mean, above 0; where the slider starts
rebalance: float = 0.1  # share of the uniform distribution in section 7, from 0 to 1

# %%
lab = begin(
    "03_regression_vs_classification",
    profile=profile,
    dataset=dataset,
    seed=seed,
    temperature=temperature,
    rebalance=rebalance,
)

# %% [markdown]
# First we train a classifier, on toyworld, where the true probabilities are known. It takes less than half a minute. Its
# classes are some twenty colors, called **bins**; where they come from is section 1. It sees only gray pictures, each
# with *one* true color for every pixel.

# %%
scenes = toyworld.generate(lab.choose(test=64, quick=8_000, course=48_000), seed=lab.seed)
world = toyworld.generate(
    lab.choose(test=50, quick=500, course=1000), seed=lab.seed, split="test"
)

# Of the 313 bins of Zhang, Isola and Efros we keep those that toyworld's colors fall into.
zhang = ab313()
some = Classification(zhang, input_gray="luma").target(
    scenes.images[:500]
)  # (500, 2, 32, 32)
bins = Quantizer(zhang.centers[zhang.frequencies(some) > 0], "ab", "toyworld")
space = Classification(bins, neighbors=1, input_gray="luma")


def trained(representation, images):
    """A small U-Net, trained for one pass over the images."""
    model = Colorizer(
        representation, "unet", width=16, max_width=32, convolutions=1, seed=lab.seed
    )
    model.fit(images, epochs=1, batch_size=8, learning_rate=2e-2, seed=lab.seed)
    return model


# One thread is the safe choice for batches this small, see lab 01.
torch.set_num_threads(1)
classifier = trained(space, scenes.images)
print(f"{len(bins)} bins")

# %%
gray = space.gray(world.images)  # (N, 1, 32, 32)
truth = color.to_float(world.images)
logits = classifier.predict(gray).cpu()  # (N, Q, 32, 32)
KIND = {material.name: index for index, material in enumerate(toyworld.MATERIALS)}


def painted(logits, gray, how, temperature=1.0):
    """Pictures from logits: "mean", "annealed", "mode" or "sample"."""
    draws = torch.Generator().manual_seed(lab.seed)
    return space.to_rgb(gray, bins.decode(logits, how, temperature, draws))


def bin_colors(level):
    """The colors of all bins at one gray value, (Q, 3)."""
    alone = bins.centers[:, :, None, None]
    return space.to_rgb(torch.full((len(bins), 1, 1, 1), level), alone).flatten(1)


# A scene with one large ball, and nothing else whose color is in doubt, as in lab 01.
in_ball = world.material == KIND["ball"]
area = in_ball.sum(dim=(1, 2))
width, height = in_ball.any(dim=1).sum(dim=1), in_ball.any(dim=2).sum(dim=1)
one = (width == height) & (area > 0.66 * width * height)
other = (world.ambiguous() & ~in_ball).flatten(1).any(dim=1)
scene = int((area * (one & ~other)).argmax())
lit = torch.where(in_ball[scene], world.shade[scene].abs(), 99)
y, x = divmod(int(lit.argmin()), 32)  # the pixel of it that has the least light and shade

ways = {"mean": "mean", "annealed mean": "annealed", "mode": "mode", "sample": "sample"}
this_gray, these = gray[[scene]], logits[[scene]]
four = {name: painted(these, this_gray, how, temperature)[0] for name, how in ways.items()}
probability = these[0, :, y, x].softmax(dim=0)
likely = probability > 0.02
plots.show(
    plots.posterior_bars(
        bin_colors(float(this_gray[0, 0, y, x]))[likely],
        probability[likely],
        marks={name: picture[:, y, x] for name, picture in four.items()},
        title="One pixel of a ball: predicted P(color | gray)",
    ),
    alt="Bars in the colors they stand for: "
    + ", ".join(f"{p:.2f}" for p in probability[likely])
    + ", the bins that one pixel of a ball may have, in red, green and blue. Beside them four "
    "chips: the mean, a dull brown; the annealed mean, a stronger brown; the mode, the "
    "color of the highest bar; and a sample, the color of one of the bars.",
    caption="What the classifier says about one pixel, and what four painters make of it.",
)
plots.show(
    plots.image_grid(
        {"": [this_gray[0], *four.values(), truth[scene]]},
        columns=["gray", *ways, "true"],
        scale=1.1,
    ),
    alt="The scene with the large ball in gray; painted by the mean, with a brownish "
    "ball; by the annealed mean, with a reddish brown one; by the mode, with a red "
    "ball, perhaps with a ring or patch of green or blue in it; by a sample, with a "
    "ball speckled in red, green and blue; and the true picture. Sky and grass are "
    "the same in all.",
    caption="One network, one predicted distribution, four pictures.",
)

# %% [markdown]
# All four pictures come from the *same* numbers. Nothing was trained in between. The brown of lab 01 is among them,
# and so are the purest red, green and blue. Which is right? By which score? And if the ball of the mode has a strange
# ring: section 5 says why. Before we ask all that, the classes.

# %% [markdown]
# ## 1. A color as a class
#
# Three lists of bins are in use in the papers:
#
# - **24 colors in RGB**, found by k-means among the training pixels (Qureshi);
# - **676 cells** of side 10 in the plane of $a$ and $b$: 26 rows, 26 columns (Dalban and Lakbir). $L$ is given, so a
#   bin needs only these two;
# - **313 points** of the lattice of step 10 in the same plane, a list published by Zhang, Isola and Efros.
#
# **Predict:** the 676 cells fill a square that holds every sRGB color. How many of them does at least one of the 16.7
# million sRGB colors fall into?
#
# - (a) nearly all;
# - (b) about half;
# - (c) fewer than 300.
#
# We need not try all 16.7 million. Seen along $L$, the outline of the RGB cube is the outline of its *surface*, which
# has 393,216.


# %%
def surface():
    """All 8-bit colors on the six faces of the RGB cube, as one picture (1, 3, 1, P)."""
    side = torch.arange(256, dtype=torch.uint8)
    a, b = torch.cartesian_prod(side, side).unbind(dim=1)
    ends = [torch.full_like(a, end) for end in (0, 255)]
    faces = [c for end in ends for c in ((end, a, b), (a, end, b), (a, b, end))]
    return torch.cat([torch.stack(face) for face in faces], dim=1)[None, :, None]


ab = color.rgb_to_lab(surface())[:, 1:]  # (1, 2, 1, P)
grid = ab676()
reached = {bins.name: bins.frequencies(ab) > 0 for bins in (grid, zhang)}

# %%
# NBVAL_CHECK_OUTPUT
for name, there in reached.items():
    print(
        f"{name}: {len(there)} bins, {int(there.sum())} are the nearest of some sRGB color"
    )
nearest_to_gray = {
    q.name: q.nearest(torch.zeros(1, 2, 1, 1)).flatten() for q in (grid, zhang)
}
for name, tint in nearest_to_gray.items():
    print(f"{name}: gray becomes a = {tint[0]:.0f}, b = {tint[1]:.0f}")

# %%
photos = load("photos", "test", size=lab.choose(test=64, quick=128))
pictures = photos.images  # (5, 3, 128, 128) uint8
rgb24 = Classification("rgb24")
rgb24.fit(pictures)

figure, panels = plots.subplots(1, 3, height=2.9, sharex=True, sharey=True)
centers = rgb24.quantizer.centers
panels[0].scatter(
    *color.rgb_to_lab(centers.T[:, :, None])[1:, :, 0],
    c=centers.tolist(),
    s=55,
    edgecolors=plots.FAINT,
)
panels[0].set_title("24, from five photographs")
for panel, quantizer in zip(panels[1:], (grid, zhang), strict=True):
    there = reached[quantizer.name]
    lab_colors = torch.cat(
        [torch.full((len(quantizer), 1), 65.0), quantizer.centers], dim=1
    )
    shown = color.scale_lab_to_gamut(lab_colors.T[:, :, None])[..., 0].T.clamp(0, 1)
    panel.scatter(
        *quantizer.centers[~there].T, s=5, marker="x", color=plots.FAINT, linewidths=0.6
    )
    panel.scatter(*quantizer.centers[there].T, c=shown[there].tolist(), s=13, marker="s")
    panel.set_title(f"{len(quantizer)}: {int(there.sum())} reached")
for panel in panels:
    panel.axhline(0, color=plots.INK, linewidth=0.5, linestyle="-")
    panel.axvline(0, color=plots.INK, linewidth=0.5, linestyle="-")
    panel.set(xlabel="a", aspect="equal")
panels[0].set_ylabel("b")
plots.show(
    figure,
    alt="Three maps of the plane of a and b. Left: 24 colored dots, crowded around the "
    "origin. Middle: a square of 26 by 26 crosses; only a leaning patch in the middle "
    "of the square, less than half of it, is colored. Right: 313 points that have the "
    "shape of this patch and a margin of crosses around it.",
    caption="Three lists of bins. Colored: the nearest of some sRGB color. Crosses: of "
    "none. (The 24 differ in lightness, too.)",
)

# %% [markdown] answer=true
# **(c).** The colors of a screen are a leaning patch in the square. A network with 676 outputs learns first of all
# that 414 of them never happen, which costs memory, not accuracy. More telling is the last pair of lines: no *center*
# of the 676 cells is neutral. Whatever is gray, and photographs are full of it, comes out slightly tinted. Zhang's
# points include (0, 0).

# %% [markdown]
# ### Spot the error: where do 313 bins come from?
#
# "Why 313?" is asked in nearly every course on colorization. An answer often given: the plane is cut into 25 by 25
# squares, about half of them are in the gamut, and $25 \cdot 25 / 2 \approx 313$. What is wrong with it? Find a
# number that ought to be 313 if it were true, before you run the cell.

# %%
# NBVAL_CHECK_OUTPUT
cells = (ab[0, :, 0].T / 10).floor().unique(dim=0)  # of side 10, with a border at 0
corners = torch.cat([cells + torch.tensor(d) for d in ((0, 0), (0, 1), (1, 0), (1, 1))])
print("25 * 25 / 2 =", 25 * 25 / 2)
print("cells with a border at 0 that hold an sRGB color:", len(cells))
print("corners of these cells:", len(corners.unique(dim=0)))
print(
    "points of Zhang's list:",
    len(zhang),
    "- of them nearest to some color:",
    int(reached["ab313"].sum()),
)

# %% [markdown] answer=true
# $25 \cdot 25 / 2 = 312.5$ is arithmetic that happens to come out near. Nothing was counted: 25 squares of side 10
# would reach from $-125$ to 125, the gamut is no half of that square, and if one does count, one gets 262, 268 or
# 309, depending on where the grid lies and whether cells or corners count. **No formula gives 313.** It is a list,
# made once by its authors and stored in a file; everybody since has copied the file. labkit stores it as twenty
# ranges.

# %% [markdown]
# ### Exercise 1: the nearest bin (4 minutes)
#
# Write `nearest_bin(colors, centers)`: **hard encoding**.
#
# - In: `colors`, a float tensor of shape $(P, D)$, one color a row; `centers`, shape $(Q, D)$, one bin a row. ($D$ is
#   2 or 3.)
# - Out: shape $(P,)$, whole numbers from 0 to $Q - 1$: for each color the number of the bin with the smallest
#   Euclidean distance.


# %% exercise="03-nearest-bin"
def nearest_bin(colors: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """The number (P,) of the nearest bin of each color: colors (P, D), centers (Q, D)."""
    ### BEGIN SOLUTION
    difference = colors[:, None] - centers  # (P, Q, D)
    return difference.square().sum(dim=-1).argmin(dim=1)
    ### END SOLUTION


# %% check="03-nearest-bin"
check("03-nearest-bin", nearest_bin)

# %% [markdown]
# ## 2. The oracle floor
#
# Suppose a classifier is never wrong: in each pixel it names the bin that is nearest to the true color. This is the
# **oracle**, and its score is the floor of all classifiers that paint bins. Nothing needs to be trained to know it.
#
# **Predict:** we paint five photographs by the oracle of 24, 313 and 676 bins, and add the gray picture, which knows
# no color at all. Which of the four has the lowest SSIM?
#
# - (a) gray, of course: the others have nearly the right colors;
# - (b) the oracle of 24;
# - (c) the oracle of 676, for its tint.

# %%
oracles = {
    "gray (no color)": metrics.gray_prediction(pictures),
    "24 in RGB": rgb24.oracle(pictures),
    "313 in ab": Classification("ab313").oracle(pictures),
    "676 in ab": Classification("ab676").oracle(pictures),
}
plots.show(
    plots.image_grid(
        {name: picture[[1, 3, 4]] for name, picture in oracles.items()}
        | {"true": pictures[[1, 3, 4]]},
        columns=[photos.class_names[i] for i in (1, 3, 4)],
        scale=1.5,
    ),
    alt="Three photographs, a cat, a rocket and a motorcycle, in five rows: in gray; by "
    "the oracle of 24 bins, with the right colors in flat patches like a poster; by "
    "those of 313 and 676 bins, hardly different from the last row, the true "
    "photographs.",
    caption="What a classifier that is never wrong would paint.",
)


# %%
def gray_mse(true):
    """The MSE of painting no color at all."""
    return float(metrics.mse(metrics.gray_prediction(true), true).double().mean())


def scores(name, picture, true):
    """One row of a results table."""
    s = metrics.score(picture, true)
    return {
        "painted": name,
        "MSE": s["mse"],
        "PSNR": s["psnr_mean"],
        "SSIM": s["ssim"],
        "colorfulness": s["colorfulness"],
        "skill": round(metrics.skill(s["mse"], gray_mse(true)), 4),
    }


lab.table(
    [scores(name, picture, pictures) for name, picture in oracles.items()],
    "Oracle floors on five photographs (PSNR: mean over images; the 24 are fitted to "
    "these very pictures)",
    key="oracles",
)

# %% [markdown] answer=true
# **(b).** Twenty-four colors have to do for everything, *luma included*. The gray picture has the luma exactly, and
# with it every edge and texture that SSIM looks for; the oracle of 24 paints posters. Bins in $a$ and $b$ keep the
# luma that was given.
#
# It is not these photographs. On all 1,000 test horses of CIFAR-10 (24 bins fitted to the training horses) we
# measured an SSIM of about .92 for the oracle of 24, and .943 for gray (table in section 8). So Qureshi's
# classifiers, which paint the mode of 24 RGB bins, start with a handicap in SSIM that has nothing to do with
# classification: they gave their luma away. In MSE the floor is .0023 there, against .0003 for 313 bins (table in
# section 7).

# %% [markdown]
# ### Exercise 2: the oracle floor (5 minutes)
#
# Write `oracle_floor(pixels, centers)`.
#
# - In: `pixels`, shape $(P, 3)$, true colors R, G, B from 0 to 1; `centers`, shape $(Q, 3)$, bins in the same units.
# - Out: one number, the lowest MSE that is possible when every pixel is painted with one of the bins. MSE is the mean
#   over pixels *and* channels.


# %% exercise="03-oracle-floor"
def oracle_floor(pixels: torch.Tensor, centers: torch.Tensor) -> float:
    """The lowest MSE of any painter who has only these bins: pixels (P, 3), centers (Q, 3)."""
    ### BEGIN SOLUTION
    squared = (pixels[:, None] - centers).square().sum(dim=-1)  # (P, Q)
    return float(squared.amin(dim=1).mean() / 3)
    ### END SOLUTION


# %% check="03-oracle-floor"
check("03-oracle-floor", oracle_floor)

# %% [markdown]
# ## 3. Between two bins: soft encoding
#
# A color halfway between two bins belongs to neither. Hard encoding must send it to one side, and a smooth gradient
# falls into **bands**. Zhang, Isola and Efros let a color share its probability among its five nearest bins, near ones
# more,
#
# $$p_q \propto \exp\left(-\frac{\lVert c - c_q \rVert^2}{2 \sigma^2}\right), \qquad \sigma = 5,$$
#
# and zero for all other bins. The network then learns to answer with such mixtures, and the *mean* of a mixture can
# lie anywhere between the bins.
#
# **Predict:** a smooth picture is encoded hard and painted by its bins, and encoded softly and painted by the mean.
# What becomes of the bands?
#
# - (a) they stay: the bins are the same;
# - (b) they vanish, nearly;
# - (c) they vanish, but the colors become paler.

# %%
across = torch.linspace(0, 1, 128)
lab_sweep = torch.stack([65 + 0 * across, -25 + 60 * across, 45 - 90 * across])
smooth = color.to_uint8(color.lab_to_rgb(lab_sweep[:, None].expand(-1, 14, -1)))[None]


def round_trip(images, quantizer, neighbors):
    """Encode, and paint the mean of the encoding: with one neighbor this is the oracle."""
    there = Classification(quantizer, neighbors=neighbors)
    target = there.target(images)
    encoded = spread(*there.quantizer.soft_encode(target, neighbors), len(there.quantizer))
    return there.to_rgb(
        there.gray(images), there.quantizer.decode(encoded.clamp(min=1e-30).log(), "mean")
    )


gradients = {
    "true": smooth,
    "24 in RGB": rgb24.oracle(smooth),
    "313, hard": round_trip(smooth, zhang, 1),
    "313, soft": round_trip(smooth, zhang, 5),
}
plots.show(
    plots.image_grid(gradients, scale=4),
    alt="Four strips. The true one runs smoothly from green over gray to violet. With 24 "
    "RGB bins it is cut into a few broad bands of brown and gray, with 313 bins and "
    "hard encoding into a dozen narrower ones. With soft encoding it is smooth again.",
    caption="A smooth gradient at constant L, through three encodings and back. (The 24 "
    "were fitted to other colors.)",
)
rows = [scores("gray (no color)", metrics.gray_prediction(pictures), pictures)]
for quantizer in (zhang, grid):
    for neighbors, kind in ((1, "hard"), (5, "soft")):
        picture = round_trip(pictures, quantizer, neighbors)
        rows.append(scores(f"{len(quantizer)} bins, {kind}", picture, pictures))
rows.append(scores("true", color.to_float(pictures), pictures))
lab.table(
    rows,
    "The five photographs, encoded and decoded again (PSNR is cut off at 50 dB)",
    key="round_trip",
)

# %% [markdown] answer=true
# **(b).** The mean of the five shares follows the color between the bins, so the way there and back loses much less
# than the oracle's floor. But mind who profits: only a decoder that *averages*. Whoever paints the mode picks one
# bin, and has his bands back. Quantization is thus not a loss of classification as such. It is a loss of painting one
# bin.
#
# And (c)? Paler than with hard encoding, but that was too strong: compare the row "true".
#
# (Soft encoding blurs the target, so the lowest cross-entropy is well above that of hard encoding. Never compare
# cross-entropies across encodings.)

# %% [markdown]
# ### Exercise 3: soft encoding (7 minutes)
#
# Write `soft_encode(colors, centers, neighbors, sigma)`.
#
# - In: `colors`, shape $(P, 2)$, values of $a$ and $b$; `centers`, shape $(Q, 2)$; `neighbors`, how many bins share a
#   color; `sigma`, the width of the Gaussian.
# - Out: shape $(P, Q)$: for each color the probabilities of all $Q$ bins, by the formula above. They are 0 except for
#   the `neighbors` nearest bins, and each row sums to 1.
#
# `values.topk(k, dim=1, largest=False)` finds the $k$ smallest of each row and where they stand; `torch.zeros(P,
# Q).scatter(1, places, values)` puts values at their places.


# %% exercise="03-soft-encode"
def soft_encode(
    colors: torch.Tensor, centers: torch.Tensor, neighbors: int, sigma: float
) -> torch.Tensor:
    """Probabilities (P, Q) of the bins of each color: colors (P, 2), centers (Q, 2)."""
    ### BEGIN SOLUTION
    squared = (colors[:, None] - centers).square().sum(dim=-1)  # (P, Q)
    nearest, places = squared.topk(neighbors, dim=1, largest=False)
    weight = (-nearest / (2 * sigma**2)).exp()
    shares = weight / weight.sum(dim=1, keepdim=True)
    return torch.zeros_like(squared).scatter(1, places, shares)
    ### END SOLUTION


# %% check="03-soft-encode"
check("03-soft-encode", soft_encode)

# %% [markdown]
# ## 4. Does the classifier know the posterior?
#
# Lab 01 showed it for one pixel: cross-entropy is lowest when the prediction *is* the posterior. Our network saw
# thousands of scenes, each with one color for every ball. Nobody told it a probability.
#
# **Predict:** we hold its predictions against the true probabilities, things it has never seen included: new scenes.
# It says
#
# - (a) 1 for the most frequent color and 0 for the others;
# - (b) nearly the true probabilities, most of them off by less than a tenth;
# - (c) the same probabilities for a ball as for a balloon: they share colors.

# %%
colors, chance = world.posterior()  # (N, K, 3, 32, 32), (N, K, 32, 32): the truth
bin_of = torch.stack([bins.encode(space.target(c)) for c in colors.unbind(dim=1)], dim=1)
predicted = logits.softmax(dim=1)  # (N, Q, 32, 32)
things = ["ball", "striped ball", "balloon", "kite"]


def average(distribution, thing):
    """P of each color of a thing, averaged over all its pixels: (N, Q, 32, 32) -> (K,)."""
    of_colors = distribution.gather(1, bin_of)  # (N, K, 32, 32)
    kinds = len(toyworld.material(thing).colors)
    return of_colors.movedim(1, -1)[world.material == KIND[thing]].mean(dim=0)[:kinds]


figure, panels = plots.subplots(1, 4, height=2.4, sharey=True)
in_words = []
for panel, thing in zip(panels, things, strict=True):
    material, ours = toyworld.material(thing), average(predicted, thing)
    paints = [[channel / 255 for channel in rgb] for rgb in material.colors]
    at = torch.arange(len(paints))
    panel.bar(at - 0.2, material.probabilities, 0.38, color=paints, edgecolor=plots.INK)
    panel.bar(at + 0.2, ours, 0.38, color=paints, edgecolor="white", hatch="////")
    panel.set(title=thing, xticks=[], xlim=(-0.6, 3.6))
    pairs = zip(material.probabilities, ours, strict=True)
    in_words.append(f"{thing} " + ", ".join(f"{t:.2f} and {o:.2f}" for t, o in pairs))
panels[0].set_ylabel("probability")
plots.show(
    figure,
    alt="Four bar charts of pairs of bars, true probability and predicted one, each pair "
    "in the "
    "color it stands for: " + "; ".join(in_words) + ".",
    caption="Plain: the true probability of each color. Hatched: what the classifier "
    "says, averaged over all pixels of such things in new scenes.",
)

# %% [markdown]
# Averages can hide errors of single pixels. Two measures do not. **Total variation** $\tfrac{1}{2} \sum_q |p_q - \hat
# p_q|$ is the probability that was put on wrong bins: 0 is perfect, 1 is all of it. And **cross-entropy**: its lowest
# possible value is the entropy of the posterior, and what a prediction pays on top is the Kullback-Leibler distance
# $\sum_q p_q \log (p_q / \hat p_q)$.
#
# For comparison we train a **regression** network on half of the same scenes, predict what it paints, and treat its
# color as what it is: an answer without doubt, all probability on the bin of that color.

# %%
regression = trained(make_representation("luma-chroma"), scenes.images[: len(scenes) // 2])
brown = regression(world.images).cpu()


def certain(chosen):
    """All probability on one bin of each pixel: (N, 32, 32) -> (N, Q, 32, 32)."""
    return torch.nn.functional.one_hot(chosen, len(bins)).movedim(-1, 1).float()


posterior = toyworld.bin_posterior(world, space)  # (N, Q, 32, 32), exact
doubt = world.ambiguous()
everywhere = posterior.mean(dim=(0, 2, 3), keepdim=True)  # (1, Q, 1, 1)
target = space.target(world.images)


def cross_entropy(distribution):
    """In nats per pixel, on the colors that the new scenes happen to have."""
    return float(space.loss(distribution.clamp(min=1e-30).log(), target))


lowest = cross_entropy(posterior)
opinions = {
    "one distribution for all pixels": everywhere.expand_as(posterior),
    "regression, as a certainty": certain(bins.encode(space.target(brown))),
    "classifier's mode, as a certainty": certain(logits.argmax(dim=1)),
    "classifier": predicted,
    "true posterior": posterior,
}
rows = []
for name, opinion in opinions.items():
    wrong = (opinion - posterior).abs().sum(dim=1) / 2
    sure = "certainty" in name
    pays = None if sure else cross_entropy(opinion)
    rows.append(
        {
            "says": name,
            "total variation": float(wrong.mean()),
            "where in doubt": float(wrong[doubt].mean()),
            "cross-entropy, nats": pays,
            "over the lowest": None if sure else pays / lowest,
        }
    )
lab.table(
    rows,
    "Distance from the true posterior on new scenes (hard targets; a wrong certainty has "
    "infinite cross-entropy)",
    key="posterior",
)
lab.record(cross_entropy_over_optimum=cross_entropy(predicted) / lowest)

# %% [markdown] answer=true
# **(b)**, in the profiles quick and course. The last line printed is the cross-entropy on new scenes over the lowest
# possible one (hard targets: each pixel's nearest bin). No scene ever showed a probability; the counting was done by
# gradient descent.
#
# The regression network gave us one color, and nobody can tell from it whether the network was sure. In doubtful
# pixels it put all its probability on a bin that is (almost) never right: brown. *This* is what classification buys: not a
# better color, but the knowledge of what is possible. Everything that follows is about spending it.

# %% [markdown]
# ## 5. From a distribution to a color
#
# One way to choose leads from the mean to the mode without a jump. Raise every probability to the power $1/T$ and
# normalize again,
#
# $$p_q(T) = \frac{p_q^{1/T}}{\sum_r p_r^{1/T}}, \qquad\text{that is}\qquad \operatorname{softmax}(\text{logits} / T),$$
#
# and take the mean of *that*: the **annealed mean**. $T = 1$ is the mean, $T \to 0$ the mode. Zhang, Isola and Efros
# chose $T = 0.38$ by eye.
#
# **Predict:** from $T = 1$ down to 0, what happens to the MSE and to colorfulness?
#
# - (a) both rise;
# - (b) both fall;
# - (c) MSE is lowest somewhere in between, as is colorfulness.

# %%
kinds = sum((world.material == KIND[t]).flatten(1).any(dim=1).float() for t in things)
several = (0.1 * kinds + doubt.float().mean(dim=(1, 2))).argsort(descending=True)
several = several[: lab.choose(test=4, quick=60)]  # much in doubt, of many kinds
temperatures = torch.tensor([0.05, 0.1, 0.15, 0.2, 0.3, 0.38, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


def annealed(T, which):
    return painted(logits[which], gray[which], "annealed", float(T))


path = [metrics.score(annealed(T, several), truth[several]) for T in temperatures]


def draw_temperature(temperature):
    figure, (picture, *panels) = plots.subplots(
        1, 3, height=2.6, gridspec_kw={"width_ratios": [1.25, 1, 1]}
    )
    four = annealed(temperature, several[:4])
    mosaic = torch.cat(
        [torch.cat([*four[:2]], dim=2), torch.cat([*four[2:]], dim=2)], dim=1
    )
    picture.imshow(mosaic.permute(1, 2, 0).clamp(0, 1), interpolation="nearest")
    picture.set_axis_off()
    picture.set_title(f"T = {temperature:.2f}")
    for panel, key, name in zip(
        panels, ("mse", "colorfulness"), ("MSE", "colorfulness"), strict=True
    ):
        panel.plot(temperatures, [s[key] for s in path])
        panel.axvline(temperature, color=plots.INK, linestyle=":")
        panel.set(xlabel="T  (0: mode, 1: mean)", title=name)
    return figure


explore(
    draw_temperature,
    temperature=(0.05, 1.0, 0.01),
    static={"temperature": min(max(temperature, 0.05), 1.0)},
    alt="Left: four scenes with balls, balloons and kites, painted by the annealed mean, "
    "in colors between brown and pure ones. Middle: MSE over the temperature, falling "
    "from the mode at 0 to the mean at 1, flat at the end. Right: colorfulness, "
    "falling as well.",
    caption="The annealed mean at one temperature, and what each temperature scores on "
    "the scenes with most in doubt.",
)

# %% [markdown] answer=true
# **(a).** Color is bought with error. Of the temperatures tried, 1 is best by MSE, and .38 is a matter of taste: the
# curve of MSE is flat near 1, so a little color is cheap, and steep near 0.

# %% [markdown]
# ### Exercise 4: the annealed mean (5 minutes)
#
# Write `annealed_mean(logits, centers, temperature)`.
#
# - In: `logits`, shape $(P, Q)$, a network's outputs for $P$ pixels (their softmax over the bins is the predicted
#   distribution); `centers`, shape $(Q, D)$, the colors of the bins; `temperature`, $T > 0$.
# - Out: shape $(P, D)$, the annealed mean of each pixel.


# %% exercise="03-annealed-mean"
def annealed_mean(
    logits: torch.Tensor, centers: torch.Tensor, temperature: float
) -> torch.Tensor:
    """The annealed mean (P, D): logits (P, Q), centers (Q, D)."""
    ### BEGIN SOLUTION
    probability = (logits / temperature).softmax(dim=1)  # (P, Q)
    return probability @ centers
    ### END SOLUTION


# %% check="03-annealed-mean"
check("03-annealed-mean", annealed_mean)

# %% [markdown]
# ### A ring that nobody painted
#
# Look at the large ball of the first figure again, painted by the mode. It has a ring or a patch in another color,
# sharply cut. The true probabilities are the same all over the ball. Where does it come from?
#
# **Predict:** the ring lies where
#
# - (a) the network knows least about balls;
# - (b) red falls between two bins;
# - (c) light is brightest.
#
# We follow the predicted probabilities over all balls, from shade to light.

# %%
shades = torch.arange(-20, 29, 2)
all_balls = world.material == KIND["ball"]
by_shade = torch.stack(
    [
        predicted.movedim(1, -1)[all_balls & ((world.shade - s).abs() <= 1)].mean(dim=0)
        for s in shades
    ]
)  # (S, Q)
figure, panel = plots.subplots(height=2.6, width=6)
for q in (by_shade.max(dim=0).values > 0.1).nonzero().flatten().tolist():
    own = bin_colors(118 / 255)[q].tolist()
    style = plots.LINE_STYLES[q % 4]
    panel.plot(
        shades,
        by_shade[:, q],
        color=own,
        linestyle=style,
        label=f"bin {bins.centers[q].int().tolist()}",
    )
panel.set(
    xlabel="shade (0: the ball's own color, above: lit)",
    ylabel="predicted probability",
    ylim=(0, None),
)
panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), title="a, b")
plots.show(
    figure,
    alt="Predicted probability over shade, one line for each bin, in its color. Where a "
    "color changes from one bin to its neighbor, one line falls while another of "
    "nearly the same color rises; where they cross, both are lower than the lines of "
    "other colors.",
    caption="All balls of the new scenes, from shade to light: each line is a bin.",
)

# %% [markdown] answer=true
# **(b).** As a ball gets lighter, its $a$ and $b$ change a little, and at some shade red passes from one bin to the
# next. Near the border the network cannot tell which of the two it will be, so the two reds *share* red's
# probability. But the mode counts bins, not colors: **the vote is split**, and another color wins.
#
# That is why pictures painted by the mode are patchy, and it gets worse with more bins: the finer they are, the more
# of them share one color. (With soft encoding every color is split, always.) A remedy is to count neighbors
# together before the vote is taken:

# %%
near = torch.cdist(bins.centers, bins.centers) < 15  # (Q, Q): neighbors on the lattice
together = near + 0.01 * torch.eye(len(bins))  # its own votes count a little more


def counted_together(logits, gray):
    """The mode, after each bin has got the votes of its neighbors, too."""
    votes = torch.einsum("nqhw,qr->nrhw", logits.softmax(dim=1), together)
    return space.to_rgb(gray, bins.centers[votes.argmax(dim=1)].movedim(-1, 1))


plots.show(
    plots.image_grid(
        {"": [four["mode"], counted_together(these, this_gray)[0]]},
        columns=["mode", "neighbors counted together"],
        scale=1.3,
    ),
    alt="The large ball twice: by the mode, with a ring or patch of another color; with "
    "neighbors counted together less of it is left.",
    caption="The same prediction, two ways to count.",
)

# %% [markdown]
# Two things meet here. The two reds split red's vote; and near the border the network is less sure of red at all, so
# that red's *total* comes down to about that of green and blue. Counting neighbors together mends the first, not the
# second: the ring gets thinner or breaks up, and pieces of it may stay.

# %% [markdown]
# ### Samples, and why they are speckled
#
# The most honest way to use a distribution is to **sample**: paint red as often as balls are red. In the first figure
# this gave a speckled ball, because every pixel drew for itself. Here is another way to draw: *one* random number $u$
# for the whole picture. Each pixel paints the first bin at which its cumulative probability passes $u$.
#
# **Predict:** in every single pixel both painters choose red with exactly the same probability. Which has the lower
# expected MSE?
#
# - (a) the speckled one: its errors average out;
# - (b) the one with whole balls: it looks right;
# - (c) they are equal.


# %%
def one_draw(logits, gray):
    """Sample every pixel of a picture with the same random number."""
    u = torch.rand((len(logits), 1, 1), generator=torch.Generator().manual_seed(lab.seed))
    passed = logits.softmax(dim=1).cumsum(dim=1) <= u[:, None]
    chosen = passed.sum(dim=1).clamp(max=len(bins) - 1)  # (N, 32, 32)
    return space.to_rgb(gray, bins.centers[chosen].movedim(-1, 1))


pictures_of = {name: painted(logits, gray, how, temperature) for name, how in ways.items()}
pictures_of["one draw a picture"] = one_draw(logits, gray)
pictures_of["regression"] = brown
shown = several[: lab.choose(test=2, quick=5)]
plots.show(
    plots.image_grid(
        {name: picture[shown] for name, picture in pictures_of.items()}
        | {"true": truth[shown]},
        scale=0.95,
    ),
    alt="Five scenes in seven rows. Mean: dull balls, balloons and kites. Annealed mean: "
    "stronger. Mode: pure colors, most balls red, some with rings. Sample: speckled "
    "balls. One draw a picture: balls of one pure color each, in each scene all balls "
    "the same. Regression: like the mean. True: balls in all their colors.",
    caption="The same distribution, painted in five ways; then the regression network; "
    "then the truth.",
)
lab.table(
    [scores("gray (no color)", metrics.gray_prediction(truth), truth)]
    + [scores(name, pictures_of[name], truth) for name in ("sample", "one draw a picture")],
    "Two ways to sample",
    key="samples",
)

# %% [markdown] answer=true
# **(c)**, but for the luck of the draw. MSE is a mean over pixels, each judged alone; it cannot see whether two
# neighbors agree. SSIM, which looks at windows, can. (PSNR, too, differs: whole balls make some pictures very good
# and others very bad, and a mean of logarithms likes that. See lab 00.)
#
# And the classifier cannot see it either. It predicts one distribution *for each pixel*, and says nothing about which
# pixels belong together. Drawn independently, a ball is speckled; drawn with one number, all balls of a scene have
# the same color, which is just as wrong. The joint distribution was never learned. A GAN (lab 06) is judged on whole
# patches.

# %% [markdown]
# ## 6. Three scores, three winners
#
# Now the measurement that this lab is about. One trained classifier, four decodings, and beside them the oracle, the
# regression network, and gray. Two scores are added to the usual ones, over all pixels in doubt: how often the
# painted color falls into the **right bin**; and how far the **histogram** of all painted bins is from that of the
# true ones (total variation: 0 is the same mix of colors, 1 has none in common).
#
# **Predict:** which decoding wins by MSE, which by right bins, and which by the histogram?

# %%
drawn = bins.encode(target)  # the true bin of each pixel, (N, 32, 32)


def frequencies(chosen):
    """Share of each bin among the pixels in doubt, (Q,)."""
    return torch.bincount(chosen[doubt], minlength=len(bins)) / doubt.sum()


def all_scores(name, picture):
    chosen = bins.encode(space.target(picture))
    return scores(name, picture, truth) | {
        "right bin": round(float((chosen == drawn)[doubt].float().mean()), 4),
        "histogram off": round(
            float((frequencies(chosen) - frequencies(drawn)).abs().sum() / 2), 4
        ),
    }


perfect_mean = toyworld.optimum(world, make_representation("rgb")).prediction
painters = {
    "gray (no color)": metrics.gray_prediction(truth),
    "oracle: nearest bin": space.oracle(world.images),
    "regression": brown,
    **{f"classifier, {name}": pictures_of[name] for name in ways},
    "best possible by MSE": perfect_mean,
}
lab.table(
    [all_scores(name, picture) for name, picture in painters.items()],
    "One classifier, four decodings, on new scenes",
    key="decodings",
)

# %% [markdown] answer=true
# Of the four decodings the **mean** wins by MSE, PSNR and skill; mode and sample lose to it by about a factor of two.
# By the right bin the **mode** wins: naming the most probable color is right most often. By the histogram the
# **sample** wins: it alone paints all colors about as often as they occur. Colorfulness goes with the pure colors,
# right or wrong.
#
# Regression is a little better still by MSE, and paler. That is no secret of regression: our classifier averages $a$
# and $b$, and the mean in LAB is another color than the mean in RGB, which the score asks for (lab 01, section 2).
#
# None of these scores is wrong. Each one asks for another summary of the posterior, and rewards the painter who hands
# in that one. So *"regression scores better than classification"*, by MSE, can be true before anybody has trained
# anything: **a metric that rewards the mean cannot judge a mode.**

# %% [markdown]
# ### What does the mode lose by?
#
# On toyworld we can say exactly. Write $X$ for the true color, $m$ for the mean of the posterior, $V = E\lVert X - m
# \rVert^2$ for its variance. A painter who says $f$ pays
#
# $$E\lVert X - f \rVert^2 = V + \lVert f - m \rVert^2.$$
#
# The mode pays $\lVert \text{mode} - m\rVert^2$ on top, for **committing**. A sample pays $E\lVert X' - m\rVert^2 =
# V$ on top: an honest sampler has *exactly twice* the error of the mean, whatever the posterior. Painting the nearest
# bin in place of the color costs something more, **quantization**. The rest is
# **learning**: what the classifier has not learned, minus what regression has not.
#
# **Predict:** in the gap between regression and the classifier's mode, what is larger?
#
# - (a) quantization;
# - (b) commitment, by a little;
# - (c) commitment, by far.

# %%
candidates = color.to_float(colors)


def expected_mse(picture):
    """MSE expected over the posterior, so that the luck of the draw is out."""
    squared = (picture[:, None] - candidates).square().mean(dim=2)  # (N, K, 32, 32)
    return float((chance * squared).sum(dim=1).mean())


most = chance.argmax(dim=1)[:, None, None].expand(-1, 1, 3, -1, -1)
exact_mode = candidates.gather(1, most)[:, 0]
binned_mode = painted(posterior.clamp(min=1e-30).log(), gray, "mode")

variance = expected_mse(perfect_mean)
cost = {
    "regression": expected_mse(brown),
    "classifier's mode": expected_mse(pictures_of["mode"]),
}
parts = {
    "commitment": expected_mse(exact_mode) - variance,
    "quantization": expected_mse(binned_mode) - expected_mse(exact_mode),
}
parts["learning: classifier minus regression"] = (
    cost["classifier's mode"] - cost["regression"] - sum(parts.values())
)
gray_cost = expected_mse(painters["gray (no color)"])
rows = [
    {"painted by": "gray (no color)", "expected MSE": gray_cost},
    {"painted by": "perfect mean", "expected MSE": variance},
    {"painted by": "perfect sampler (2 V)", "expected MSE": 2 * variance},
    {"painted by": "perfect mode, exact colors", "expected MSE": expected_mse(exact_mode)},
    {"painted by": "perfect mode, bins", "expected MSE": expected_mse(binned_mode)},
    {"painted by": "classifier, mode", "expected MSE": cost["classifier's mode"]},
    {
        "painted by": "classifier, sample",
        "expected MSE": expected_mse(pictures_of["sample"]),
    },
    {"painted by": "regression", "expected MSE": cost["regression"]},
]
for row in rows:
    row["in units of V"] = row["expected MSE"] / variance
    row["skill"] = round(metrics.skill(row["expected MSE"], gray_cost), 4)
lab.table(
    rows, "Expected MSE on new scenes; V is the variance of the posterior", key="expected"
)

# %%
plots.show(
    plots.bars(
        parts | {"classifier's mode minus regression": sum(parts.values())},
        xlabel="MSE on top of regression's",
        number="{:+.4f}",
        highlight=["classifier's mode minus regression"],
    ),
    alt="Bars of the parts of the gap in MSE between the classifier's mode and regression: "
    + ", ".join(f"{name} {value:+.4f}" for name, value in parts.items())
    + ".",
    caption="Why the classifier's mode scores worse than regression, taken apart.",
)

# %% [markdown] answer=true
# **(c)**, with these bins. Nearly the whole gap is the decision to commit. It is no defect: the mode was *asked* for.
# (Learning is the difference of two errors, the classifier's over the perfect mode of its bins minus regression's over
# the perfect mean. It is negative if regression's is larger, or if the classifier, where it takes another color for the
# likeliest one, happens to paint the cheaper one.)
#
# Even a perfect mode may lose to a perfect sample; compare their rows. The likeliest color is often not the one
# nearest to the others.
#
# The test costs nothing and needs no toyworld: **decode the same classifier by its mean.** What then still separates
# it from regression is quantization, training, and the space in which the mean is taken (a mean in LAB is another
# color); what has gone was commitment. Whoever reports only the mode has measured all of it at once.

# %% [markdown]
# ## 7. Rare colors
#
# Most pixels of most pictures are nearly gray: sky, road, wall. A classifier may do well by never naming anything
# else. Zhang, Isola and Efros therefore give rare bins more weight in the loss,
#
# $$w_q \propto \frac{1}{(1 - \lambda)\, p_q + \lambda / Q}, \qquad \sum_q p_q w_q = 1,$$
#
# where $p_q$ is the share of the training pixels in bin $q$ (smoothed over neighboring bins) and $\lambda =
# \tfrac{1}{2}$. The CNN-vs-GAN paper left it out:

# %%
for fact in published("gan", system="classification", metric="rebalancing"):
    print(f"- {fact.claim} ({fact.place})")

# %% [markdown]
# ### Exercise 5: weights for rare colors (6 minutes)
#
# Write `balanced_weights(frequencies, mix)`, the formula above without the smoothing.
#
# - In: `frequencies`, shape $(Q,)$, the shares $p_q$ of the training pixels, sum 1; some bins are **empty**, $p_q =
#   0$. `mix`, the $\lambda$ of the formula, above 0 and below 1.
# - Out: shape $(Q,)$: finite weights, in the proportions of the formula, scaled so that the weight of a random
#   training *pixel* is 1 on average.


# %% exercise="03-rebalancing"
def balanced_weights(frequencies: torch.Tensor, mix: float) -> torch.Tensor:
    """Weights (Q,) of bins with the given frequencies (Q,)."""
    ### BEGIN SOLUTION
    mixed = (1 - mix) * frequencies + mix / len(frequencies)
    weights = 1 / mixed
    return weights / (frequencies * weights).sum()
    ### END SOLUTION


# %% check="03-rebalancing"
check("03-rebalancing", balanced_weights)

# %% [markdown]
# **Does it disturb training?** We test it: the same network, the same scenes, the same order, with weights. (With a
# $\lambda$ of 0.1, unless you change the parameter: toyworld's colors are less lopsided than those of photographs, so
# we lean on the scale a little.)
#
# What should come out can be derived. In one pixel the loss is $-\sum_q p_q w_q \log \hat p_q$, a cross-entropy with
# the target $p_q w_q$. So the best prediction is no longer the posterior but
#
# $$\hat p_q = \frac{p_q w_q}{\sum_r p_r w_r},$$
#
# a posterior **tilted** toward rare colors.
#
# **Predict:** how will the rebalanced classifier do?
#
# - (a) as the plain one: what a kite may look like is the same with and without weights;
# - (b) it says, quite reliably, that rare colors are more probable than they are;
# - (c) badly: the weights disturb its training.

# %%
tilted_space = Classification(bins, neighbors=1, input_gray="luma", rebalance=rebalance)
rebalanced = trained(tilted_space, scenes.images)
tilted_logits = rebalanced.predict(gray).cpu()
weights = tilted_space.weights.cpu()  # (Q,)
undone = (
    tilted_logits - weights.log()[:, None, None]
)  # divides the probabilities by the weights
tilted_posterior = toyworld.bin_posterior(world, tilted_space)


def apart(one, other):
    """Total variation of the colors of things, averaged over their pixels."""
    return sum(
        float((average(one, t) - average(other, t)).abs().sum() / 2) for t in things
    ) / len(things)


answers = {
    "plain": logits,
    "rebalanced": tilted_logits,
    "rebalanced, weights divided out": undone,
    "exact: the posterior": posterior.clamp(min=1e-30).log(),
    "exact: the tilted posterior": tilted_posterior.clamp(min=1e-30).log(),
}
rows = []
for name, answer in {"gray (no color)": None, **answers}.items():
    row = {
        "classifier": name,
        "from posterior": None,
        "from tilted": None,
        "over lowest": None,
    }
    picture = painters["gray (no color)"]
    if answer is not None:
        own, picture = answer.softmax(dim=1), painted(answer, gray, "mean")
        row["from posterior"] = round(apart(own, posterior), 4)
        row["from tilted"] = round(apart(own, tilted_posterior), 4)
        row["over lowest"] = cross_entropy(own) / lowest
    row["MSE"] = float(metrics.mse(picture, truth).double().mean())
    row["colorfulness"] = float(metrics.colorfulness(picture).mean())
    row["skill"] = round(metrics.skill(row["MSE"], gray_mse(truth)), 4)
    rows.append(row)
lab.table(
    rows,
    f"With and without rebalancing (lambda = {rebalance}): total variation of the things' "
    "colors; cross-entropy, "
    "counted without weights, over the lowest; scores of the mean",
    key="rebalancing",
)

# %%
figure, panels = plots.subplots(1, 2, height=2.4, sharey=True)
styles = {
    "exact: the posterior": "",
    "plain": "////",
    "exact: the tilted posterior": "",
    "rebalanced": "////",
}
in_words = []
for panel, thing in zip(panels, ("balloon", "kite"), strict=True):
    paints = [[channel / 255 for channel in rgb] for rgb in toyworld.material(thing).colors]
    for group, (name, hatch) in enumerate(styles.items()):
        heights = average(answers[name].softmax(dim=1), thing)
        at = group + (torch.arange(len(paints)) - (len(paints) - 1) / 2) * 0.8 / len(paints)
        edge = "white" if hatch else plots.INK
        panel.bar(at, heights, 0.8 / len(paints), color=paints, edgecolor=edge, hatch=hatch)
        in_words.append(f"{thing}, {name}: " + ", ".join(f"{h:.2f}" for h in heights))
    panel.set(title=thing)
    panel.set_xticks(range(4), ["posterior", "plain", "tilted\nposterior", "rebalanced"])
panels[0].set_ylabel("probability")
plots.show(
    figure,
    alt="Bars of the probabilities of the colors of a balloon and a kite: "
    + "; ".join(in_words)
    + ".",
    caption="Each classifier (hatched) beside the distribution that its own loss asks for "
    "(plain).",
)


# %%
def share_that_counts(frequencies, weights):
    """How many equally weighted pixels are worth as much as 100 weighted ones."""
    mean = (frequencies * weights).sum()
    return 100 * float(mean**2 / (frequencies * weights**2).sum())


rows = []
for name, quantizer, images in (
    (f"toyworld, {len(bins)} bins", bins, scenes.images[:500]),
    ("five photographs, 313 bins", zhang, pictures),
):
    p = quantizer.frequencies(Classification(quantizer, input_gray="luma").target(images))
    w = rebalancing_weights(quantizer.smooth(p), rebalance)
    rows.append(
        {
            "colors": name,
            "most frequent bin, %": 100 * float(p.max()),
            "smallest weight": float(w.min()),
            "largest weight": float(w.max()),
            "100 pixels count as": share_that_counts(p, w),
        }
    )
lab.table(rows, "Weights of the bins", key="weights")

# %% [markdown] answer=true
# **(b).** The rebalanced network is nearer to *its* target, the tilted posterior, than to the true one. Nothing
# disturbed it here; it was asked another question. Where two colors are nearly as probable, the tilt even changes the
# mode: compare the balloon's highest bars in the two exact distributions. And since we know how it is tilted, we can
# take it back: divide the weights out (subtract their logarithms from the logits), and the true posterior appears,
# without any further training, about as well as in the plain network: within a few percent in cross-entropy.
#
# There is a price in training. Where some pixels weigh much and most little, fewer of them decide: the last column
# says how many equal ones a hundred weighted pixels are worth. Gradients get noisier accordingly. With toyworld's few
# bins that can be borne; on photographs with 313 bins the weights are far more lopsided, and empty bins are predicted
# from no example at all.
#
# On toyworld the *mean* hardly moves: every color of a thing is as pure as the others, and what one gains another
# loses. On photographs the common colors are the gray ones, and the tilt goes all one way, toward color:

# %%
# Measured by `labkit reproduce decodings --profile quick --seeds 3`, which the course keeps in data/measured: horses of
# CIFAR-10, 5,000 to train on, all 1,000 test horses to score; 313 bins, soft encoding, lambda = .5 as Zhang has it.
SCORES = {"MSE": "mse", "PSNR": "psnr_mean", "SSIM": "ssim", "colorfulness": "colorfulness"}


def by_metric(recipe, system):
    """What was measured of a system, over seeds; empty: not measured yet."""
    return {m.metric: m for m in measured(recipe, system) if m.profile != "test"}


def on_horses(caption, key, *systems):
    """Measured means over seeds: gray, the oracle of the first system's bins, and the systems."""
    runs = {name: by_metric("decodings", name) for name in systems}
    if not all(runs.values()):
        return print("not measured yet: labkit reproduce decodings")
    first = runs[systems[0]]
    table = {
        "gray (no color)": {name: first[metric].gray for name, metric in SCORES.items()},
        f"{systems[0].split(', ')[0]}, oracle": {
            name: first[metric].oracle for name, metric in SCORES.items()
        },
    }
    for system, run in runs.items():
        table[system] = {name: run[metric].mean for name, metric in SCORES.items()}
        table[system]["MSE, sd"] = run["mse"].sd
    floor = first["mse"].gray
    rows = [
        {"painted by": name, **row, "skill": round(metrics.skill(row["MSE"], floor), 3)}
        for name, row in table.items()
    ]
    return lab.table(rows, f"{caption} ({first['mse'].data})", key)


on_horses(
    "Horses: classifiers with 313 bins, with and without rebalancing, three seeds",
    "rebalanced_horses",
    "313 bins, mean",
    "313 bins, mode",
    "313 bins rebalanced, mean",
    "313 bins rebalanced, mode",
    "313 bins rebalanced, divided out, mean",
    "313 bins rebalanced, divided out, mode",
)

# %% [markdown] answer=true
# Without weights the pictures are pale, the mode's more so than the mean's: the likeliest bin is often gray. With
# weights the mean's colorfulness is about the oracle's, which is nearly that of the true pictures, and its MSE rises.
# The mode overshoots: it is more colorful than the oracle, and its MSE is worse than gray's (a skill below 0). With the
# weights divided out again, the mean's old scores are nearly back, the mode's are not: perhaps that is what the noisier
# *training* cost.
#
# So "it disturbed the training" deserves a question: judged by what? By PSNR and by MSE a rebalanced classifier
# scores worse because it was told that rare colors count more. That is no accident of training; it is what was asked
# for.

# %% [markdown]
# ## 8. The papers' tables
#
# Qureshi's report compares regression (its Table 3) with the mode of 24 RGB bins (its Table 6), on the horses of
# CIFAR-10, and concludes:

# %%
for metric in ("quantization", "vividness"):
    (fact,) = published("qureshi", system="classification", metric=metric)
    print(f"- {fact.claim} ({fact.place})")

# %%
# Gray and the oracle of the bins come from the measurement of section 7.
OUR_NAME = {"mse": "mse", "psnr": "psnr_mean", "ssim": "ssim"}
horses = by_metric("decodings", "24 bins, mode")


def published_row(name, source, values):
    """One row of the table: values are MSE, PSNR and SSIM, None if unknown."""
    row = {"painted by": name, "source": source}
    row |= {metric.upper(): value for metric, value in zip(OUR_NAME, values, strict=True)}
    known = horses and row["MSE"] is not None
    row["skill"] = (
        round(metrics.skill(row["MSE"], horses["mse"].gray), 3) if known else None
    )
    return row


rows = []
if horses:
    ours = [horses[own] for own in OUR_NAME.values()]
    rows.append(published_row("gray (no color)", "ours", [m.gray for m in ours]))
    rows.append(published_row("oracle of 24 RGB bins", "ours", [m.oracle for m in ours]))
for name in (
    "regression CNN",
    "regression U-Net",
    "classification CNN",
    "classification U-Net",
):
    printed = [published("qureshi", system=name, metric=m)[0].value for m in OUR_NAME]
    rows.append(published_row(name, "published", printed))
    if again := by_metric("qureshi", name):
        means = [again[own].mean for own in OUR_NAME.values()]
        rows.append(published_row(name, "ours", means))
lab.table(
    rows,
    "CIFAR-10 horses. Published: Qureshi, Tables 3 and 6 (mode of 24 bins). Ours: all "
    "1,000 test horses, means over seeds. Skill: over our gray",
    key="published",
)

# %% [markdown]
# ### Spot the error
#
# "Classification scores slightly worse, perhaps because quantizing the colors loses information." Three questions
# before you run the next cell and open the answer:
#
# 1. Could quantization explain the gap in MSE? And the gap in SSIM?
# 2. Which other cause makes the same gap, and which measurement would tell the two apart?
# 3. The public notebook of the report scores each model on 100 random test images. What follows for a comparison
#    *between* the two tables?

# %%
# The measurement that is missing in the report: one classifier with 24 RGB bins, decoded in four ways, beside
# regression to RGB. From the same measurement: small U-Nets, means over three seeds.
on_horses(
    "Horses: one classifier with 24 RGB bins, decoded in four ways, and a regression, three seeds",
    "horses",
    "24 bins, mean",
    "24 bins, annealed",
    "24 bins, mode",
    "24 bins, sample",
    "regression to RGB",
)
per_image = metrics.mse(metrics.gray_prediction(truth), truth)
draws = [float(per_image[torch.randperm(len(world))[:100]].mean()) for _ in range(200)]
print(
    f"toyworld, MSE of gray on 200 draws of 100 scenes: {min(draws):.4f} to {max(draws):.4f}"
)
print("CIFAR-10 horses: such draws of 100 have a standard deviation of .0006 (measured)")
for net in ("U-Net", "CNN"):
    regressed, classified = (
        published("qureshi", system=f"{kind} {net}", metric="mse")[0].value
        for kind in ("regression", "classification")
    )
    print(f"published gap between the tables, {net}: {classified - regressed:.4f}")

# %% [markdown] answer=true
# 1. **It could**, by size. The oracle of 24 bins has an MSE of .0023 on these horses, twice the gap of the two
#    U-Nets, and an SSIM below that of gray. So the sentence is not nonsense. But this floor is for painters who paint
#    *one bin* in each pixel, and nobody has to do that.
# 2. **The decision to commit.** Decode the same network by its mean: the bins are as coarse as before, and the whole
#    gap to regression is gone, in MSE as in SSIM, where it even rises above gray. A mean of 24 colors is not one of
#    24 colors. Where the network is unsure between two neighboring bins it paints between them, luma included. What
#    the report took for the price of quantization was the price of the *mode*. (Look at the sample, too: about twice
#    the error of the mean, as derived in section 6, and the highest colorfulness of all.)
# 3. **They are not the same images.** Each model had a draw of its own. The gap of the U-Nets is about 1.3
#    standard deviations of the difference of two such draws, if networks' errors spread as gray's does ($\sqrt{2} \cdot
#    .0006$); that of the CNNs is zero to four digits, which is luck as well. And the pairs differ in more than the
#    task: the classification U-Net has more layers than its CNN. Large gaps within a table stand;
#    small ones between the tables do not.
#
# And "more vivid, because it does not average"? For the mode it is: compare the colorfulness of "24 bins, mode" and
# "regression to RGB". For the mean of the same network, which does average, it is not.

# %% [markdown]
# ### The papers' claims, tested
#
# A lab trains small networks, mostly once. `labkit reproduce` trains the papers' systems on photographs over three seeds.
# *Gain* is by how much the one that should be better is better; a claim stays *undecided* where the 95 % interval of its
# gain holds zero.

# %%
lab.table(
    claims_of("decodings")
    + claims_of(
        "qureshi",
        "dalban",
        about=("than regression", "beats classification", "better PSNR"),
    ),
    "Classification and regression: horses of CIFAR-10, and flowers in the last two rows",
    key="claims",
)

# %% [markdown] answer=true
# By its mode a classifier has the larger error and the more colorful pictures, in all three sets of runs. (On the
# flowers, trained with rebalanced weights as Dalban and Lakbir did, its mode falls below the gray image itself; by its
# mean the same network stays above.) By its mean it differs from regression by a few percent of the error, and three
# seeds do not settle in whose favor. Rebalancing raises the error; a little of that stays when its weights are divided
# out again.

# %%
# In the profile course: regression and 24-way classification on photographs.
if lab.dataset not in ("toyworld", "photos"):
    only = {"classes": "horse"} if lab.dataset == "cifar10" else {}
    seen = load(
        lab.dataset, "train+validation", limit=lab.choose(test=64, quick=5000), **only
    )
    unseen = load(lab.dataset, "test", limit=lab.choose(test=50, quick=1000), **only)
    epochs = lab.choose(test=1, quick=6, course=20)

    wide = lab.choose(test=4, quick=16, course=64)

    def on_photographs(representation):
        """Luma is painted at full resolution, chroma alone at half."""
        net, width = (
            ("unet", wide) if representation.predicts_luma else ("unet-half", 2 * wide)
        )
        model = Colorizer(representation, net, width=width, seed=lab.seed)
        model.fit(seen.images, epochs=epochs, batch_size=32, seed=lab.seed)
        return model

    def decoded(model):
        """The pictures of one classifier under every decoding, and its oracle's."""
        sees = model.representation
        grays = sees.gray(unseen.images)
        answers = torch.cat([model.predict(part).cpu() for part in grays.split(250)])
        variants = {"": answers}
        if sees.weights is not None:
            variants["weights divided out, "] = (
                answers - sees.weights.cpu().log()[:, None, None]
            )
        for variant, these in variants.items():
            for name, how in ways.items():
                draws = torch.Generator().manual_seed(lab.seed)
                colors = sees.quantizer.decode(these, how, temperature, draws)
                yield variant + name, sees.to_rgb(grays, colors)
        yield "oracle", sees.oracle(unseen.images)

    true = color.to_float(unseen.images)
    rows = [scores("gray (no color)", metrics.gray_prediction(true), true)]
    for name in ("rgb", "luma-chroma"):
        model = on_photographs(make_representation(name))
        rows.append(scores(f"regression, {name}", model(unseen.images).cpu(), true))
    classifications = {
        "24 RGB bins": Classification("rgb24"),
        "313 ab bins": Classification("ab313"),
        "313, rebalanced": Classification("ab313", rebalance=0.5),
    }
    for name, representation in classifications.items():
        for how, picture in decoded(on_photographs(representation)):
            rows.append(scores(f"{name}: {how}", picture, true))
    lab.table(
        rows,
        f"{lab.dataset}: {len(seen):,} images to train on, {epochs} epochs, "
        f"{len(unseen):,} others to score",
        key="photographs",
    )
else:
    print('photographs to train on: set dataset="cifar10" (profile course does)')

# %% [markdown]
# ## What to remember
#
# - A classifier predicts what is *possible*; what it paints is a second decision. Mean, annealed mean, mode and
#   sample are four pictures from one prediction.
# - **A metric that rewards the mean cannot judge a mode.** By MSE the mean must win, and an honest sampler pays
#   exactly twice the variance.
# - Print the oracle floor beside every classifier. Bins in RGB give luma away; bins in $a$ and $b$ do not.
# - Before you blame the bins, decode the mean of the same network: what then disappears was the price of committing.
# - Rebalancing changes the question, not the quality of the answer: it tilts the posterior, and can be divided out
#   again.
#
# **Decoding**
#
# - R. Zhang, P. Isola, A. A. Efros, "Colorful image colorization", ECCV 2016: 313 bins, soft encoding, rebalancing,
#   annealed mean.
# - G. Larsson, M. Maire, G. Shakhnarovich, "Learning representations for automatic colorization", ECCV 2016:
#   histograms of color, and several ways to decode them.
# - T. Gneiting, A. E. Raftery, "Strictly proper scoring rules, prediction, and estimation", *Journal of the American
#   Statistical Association* 102, 2007: why cross-entropy is lowest at the true distribution.
# - A. Qureshi, "Comparative analysis of regression and classification-based CNN architectures for image colorization"
#   (`qureshi` in the published tables): Tables 3 and 6.
# - "Automatic image colorization with convolutional neural networks and generative adversarial networks" (`gan`): 313
#   bins without rebalancing.
