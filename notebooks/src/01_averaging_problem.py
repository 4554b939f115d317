# %% [markdown]
# # The averaging problem
#
# Train a network to color gray pictures, and whatever could have several colors comes out brown. The network is not too
# small, and it was not trained too briefly: it answers, exactly, the question that its loss asked.
#
# **60 minutes**, half of them exercises. After this lab you can
#
# - say which color each loss asks for, and derive it;
# - predict what color a network will paint, and the score that no network can beat, *before* you train it;
# - tell which of these answers depend on the color space;
# - find the flaw in a textbook example of color averaging, and mend it.
#
# We work in **toyworld**: small painted scenes in which some things have one color and others one of several, drawn by
# chance. We painted them, so we know the exact probability of every color given the gray picture. Nobody knows it for
# photographs.

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
from labkit.representation import make_representation
from labkit.widgets import explore

# %% tags=["parameters"]
profile: str = "auto"  # test, quick, course, gpu or auto
dataset: str = "auto"  # photographs to train on in section 6: cifar10, stl10, flowers102; toyworld for none
seed: int = 0  # of the scenes, the first weights and the order of training
alpha: float = 0.7  # share of MSE in the loss mix of section 3, where the widget starts

# %%
lab = begin(
    "01_averaging_problem", profile=profile, dataset=dataset, seed=seed, alpha=alpha
)

# %%
world = toyworld.generate(
    lab.choose(test=50, quick=500, course=1000), seed=lab.seed, split="test"
)
KIND = {material.name: index for index, material in enumerate(toyworld.MATERIALS)}

# A scene with one large ball, and nothing else whose color is in doubt.
in_ball = world.material == KIND["ball"]
area = in_ball.sum(dim=(1, 2))
width, height = in_ball.any(dim=1).sum(dim=1), in_ball.any(dim=2).sum(dim=1)
one = (width == height) & (area > 0.66 * width * height)  # one disk, not several
other = (world.ambiguous() & ~in_ball).flatten(1).any(dim=1)
scene = int((area * (one & ~other)).argmax())

# Per pixel: the possible colors and how probable each is, and the RGB that is best by MSE.
colors, probability = world.posterior()
mean = toyworld.optimum(world, make_representation("rgb"), "mse").prediction
three = colors[scene, :3]  # this scene with a red, a green and a blue ball

row = [color.luma(three[0]), *color.to_float(three), mean[scene]]
plots.show(
    plots.image_grid(
        {"": row},
        columns=["gray", "true", "also true", "just as true", "the best answer, says MSE"],
        scale=1.1,
    ),
    alt="Five small pictures of one large ball on grass under a blue sky. In gray; with a red "
    "ball; with a green ball; with a blue ball; and last with a dull, grayish brown ball, "
    "while its sky and its grass are as blue and as green as before.",
    caption="One gray picture, the three colored pictures it can come from, and what a perfect "
    "network paints that was trained with squared error.",
)

# %%
# NBVAL_CHECK_OUTPUT
gray = color.luma(three)
print(
    "the three have one gray picture, bit by bit:",
    torch.equal(gray[0], gray[1]) and torch.equal(gray[1], gray[2]),
)

# %% [markdown]
# There is no way to tell the three apart: red, green and blue were chosen to have exactly the same gray. A network must
# paint *something*, and the last picture, with its dull brown, is the best it can do under squared error. Toyworld has
# no brown balls. Sky and grass, which have one color each, come out right. Why brown? And who asked for it?

# %% [markdown]
# ## 1. One pixel, three losses
#
# Forget networks for a while. Here is one pixel of a ball, and all that can be known about its color from the gray
# picture.

# %%
ball = toyworld.material("ball")
palette = torch.tensor(ball.colors).float()  # (3 colors, 3 channels), 0..255
chance = torch.tensor(ball.probabilities)

plots.show(
    plots.posterior_bars(
        palette / 255,
        chance,
        labels=["red", "green", "blue"],
        title="P(color | gray) of a ball",
    ),
    alt="Bar chart of the three possible colors of a ball, with probabilities {:.2f} for red, "
    "{:.2f} for green and {:.2f} for blue.".format(*ball.probabilities),
    caption="The posterior: what the gray picture leaves open. Each bar has the color it stands for.",
)

# %% [markdown]
# You must name one color $c$, before the true one $X$ is drawn, and pay for the error.
#
# **Predict:** which color makes the *expected squared error* smallest, and which the *expected absolute error*?
#
# - (a) red for both: it is the most probable;
# - (b) one and the same mixture of the three for both;
# - (c) two different colors, and neither is red, green or blue.
#
# The figure tries all 256 values in each channel.

# %%
tried = torch.arange(256.0).view(256, 1, 1)
error = tried - palette  # (256 values tried, 3 colors, 3 channels)
squared = (chance[:, None] * error**2).sum(dim=1)  # expected, (256, 3 channels)
absolute = (chance[:, None] * error.abs()).sum(dim=1)

figure, panels = plots.subplots(2, 3, height=3.8, sharex=True)
for row, (loss, cost) in zip(
    panels, {"squared": squared, "absolute": absolute}.items(), strict=True
):
    for channel, axes in enumerate(row):
        best = int(cost[:, channel].argmin())
        axes.plot(cost[:, channel], color=plots.PALETTE[0])
        axes.plot(best, cost[best, channel], "o", color=plots.PALETTE[1], markersize=7)
        axes.annotate(
            str(best),
            (best, cost[best, channel]),
            (0, 8),
            textcoords="offset points",
            ha="center",
            size=8.5,
        )
        axes.plot(
            palette[:, channel],
            cost[palette[:, channel].long(), channel],
            "|",
            color=plots.INK,
            markersize=12,
        )
        axes.set_ylim(0)
    row[0].set_ylabel(f"expected\n{loss} error", size=9)
for axes, name in zip(panels[1], ("red", "green", "blue"), strict=True):
    axes.set_xlabel(f"value painted in {name}", size=9)
lowest = {
    "squared": squared.argmin(dim=0).tolist(),
    "absolute": absolute.argmin(dim=0).tolist(),
}
plots.show(
    figure,
    alt="Six curves: red, green and blue under two losses. Under squared error each is a smooth "
    f"bowl, lowest at {lowest['squared']}. Under absolute error each is made of straight "
    "pieces with kinks at the candidates' values, and the lowest point is a kink: "
    f"{lowest['absolute']}.",
    caption="Expected error of every value that a channel can be painted. The bars mark the values "
    "of the three candidates, the dot marks the lowest point.",
)

