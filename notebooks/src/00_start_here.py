# %% [markdown]
# # Start here
#
# A gray photograph goes in, a color photograph comes out. In this course you build the network that does it.
#
# **40 minutes**, of which 8 for exercises. After this lab you
#
# - can run a lab, solve an exercise and have it checked;
# - can make a color image gray, and score a colorization in decibels;
# - know what *doing nothing* scores, and compare every score with it;
# - own a small convolutional colorizer that you have changed and trained.

# %% tags=["setup"]
import math
from functools import partial
import torch
import torch.nn.functional as F
from torch import nn
from labkit import color, metrics
from labkit.checks import check, hint  # noqa: F401
from labkit.colorizer import Colorizer
from labkit.data import load, toyworld
from labkit.experiments.measured import measured
from labkit.experiments.published import published
from labkit.notebook import predict
from labkit.notebook.figures import start_here as figures
from labkit.notebook.lab import begin
from labkit.notebook.photograph import own_photograph, show_on

# %% tags=["parameters"]
profile: str = "auto"  # test, quick, course, gpu or auto
dataset: str = (
    "auto"  # what your network learns from: toyworld, or cifar10 (a download of 170 MB)
)
seed: int = 0  # of the images and of your network's first weights
photo: str = ""  # path of your own photograph; "" takes a packaged one

# %%
lab = begin("00_start_here", profile=profile, dataset=dataset, seed=seed, photo=photo)

# %% tags=["opening"]
photos = load("photos", "test")
names = list(photos.class_names)
true_photos = color.to_float(photos.images)  # (5, 3, 256, 256), from 0 to 1
figures.opening(true_photos[:3], names[:3])

# %% [markdown]
# ## Your photograph
#
# Choose a photograph of your own: with the button below, or as the parameter `photo`. Without one we use a cat. The
# **starter** is a network that comes with the course; it has learned from 90,000 small photographs of 200 kinds of things. It has
# two styles: *faithful* shows the mean of the colors that it considers possible, *vivid* commits to some of them. Which of its colors
# would you have believed? Which one could nobody guess from the gray image?

# %%
own = own_photograph(photo)

# %%
starter = Colorizer.starter()
vivid = partial(starter.colorize, style="vivid")
show_on(own.image, {"starter, faithful": starter, "starter, vivid": vivid})

# %% [markdown]
# ## How a lab works
#
# - **Predict.** `predict(...)` asks a question and records your guess. The next cell shows the result. The explanation is folded
#   until you open it.
# - **Exercise.** Replace `raise NotImplementedError(...)` by your code. `check(...)` in the next cell tries it on fresh random inputs
#   and says what is wrong.
# - **Hint.** Stuck? Add a cell with `hint("00-to-gray")`. Each call shows the next of three hints.
#
# Every cell runs, whether the exercises are done or not. Work in your own copy: `labkit start 00` makes `work/00_start_here.ipynb`.

# %% [markdown]
# ## 1. What is gray?
#
# A pixel is three numbers: red, green and blue. Gray is one. Take three pixels: pure red (255, 0, 0), pure green (0, 255, 0) and pure
# blue (0, 0, 255).

# %%
predict(
    "00-gray",
    "How do pure red, green and blue look in a black-and-white photograph?",
    [
        "green is brightest, blue is darkest",
        "all three alike: 255 / 3 = 85",
        "red is brightest, it is the signal color",
    ],
)

# %%
# NBVAL_CHECK_OUTPUT
pure = 255 * torch.eye(3).view(3, 3, 1, 1)  # three images of one pixel: red, green, blue
for name, value in zip(("red", "green", "blue"), color.luma(pure).flatten(), strict=True):
    print(f"{name:5}  gray {value:5.1f} of 255")

# %% [markdown] answer=true
# **(a).** The eye is most sensitive to green and least to blue. The usual gray, **luma**, is a weighted sum (the standard Rec. 601):
#
# $$Y = 0.299\,R + 0.587\,G + 0.114\,B$$
#
# In this course *gray* means luma unless we say otherwise.

# %% [markdown]
# ### Exercise: make it gray (difficulty 1 of 5, core, 3 minutes)
#
# Write `to_gray(rgb)`.
#
# - In: `rgb`, a tensor of whole numbers 0 to 255 (`torch.uint8`) of shape $(N, 3, H, W)$: images, channels R G B, rows, columns.
# - Out: luma, a float tensor of shape $(N, 1, H, W)$ with values from 0 to 1.


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
# ## 2. How wrong is an image?
#
# The **mean squared error** (MSE) is the mean of the squared differences over all pixels and channels, where white is 1. The **peak
# signal-to-noise ratio** (PSNR) is the same on a logarithmic scale, in decibels (dB):
#
# $$\mathrm{PSNR} = 10 \log_{10} \frac{1}{\mathrm{MSE}}$$

