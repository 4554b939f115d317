# %% [markdown]
# # Regression vs classification
#
# A network trained with squared error predicts the mean of all possible colors, and where several are possible the mean is dull (lab 01). So do not
# ask it for a color. Ask **how probable each color is**, and choose afterwards. Colors become classes; colorization becomes classification. In this lab you
# write the whole classifier.
#
# **90 minutes**, of which 48 for three builds. After this lab you
#
# - own `BinClassifier`: color bins, soft encoding, cross-entropy and the annealed mean, in one class that `fit` can train;
# - can hold a predicted distribution against the true one;
# - decode one prediction by its mean, its mode or a sample, and know which score rewards which;
# - can say how much of a classifier's error comes from having few colors (**quantization**) and how much from choosing one of them
#   (**commitment**), and measure each.

# %% tags=["setup"]
import torch
from scipy.cluster.vq import kmeans2
from labkit import color, metrics
from labkit.analysis.bin_costs import bin_costs
from labkit.checks import check, hint  # noqa: F401
from labkit.colorizer import Colorizer
from labkit.data import toyworld
from labkit.experiments.claims import claims_of
from labkit.experiments.findings import costs_on_photographs
from labkit.notebook import predict
from labkit.notebook.figures import regression_vs_classification as figures
from labkit.notebook.figures.color_spaces import reduced
from labkit.notebook.lab import begin
from labkit.notebook.photograph import own_photograph, show_on
from labkit.quantize import Quantizer, ab313, ab676
from labkit.representation import LAB, Classification, LumaChroma, Representation

# %% tags=["parameters"]
profile: str = "auto"  # test, quick, course, gpu or auto
dataset: str = (
    "auto"  # toyworld, whatever else is chosen: only there the true probabilities are known
)
seed: int = 0  # of the scenes, the first weights, the order of training and the samples
temperature: float = 0.38  # of the annealed mean, above 0; where the slider starts
photo: str = ""  # path of a photograph of your own; "" takes one that comes with labkit

# %%
lab = begin(
    "03_regression_vs_classification",
    profile=profile,
    dataset=dataset,
    seed=seed,
    temperature=temperature,
    photo=photo,
)
own = own_photograph(photo)

# %% tags=["opening"]
world = toyworld.generate(
    lab.choose(test=50, quick=200, course=1000), seed=lab.seed, split="test"
)
figures.possible_worlds(world, scene=24)

# %% [markdown]
# A colorizer sees the gray scene and has to commit to *one* picture. Before it commits, it could **know** all of this: that a balloon may be red, green, blue or
# magenta, and how often. A regression network never says so. A classifier does.

# %% [markdown]
# ## 1. Colors as classes
#
# Luma is given, so a class, a **bin**, needs two numbers: $a$ and $b$ of LAB (lab 02). Three lists of bins are in use:
#
# - $k$-means: as many centers as you like, where the training colors are;
# - **676 cells** of side 10 that cover a square of the plane (Dalban and Lakbir);
# - **313 points** of the lattice of step 10, a list that Zhang, Isola and Efros published.

# %%
predict(
    "03-reached",
    "The 676 cells fill a square that holds all 16.7 million sRGB colors. How many cells hold at least one of them?",
    ["nearly all", "about half", "fewer than 300"],
)

# %% [markdown]
# A color between two bins belongs to neither. **Hard** encoding sends it to the nearest. **Soft** encoding lets it share its probability among its few nearest bins,
# near ones more, and gives the others zero:
#
# $$p_q \propto \exp\left(-\frac{\lVert c - c_q \rVert^2}{2 \sigma^2}\right)$$
#
# ### Build: bins and soft encoding (difficulty 3 of 5, core, 19 minutes)
#
# Colors and bins are rows: `colors` is $(P, D)$, `centers` is $(Q, D)$.
#
# - `nearest_bin(colors, centers)`: $(P,)$, the number of the bin with the smallest Euclidean distance.
# - `kmeans(colors, centers, steps)`: $(Q, D)$. In each step, find the nearest bin of each color and move each center to the mean of its colors. A bin without
#   colors stays where it is.
# - `soft_encode(colors, centers, neighbors, sigma)`: $(P, Q)$, the formula above for the `neighbors` nearest bins, 0 for the others; each row sums to 1.