# %%
# NBVAL_CHECK_OUTPUT
for loss, best in lowest.items():
    print(f"lowest expected {loss} error: red, green, blue = {best}")

# %% [markdown] answer=true
# **(c).** Squared error asks for the **mean**, the brown of the first picture. Absolute error asks for the **median of
# each channel**: red and green come from the blue ball, (85, 115, 220), blue comes from the red one, (226, 76, 51).
# Together they make a dark olive that no ball has either.
#
# *Why the mean.* Let the derivative vanish: $\frac{d}{dc} E(c - X)^2 = 2\,(c - E X) = 0$, so $c = E X$. The bowl is
# smooth, so the answer moves a little with every probability.
#
# *Why the median.* The slope of $E|c - X|$ is $P(X < c) - P(X > c)$: a step to the right moves away from all that lies
# to the left, and toward all that lies to the right. The lowest point is where the sign changes, where half of the
# probability lies on either side. The answer sits on a candidate's value and stays there until a probability crosses
# 1/2.
#
# Look at the red channel under absolute error: to the right of its lowest point the valley is nearly flat. The slope is
# the difference of two probabilities, and the red ball has nearly as much as the two others together. A wrong color
# costs little there. We shall meet this valley again.

# %% [markdown]
# The third loss does not name a color at all. A classifier answers with probabilities $q_k$, and **cross-entropy**
# $-\sum_k p_k \log q_k$ is what it pays. Below, gradient descent on three numbers, starting from "no idea".

# %%
# NBVAL_CHECK_OUTPUT
logits = torch.zeros(3, requires_grad=True)
for _ in range(500):
    cross_entropy = -(chance * logits.log_softmax(dim=0)).sum()
    (slope,) = torch.autograd.grad(cross_entropy, logits)
    logits = (logits - slope).detach().requires_grad_()
print("q =", [round(q, 2) for q in logits.softmax(dim=0).tolist()])

# %% [markdown]
# It keeps the whole distribution. (Because $\sum_k p_k \log (p_k / q_k) \ge 0$, with equality only for $q = p$: Gibbs'
# inequality.) What to *paint* is then still open: the most probable color, a random draw, or the mean again. Lab 03 is
# about that choice.
#
# So each loss asks for another **summary of the posterior**. And each summary wins by its own measure and loses by the
# others':


# %%
def cost(painted):
    """What a painted color, (3,) in 0..255, costs: expected over the true color of the ball."""
    error = (painted - palette) / 255
    return {
        "MSE": chance @ (error**2).mean(dim=1),
        "MAE": chance @ error.abs().mean(dim=1),
        "exactly right": chance @ (error.abs().amax(dim=1) < 1e-6).float(),
    }


gray_ball = (palette[0] @ torch.tensor(color.LUMA_WEIGHTS)).expand(3)
summaries = {
    "gray (no color)": gray_ball,
    "mean": chance @ palette,
    "median of each channel": absolute.argmin(dim=0).float(),
    "most probable": palette[chance.argmax()],
}
rows = []
for name, painted in summaries.items():
    paid = cost(painted)
    rgb = ", ".join(f"{v:.0f}" for v in painted)
    skill = metrics.skill(float(paid["MSE"]), float(cost(gray_ball)["MSE"]))
    rows.append({"painted": name, "R, G, B": rgb, **paid, "skill": skill})
lab.table(
    rows,
    "A ball, painted four ways: expected cost (skill is 1 - MSE / MSE of gray)",
    key="one_pixel",
)

# %% [markdown]
# A skill above 0 means: better than leaving the ball gray. Look who fails that test. Committing to the most probable
# color is exactly right more often than any other answer, and yet **worse than gray** by MSE, because it pays dearly
# when it is wrong. Keep that in mind whenever a lively picture loses by MSE to a dull one.

# %% [markdown]
# ### Exercise 1: the color that MSE asks for (3 minutes)
#
# Write `mean_color(colors, probabilities)`.
#
# - In: `colors`, a float tensor of shape $(K, 3)$, the R, G, B of $K$ candidates, 0 to 255; `probabilities`, shape
#   $(K,)$, which sum to 1.
# - Out: the color of shape $(3,)$, in the same units, for which the expected squared error is smallest. Do not round.


