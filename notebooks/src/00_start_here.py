# %% [markdown]
# # Start here
#
# A gray photograph goes in, a color photograph comes out. Where does the color come from? In this course you take that
# machine apart, build it again, and find out what five papers about it really showed.
#
# **15 minutes.** After this lab you can
#
# - run a lab, solve its exercises and have them checked;
# - make a color picture gray, and score a colorization in decibels;
# - say what *doing nothing* scores, and read a published number against it.

# %% tags=["setup"]
import math
import torch
from labkit import color, metrics, plots, widgets
from labkit.checks import check, evaluate, find_exercise
from labkit.colorizer import Colorizer
from labkit.data import find, load
from labkit.experiments.published import published
from labkit.notebook.lab import begin

# %% tags=["parameters"]
profile: str = "auto"  # test, quick, course, gpu or auto
dataset: str = "auto"  # what else to score: cifar10 measures the horses here if they are on this machine
seed: int = 0  # of toyworld's scenes
working_size: int = 96  # shorter side, in pixels, of what the network sees of a photograph

# %%
lab = begin(
    "00_start_here", profile=profile, dataset=dataset, seed=seed, working_size=working_size
)

# %%
photos = load("photos", "test")
names = list(photos.class_names)
gray = color.luma(photos.images)  # (5, 1, 256, 256): all that the network gets
starter = Colorizer.starter()
colorized = starter.colorize(gray, working_size=working_size)

weights = sum(p.numel() for p in starter.network.parameters())
widgets.compare_slider(
    {"gray": gray, "colorized": colorized, "true": photos.images},
    columns=names,
    alt="Five photographs side by side, in three rows: an astronaut in her suit, a cat's face, "
    "a cup of coffee on a saucer, a rocket on its pad at night, a parked motorcycle. First row: "
    "in gray. Second row: as the network colored them, pale and mostly brown, with a deep blue "
    "night sky and blue coffee. Third row: the true ones, with an orange suit, a ginger cat, "
    "brown coffee on a red saucer and a red motorcycle.",
    caption=f"Gray in, color out: a network of {weights:,} weights, trained on pictures of "
    "32 × 32 pixels. It has never seen any of these five.",
)

# %% [markdown]
# (In a live notebook, move the slider: it blends from the gray picture to the network's and on to the true one.)
#
# The first row is all that the network is given. It keeps the gray exactly as it is and only adds color, from what it has
# learned about cats, skies and shadows. Look for a moment: which of its colors would you have believed? Which one could
# *nobody* have guessed from the gray picture?

# %% [markdown]
# ## How a lab works
#
# | | |
# |---|---|
# | **Predict** | A question comes before each experiment. Write your answer down: what you remember of this course is where you were wrong. |
# | **Run** | All cells run from top to bottom as they are, whether or not you have done the exercises. Then change something and run it again. |
# | **Explain** | The answer is folded away under *Answer*. Open it when you have one of your own. |
# | **Exercises** | Replace `raise NotImplementedError(...)` by your code. The cell after it checks your function on fresh random inputs and says what is wrong. As often as you like. |
# | **Widgets** | Sliders need a live notebook. The figure above them always says the same in print. |
# | **Profiles** | The parameter `profile` sets the size of the experiments: `quick` takes at most 90 seconds a lab on two cores and needs no download; `course` takes CIFAR-10 and a GPU; `auto` chooses between them. |
#
# Three commands in a terminal go with it. `labkit start 00` makes **your own copy**, `work/00_start_here.ipynb`, which an update
# of the course never touches: write in that one. `labkit check work/00_start_here.ipynb` lists what is done, right and wrong.
# `labkit run 00` executes the lab as it comes and puts a copy, all numbers (`metrics.json`) and a page with all figures
# (`report.html`) into the folder `runs`. If something does not work, ask `labkit doctor`.

# %% [markdown]
# ## 1. What is gray?
#
# A pixel is three numbers: red, green and blue. *Gray* is one. Take three pixels, pure red (255, 0, 0), pure green (0, 255, 0)
# and pure blue (0, 0, 255).
#
# **Predict:** how do they come out in a black-and-white photograph?
#
# - (a) all three alike, at 255 / 3 = 85;
# - (b) green brightest, blue darkest;
# - (c) red brightest: it is the signal color.

# %%
# NBVAL_CHECK_OUTPUT
pure = 255 * torch.eye(3).view(3, 3, 1, 1)  # three images of one pixel: red, green, blue
for name, value in zip(("red", "green", "blue"), color.luma(pure).flatten(), strict=True):
    print(f"{name:5}  gray {value:5.1f} of 255")