# %%
predict(
    "00-halved",
    "A model's MSE is halved. What happens to its PSNR?",
    ["it doubles", "it grows by 3 dB", "that depends on what it was"],
)

# %%
# NBVAL_CHECK_OUTPUT
for mse in (0.04, 0.02, 0.01, 0.005, 0.0025):
    print(f"MSE {mse:6.4f}   PSNR {10 * math.log10(1 / mse):5.2f} dB")

# %% [markdown] answer=true
# **(b).** $10 \log_{10} 2 \approx 3.01$ dB, wherever you start. So differences of PSNR have a meaning. Quotients have none: see
# *Reading the papers* at the end.

# %% [markdown]
# ### Exercise: PSNR (difficulty 2 of 5, core, 4 minutes)
#
# Write `psnr(a, b)`.
#
# - In: two tensors `torch.uint8` of shape $(N, 3, H, W)$, values 0 to 255.
# - Out: one number: the PSNR of each image, *each* at most 50 dB, averaged over the $N$ images.
#
# Why the limit? About one in a hundred images of CIFAR-10 has no color. The gray image is then perfect, with infinite PSNR, and
# would make any average infinite.


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
# The laziest colorizer does nothing: it returns the gray image as R, G and B. The **horses of CIFAR-10**, photographs of 32 × 32 pixels,
# are the test images of one of our papers.

# %%
predict(
    "00-floor",
    "How many dB does doing nothing score on the horses?",
    ["about 5 dB: every color is wrong", "about 14 dB", "about 24 dB"],
)

# %%
world = toyworld.generate(lab.choose(test=40, quick=500), seed=seed, split="test")


def do_nothing(name: str, images: torch.Tensor) -> dict:
    """A table's row: the scores of the gray image, judged as a colorization."""
    gray = color.to_uint8(metrics.gray_prediction(images))
    psnr = float(metrics.psnr(gray, images).mean())
    return {"images": name, "number": len(images), "PSNR of gray": psnr}


rows = [do_nothing("five photographs", photos.images), do_nothing("toyworld", world.images)]
# measured in the same way on all 1,000 test horses, which are a download
horses = {
    m: measured("skips", "rgb, skips", m, "quick")[0].gray for m in ("mse", "psnr_mean")
}
rows.append(
    {"images": "CIFAR-10 horses", "number": 1000, "PSNR of gray": horses["psnr_mean"]}
)
lab.table(
    rows,
    "What doing nothing scores: the gray image, judged as a colorization",
    key="floors",
)

# %% [markdown] answer=true
# **(c).** 24.1 dB. Every set of images has its own floor, and the floors are far apart. So a PSNR alone says nothing, and PSNR of
# *different* images cannot be compared: where the true colors are dull, everybody scores high.

# %% [markdown]
# Why so high? Every image is the sum of its luma and its **chroma**. Doing nothing gets the luma right everywhere.

# %%
figures.luma_and_chroma(true_photos, names)

# %% [markdown]
# From here on tables of scores have a row for gray and a column for **skill**: the fraction of gray's error that a model removes. A perfect
# model has skill 1, the gray image 0, a model worse than gray less than 0.
#
# ### Exercise: skill (difficulty 1 of 5, core, 1 minute)
#
# Write `skill(mse, mse_gray)`: two numbers above 0, the MSE of a model and of the gray image on the same images; return the skill.


# %% exercise="00-skill"
def skill(mse: float, mse_gray: float) -> float:
    """The fraction of the gray image's error that is removed: 1 is perfect, 0 is gray."""
    ### BEGIN SOLUTION
    return 1 - mse / mse_gray
    ### END SOLUTION


# %% check="00-skill"
check("00-skill", skill)

# %% [markdown]
# Your functions score the starter on the five photographs (the library's take the place of those that are not done yet):

# %%
to_gray_, psnr_ = lab.built(to_gray, color.luma), lab.built(psnr, metrics.psnr)
skill_ = lab.built(skill, metrics.skill)
colorized = starter.colorize(photos.images)
bytes_of = {"gray": metrics.gray_prediction(photos.images), "starter": colorized}
bytes_of = {name: color.to_uint8(image) for name, image in bytes_of.items()}
error = {
    name: float(metrics.mse(image, photos.images).mean())
    for name, image in bytes_of.items()
}
lab.table(
    [
        {
            "colorization": name,
            "MSE": error[name],
            "PSNR": float(torch.as_tensor(psnr_.piece(image, photos.images)).mean()),
            "skill": float(skill_.piece(error[name], error["gray"])),
        }
        for name, image in bytes_of.items()
    ],
    f"Five photographs (PSNR: {psnr_.label}; skill: {skill_.label})",
    key="photos",
)