# %% exercise="01-mean-color"
def mean_color(colors: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """The color (3,) of lowest expected squared error; colors (K, 3), probabilities (K,)."""
    ### BEGIN SOLUTION
    return (probabilities[:, None] * colors).sum(dim=0)
    ### END SOLUTION


# %% check="01-mean-color"
check("01-mean-color", mean_color)

# %% [markdown]
# ### Exercise 2: the color that L1 asks for (8 minutes)
#
# Write `median_color(colors, probabilities)`, with the same inputs: the color of shape $(3,)$ for which the expected
# absolute error, summed over the channels, is smallest.
#
# Each channel can be minimized by itself. Take its $K$ values in ascending order, add up their probabilities in that
# order, and stop at the first value at which the sum passes 1/2. (`values.sort()` gives the order, too; `cumsum` adds
# up.) In the check, no such sum is exactly 1/2.


# %% exercise="01-median-color"
def median_color(colors: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """The color (3,) of lowest expected absolute error; colors (K, 3), probabilities (K,)."""
    ### BEGIN SOLUTION
    best = []
    for channel in range(3):
        values, order = colors[:, channel].sort()
        passed = probabilities[order].cumsum(dim=0) > 0.5
        best.append(values[passed][0])
    return torch.stack(best)
    ### END SOLUTION


# %% check="01-median-color"
check("01-median-color", median_color)

# %% [markdown]
# ## 2. The same loss in other coordinates
#
# A network may predict red, green and blue, or other coordinates of color: the U and V of YUV, the a and b of LAB, two
# axes of the luma-chroma plane. (Lab 02 takes them apart. Here it is enough to know that YUV and luma-chroma are
# *linear* in R, G, B, and LAB is not.) In these, the network is given the luma and predicts the rest.
#
# **Predict:** we find the best ball by MSE and by L1 in each of four coordinate systems, and look at it as a picture.
# How many different balls?
#
# - (a) two: one for MSE, one for L1, whatever the coordinates;
# - (b) one for MSE, several for L1;
# - (c) two for MSE, four for L1.

# %%
spaces = {
    "RGB": make_representation("rgb"),
    "YUV": make_representation("yuv"),
    "luma-chroma": make_representation("luma-chroma"),
    "LAB": make_representation("lab", input_gray="luma"),
}
unshaded = in_ball & (world.shade == 0)
image, y, x = unshaded.nonzero()[0].tolist()  # one pixel of some ball


def paint(space, loss, which):
    """Scene number `which`, (3, 32, 32), as it is best by a loss in a space's coordinates."""
    prediction = toyworld.optimum(world, space, loss).prediction[[which]]
    return space.decode(space.gray(world.images[[which]]), prediction)[0]


balls = {
    loss: [paint(space, loss, scene) for space in spaces.values()] for loss in ("mse", "l1")
}
rows = [{"predicted in": "gray (no color)"}, *({"predicted in": name} for name in spaces)]
for loss in balls:
    pixels = [
        gray_ball,
        *(255 * paint(space, loss, image)[:, y, x] for space in spaces.values()),
    ]
    for entry, pixel in zip(rows, pixels, strict=True):
        entry[f"{loss.upper()}: R, G, B"] = ", ".join(f"{v:.0f}" for v in pixel)
        entry[f"{loss.upper()}: luma"] = round(
            float(pixel @ torch.tensor(color.LUMA_WEIGHTS)), 1
        )

plots.show(
    plots.image_grid(
        {"best by MSE (mean)": balls["mse"], "best by L1 (median)": balls["l1"]},
        columns=list(spaces),
        scale=1.2,
    ),
    alt="Two rows of four pictures of the ball, for RGB, YUV, luma-chroma and LAB. Best by MSE: "
    "the same dull brown ball three times, and a more reddish one for LAB. Best by L1: four "
    "different balls: dark olive in RGB, green in YUV, light brown in luma-chroma, orange in "
    "LAB.",
    caption="The best ball under two losses, each in four coordinate systems.",
)
lab.table(
    rows,
    "The best color of an unshaded ball, and its luma (the ball's is 118)",
    key="coordinates",
)

# %% [markdown] answer=true
# **(c).**
#
# *The mean* commutes with every linear map, $E[A X] = A\,E[X]$: averaging before or after the change of coordinates
# gives the same color, so RGB, YUV and luma-chroma agree. LAB bends space (a cube root), and the mean of bent
# coordinates is another color.
#
# *The median* is taken axis by axis, so it depends on which way the axes point. It does not even survive a rotation.
# The same loss, on the same data, by its name the same "L1", paints an olive, a green, a brown or an orange ball. And
# in RGB it gives up what was known: the luma of 118 that stood in the gray picture. (A median that does not depend on
# the axes exists, the *geometric* median, which minimizes $E\lVert c - X\rVert$. It is not what `l1_loss` computes.)
#
# So "we used L1" is half a description. The other half is: in which coordinates?

# %% [markdown]
# ### Spot the error
#
# A report on colorization explains the problem with an example. This is what it says, in our words:

# %%
for fact in [
    *published("dalban", system="averaging example"),
    *published("dalban", "text", metric="l1"),
]:
    value = "" if fact.value is None else f" {fact.value:g}:"
    print(f"- {fact.metric}:{value} {fact.claim}")

# %% [markdown]
# Pure red (255, 0, 0), green (0, 255, 0) and blue (0, 0, 255), equally probable, are said to hide behind one gray
# value, 128. Their mean is called a muddy brown, and L1 is said to be the sharper choice. That the loss averages is
# true. **Three** of the other statements do not hold. Which? Use what you know so far before you run the next cells.

# %%
# NBVAL_CHECK_OUTPUT
pure = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)
luma = 255 * color.luma(pure.T[:, None])  # (1, 1, 3)
print("luma of pure red, green, blue:", luma.round().flatten().int().tolist())
print("mean of each channel:         ", pure.float().mean(dim=0).int().tolist())
print("median of each channel:       ", pure.median(dim=0).values.tolist())

# %%
chips = torch.cat(
    [pure, torch.tensor([[85, 85, 85], [0, 0, 0], [139, 69, 19]], dtype=torch.uint8)]
)
plots.show(
    plots.swatches(
        chips,
        labels=["red", "green", "blue", "their mean", "their median", "a brown"],
        show_gray=True,
    ),
    alt="Six color chips with their gray below: pure red, gray 76; pure green, gray 150; pure "
    "blue, gray 29; their mean, a neutral dark gray; their median, black; and for comparison "
    "a real brown, 139, 69, 19.",
    caption="The report's three colors, their mean and their median in each channel, and a brown to "
    "compare with. The strip at the bottom of a chip is its gray.",
)

# %% [markdown] answer=true
# 1. **The gray value 128.** Pure red, green and blue have luma 76, 150 and 29; none has 128, and no two agree. The gray
#    value alone tells them apart: there is nothing to average. A network fed these three pixels would color each of
#    them correctly.
# 2. **"Muddy brown."** (85, 85, 85) has three equal channels: it is a neutral gray. Brown is a dark orange, with more
#    red than green and more green than blue. A mean comes out brown when its candidates are reddish on average, as
#    those of our ball.
# 3. **"L1 is sharper."** For these three colors the median of each channel is 0 (two of the three values are): L1
#    paints *black*, which is none of the three and not even a mixture of them. L1 does commit to a color that holds
#    more than half of the probability. Where none does, it patches a new color together, and in other coordinates
#    another one. That can be livelier than the mean (over all of toyworld it will be, section 6), or olive, or black.
#    It is no law.
#
# The argument is right and important. Its example just is not an example of it.

# %% [markdown]
# ### Exercise 3: two colors, one gray (7 minutes)
#
# Let us mend the example. Colors that hide behind one gray value need *exactly* the same luma: a network can read the
# smallest difference. Counted in thousandths, luma is a whole number, $299\,R + 587\,G + 114\,B$. For toyworld's colors
# it is this:

# %%
# NBVAL_CHECK_OUTPUT
for material in toyworld.MATERIALS:
    sums = {299 * r + 587 * g + 114 * b for r, g, b in material.colors}
    if len(material.colors) > 1:
        print(
            f"{material.name:13} {len(material.colors)} colors, 299 R + 587 G + 114 B in {sums}"
        )

# %% [markdown]
# Write `equal_luma(color)`, a search for a partner.
#
# - In: `color`, a tuple of three whole numbers from 0 to 255, for example `(226, 76, 51)`.
# - Out: another tuple of three whole numbers from 0 to 255 with *exactly* the same $299\,R + 587\,G + 114\,B$, and
#   clearly another color: at least one channel must differ by 60 or more. There is always one; any will do.
#
# A way to go: try all R and G. What is then left over for B is fixed; is it a whole number from 0 to 255?


# %% exercise="01-equal-luma"
def equal_luma(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """A clearly different 8-bit color with exactly the same 299 R + 587 G + 114 B."""
    ### BEGIN SOLUTION
    red, green, blue = color
    total = 299 * red + 587 * green + 114 * blue
    for r in range(256):
        for g in range(256):
            b, remainder = divmod(total - 299 * r - 587 * g, 114)
            if (
                remainder == 0
                and 0 <= b <= 255
                and max(abs(r - red), abs(g - green), abs(b - blue)) >= 60
            ):
                return r, g, b
    raise ValueError(f"no partner for {color}")
    ### END SOLUTION


# %% check="01-equal-luma"
check("01-equal-luma", equal_luma)

# %% [markdown]
# ## 3. Between median and mean
#
# Why not both? The same report trains with a mix, $L_\alpha = \alpha\,\text{MSE} + (1 - \alpha)\,L_1$, and finds
# $\alpha$ of 0.5 to 0.7 a good balance.
#
# **Predict:** with channels from 0 to 1, as there, and $\alpha = 0.5$, the best color of our ball is
#
# - (a) halfway between median and mean;
# - (b) nearer to the median;
# - (c) nearer to the mean.
#
# And what if we had left the channels in 0 to 255?


# %%
def best_mix(colors, chance, alpha):
    """The color (3,) of lowest alpha * MSE + (1 - alpha) * L1, found by trying 2,551 values."""
    tried = torch.linspace(0, 1, 2551).view(-1, 1, 1) * (255 if colors.max() > 1 else 1)
    error = tried - colors
    paid = (chance[:, None] * (alpha * error**2 + (1 - alpha) * error.abs())).sum(dim=1)
    return tried[paid.argmin(dim=0), 0, 0]


def draw_mix(thing, alpha, channels_from_0_to):
    """The way from median to mean: a figure."""
    material = toyworld.material(thing)
    colors = torch.tensor(material.colors) / 255 * channels_from_0_to
    chance = torch.tensor(material.probabilities)
    grid = torch.linspace(0, 1, 101)
    path = torch.stack([best_mix(colors, chance, float(a)) for a in grid])
    path *= 255 / channels_from_0_to

    figure, (axes, chips) = plots.subplots(1, 2, height=2.7, width_ratios=(2, 1))
    for channel, name in enumerate(("red", "green", "blue")):
        axes.plot(
            grid,
            path[:, channel],
            ("-", "--", "-.")[channel],
            color=("#C03020", "#208030", "#2050C0")[channel],
            label=name,
        )
    axes.axvline(alpha, color=plots.FAINT, linewidth=1)
    axes.legend(ncols=3, loc="upper center", frameon=False, fontsize=8.5)
    axes.set_xlabel("alpha, the share of MSE  (0: median, 1: mean)", size=9)
    axes.set_ylabel("best value of the channel", size=9)
    axes.set_ylim(0, 255)
    mix = best_mix(colors, chance, alpha) * 255 / channels_from_0_to
    three = [path[0], mix, path[-1]]
    chips.imshow(torch.stack(three).div(255).view(3, 1, 3).numpy(), aspect="auto")
    names = zip(("median", f"alpha {alpha:.2f}", "mean"), three, strict=True)
    chips.set_yticks(
        range(3), [f"{name}\n" + ", ".join(f"{v:.0f}" for v in rgb) for name, rgb in names]
    )
    chips.set_xticks([])
    return figure


explore(
    draw_mix,
    thing=[material.name for material in toyworld.MATERIALS if len(material.colors) > 1],
    alpha=(0.0, 1.0, 0.05),
    channels_from_0_to=[1, 255],
    static={"thing": "ball", "alpha": alpha, "channels_from_0_to": 1},
    alt="Left: the best red, green and blue of a ball against alpha. For small alpha all stay at "
    "their medians; then red climbs, steeply at first, to the mean, blue follows later, and "
    "green hardly moves. Right, as color chips: the median, an olive green; the mix at "
    "alpha; and the mean, a grayish brown.",
    caption="Where the loss mix puts its best color, channel by channel; the vertical line is alpha.",
)

# %%
tried_alphas = [
    published("dalban", metric=f"alpha tried, {which}")[0].value
    for which in ("low", "middle", "high")
]
rows = [
    {"loss": "gray (no color)", "R, G, B": "118, 118, 118", "way from median to mean": None}
]
for a in [0.0, *tried_alphas, 1.0]:
    best, start, end = (best_mix(palette / 255, chance, share) for share in (a, 0.0, 1.0))
    way = float((best - start) @ (end - start) / (end - start).square().sum())
    rows.append(
        {
            "loss": f"alpha = {a:g}",
            "R, G, B": ", ".join(f"{255 * v:.0f}" for v in best),
            "way from median to mean": way,
        }
    )
lab.table(
    rows,
    "The best ball under the mix; 0.3, 0.5 and 0.7 are the shares that the report tried",
    key="alpha",
)

# %% [markdown] answer=true
# **(b)**, and for small $\alpha$ the mix does not leave the median at all. Set the derivative to zero:
#
# $$c = E X - \frac{1 - \alpha}{2 \alpha}\,\bigl(2 F(c) - 1\bigr),$$
#
# where $F(c)$ is the probability below $c$. The last term pulls from the mean toward the median, the less the flatter
# the valley of L1 is. As long as the pull reaches all the way, $c$ sits in the kink; then it lets go, one channel after
# the other.
#
# And the formula has **units**: $c$ and $E X$ are colors, the last term is a bare number. With channels from 0 to 255
# the pull is 255 times weaker in proportion, and every $\alpha$ that the report tried is MSE in all but name (try it in
# the widget). An $\alpha$ without its scale of values says nothing.

# %% [markdown]
# ## 4. What the rest of the picture tells
#
# So far the pixel stood alone. In a picture it has neighbors: blue sky is above and green grass is below, and both can
# have the gray value of a ball. The posterior that counts is the one *given the whole gray picture*.
#
# **Predict:** three painters, all perfect by MSE. The first knows the gray value of the pixel, the second also its row,
# the third the whole gray picture. What is left of the error of gray?
#
# - (a) all three leave about as much: it is the same pixel;
# - (b) the row helps a lot, and the whole picture helps again;
# - (c) the third makes no error: it knows everything.
#
# The first two painters are tables, filled by averaging over other scenes.


# %%
def table_painter(seen, shown, use_row):
    """Give each pixel the mean color of all seen ones of its gray value (and row): (N, 3, 32, 32)."""

    def cell(images):
        value = (255 * color.luma(images)).round().long()[:, 0]  # (N, 32, 32)
        return value + 256 * torch.arange(32)[:, None] if use_row else value

    # Each cell of the table starts with one gray pixel, so that none is empty.
    total = (torch.arange(256 * 32) % 256 / 255)[:, None].repeat(1, 3)
    count = torch.ones(256 * 32, 1)
    for part in seen.split(500):
        pixels = color.to_float(part).permute(0, 2, 3, 1).reshape(-1, 3)
        total.index_add_(0, cell(part).flatten(), pixels)
        count.index_add_(0, cell(part).flatten(), torch.ones(len(pixels), 1))
    return (total / count)[cell(shown)].permute(0, 3, 1, 2)


# What the tables see, and later the networks.
scenes = toyworld.generate(lab.choose(test=64, quick=8000, course=16000), seed=lab.seed)
truth = color.to_float(world.images)
painters = {
    "gray (no color)": metrics.gray_prediction(truth),
    "gray value": table_painter(scenes.images[:8000], world.images, use_row=False),
    "gray value and row": table_painter(scenes.images[:8000], world.images, use_row=True),
    "whole gray picture": mean,
}
rows = []
for name, picture in painters.items():
    error = float(metrics.mse(picture, truth).mean())
    rows.append(
        {
            "what is known": name,
            "MSE": error,
            "skill": metrics.skill(error, rows[0]["MSE"] if rows else error),
        }
    )
lab.table(rows, "The mean color, given more and more of the picture", key="context")

# %%
uncertain = ["ball", "striped ball", "balloon", "kite"]
kinds = sum(
    (world.material == KIND[name]).flatten(1).any(dim=1).float() for name in uncertain
)
share = world.ambiguous().float().mean(dim=(1, 2))
several = (0.1 * kinds + share).argsort(descending=True)  # much in doubt, of many kinds
several = several[: lab.choose(test=2, quick=5)]

squared = (color.to_float(colors[several]) - mean[several, None]) ** 2  # (n, K, 3, 32, 32)
variance = (squared * probability[several, :, None]).sum(dim=1).mean(dim=1, keepdim=True)
doubt = variance.sqrt()  # standard deviation, (n, 1, 32, 32)
plots.show(
    plots.image_grid(
        {name: picture[several] for name, picture in painters.items()}
        | {"true": truth[several], "in doubt": 1 - doubt / doubt.max()},
        scale=0.95,
    ),
    alt="Some scenes in six rows. In gray. By gray value alone: bands of blue, green and brown "
    "that follow the shading, in the balls as in the sky. By gray value and row: blue above, "
    "green below, the things still banded with the colors around them. By the whole picture: "
    "sky and grass are right, balls, balloons and kites brownish or grayish. The true "
    "pictures. Last, where the color is in doubt: white but for dark balls, balloons and "
    "kites, whose outlines, stripes and glints are white again.",
    caption="Each row knows more than the one before. Last row: the standard deviation of the color "
    "under the posterior, dark where the gray picture leaves several colors.",
)

# %% [markdown] answer=true
# **(b).** Each bit of context sharpens the posterior, and the mean of a sharper posterior costs less. This is the law
# of total variance: with $c$ the color and $g$ what is known,
#
# $$\operatorname{Var}(c) = \operatorname{Var}\bigl(E[c \mid g]\bigr) + E\bigl[\operatorname{Var}(c \mid g)\bigr].$$
#
# Knowing more moves error from the second term, which nobody can avoid, to the first, which the painter gets right. But
# the third painter still pays, in balls, balloons and kites, where all of the picture leaves several colors (the last
# row). **Averaging hurts only where context cannot tell.** A better network, more data, a larger picture help exactly
# as far as they make the posterior sharper, and no further.

# %% [markdown]
# ### Exercise 4: the mean, given the row (6 minutes)
#
# The second painter by hand. $K$ things have the same gray value, but not the same color, and each is more common in
# some rows of the picture than in others. Write `conditional_mean(colors, prior, likelihood)`.
#
# - In: `colors`, float, shape $(K, 3)$, the color of each thing; `prior`, shape $(K,)$, with $P(\text{thing})$ over the
#   whole picture, sum 1; `likelihood`, shape $(K, R)$, with $P(\text{row} \mid \text{thing})$: where a thing is when it
#   is there; the sum over the $R$ rows is 1 for each thing.
# - Out: shape $(R, 3)$: for each row the color of lowest expected squared error, given the row.
#
# Bayes: $P(\text{thing} \mid \text{row}) = P(\text{thing})\,P(\text{row} \mid \text{thing}) / P(\text{row})$.


# %% exercise="01-conditional-mean"
def conditional_mean(
    colors: torch.Tensor, prior: torch.Tensor, likelihood: torch.Tensor
) -> torch.Tensor:
    """The mean color of each row: colors (K, 3), prior (K,), likelihood (K, R) -> (R, 3)."""
    ### BEGIN SOLUTION
    joint = prior[:, None] * likelihood  # (K, R): P(thing, row)
    posterior = joint / joint.sum(dim=0)  # (K, R): P(thing | row)
    return posterior.T @ colors
    ### END SOLUTION


# %% check="01-conditional-mean"
check("01-conditional-mean", conditional_mean)

# %% [markdown]
# ## 5. Does a network get there?
#
# Squared error splits. For any prediction $f$ that sees only the gray picture $g$, the cross term vanishes, and
#
# $$E(f - c)^2 = E\bigl(f - E[c \mid g]\bigr)^2 + E\bigl[\operatorname{Var}(c \mid g)\bigr].$$
#
# The first term is what the network gets wrong. The second does not know of the network: the **posterior variance**,
# averaged over pixels and channels, is the MSE that no network can beat, of whatever size, after whatever training. For
# toyworld we can compute it.

# %%
floor = toyworld.best_scores(world)
lab.table(
    [
        {"painted": "gray (no color)", "MSE": floor["mse_gray"], "skill": 0.0},
        {
            "painted": "the best there can be",
            "MSE": floor["mse"],
            "skill": metrics.skill(floor["mse"], floor["mse_gray"]),
        },
    ],
    f"What no network can beat here, in RGB; {floor['ambiguous']:.0%} of the pixels are in doubt",
    key="floor",
)

# %% [markdown]
# ### Exercise 5: the MSE that no network can beat (6 minutes)
#
# Write `lowest_mse(colors, probability)`, for what `world.posterior()` returns:
#
# - In: `colors`, `torch.uint8`, shape $(N, K, 3, H, W)$: for each pixel of $N$ pictures up to $K$ possible colors;
#   `probability`, float, shape $(N, K, H, W)$: how probable each is. Pixels with fewer than $K$ colors are padded by
#   entries of probability 0.
# - Out: one number, the lowest expected MSE: the mean over all pictures, pixels and channels of the variance under the
#   posterior, for colors in units where white is 1.


# %% exercise="01-lowest-mse"
def lowest_mse(colors: torch.Tensor, probability: torch.Tensor) -> float:
    """Mean posterior variance of colors uint8 (N, K, 3, H, W), probability (N, K, H, W)."""
    ### BEGIN SOLUTION
    values = colors.float() / 255
    weight = probability[:, :, None]  # (N, K, 1, H, W)
    mean = (weight * values).sum(dim=1, keepdim=True)
    return float((weight * (values - mean) ** 2).sum(dim=1).mean())
    ### END SOLUTION


# %% check="01-lowest-mse"
check("01-lowest-mse", lowest_mse)

# %% [markdown]
# Now train. Two U-Nets, alike but for the loss, predict the two chroma coordinates of each pixel (the luma is given).
# We know the mean and the median that they should arrive at, pixel by pixel; they see only scenes, each with *one* true
# color for each ball.
#
# **Predict:** how far above the lowest possible loss do they end, after a minute of training?
#
# - (a) far, 50 % or more: a network this small cannot know all that;
# - (b) within some 10 %;
# - (c) below it: networks can do better than a formula.


# %%
def trained(alpha, images, epochs, learning_rate):
    """A small U-Net trained on `images` with alpha * MSE + (1 - alpha) * L1."""
    model = Colorizer(
        "luma-chroma", "unet", width=16, convolutions=1, alpha=alpha, seed=lab.seed
    )
    model.fit(
        images, epochs=epochs, batch_size=16, learning_rate=learning_rate, seed=lab.seed
    )
    return model


# Batches this small are computed faster by several threads, but far slower when other programs
# keep the cores busy: on a CPU one thread is the safe choice.
torch.set_num_threads(1)

# The mean is learned quickly; the median takes more scenes.
epochs = lab.choose(test=1, quick=3, course=4)
mse_network = trained(1.0, scenes.images[: len(scenes) // 2], epochs, learning_rate=1e-2)
l1_network = trained(0.0, scenes.images, epochs, learning_rate=2e-2)

# %%
space = spaces["luma-chroma"]
gray = space.gray(world.images)
target = space.target(world.images)
predictions = {
    "gray (no color)": torch.zeros_like(target),
    "network trained with MSE": mse_network.predict(gray).cpu(),
    "best by MSE: the mean": toyworld.optimum(world, space, "mse").prediction,
    "network trained with L1": l1_network.predict(gray).cpu(),
    "best by L1: the median": toyworld.optimum(world, space, "l1").prediction,
}


def expected(prediction, power):
    """Mean over pixels of E |prediction - chroma| ** power under the posterior."""
    candidates = [space.target(colors[:, k]) for k in range(colors.shape[1])]
    return sum(
        float((probability[:, k, None] * (prediction - c).abs() ** power).mean())
        for k, c in enumerate(candidates)
    )


rows = []
lowest = {
    "MSE": expected(predictions["best by MSE: the mean"], 2),
    "L1": expected(predictions["best by L1: the median"], 1),
}
for name, prediction in predictions.items():
    loss = {"MSE": expected(prediction, 2), "L1": expected(prediction, 1)}
    above = {
        f"above lowest {kind}, %": 100 * (loss[kind] / lowest[kind] - 1) for kind in loss
    }
    rows.append({"painted by": name, **loss, **above})
lab.table(
    rows,
    "Loss on unseen scenes, expected over the posterior (in the chroma coordinates)",
    key="excess",
)
lab.record(
    mse_network_over_optimum=mse_network.loss(world.images)
    / toyworld.optimum(world, space, "mse").realized,
    l1_network_over_optimum=l1_network.loss(world.images)
    / toyworld.optimum(world, space, "l1").realized,
)

# %% [markdown] answer=true
# **(b)**, in the profiles quick and course. Each network comes close to the lowest value of *its own* loss and stays
# well above that of the other. Below it no network can come, in expectation. (The last two lines divide the loss on the
# colors that happened to be drawn by the closed form's: luck can add or take a percent there.)
#
# No scene ever showed these networks a mean or a median. They saw red, green and blue balls; the loss did the rest.

# %% [markdown]
# Now the prediction that matters: the **color**. Each network's colors, averaged over all pixels of a thing with light
# and shade taken out, stand over those of the closed form.

# %%
pictures = {name: space.decode(gray, best) for name, best in predictions.items()}
things = [*uncertain, "grass", "sky"]


def average_color(picture, thing):
    """The mean color (3,) in 0..1 of all pixels of a thing, without their shade."""
    here = world.material == KIND[thing]
    unshaded = picture - world.shade[:, None] / 255
    return unshaded.permute(0, 2, 3, 1)[here].mean(dim=0)


shown = {
    name: torch.stack([average_color(picture, thing) for thing in things])
    for name, picture in pictures.items()
    if name != "gray (no color)"
}
in_words = {name: (255 * chips).round().int().tolist() for name, chips in shown.items()}
plots.show(
    plots.swatches(shown, labels=things),
    alt="Four rows of six color chips, for ball, striped ball, balloon, kite, grass and sky. The "
    "means of the four things in doubt are dull browns and a gray violet, their medians a "
    "light brown, an orange, a red and a violet; grass is green and sky is blue in both. As "
    "R, G, B: " + "; ".join(f"{name} {chips}" for name, chips in in_words.items()),
    caption="Measured and predicted colors. Rows 1 and 2: trained with MSE, and the mean. Rows 3 and "
    "4: trained with L1, and the median.",
)


def distance(one, other, thing):
    """Root mean square difference of two pictures over all pixels of a thing, of 255."""
    here = (world.material == KIND[thing])[:, None].expand_as(truth)
    return 255 * float((pictures[one] - pictures[other])[here].square().mean().sqrt())


rows = [
    {
        "thing": thing,
        "MSE network, from the mean": distance(
            "network trained with MSE", "best by MSE: the mean", thing
        ),
        "L1 network, from the median": distance(
            "network trained with L1", "best by L1: the median", thing
        ),
        "gray, from the mean": distance("gray (no color)", "best by MSE: the mean", thing),
    }
    for thing in things
]
lab.table(
    rows,
    "How far the painted colors are from the predicted ones (root mean square, of 255)",
    key="colors",
)

# %%
plots.show(
    plots.image_grid(
        {name: picture[several] for name, picture in pictures.items()}
        | {"true": truth[several]},
        scale=0.95,
    ),
    alt="The same scenes in six rows. First in gray, last as they are. Between them the MSE network "
    "over the mean: blue sky, green grass, dull brown balls, balloons and kites. Then the L1 "
    "network over the median: light brown balls, orange striped balls, red balloons, violet "
    "kites. The better a network is trained, the more its row looks like the one below it.",
    caption="Each network's pictures over the closed form that they should reach.",
)

# %% [markdown]
# Compare the table's columns. Where only one color is possible, as in grass and sky, the network trained with L1 is as
# good as exact: the slope of $|f - c|$ is 1 however small the error, and pulls to the very end. Where several are
# possible, the slope is the difference of the probabilities on either side, the flat valley of section 1: a color may
# be off by a good deal and cost nearly nothing. MSE is the other way round. Its pull is proportional to the distance,
# the same for certain and uncertain things, and fades where little is left to win. A network that is close in *loss*
# need not be close in *color*.

# %% [markdown]
# ## 6. What averaging does to a photograph
#
# For the chroma $c$ and its mean $m = E[c \mid g]$ the law of total variance says
#
# $$E\lVert c \rVert^2 = E\lVert m \rVert^2 + E\lVert c - m \rVert^2 :$$
#
# **the color that is painted and the error that remains share a fixed sum.** The left side is also the squared error of
# gray, which has no chroma. Divide by it: for a network that paints the mean,
#
# $$\text{share of chroma energy painted} = 1 - \text{MSE} / \text{MSE}_\text{gray} = \text{skill}.$$
#
# A network trained with MSE is as pale as it is ignorant. Does the measurement agree?


# %%
def report(name, picture, true):
    """Scores of a picture, and how much of the true chroma it paints."""
    chroma = [(image - color.luma(image)).square().mean() for image in (picture, true)]
    ours, floor = (
        float(metrics.mse(p, true).mean()) for p in (picture, metrics.gray_prediction(true))
    )
    colorful = [float(metrics.colorfulness(image).mean()) for image in (picture, true)]
    return {
        "painted by": name,
        "MSE": ours,
        "MSE of gray": floor,
        "skill": round(metrics.skill(ours, floor), 4),
        "chroma energy": round(float(chroma[0] / chroma[1]), 4),
        "colorfulness": colorful[0],
        "true colorfulness": colorful[1],
    }


lab.table(
    [report(name, picture, truth) for name, picture in pictures.items()],
    "toyworld: skill, and the share of the true chroma energy (mean square distance from gray)",
    key="toyworld",
)

# %% [markdown]
# For the mean the columns skill and chroma energy agree (but for the luck of the draw), and for a network close to it
# they nearly do. Not so for L1: the median may paint more color than the picture justifies, and pays for it in skill.
#
# Now photographs. The **starter model**, trained with MSE on CIFAR-10, colors five photographs that it has never seen.
# Nobody knows *their* posterior. **Colorfulness** (Hasler and Süsstrunk) grows with how far and how differently the
# colors of a picture lie from gray: 0 is gray, 33 moderately, 59 quite colorful.
#
# **Predict:** how colorful is the starter's picture, beside the true one?
#
# - (a) about as colorful: it was trained on true photographs;
# - (b) at most half as colorful, in most of them;
# - (c) more colorful: it must guess, and overdoes it.

# %%
photos = load("photos", "test")
names = list(photos.class_names)
starter = Colorizer.starter()
colorized = starter.colorize(photos.images, working_size=96).cpu()
true = color.to_float(photos.images)
painted_colorful = metrics.colorfulness(colorized)
true_colorful = metrics.colorfulness(true)

plots.show(
    plots.image_grid(
        {"gray": color.luma(true), "starter model": colorized, "true": true}, columns=names
    ),
    alt="Five photographs, an astronaut, a cat, a cup of coffee, a rocket and a motorcycle, in "
    "three rows: gray; colored by the starter model, pale and mostly brownish, but with blue "
    "coffee and a blue night sky; and true, with far stronger colors.",
    caption="Five photographs through a network that was trained with MSE.",
)
plots.show(
    plots.bars(
        {
            name: {"true": float(t), "starter model": float(p)}
            for name, p, t in zip(names, painted_colorful, true_colorful, strict=True)
        },
        xlabel="colorfulness (gray: 0)",
        number="{:.0f}",
    ),
    alt="Horizontal bars of colorfulness, true and painted by the starter model, for five "
    "photographs: "
    + "; ".join(
        f"{n} {t:.0f} and {p:.0f}"
        for n, p, t in zip(names, painted_colorful, true_colorful, strict=True)
    )
    + ".",
    caption="Colorfulness of the true and of the painted photographs.",
)
lab.table(
    [report(f"starter: {name}", colorized[[i]], true[[i]]) for i, name in enumerate(names)]
    + [report("gray (no color)", metrics.gray_prediction(true), true)],
    "Five photographs",
    key="photos",
)
ratio = float(painted_colorful.sum() / true_colorful.sum())
print(f"painted colorfulness / true colorfulness, all five: {ratio:.2f}")

# %% [markdown] answer=true
# **(b).** The printed ratio says by how much. Averaging predicts pale pictures, and pale they are.
#
# But be careful with the argument. Here skill and chroma energy do *not* agree picture by picture, as they did on
# toyworld: these photographs are not like the small pictures that the model was trained on, so its answer is not their
# posterior mean. What we see is averaging *and* ignorance. Only where the posterior is known can the two be told apart.
# That is why we built a toyworld.

# %% [markdown]
# ### Which things can a network know?
#
# If averaging is the reason, then things that have one color each should come out well, and things that may have any color
# should come out pale. CIFAR-10 has both: deer, frogs and horses; cars and trucks.
#
# **Predict:** a network learns from all ten classes. Which class has the lowest skill?
#
# - (a) frogs, which are hard to tell from what they sit on;
# - (b) cars: they are painted in any color, and gray does not say in which;
# - (c) ships, of which there are all sorts.

# %%
# Measured by `labkit reproduce by-class`, which the course keeps in data/measured: a U-Net trained on 40,000 images.
known = {row.metric: row for row in measured("by-class", "simple, UV")}
classes = [name.removeprefix("skill ") for name in known if name.startswith("skill ")]
rows = [
    {
        "class": name,
        "skill": known[f"skill {name}"].mean,
        "sd": known[f"skill {name}"].sd,
        "too red (a)": known[f"a bias {name}"].mean,
        "too yellow (b)": known[f"b bias {name}"].mean,
        "gray: too yellow": known[f"b bias {name}"].gray,
    }
    for name in sorted(classes, key=lambda name: -known[f"skill {name}"].mean)
]
lab.table(
    [{"class": "gray (no color), all", "skill": 0.0}, *rows],
    "CIFAR-10: skill over gray by class; how much too red and too yellow on average",
    key="by_class",
)

# %% [markdown] answer=true
# **(b).** Of the error that gray makes on cars, next to nothing is gone, and on trucks a tenth: paint comes in any color,
# and gray does not say in which. Frogs, deer and horses have few colors, and come out best.
#
# The last columns show averaging at work. Without color, animals are far too little yellow, and the network puts most of
# that back. Ships and airplanes, with blue around them, stay too yellow: where the network is not sure, it answers with
# the average of what it has seen, which is warmer than sea and sky.

# %% [markdown]
# ### The papers' claims, tested
#
# `labkit reproduce` trains the papers' systems on photographs over three seeds. *Gain* is by how much the one that should
# be better is better; a claim stays *undecided* where the 95 % interval of its gain holds zero.

# %%
lab.table(
    claims_of("by-class") + claims_of("dalban", "zhuang", about=("L1",)),
    "Objects, and what a share of L1 does to colors: CIFAR-10 and photographs of flowers",
    key="claims",
)

# %% [markdown] answer=true
# What has few colors is painted better, backgrounds included: **confirmed** for both pairs, which were chosen before
# anything was measured.
#
# "L1 gives sharper, more saturated color" is not: a larger share of L1 leaves it *undecided*, and L1 alone paints *less*
# colorfully than MSE on CIFAR-10. That can be, for L1 asks for the median: where most of the possible values are pale and
# few are strong, the median is paler than the mean. What L1 does to color depends on the colors, as section 2 showed.

# %%
# In the profile course: the same two losses, trained on photographs.
if lab.dataset not in ("toyworld", "photos"):
    sizes = {
        "train": lab.choose(test=64, quick=2000, course=45_000),
        "test": lab.choose(quick=500, course=2000),
    }
    seen, unseen = (
        load(lab.dataset, split, limit=n, seed=lab.seed).images
        for split, n in sizes.items()
    )
    epochs = lab.choose(test=1, quick=2, course=6)
    rows = [
        report("gray (no color)", metrics.gray_prediction(unseen), color.to_float(unseen))
    ]
    for name, share in {"MSE": 1.0, "L1": 0.0}.items():
        model = Colorizer("luma-chroma", "unet-half", width=32, alpha=share, seed=lab.seed)
        model.fit(seen, epochs=epochs, seed=lab.seed)
        rows.append(
            report(
                f"trained with {name}",
                model(unseen).cpu(),
                color.to_float(unseen),
            )
        )
    title = f"{lab.dataset}: the two losses on {len(unseen)} photographs not trained on"
    lab.table(rows, title, key="photographs")
else:
    print('photographs to train on: set dataset="cifar10" (profile course does)')

# %% [markdown]
# ## What to remember
#
# - **The loss chooses which summary of the posterior you see**: MSE the mean, L1 the median of each coordinate,
#   cross-entropy all of it.
# - The mean is the same in all linear color spaces; the median in each coordinate depends on the axes, and can be a
#   color that nothing has.
# - Averaging hurts where context cannot tell. The posterior variance is a floor that no network can beat; a picture
#   painted by the mean is as pale as its skill is low.
# - A dull picture that wins by MSE and a lively one that loses are both doing what they were told.
#
# **Decoding**
#
# - T. Hastie, R. Tibshirani, J. Friedman, *The Elements of Statistical Learning*, 2nd ed. 2009, section 2.4: which
#   function minimizes which expected loss.
# - T. Gneiting, "Making and evaluating point forecasts", *Journal of the American Statistical Association* 106, 2011:
#   name the functional before you score it.
# - R. Zhang, P. Isola, A. A. Efros, "Colorful image colorization", ECCV 2016: the classic way out, by classification.
#   Lab 03 takes it up.
# - A. Dalban, W. Lakbir, "Automatic image colorization using CNNs" (`dalban` in the published tables): the example, and
#   the loss mix of section 3.
# - D. Hasler, S. Süsstrunk, "Measuring colourfulness in natural images", *Proceedings of SPIE* 5007, 2003.