# %% [markdown] answer=true
# **(b).** The eye finds green far brighter than red, and red far brighter than blue. The usual gray, **luma**, is a sum with
# weights that were fixed for television (Rec. 601):
#
# $$Y = 0.299\,R + 0.587\,G + 0.114\,B$$
#
# Other standards have other grays; lab 02 holds two of them against each other. In this course *gray* is luma unless we say otherwise.

# %% [markdown]
# ### Exercise 1: make it gray (3 minutes)
#
# Write `to_gray(rgb)`.
#
# - In: `rgb`, a torch tensor of whole numbers 0 to 255 (`torch.uint8`), shape $(N, 3, H, W)$: images, channels R G B, rows, columns.
# - Out: their luma, a float tensor of shape $(N, 1, H, W)$ with values from 0 to 1.
#
# While the check runs, labkit's own `luma` is switched off. This is what the check of a wrong answer looks like, here for the
# plain mean of the three channels:


# %%
def plain_mean(rgb):
    return rgb.float().mean(dim=1, keepdim=True) / 255


print(evaluate(find_exercise("00-to-gray"), plain_mean, seed=0).message)


# %% exercise="00-to-gray"
def to_gray(rgb: torch.Tensor) -> torch.Tensor:
    """Rec. 601 luma: uint8 (N, 3, H, W) -> float (N, 1, H, W) in [0, 1]."""
    ### BEGIN SOLUTION
    red, green, blue = (rgb.float() / 255).unbind(dim=1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)
    ### END SOLUTION


# %% check="00-to-gray"
check("00-to-gray", to_gray)

# %% [markdown]
# ## 2. How wrong is a picture?
#
# The papers mostly print two numbers. The **mean squared error** (MSE) averages the squared difference over all pixels and
# the three channels, on a scale where white is 1. The **peak signal-to-noise ratio** (PSNR) is the same on a logarithmic scale,
# in decibels (dB):
#
# $$\mathrm{PSNR} = 10 \log_{10} \frac{\mathrm{peak}^2}{\mathrm{MSE}}, \qquad \text{peak} = 1 \text{ here, } 255 \text{ for bytes.}$$
#
# **Predict:** a model's MSE is halved. What does its PSNR do?
#
# - (a) it doubles;
# - (b) it grows by 3 dB;
# - (c) that depends on what it was.

# %%
# NBVAL_CHECK_OUTPUT
for mse in (0.04, 0.02, 0.01, 0.005, 0.0025):
    print(f"MSE {mse:6.4f}   PSNR {10 * math.log10(1 / mse):5.2f} dB")

# %% [markdown] answer=true
# **(b).** Halving adds $10 \log_{10} 2 \approx 3.01$ dB, wherever you start. A logarithm turns *so many times* into *so much more*:
# that is why differences of PSNR mean something, and why we shall be careful with anything else that is done to it.

# %% [markdown]
# ### Exercise 2: PSNR (4 minutes)
#
# Write `psnr(a, b)`.
#
# - In: two tensors of whole numbers 0 to 255 (`torch.uint8`), both of shape $(N, 3, H, W)$.
# - Out: one number: the PSNR of each image in dB, *each* at most 50 dB, averaged over the $N$ images.
#
# Why the cap? Some "color" photographs are gray. To them the gray picture is perfect, its error 0, its PSNR infinite, and one such
# image would lift any average to infinity. Of CIFAR-10's test images about one in a hundred is like that.