# %% exercise="03-nearest-bin"
def nearest_bin(colors: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """The number (P,) of the nearest bin of each color: colors (P, D), centers (Q, D)."""
    ### BEGIN SOLUTION
    squared = (colors[:, None] - centers).square().sum(dim=-1)  # (P, Q)
    return squared.argmin(dim=1)
    ### END SOLUTION


def kmeans(colors: torch.Tensor, centers: torch.Tensor, steps: int) -> torch.Tensor:
    """Centers (Q, D) after some steps of k-means: colors (P, D), first centers (Q, D)."""
    ### BEGIN SOLUTION
    for _ in range(steps):
        nearest = nearest_bin(colors, centers)
        count = torch.bincount(nearest, minlength=len(centers))[:, None]
        total = torch.zeros_like(centers).index_add(0, nearest, colors)
        centers = torch.where(count > 0, total / count.clamp(min=1), centers)
    return centers
    ### END SOLUTION


def soft_encode(
    colors: torch.Tensor, centers: torch.Tensor, neighbors: int, sigma: float
) -> torch.Tensor:
    """Probabilities (P, Q) of the bins of each color: colors (P, D), centers (Q, D)."""
    ### BEGIN SOLUTION
    squared = (colors[:, None] - centers).square().sum(dim=-1)  # (P, Q)
    smallest, places = squared.topk(neighbors, dim=1, largest=False)
    fractions = (-smallest / (2 * sigma**2)).softmax(dim=1)  # cannot divide 0 by 0
    return torch.zeros_like(squared).scatter(1, places, fractions)
    ### END SOLUTION


# %% check="03-nearest-bin"
check("03-nearest-bin", nearest_bin)
check("03-kmeans", kmeans)
check("03-soft-encode", soft_encode)


# %%
def by_scipy(colors, centers, steps):
    """k-means in the form of yours."""
    found, _ = kmeans2(colors.numpy(), centers.numpy(), steps, minit="matrix")
    return torch.from_numpy(found)


def ab_of(images):
    """a and b of every pixel, one a row: (N, 3, H, W) -> (N H W, 2)."""
    return color.rgb_to_lab(color.to_float(images))[:, 1:].movedim(1, -1).flatten(0, -2)


cluster = lab.built(kmeans, otherwise=by_scipy)


def bins_of(colors, count):
    """Bins for these colors (P, 2), by your k-means where it is built."""
    order = torch.randperm(len(colors), generator=torch.Generator().manual_seed(lab.seed))
    return cluster.piece(colors[order[:20_000]], colors[order[:count]], 10)


photograph = reduced(own.image)  # (3, H, W) in 0..1
few = {f"{count} bins": bins_of(ab_of(photograph[None]), count) for count in (2, 4, 24)}
figures.bin_maps(
    {"24, by k-means": few["24 bins"], "676 cells": ab676(), "313 points": ab313()}
)

# %% [markdown] answer=true
# **(c): 262.** The colors of a screen are a leaning patch in the square. And no center of the 676 is neutral: whatever is gray comes out slightly tinted. Zhang's list
# includes (0, 0). *Why 313?* No formula gives it ($25 \cdot 25 / 2 = 312.5$ is an accident): it is a list, made once and copied by everybody since.

# %% [markdown]
# Suppose a classifier is never wrong: in each pixel it names the bin that is nearest to the true color. This is the **oracle**. Its error is the price of having bins
# in place of colors, called *quantization*.


# %%
figures.oracles(photograph, few)

# %% [markdown]
# Four colors and a sharp luma nearly look like a photograph: quantization in $a$, $b$ is cheap. (Bins in RGB, as in Qureshi's report, give the luma away as well.
# The oracle of 24 RGB bins has a *lower* SSIM, a score of local structure, than the gray image.)

# %% [markdown]
# ## 2. From logits to a loss, and to a color
#
# A network predicts $Q$ numbers a pixel, the **logits** $z$; $\hat p = \operatorname{softmax}(z)$ is its distribution. The loss is the **cross-entropy** with the encoded color $p$,
#
# $$-\sum_q p_q \log \hat p_q \quad \text{averaged over the pixels.}$$
#
# Then a rule makes a color of $\hat p$. The **mean** and the **mode** (the likeliest bin) are the two ends of the
# **annealed mean**, which sharpens the distribution before it averages:
#
# $$\hat p(T) = \operatorname{softmax}(z / T), \qquad T = 1: \text{mean}, \qquad T \to 0: \text{mode}.$$
#
# A **sample** draws a bin. With a random number $u$ from 0 to 1, it is the first bin at which the cumulative probability passes $u$.
#
# ### Build: the cross-entropy head, and two ways to a color (difficulty 3 of 5, core, 16 minutes)
#
# - `bin_loss(logits, target)`: both $(P, Q)$; a scalar (with the natural logarithm, in *nats*). Logits may be large: `log_softmax` is safe where `exp` overflows.
# - `annealed_mean(logits, centers, temperature)`: $(P, D)$.
# - `sample(logits, centers, u)`: $(P, D)$; `u` is $(P,)$, given, so that a draw can be repeated.


# %% exercise="03-cross-entropy"
def bin_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with soft targets, a scalar: logits (P, Q), target (P, Q)."""
    ### BEGIN SOLUTION
    return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    ### END SOLUTION


def annealed_mean(
    logits: torch.Tensor, centers: torch.Tensor, temperature: float
) -> torch.Tensor:
    """The annealed mean (P, D): logits (P, Q), centers (Q, D)."""
    ### BEGIN SOLUTION
    probability = (logits / temperature).softmax(dim=1)  # (P, Q)
    return probability @ centers
    ### END SOLUTION


def sample(logits: torch.Tensor, centers: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """A bin drawn in each row, as a color (P, D): logits (P, Q), centers (Q, D), u (P,) in 0..1."""
    ### BEGIN SOLUTION
    cumulative = logits.softmax(dim=1).cumsum(dim=1)
    passed = (cumulative <= u[:, None]).sum(dim=1)
    return centers[passed.clamp(max=len(centers) - 1)]
    ### END SOLUTION


# %% check="03-cross-entropy"
check("03-cross-entropy", bin_loss)
check("03-annealed-mean", annealed_mean)
check("03-sample", sample)

# %% [markdown]
# ## 3. A classifier to train
#
# What you have works on rows; a representation works on images (lab 02). One class joins them.
#
# ### Build: the classifier (difficulty 4 of 5, core, 13 minutes)
#
# Write the four methods of `BinClassifier`. `self.space` is `LAB(input_gray="luma")`: its `split` gives luma and $a, b$ **divided by 110**, and its `to_rgb` wants them so. The bins
# are in $a$ and $b$ themselves. Rows of an image: `x.movedim(1, -1).flatten(0, -2)`, $(N, C, H, W) \to (N H W, C)$; the way back undoes the two steps in reverse
# order. A plain `reshape` would mix pixels and channels.


# %% exercise="03-classifier"
class BinClassifier(Representation):
    """A network predicts one logit for each bin; the target is the color itself, which the loss encodes."""

    name = "yours"

    def __init__(self, centers, neighbors=1, sigma=5.0, temperature=0.38):
        """centers: the bins (Q, 2); neighbors, sigma: of soft_encode; temperature: of annealed_mean."""
        super().__init__()
        self.channels = len(centers)
        self.register_buffer("centers", centers, persistent=False)
        self.neighbors, self.sigma, self.temperature = neighbors, sigma, temperature
        self.space = LAB(input_gray="luma")

    def split(self, rgb):
        """Images (N, 3, H, W) -> luma (N, 1, H, W), and a and b (N, 2, H, W)."""
        ### BEGIN SOLUTION
        gray, ab = self.space.split(rgb)
        return gray, 110 * ab
        ### END SOLUTION

    def loss(self, prediction, target):
        """Logits (N, Q, H, W), and a and b (N, 2, H, W) -> cross-entropy, a scalar."""
        ### BEGIN SOLUTION
        logits = prediction.movedim(1, -1).flatten(0, -2)
        colors = target.movedim(1, -1).flatten(0, -2)
        encoded = soft_encode(colors, self.centers, self.neighbors, self.sigma)
        return bin_loss(logits, encoded)
        ### END SOLUTION

    def colors(self, prediction):
        """Logits (N, Q, H, W) -> a and b (N, 2, H, W), the annealed mean."""
        ### BEGIN SOLUTION
        n, _, height, width = prediction.shape
        logits = prediction.movedim(1, -1).flatten(0, -2)
        rows = annealed_mean(logits, self.centers, self.temperature)
        return rows.view(n, height, width, 2).movedim(-1, 1)
        ### END SOLUTION

    def to_rgb(self, gray, colors):
        """Luma (N, 1, H, W), a and b (N, 2, H, W) -> rgb (N, 3, H, W)."""
        ### BEGIN SOLUTION
        return self.space.to_rgb(gray, colors / 110)
        ### END SOLUTION


# %% check="03-classifier"
check("03-classifier", BinClassifier)
check("03-classifier-trains", BinClassifier)

# %% [markdown]
# Now it trains, for longer, on toyworld. Bins: those of Zhang's list that toyworld's colors fall into. Beside it the library's `Classification`, and a regression network of the same
# architecture. All of them see gray scenes with *one* true color a pixel. Nobody tells them a probability.

# %%
predict(
    "03-posterior",
    "In new scenes, what does the classifier predict for a ball that is red in 42 %, green in 28 %, blue in 30 % of scenes?",
    ["nearly the true probabilities", "1 for red", "a third each: gray says nothing"],
)

# %%
scenes = toyworld.generate(lab.choose(test=64, quick=4_000, course=48_000), seed=lab.seed)
zhang = ab313()
reached = zhang.frequencies(ab_of(scenes.images[:300]).T[None, :, None]) > 0
bins = Quantizer(zhang.centers[reached], "ab", "toyworld")


def by_library(centers, temperature):
    """What the library has in place of BinClassifier."""
    options = {"decode": "annealed", "temperature": temperature, "input_gray": "luma"}
    return Classification(Quantizer(centers, "ab", "toyworld"), neighbors=1, **options)


classifier = lab.built(BinClassifier, otherwise=by_library)
space = classifier.piece(bins.centers, temperature=1.0)  # decodes by the mean
library = by_library(bins.centers, temperature=1.0)
torch.set_num_threads(1)  # one thread is the safe choice for batches this small, see lab 01


def trained(representation, n):
    """A small U-Net, trained for one pass over the scenes."""
    small = {"width": 16, "max_width": 32, "convolutions": 1}
    model = Colorizer(representation, "unet", seed=lab.seed, **small)
    model.fit(scenes.images[:n], epochs=1, batch_size=8, learning_rate=2e-2, seed=lab.seed)
    return model


models = {classifier.label: trained(space, len(scenes))}
if classifier.yours:
    models["library"] = trained(library, len(scenes))
regression = trained(LumaChroma(), len(scenes) // 2)

# %% [markdown]
# **How far from the truth?** Cross-entropy can be at best the entropy of the true posterior, which we know. **Total variation**, $\tfrac{1}{2} \sum_q |p_q - \hat p_q|$, is the
# probability put on wrong bins: 0 is perfect. Pixels are *in doubt* where more than one color is possible.

# %%
gray, truth = color.luma(world.images), color.to_float(world.images)
target = library.target(world.images)  # (N, 2, 32, 32): a and b
gray_mse = float(metrics.mse(gray.expand_as(truth), truth).mean())
doubt = world.ambiguous()  # (N, 32, 32)
posterior = toyworld.bin_posterior(world, library)  # (N, Q, 32, 32), exact
lowest = toyworld.best_cross_entropy(world, library)["realized"]
logits = {name: model.predict(gray).cpu() for name, model in models.items()}
frequent = posterior.mean(dim=(0, 2, 3), keepdim=True).expand_as(posterior)


def row(name, rgb):
    """The beginning of a row of a table of scores."""
    mse = float(metrics.mse(rgb.expand_as(truth), truth).mean())
    return {"predicts": name, "MSE": mse, "skill": metrics.skill(mse, gray_mse)}


def distance(name, p):
    """A row: how far a predicted distribution (N, Q, 32, 32) is from the truth."""
    log_p = p.clamp(min=1e-30).log()
    nats = float(library.loss(log_p, target))
    apart = (p - posterior).abs().sum(dim=1)[doubt].mean() / 2
    score = {"cross-entropy": nats, "over the lowest": nats / lowest}
    score |= {"total variation in doubt": float(apart)}
    return row(name, library.decode(gray, log_p)) | score


predicted = {"how frequent each bin is": frequent}
predicted |= {name: these.softmax(dim=1) for name, these in logits.items()}
predicted |= {"optimum: the true posterior": posterior}
rows = [row("gray (no color)", gray), *(distance(*pair) for pair in predicted.items())]
lab.table(rows, f"{len(world)} new scenes; MSE is that of the mean", key="posterior")

# %%
mine = logits[classifier.label]  # what the rest of the lab decodes
figures.things(world, library, mine.softmax(dim=1))

# %% [markdown] answer=true
# **(a).** No scene ever showed a probability. But cross-entropy is lowest where $\hat p$ is the true distribution, and gradient descent did the counting. Longer training comes closer. *This* is what
# classification buys: not a better color, but the knowledge of what is possible. What follows is about spending it.

# %% [markdown]
# ## 4. Mean, mode, sample
#
# The same logits, decoded in four ways. Two scores beside MSE, over the pixels in doubt: how often the color falls into the **right bin**, and how far the **histogram** of all bins is from the
# true one (total variation).

# %%
predict(
    "03-best-mse",
    "Which decoding has the lowest MSE, which names the right bin most often, which has the best histogram?",
    ["mean, mode, sample", "mode, mode, mode", "sample, mode, mean", "mean, mean, mode"],
)
predict(
    "03-sample",
    "A perfect sampler draws from the true posterior. How many times the MSE of the perfect mean is its expected MSE?",
    unit="times",
)


# %%
def sampled(logits, centers, u):
    """The library's sampler in the form of yours."""
    cumulative = logits.softmax(dim=1).cumsum(dim=1)
    return centers[torch.searchsorted(cumulative, u[:, None])[:, 0]]


draw = lab.built(sample, otherwise=sampled)


def annealed(logits, gray, temperature):
    """Pictures of logits (N, Q, H, W) by the annealed mean, yours where it is built."""
    return classifier.piece(bins.centers, temperature=temperature).decode(gray, logits)


def one_sample(logits, gray):
    """Pictures in which every pixel is drawn from its own distribution."""
    rows = logits.movedim(1, -1).flatten(0, -2)
    u = torch.rand(len(rows), generator=torch.Generator().manual_seed(lab.seed))
    ab = draw.piece(rows, bins.centers, u).view(len(gray), *gray.shape[-2:], 2)
    return library.to_rgb(gray, ab.movedim(-1, 1))


pictures = {
    "regression": regression(world.images).cpu(),
    "mean": annealed(mine, gray, 1.0),
    f"annealed, T = {temperature}": annealed(mine, gray, temperature),
    "mode": annealed(mine, gray, 0.01),
    "sample": one_sample(mine, gray),
}
kinds = sum((world.material == k).flatten(1).any(dim=1) for k in range(9, 13))  # of things
several = (0.1 * kinds + doubt.float().mean(dim=(1, 2))).argsort(descending=True)
shown = several[:3]
figures.decodings(
    {name: x[shown] for name, x in pictures.items()}, gray[shown], truth[shown]
)

# %%
drawn = bins.encode(target)[doubt]  # the true bins


def frequencies(chosen):
    """How frequent each bin is, (Q,)."""
    return torch.bincount(chosen, minlength=len(bins)) / len(chosen)


def all_scores(name, rgb):
    """A row of scores, the last two over the pixels in doubt."""
    chosen = bins.encode(library.target(rgb))[doubt]
    off = (frequencies(chosen) - frequencies(drawn)).abs().sum() / 2
    return row(name, rgb) | {
        "colorfulness": float(metrics.colorfulness(rgb).mean()),
        "right bin": float((chosen == drawn).float().mean()),
        "histogram off by": float(off),
    }


best = LumaChroma().to_rgb(gray, toyworld.optimum(world, LumaChroma()).prediction)
pictures = {"gray (no color)": gray.expand_as(truth), **pictures, "perfect mean": best}
rows = [all_scores(name, rgb) for name, rgb in pictures.items()]
lab.table(rows, "One classifier, four decodings, on new scenes", key="decodings")

# %% [markdown] answer=true
# **(a), and 2.** Each score asks for another summary of the posterior. With $m$ the mean and $V$ the variance, whoever predicts $f$ pays $V + \lVert f - m \rVert^2$. The mean pays $V$. An honest
# sample lies itself $V$ away from $m$ on average: it pays **exactly twice** $V$, whatever the posterior. The mode pays $\lVert \text{mode} - m \rVert^2$ on top. So a **metric that rewards the mean cannot
# judge a mode**: "regression scores better than classification" by MSE can be true before anybody has trained anything.
#
# Why is the sample speckled? It predicts each pixel's distribution and says nothing about which pixels belong together. And why do some modes have patches? The mode counts *bins*: where
# red falls between two bins, they split its vote. What a ball as a *whole* may look like was never learned; lab 06 takes that up.

# %%
some = several[: lab.choose(test=4, quick=24)]
figures.drag_temperature(
    lambda T: annealed(mine[some], gray[some], T), truth[some], temperature
)

# %% [markdown]
# From $T = 1$ down to 0 color is bought with error: cheap at first, where the curve of the MSE is flat, expensive near 0. Zhang, Isola and Efros chose $T = .38$ by eye.

# %% [markdown]
# ## 5. Quantization or commitment?
#
# Decode a classifier by its mode instead of its mean, and its error rises. There are two reasons. It **commits** to one color. And it can only predict **bins** (quantization): the mean of many bins falls between
# them, the mode does not. Which of the two is the gap? Try it on a posterior with one peak, a bell curve of width $\sigma = .5$ that lies anywhere, with bins of width 1.

# %%
figures.one_peak()
predict(
    "03-one-peak",
    "Here the mode of the bins has a larger MSE than the mean of the bins. How much of this gap is commitment?",
    ["all of it", "about half", "none of it"],
)

# %%
# NBVAL_CHECK_OUTPUT
peak = torch.linspace(-0.5, 0.5, 1001).double()[:, None]  # against the middle of its bin, 0
edges = torch.arange(-8, 9).double() - 0.5
mass = torch.special.ndtr((edges - peak) / 0.5).diff(dim=1)  # (1001, 16), of each bin
mean = (mass * torch.arange(-8, 8)).sum(dim=1, keepdim=True)
for name, at in {"mode of the bins": 0, "mean of the bins": mean, "exact": peak}.items():
    print(f"{name:16}: MSE {0.25 + float((at - peak).square().mean()):.3f}")

# %% [markdown] answer=true
# **(c).** The bell curve has its mean where it has its mode: there is nothing to commit to. The exact mode pays .250, the mode of bins .333: the gap is $1/12$, the variance of a number within a bin of width 1, and **all of it is quantization**. So to tell the two apart, do not compare mean with
# mode. Keep the space fixed, **vary the bins**, and put the exact colors beside them.

# %% [markdown]
# On toyworld we can do that without training anything: the perfect classifier predicts the exact posterior of its bins. The bins are your $k$-means, more and more of them.

# %%
predict(
    "03-many-bins",
    "Perfect classifiers with 12 to 96 bins. What becomes of the gap between mode and mean as the bins get finer?",
    ["it closes: quantization", "it hardly changes: commitment", "it doubles"],
)

# %%
few_scenes = world.select(slice(0, lab.choose(test=4, quick=30, course=100)))
seen = ab_of(scenes.images[:60])
costs = {}
for count in (6, 12, 24, 48, 96):
    costs[count] = bin_costs(few_scenes, Quantizer(bins_of(seen, count), "ab", "k-means"))
figures.cost_of_bins(costs)

# %%
rows = [{"bins": "gray (no color)", "MSE of the mode": costs[6].gray, "skill": 0.0}]
for count, cost in costs.items():
    skill = metrics.skill(cost.mode, cost.gray)
    found = {"bins": str(count), "MSE of the mode": cost.mode, "skill": skill}
    found |= {"commitment": cost.commitment, "quantization": cost.quantization}
    rows.append(found | {"MSE of the mean": cost.mean, "oracle": cost.oracle})
lab.table(rows, "MSE of the mode = exact mean + commitment + quantization", key="bins")

# %% [markdown] answer=true
# **(b), here.** Toyworld's posteriors have several peaks far apart, so the mode's price is commitment, and finer bins change only the small rest, the column of quantization. (Six bins are too few for
# this: some of them lie between the peaks, their mode is a compromise, and quantization is negative.) The oracle's column is what bins cost somebody who is never wrong. On a posterior with one peak it is the other way round. Photographs have both. **How much is which has to be measured.**

# %% [markdown]
# ## Reading the papers
#
# **Qureshi** compares regression with the mode of 24 RGB bins: "classification scores slightly worse, perhaps because quantizing the colors loses information". The measurement that was missing: photographs, one space, the bins varied, each classifier decoded by
# mean and by mode, with its oracle beside it.

# %%
predict(
    "03-photographs",
    "On photographs, with Qureshi's 24 RGB bins: what makes the mode worse than the mean of the same classifier?",
    ["rounding: quantization", "deciding: commitment", "both alike"],
)

# %%
caption = "Horses of CIFAR-10, MSE in thousandths: mean + quantization + commitment = mode"
lab.table(costs_on_photographs(), caption, key="measured_bins")
lab.table(
    claims_of("bins", about=("24 RGB", "one, 150 chroma", "mean, 24", "it, regr"))
    + claims_of("decodings", about=("regression beats",))
    + claims_of("qureshi", about=("than regression", "beats classification")),
    "Claims on horses of CIFAR-10; margins of the 95 % intervals over seeds and test images",
    key="claims",
)

# %% [markdown] answer=true
# **(a), with 24 RGB bins.** *Rounded*, the mean's nearest bin, already costs 1.1 thousandths more than the mean, and the likeliest bin costs no more than that: the report's guess was right for its own bins, which are few and spread over three dimensions. In the two dimensions of chroma, over
# the exact luma, bins lie closer together: with 150 of them rounding costs .03 and commitment .60 (**supported**; with 24 it is .16 and .50, and the second is **undecided**). The more bins, the more of the mode's price is commitment. A regression that has to predict luma as well pays .80 for it.
#
# Regression beats the *mode* of a classifier: **supported**. The *mean* of a classifier beats regression over the exact luma; in RGB, with 24 bins, that is **undecided**. So what loses to regression is the decision and the coarse bins, not the classification.

# %% [markdown]
# **What cannot be concluded:** that classification is worse, or better. By MSE a mode must lose to a mean where there is something to decide; by the right bin it must win. Say which score you care about first. And these are small networks after four epochs.

# %% [markdown]
# ## Open task
#
# Find a rule that decodes your logits into **colorful pictures at little error**: on validation scenes, an MSE as low as possible at a colorfulness of at least 95 % of the true one. Ideas: a temperature for each pixel by its entropy; votes of neighboring bins counted together; one draw for a
# whole picture. Floor: the mode. Our best so far: an annealed mean. Choose on validation scenes; the test scenes are for the end.

# %%
validation = toyworld.generate(
    lab.choose(test=20, quick=100), seed=lab.seed, split="validation"
)
val_gray, val_true = color.luma(validation.images), color.to_float(validation.images)
val_logits = models[classifier.label].predict(val_gray).cpu()


wanted = 0.95 * metrics.colorfulness(val_true).mean()
for T in (0.01, 0.3):  # put your own pictures in the place of annealed(...)
    rgb = annealed(val_logits, val_gray, T)
    mse = metrics.mse(rgb, val_true).mean()
    reached = metrics.colorfulness(rgb).mean() / wanted
    print(f"T = {T}: MSE {mse:.4f}, {100 * reached:.0f} % of the wanted colorfulness")

# %% [markdown]
# Your classifier on your photograph. It knows nothing but toyworld.

# %%
name = "yours" if classifier.yours else "library"
show_on(own.image, {name: models[classifier.label], "starter": Colorizer.starter()})

# %% [markdown]
# ## What to remember
#
# - A classifier predicts what is *possible*; the color is a second decision. Mean, mode and sample are three pictures of one prediction.
# - A metric that rewards the mean cannot judge a mode. An honest sampler pays exactly twice the variance.
# - Mean against mode mixes commitment with quantization. To separate them, vary the bins in a fixed space, with the oracle and the exact colors beside.
#
# **Sources.** R. Zhang, P. Isola, A. Efros, "Colorful image colorization", 2016 (arXiv:1603.08511): 313 bins, soft encoding, annealed mean, and rebalancing of rare colors, which `Classification(rebalance=...)` offers. G. Larsson, M. Maire, G. Shakhnarovich, "Learning representations for automatic
# colorization", 2016. T. Gneiting, A. Raftery, "Strictly proper scoring rules", 2007. Qureshi (`qureshi`), Dalban and Lakbir (`dalban`): `labkit.experiments.published`.