# %% [markdown]
# ## 4. A colorizer in twelve lines
#
# Now build one. This is a worked example: read it, run it, then change it.
#
# The network halves the image twice, so that each of its numbers sees a large part of the image, and returns to half size. It predicts
# three numbers a pixel, *the color to be added to gray*.


# %%
class TinyColorizer(nn.Module):
    """Gray (N, 1, H, W) in [0, 1] -> color (N, 3, H, W)."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.down1 = nn.Conv2d(1, width, 4, stride=2, padding=1)
        self.down2 = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.middle = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.color = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, gray):
        x = F.relu(self.down1(gray))  # (N, 16, H/2, W/2)
        x = F.relu(self.down2(x))  # (N, 32, H/4, W/4)
        x = F.relu(self.middle(x))
        x = F.relu(self.up(x))  # (N, 16, H/2, W/2)
        added = F.interpolate(self.color(x), size=gray.shape[-2:], mode="bilinear")
        return gray + added


# %% [markdown]
# It learns from **toyworld**, small painted scenes of this course: sky, grass, and things whose color nobody can know. For toyworld the
# best possible score can be computed; lab 01 shows how.

# %%
predict(
    "00-tiny",
    "This network has 26,000 weights and trains for seconds. How much of gray's error does it remove on new scenes?",
    ["nothing: it needs millions of weights", "about a tenth", "about half"],
)

# %% [markdown]
# The training loop has five steps, the same for every network of this course: predict, measure the error, clear the old gradients,
# compute new ones, change the weights.

# %%
if lab.dataset == "toyworld":
    images = toyworld.generate(lab.choose(test=64, quick=2000), seed=seed).images
    test_images, best = world.images, toyworld.best_scores(world)["mse_realized"]
else:
    images, best = load(lab.dataset, "train", limit=10_000, seed=seed).images, None
    test_images = load(lab.dataset, "test", limit=1000, seed=seed).images

torch.manual_seed(seed)
model = TinyColorizer(width=16)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
losses = []
for _ in range(lab.choose(test=1, quick=4)):
    for batch in torch.randperm(len(images)).split(32):
        gray = torch.as_tensor(
            to_gray_.piece(images[batch])
        ).float()  # yours, if it is done
        prediction = model(gray)
        loss = (prediction - images[batch] / 255).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

# %%
true = color.to_float(test_images)
gray = color.luma(true)
with torch.no_grad():
    yours = model(gray).clamp(0, 1)
error = {
    "gray": metrics.gray_prediction(true),
    "yours, 12 lines": yours,
    "starter (photographs)": starter(true),
}
error = {name: float(metrics.mse(image, true).mean()) for name, image in error.items()}
if best is not None:
    error["the best possible"] = best
figures.learning(losses, error["gray"], best)
lab.table(
    [
        {"network": name, "MSE": e, "skill": metrics.skill(e, error["gray"])}
        for name, e in error.items()
    ],
    f"{lab.dataset}: {len(true)} test images",
    key="tiny",
)
lab.record(tiny_skill=metrics.skill(error["yours, 12 lines"], error["gray"]))

# %% [markdown] answer=true
# **(c)** with the quick profile. Much of toyworld is sky and grass, which have one color each: they can be
# learned in seconds. What is missing to the best possible are mostly sharp edges. What is missing from there to skill 1 nobody can know.

# %%
figures.predictions({"gray": gray[:6], "yours": yours[:6], "true": true[:6]})

# %% [markdown]
# **Change me.** Change one thing in the class or in the loop, run the class, the loop and the table again, and keep what helps.
#
# - `width`: 4, 8, 32. Is twice as wide twice as good?
# - The learning rate: ten times as large, ten times as small. Look at the curve.
# - Leave out `optimizer.zero_grad()`. What happens to the curve?
# - Return `added` alone, without `gray +`. Is it still above the floor?
# - Add a second `middle` layer. Does it help more than width does?
#
# And on your photograph? Networks know things at the size at which they learned them, so your network is shown a small copy, and its
# color is enlarged.


# %%
def yours_on_photograph(gray):
    """Gray (1, 1, H, W) -> color (1, 3, H, W): your network sees 64 pixels of the shorter side."""
    small = F.interpolate(
        gray, scale_factor=64 / min(gray.shape[-2:]), mode="bilinear", antialias=True
    )
    added = model(small) - small
    return (gray + F.interpolate(added, size=gray.shape[-2:], mode="bilinear")).clamp(0, 1)


show_on(own.image, {"yours": yours_on_photograph, "starter": starter})

# %% [markdown]
# A network trained on toyworld has never seen a cat or a face. It colors what looks like sky blue and what looks like grass green.
# With `dataset = "cifar10"` in the parameters it learns from photographs.
#
# ## 5. How strong should the color be?
#
# Your network's balls are duller than the true ones. We can multiply the color that it adds by a factor.

# %%
predict(
    "00-strength",
    "With which factor is the MSE on the test scenes lowest?",
    [
        "about 2: the true colors are much stronger",
        "about 1: as the network predicts them",
        "about 0.5: less color, less error",
    ],
)

# %%
figures.strength(true, yours, show=lab.choose(test=0, quick=2))

# %% [markdown] answer=true
# **(b).** Near 1 the factor hardly matters; twice the color costs half as much again. The network was trained to make the squared error
# small, and it did. The dull balls are no weakness of this network: dull is where their squared error is smallest. Lab 01 explains why.

# %% [markdown]
# ## Reading the papers
#
# Qureshi (2025) compares four networks on the horses of CIFAR-10.

# %%
models = [
    f"{kind} {net}" for kind in ("regression", "classification") for net in ("CNN", "U-Net")
]
printed = {m: published("qureshi", system=m, metric="psnr")[0].value for m in models}
printed_mse = {m: published("qureshi", system=m, metric="mse")[0].value for m in models}
figures.published(printed, gray=horses["psnr_mean"])
lab.table(
    [
        {
            "model": "gray, measured here",
            "MSE": horses["mse"],
            "PSNR": horses["psnr_mean"],
            "skill": 0.0,
        }
    ]
    + [
        {
            "model": m,
            "MSE": e,
            "PSNR": printed[m],
            "skill": round(metrics.skill(e, horses["mse"]), 2),
        }
        for m, e in printed_mse.items()
    ],
    "CIFAR-10 horses: four models as published, and doing nothing",
    key="published",
)

# %% [markdown]
# - **By PSNR one model is above the floor, two are below it, one is undecided.** The PSNR of single horses has a standard deviation of 4.6 dB. The
#   paper's public notebook scores 100 random horses, so a mean varies by $4.6 / \sqrt{100} \approx 0.5$ dB: the model that is 0.3 dB below
#   cannot be told from gray. By MSE the two U-Nets are above the floor.
# - **Which mean?** The printed MSE .0067 alone would be 21.7 dB; the paper prints 22.56. So it averages the PSNR of single images, as you
#   did, and the comparison is fair.
# - **Why do trained networks lose to nothing?** They predict R, G and B, luma included, which they were given. Your network adds color to
#   gray instead. Lab 02 measures the difference.
# - **"PSNR 26.04 against 22.56 dB, an improvement of 15.43 %"** means nothing: decibels are a logarithm, and the percentage depends on where
#   its zero is put. Say 3.48 dB.

# %% [markdown]
# ## Open task
#
# Improve `TinyColorizer` in any way, as long as it trains in 20 seconds. The floor is skill 0, the example above has about 0.5 with the
# quick profile, and nothing can have more than 0.66 on toyworld. Choose by this number, on validation images; the test images are for the end.

# %%
held_out = load(lab.dataset, "validation", limit=lab.choose(test=40, quick=500), seed=seed)
with torch.no_grad():
    guess = model(color.luma(held_out.images)).clamp(0, 1)
floor = metrics.mse(metrics.gray_prediction(held_out.images), held_out.images).mean()
score = metrics.skill(float(metrics.mse(guess, held_out.images).mean()), float(floor))
print(f"skill on {len(held_out)} validation images: {score:.3f}")

# %% [markdown]
# ## What to remember
#
# - **Read no score without its floor.** Doing nothing scores 24.1 dB on CIFAR-10's horses.
# - The floor depends on the images. Skill says what a model does beyond it.
# - A training loop is five lines: predict, loss, clear, backward, step.
#
# **Next:** `labkit start 01`. One gray ball, three colors that are equally possible, and the color that a network predicts.
#
# *A. Qureshi, Comparative analysis of regression and classification-based CNN architectures for image colorization, 2025.*