# %% exercise="00-psnr"
def psnr(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Mean over the images of min(PSNR, 50 dB): two uint8 (N, 3, H, W) -> one number."""
    ### BEGIN SOLUTION
    error = a.float() / 255 - b.float() / 255  # as bytes, 3 - 5 would be 254
    mse = error.square().mean(dim=(1, 2, 3))  # (N,)
    return (10 * torch.log10(1 / mse)).clamp(max=50).mean()
    ### END SOLUTION


# %% check="00-psnr"
check("00-psnr", psnr)

# %% [markdown]
# ## 3. The floor
#
# Now the laziest colorizer of all: it hands the gray picture back, three times the same channel, and does nothing. One of our
# papers (Qureshi, 2025) compares four networks on the **horses of CIFAR-10**, photographs of 32 × 32 pixels.
#
# **Predict:** how many dB does doing nothing score on those horses?
#
# - (a) about 5 dB: every single color is wrong;
# - (b) about 14 dB;
# - (c) about 24 dB.
#
# And is that more or less on our five photographs? On toyworld, the painted scenes of this course, all sky, grass and bright balls?


# %%
def do_nothing(images: torch.Tensor) -> dict:
    """The scores of the gray picture, handed in as if it were a colorization."""
    gray = metrics.gray_prediction(images)
    spread = metrics.psnr(gray, images).std().item()  # standard deviation over the images
    return {"images": len(images), **metrics.score(gray, images), "spread": spread}


# Measured in the same way on all 1,000 test horses of CIFAR-10. The profile course measures it again.
HORSES_GRAY = {
    "images": 1000,
    "mse": 0.005985,
    "psnr_mean": 24.11,
    "psnr_pooled": 22.23,
    "ssim": 0.943,
    "spread": 4.58,
}

toyworld = load("toyworld", "test", limit=lab.choose(test=100, quick=1000), seed=seed)
floors = {
    "five photographs": do_nothing(photos.images),
    "toyworld": do_nothing(toyworld.images),
}
if lab.dataset not in ("photos", "toyworld", "cifar10"):
    floors[lab.dataset] = do_nothing(
        load(lab.dataset, "test", limit=1000, seed=seed).images
    )
horses = None
if lab.dataset == "cifar10" and find("cifar10"):
    horses = load("cifar10", "test", classes="horse").images
floors["CIFAR-10 horses"] = HORSES_GRAY if horses is None else do_nothing(horses)

columns = {
    "images": "images",
    "MSE": "mse",
    "PSNR, mean of images": "psnr_mean",
    "its spread": "spread",
    "PSNR of mean MSE": "psnr_pooled",
    "SSIM": "ssim",
}
lab.table(
    [
        {"pictures": name, **{title: s[key] for title, key in columns.items()}}
        for name, s in floors.items()
    ],
    caption="What doing nothing scores: the gray picture, judged as if it were a colorization",
    key="floors",
)
print(
    "the horses were measured", "here" if horses is not None else "earlier, the others here"
)

# %% [markdown] answer=true
# **(c).** Doing nothing scores 24.1 dB on the horses (measured on all 1,000 test horses of CIFAR-10). And every
# collection of pictures has a floor of its own; the table has them far apart. So a PSNR alone says nothing, and two PSNR of
# *different* pictures cannot be compared: the duller the true colors, the higher everybody scores, whether they do something or not.

# %% [markdown]
# **Why so high?** The gray picture is no empty answer. Every color splits exactly into a gray of the same luma and the rest, the
# **chroma**. The gray picture has the first part right, everywhere. Its error is the chroma alone:

# %%
true = color.to_float(photos.images)
luma = metrics.gray_prediction(true)
chroma = true - luma
plots.show(
    plots.image_grid(
        {"true": true, "= luma": luma, "+ chroma (on mid-gray)": 0.5 + chroma},
        columns=names,
    ),
    alt="Three rows of the five photographs. The true ones; their luma, which shows every edge, "
    "texture and shadow; and their chroma drawn on mid-gray: flat and featureless, a haze of brown "
    "or blue, strong only on the orange suit, the red saucer and the red motorcycle.",
    caption="Luma carries the picture. Chroma is what a colorizer has to find, and all that it is judged by.",
)
for name, images in (
    ("five photographs", true),
    ("toyworld", color.to_float(toyworld.images)),
):
    flat = metrics.score(torch.full_like(images, 0.5), images)
    share = 1 - floors[name]["mse"] / flat["mse"]
    print(
        f"{name}: luma alone removes {share:.0%} of the squared error of a flat mid-gray picture"
    )

# %% [markdown]
# ### Four published models and the floor
#
# Now hold the four models of the paper against doing nothing.

# %%
printed = {
    model: {
        m: published("qureshi", system=model, metric=m)[0].value
        for m in ("mse", "psnr", "ssim")
    }
    for model in (
        "regression CNN",
        "regression U-Net",
        "classification CNN",
        "classification U-Net",
    )
}
nothing = floors["CIFAR-10 horses"]
above = {
    f"{model}, {s['psnr']:.2f} dB": s["psnr"] - nothing["psnr_mean"]
    for model, s in printed.items()
}
plots.show(
    plots.bars(
        above,
        xlabel=f"dB above doing nothing, which has {nothing['psnr_mean']:.2f} dB",
        better="higher",
        number="{:+.2f}",
    ),
    alt="Bar chart of the PSNR of four published models on CIFAR-10 horses, counted from that of "
    "the gray picture, 24.11 dB. The regression U-Net is 1.9 dB above it. Three are below: the "
    "classification U-Net by 0.3, the regression CNN by 1.6, the classification CNN by 2.0 dB.",
    caption="Published PSNR (Qureshi, Tables 3 and 6), counted from the gray picture's: "
    "only one of the four models is above it.",
)

# %% [markdown]
# **Why do trained networks lose to nothing?** These four paint R, G and B, and so the luma again, which they were given for free. They
# lose some of it on the way (the classifiers have 24 colors to paint it with). Lab 02 lets you measure what that costs.
#
# **Is the comparison fair?** Three doubts that you should always have:
#
# - *Is it the same average?* PSNR can be averaged over images, as in exercise 2, or taken once of the mean MSE. The first is never the
#   smaller (Jensen's inequality), here by about 2 dB. The paper does not say which it prints, but its own MSE tells: see the next cell.
# - *Is it the same images?* Single horses differ a lot: the PSNR of doing nothing has a standard deviation of 4.6 dB over the 1,000 (the
#   column *its spread*). A mean over 100 random ones thus varies by $4.6 / \sqrt{100} \approx 0.5$ dB, and the paper's public notebook
#   scores 100. Two models stay clearly below the floor. The third, 0.3 dB below, is as good as nothing: more cannot be said.
# - *Is it the same in another metric?* By SSIM, too, three of the four are below gray (.943), by MSE two.

# %%
# NBVAL_CHECK_OUTPUT
cnn = printed["regression CNN"]
print(f"PSNR of the printed MSE {cnn['mse']}: {10 * math.log10(1 / cnn['mse']):.2f} dB")
print(f"printed PSNR: {cnn['psnr']} dB. It is larger: the mean over the images")

# %% [markdown]
# ## 4. Skill: a score with its floor built in
#
# From here on every table of this course has a row for gray, and a column for **skill**: the share of gray's error that a model has
# removed. A perfect model has skill 1, the gray picture 0, and a model worse than gray less than 0.
#
# ### Exercise 3: skill (1 minute)
#
# Write `skill(mse, mse_gray)`.
#
# - In: two numbers above 0: the MSE of a model and that of the gray picture, on the same images.
# - Out: one number, the skill.


# %% exercise="00-skill"
def skill(mse: float, mse_gray: float) -> float:
    """The share of the gray picture's error that is gone: 1 is perfect, 0 is gray."""
    ### BEGIN SOLUTION
    return 1 - mse / mse_gray
    ### END SOLUTION


# %% check="00-skill"
check("00-skill", skill)


# %%
def row(model: str, mse: float, psnr: float, ssim: float) -> dict:
    skill = round(
        metrics.skill(mse, nothing["mse"]), 2
    )  # the papers print two digits of the MSE
    return {"model": model, "MSE": mse, "PSNR": psnr, "SSIM": ssim, "skill": skill}


rows = [row(model, **scores) for model, scores in printed.items()]
rows.append(row("gray, ours", nothing["mse"], nothing["psnr_mean"], nothing["ssim"]))
if horses is not None:
    ours = metrics.evaluate(starter, horses)
    model = "starter, ours (trained on all ten classes)"
    rows.append(row(model, ours["mse"], ours["psnr_mean"], ours["ssim"]))
lab.table(
    rows,
    caption="CIFAR-10 horses: four models as published, and doing nothing",
    key="published",
)

# %% [markdown]
# ### And our own model?
#
# Back to the five photographs at the top of this page. They are a hard test for the starter model: it grew up with
# CIFAR-10's pictures of 32 × 32 pixels, of animals and vehicles.
#
# **Predict:** on how many of the five is it closer to the truth than the gray picture?
#
# - (a) on all five;
# - (b) on some: on others it would have done better to do nothing;
# - (c) on none.

# %%
gray_error = metrics.mse(metrics.gray_prediction(photos.images), photos.images)
own_error = metrics.mse(colorized, photos.images)
skills = {
    name: metrics.skill(float(own_error[i]), float(gray_error[i]))
    for i, name in enumerate(names)
}
worse = [name for name, value in skills.items() if value < 0]

plots.show(
    plots.bars(
        skills, xlabel="skill: 0 is gray, 1 is true", better="higher", number="{:.2f}"
    ),
    alt="Bar chart of the starter model's skill: "
    + ", ".join(f"{name} {value:.2f}" for name, value in skills.items()),
    caption="The starter model on five photographs. A bar to the left of 0 is worse than doing nothing.",
)
print(
    f"closer to the truth than gray on {5 - len(worse)} of 5; worse on: {', '.join(worse) or 'none'}"
)

# %%
scores = metrics.score_with_gray(colorized, photos.images)
columns = {
    "MSE": "mse",
    "PSNR, mean of images": "psnr_mean",
    "PSNR of mean MSE": "psnr_pooled",
    "SSIM": "ssim",
    "colorfulness": "colorfulness",
    "skill": "skill",
}
lab.table(
    [
        {"model": model, **{title: s[key] for title, key in columns.items()}}
        for model, s in (("starter, ours", scores), ("gray, ours", scores["gray"]))
    ],
    caption=f"All five photographs together, seen by the network at {working_size} pixels",
    key="photos",
)
print(
    f"colorfulness of the true photographs: {metrics.colorfulness(photos.images).mean():.0f}"
)
lab.record(starter_skill=scores["skill"])

# %% [markdown] answer=true
# The line under the bars says it. Where the skill is below 0, the network had better left the photograph gray: its color is farther
# from the truth than no color at all. One wrong guess, painted boldly, costs more than none, because errors are squared.
#
# Two more things to see. The skill of all five together is not the mean of the five skills: errors are pooled, so the photograph
# with the most color counts most. And the **colorfulness** (Hasler and Süsstrunk; 0 is gray) is far below the true one: the network
# prefers pale colors. This is no accident of training. It is what its loss asks for, and lab 01 tells you why.

# %% [markdown]
# **Play:** does the network see better from afar? Set `working_size` in the parameters cell to 32 or 256 and run the lab again, or
# let a terminal do it: `labkit run 00 --sweep working_size 32,64,96,256` gives one table of all four. (A confession: we chose 96
# by looking at these five photographs. A number that was chosen on the pictures it is scored on flatters, if only a little.)

# %% [markdown]
# ## Spot the error
#
# > Regression, U-Net against CNN: PSNR 26.04 dB against 22.56 dB, an improvement of **15.43 %**.
# >
# > (in our words, from Qureshi, Table 3)
#
# The division is right. What is wrong? Make up your mind, then run the cell. It has the same two models, with nothing changed but
# the place from which decibels are counted.

# %%
# NBVAL_CHECK_OUTPUT
low, high = printed["regression CNN"]["psnr"], printed["regression U-Net"]["psnr"]
shifts = {"peak 1": 0, "peak 10": 20, "the gray picture": -HORSES_GRAY["psnr_mean"]}
for zero, shift in shifts.items():
    a, b = low + shift, high + shift
    print(
        f"from {zero:17} {a:6.2f} -> {b:5.2f} dB:  {b - a:.2f} dB, {100 * (b / a - 1):7.2f} %"
    )
print(
    f"{high - low:.2f} dB: a typical image's error is divided by {10 ** ((high - low) / 10):.2f}"
)

# %% [markdown] answer=true
# **A percentage of decibels means nothing.** Decibels are a logarithm, and where a logarithm has its zero is a convention (here: at an error as large
# as the whole range). Count from elsewhere and the percentage is whatever you like; counted from the gray picture, the CNN is even
# below zero. The *difference* stays: 3.48 dB. It says that the typical error (the geometric mean over the images) was divided by 2.23.
# Percent may be said of the MSE, which has a true zero: there the paper's 43.75 % is a sound number.

# %% [markdown]
# ## What to remember
#
# - **Never read a score without its floor.** Doing nothing scores 24.1 dB on CIFAR-10's horses; three of
#   four published models print less.
# - The floor depends on the pictures. PSNR of different pictures cannot be compared; skill says what the model itself has done.
# - Say which gray, which mean and which images. Subtract decibels, never divide them.
#
# **Next:** `labkit start 01`. One gray ball, three equally true colors, and a network that paints it brown.
#
# ## Reading
#
# - A. Qureshi, *Comparative Analysis of Regression and Classification-Based CNN Architectures for Image Colorization*, 2025. The four models above.
# - Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, *Image quality assessment: from error visibility to structural similarity*, IEEE
#   Transactions on Image Processing 13(4), 2004. SSIM, and what MSE does not see.
# - D. Hasler, S. Süsstrunk, *Measuring colourfulness in natural images*, SPIE 5007, 2003.
# - R. Zhang, P. Isola, A. A. Efros, *Colorful image colorization*, ECCV 2016. Where to go on reading about automatic colorization.
