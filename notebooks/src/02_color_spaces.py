# %% [markdown]
# # Color spaces
#
# A color is three numbers, but which three? The choice decides what a colorizer is given, what it has to predict, what its
# loss measures, and what happens to a prediction that no screen can show. In this lab you write the conversions yourself and
# join them to a **color space that a network trains in**.
#
# **110 minutes**, of which 54 for three builds. After this lab you
#
# - own `ColorSpace`: RGB to LAB and back, YUV and back, and the way back into the *gamut* (the colors that a screen can show), in one class that `fit` can train;
# - can name the gray that a network is given, luma or $L^*$, and say how they differ;
# - compare networks that predict in different spaces, and know why their losses cannot do it;
# - can check what a color formula predicts when it predicts nothing.

# %% tags=["setup"]
import math
import torch
from skimage.color import rgb2lab
from torch.nn import functional as F
from labkit import color, metrics
from labkit.checks import check, hint  # noqa: F401
from labkit.colorizer import Colorizer
from labkit.data import load
from labkit.data.toyworld import best_scores, material, optimum
from labkit.experiments.claims import claims_of
from labkit.notebook import predict
from labkit.notebook.figures import color_spaces as figures
from labkit.notebook.lab import begin
from labkit.notebook.photograph import own_photograph, show_on
from labkit.representation import LAB, RGB, YUV, LumaChroma, Representation

# %% tags=["parameters"]
profile: str = "auto"  # test, quick, course, gpu or auto
dataset: str = "auto"  # what the networks learn from: toyworld, cifar10, ... (auto: cifar10 with the course profile)
seed: int = 0  # of the networks' first weights and the order of the images
photo: str = ""  # path of a photograph of your own; "" takes one that comes with labkit

# %%
lab = begin("02_color_spaces", profile=profile, dataset=dataset, seed=seed, photo=photo)
own = own_photograph(photo)

# %% tags=["opening"]
figures.same_gray(own.image)

# %% [markdown]
# A colorizer is given the picture in the middle. The other eight have the *same* luma in every pixel; one of them is the
# photograph (a little stronger in color). Luma is one number. What is missing is two more, the **chroma**, and there are many
# ways to write these two numbers down.
#
# How much detail do they need?

# %%
predict(
    "02-coarse",
    "We average 8 x 8 pixels, once of luma (one number a pixel) and once of chroma (two). Which copy looks worse?",
    ["the one with coarse luma", "the one with coarse chroma", "both alike"],
)

# %%
figures.coarse(own.image)

# %% [markdown] answer=true
# **(a).** The copy with coarse chroma has lost more numbers and hardly anybody notices. JPEG and video live on that. For us it
# means: a colorizer is **given** the part about which the eye is strict, and is asked for the part about which it is lenient.

# %% [markdown]
# ## 1. RGB to LAB
#
# **Code values and light.** The numbers in a file are not amounts of light. They are *code values* $c$: light $\ell$ went through
# the sRGB *gamma curve*, which spends more codes on the dark. To undo it:
#
# $$\ell = \begin{cases} c / 12.92 & c \le 0.04045 \\ \left(\dfrac{c + 0.055}{1.055}\right)^{2.4} & \text{otherwise} \end{cases}
# \qquad\qquad
# c = \begin{cases} 12.92\, \ell & \ell \le 0.0031308 \\ 1.055\, \ell^{1/2.4} - 0.055 & \text{otherwise} \end{cases}$$

# %%
predict(
    "02-code-128",
    "White has the code value 255. What fraction of white's light does the code value 128 stand for?",
    ["half", "about a fifth", "about three quarters"],
)

# %%
# NBVAL_CHECK_OUTPUT
for code in (64, 128, 188):
    light = float(color.srgb_to_linear(torch.tensor(code / 255)))
    print(f"code {code:3}: {light:.3f} of white's light")
figures.ramps()

# %% [markdown] answer=true
# **(b).** Half the light needs the code 188. A network that averages two colors averages code values, for its loss is made
# of them. Color science starts from light, so every formula first undoes the curve.

# %% [markdown]
# **Light to LAB.** Linear R, G, B become $X, Y, Z$ by a matrix $M$; its second row, $Y$, is the amount of light as the eye weighs
# it. LAB (CIE 1976) takes a cube root relative to white, so that equal steps look about equal, and writes color as differences:
#
# $$L^* = 116 f_y - 16, \qquad a = 500\,(f_x - f_y), \qquad b = 200\,(f_y - f_z), \qquad f_x = f(X / X_w) \text{ and so on}$$
#
# $$f(t) = \begin{cases} \sqrt[3]{t} & t > 0.008856 \\ 7.787\, t + \tfrac{16}{116} & \text{otherwise} \end{cases}$$
#
# $L^*$ runs from 0 to 100, $a$ from green to red, $b$ from blue to yellow. The straight piece keeps the slope finite at black.
#
# ### Build: RGB to LAB and back (difficulty 3 of 5, core, 22 minutes)
#
# Three functions. All take and return float tensors of shape $(\ldots, 3, H, W)$; the check sends a batch and a single image, with
# very dark pixels.
#
# - `srgb_to_linear(rgb)`: code values 0 to 1 to light 0 to 1.
# - `linear_to_lab(linear)`: light to $L^*, a, b$.
# - `lab_to_rgb(lab)`: all the way back to code values, **not clipped**: many LAB colors lie outside 0 to 1. Undo $f$ by $t = f^3$ where
#   $f > 0.2068966$, else solve the straight piece for $t$.
#
# `torch.where(condition, this, that)` chooses value by value; `torch.einsum("ij,...jhw->...ihw", M, image)` multiplies every pixel
# by a matrix; `x.unbind(dim=-3)` gives the three channels, `torch.stack([...], dim=-3)` joins three again. Colors outside 0 to 1 have
# negative light. Its power is NaN; where `torch.where` takes the straight piece, the NaN is dropped.

# %% exercise="02-srgb-to-linear"
M = torch.tensor(color.RGB_TO_XYZ)  # (3, 3): its rows make X, Y and Z
WHITE = torch.tensor(color.WHITE).view(3, 1, 1)  # X, Y, Z of white (D65)


def srgb_to_linear(rgb):
    """Code values in 0..1 -> light in 0..1, (..., 3, H, W)."""
    ### BEGIN SOLUTION
    curved = ((rgb + 0.055) / 1.055) ** 2.4
    return torch.where(rgb <= 0.04045, rgb / 12.92, curved)
    ### END SOLUTION


def linear_to_lab(linear):
    """Light in 0..1 -> L* (0..100), a, b, (..., 3, H, W)."""
    ### BEGIN SOLUTION
    t = torch.einsum("ij,...jhw->...ihw", M, linear) / WHITE
    f = torch.where(t > 0.008856, t ** (1 / 3), 7.787 * t + 16 / 116)
    fx, fy, fz = f.unbind(dim=-3)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-3)
    ### END SOLUTION


def lab_to_rgb(lab):
    """L*, a, b -> code values, not clipped, (..., 3, H, W)."""
    ### BEGIN SOLUTION
    lightness, a, b = lab.unbind(dim=-3)
    fy = (lightness + 16) / 116
    f = torch.stack([fy + a / 500, fy, fy - b / 200], dim=-3)
    xyz = WHITE * torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)
    linear = torch.einsum("ij,...jhw->...ihw", M.inverse(), xyz)
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, 12.92 * linear)
    ### END SOLUTION


# %% check="02-srgb-to-linear"
check("02-srgb-to-linear", srgb_to_linear)
check("02-linear-to-lab", linear_to_lab)
check("02-lab-to-rgb", lab_to_rgb)

# %%
to_light = lab.built(srgb_to_linear, otherwise=color.srgb_to_linear)
to_lab = lab.built(
    linear_to_lab, otherwise=lambda light: color.xyz_to_lab(color.linear_to_xyz(light))
)
from_lab = lab.built(lab_to_rgb, otherwise=color.lab_to_rgb)


def rgb_to_lab(rgb):
    """Code values -> LAB, by your functions where they are built."""
    return to_lab.piece(to_light.piece(rgb))


rgb = figures.reduced(own.image)  # (3, H, W) in 0..1
of_skimage = torch.from_numpy(rgb2lab(rgb.movedim(0, -1).double().numpy())).movedim(-1, 0)
apart, lost = rgb_to_lab(rgb) - of_skimage, from_lab.piece(rgb_to_lab(rgb)) - rgb
print(f"largest difference from scikit-image: {float(apart.abs().max()):.4f}")
print(f"largest error of the round trip:      {float(lost.abs().max()):.6f}")
figures.taken_apart(own.image, rgb_to_lab, from_lab.piece)

# %% [markdown]
# R, G and B tell the same story three times. LAB tells it once, and keeps the color beside it.

# %% [markdown]
# ## 2. YUV, and colors that do not exist
#
# Television needed something that a few resistors compute: a gray signal for the old sets and two more for the new ones. **Luma**
# is a weighted sum of *code values*, and U and V say by how much blue and red differ from it:
#
# $$Y = .299\,R + .587\,G + .114\,B, \qquad U = .492111\,(B - Y), \qquad V = .877283\,(R - Y)$$
#
# These weights are those of **Rec. 601** (standard television, JPEG, Pillow). **Rec. 709** (HD video, and the second row of $M$) has .2126, .7152,
# .0722. Section 3 shows what follows from mixing the two. Here all luma is Rec. 601.
#
# YUV is a straight map: all colors of one luma form a plane in the RGB cube, with gray in it. A network may predict any U and
# V. Not all of them exist: only where the plane cuts the cube. That part is the **gamut** at this luma. The usual
# remedy is to clip each channel to 0..1. Let us take a photograph and make its chroma four times too strong.

# %%
predict(
    "02-clipping",
    "What does clipping R, G and B to 0..1 do to the luma that was given?",
    ["nothing", "it changes it a little everywhere", "it changes it visibly where it cuts"],
)

# %% [markdown]
# ### Build: YUV, and the way back into the gamut (difficulty 3 of 5, core, 17 minutes)
#
# Float tensors $(\ldots, 3, H, W)$ again.
#
# - `rgb_to_yuv(rgb)`, and `yuv_to_rgb(yuv)`, not clipped. For G, solve the first equation above.
# - `scale_to_gamut(rgb)`: channels may be below 0 or above 1. Gray is inside the gamut and has the same luma. So walk from the color
#   straight toward its gray, and stop where you enter: with chroma $c = \text{rgb} - Y$ (three numbers), each pixel becomes
#
# $$Y + s\,c \qquad \text{with the largest } s \in [0, 1] \text{ for which all three channels lie in } [0, 1].$$
#
# A channel with $c > 0$ has room $1 - Y$, one with $c < 0$ has room $Y$. Each pixel has its own $s$. You may use `color.luma`. Let
# a luma outside 0..1 count as 0 or 1.


# %% exercise="02-rgb-to-yuv"
def rgb_to_yuv(rgb):
    """Code values in 0..1 -> Y, U, V, (..., 3, H, W)."""
    ### BEGIN SOLUTION
    r, g, b = rgb.unbind(dim=-3)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return torch.stack([y, 0.492111 * (b - y), 0.877283 * (r - y)], dim=-3)
    ### END SOLUTION


def yuv_to_rgb(yuv):
    """Y, U, V -> code values, not clipped, (..., 3, H, W)."""
    ### BEGIN SOLUTION
    y, u, v = yuv.unbind(dim=-3)
    r, b = y + v / 0.877283, y + u / 0.492111
    return torch.stack([r, (y - 0.299 * r - 0.114 * b) / 0.587, b], dim=-3)
    ### END SOLUTION


def scale_to_gamut(rgb):
    """Colors (..., 3, H, W), some outside 0..1 -> the first ones inside on the way to the gray of the same luma."""
    ### BEGIN SOLUTION
    gray = color.luma(rgb).clamp(0, 1)  # (..., 1, H, W)
    chroma = rgb - gray
    room = torch.where(chroma > 0, 1 - gray, gray)
    scale = (room / chroma.abs().clamp(min=1e-9)).amin(
        dim=-3, keepdim=True
    )  # the tightest channel
    return gray + scale.clamp(max=1) * chroma
    ### END SOLUTION


# %% check="02-rgb-to-yuv"
check("02-rgb-to-yuv", rgb_to_yuv)
check("02-yuv-to-rgb", yuv_to_rgb)
check("02-scale-to-gamut", scale_to_gamut)

# %%
to_yuv = lab.built(rgb_to_yuv, otherwise=color.rgb_to_yuv)
from_yuv = lab.built(yuv_to_rgb, otherwise=color.yuv_to_rgb)
to_gamut = lab.built(scale_to_gamut, otherwise=color.scale_to_gamut)

gray = color.luma(rgb)
too_strong = gray + 4 * (rgb - gray)
clipped, scaled = too_strong.clamp(0, 1), to_gamut.piece(too_strong)
figures.clipping(gray, clipped, scaled, factor=4)
outside = ((too_strong < 0) | (too_strong > 1)).any(dim=0).float().mean()
print(f"{100 * float(outside):.0f} % of the pixels had left the gamut; {to_gamut.label}")

# %% [markdown] answer=true
# **(c).** A clipped channel takes its part of the luma with it: shading that was in the gray image is gone. On the way to gray luma does not
# change, nor does the hue; only the strength of the color gives way. Every luma-chroma representation of labkit decodes like this.

# %%
predict(
    "02-strongest",
    "At which luma is the strongest yellow, and at which the strongest blue?",
    ["yellow near 0.9, blue near 0.1", "both near 0.5", "yellow near 0.1, blue near 0.9"],
)

# %%
figures.drag_gamut(
    from_lab.piece, from_yuv.piece
)  # your functions draw it: drag the slider

# %% [markdown] answer=true
# **(a).** Pure yellow is red plus green: its luma is $.299 + .587 = .886$. Pure blue has .114. Each pure color exists at *one* luma, a
# corner of the cube. So luma already tells something about color: a very bright thing can be yellow but not blue. And
# the same chroma, right at one luma, does not exist at another.

# %% [markdown]
# ## 3. Two grays
#
# Luma and $L^*$ both run from black to white, both are called "the gray image", and on gray pixels they agree within a few hundredths. Papers that
# work in LAB give the network $L^*$; the others give it luma. Below are the four colors of a toyworld balloon. They were chosen so
# that their luma is *exactly* equal.

# %%
predict(
    "02-lightness",
    "What is the L* of four saturated colors of equal luma?",
    ["equal, too", "within one unit of a hundred", "over ten units of a hundred apart"],
)

# %%
REC601, REC709 = torch.tensor(color.LUMA_WEIGHTS), torch.tensor([0.2126, 0.7152, 0.0722])


def grays(chip):
    """Four grays of one color (3,), each as L*."""
    row = {"R, G, B": str((255 * chip).round().int().tolist())}
    for name, weights in {"601": REC601, "709": REC709}.items():
        of_code = color.srgb_to_linear(weights @ chip)
        of_light = weights @ color.srgb_to_linear(chip)
        row[f"sum of code values, {name}"] = round(116 * float(of_code) ** (1 / 3) - 16, 1)
        row[f"sum of light, {name}"] = round(116 * float(of_light) ** (1 / 3) - 16, 1)
    return row


lab.table(
    [grays(chip) for chip in torch.tensor(material("balloon").colors) / 255],
    "Four grays of each color, as L*: the first is luma, the last is the color's own L*",
    key="grays",
)
world = load("toyworld", "test", limit=lab.choose(test=50, quick=300, course=1000))
figures.two_grays(world.images[24])

# %% [markdown] answer=true
# **(c).** The green balloon is eleven units lighter than the red one. Why? Luma sums code values and $L^*$ sums light; but that
# is not the reason: in the column *sum of light, 601* red and green are half a unit apart. What separates them is the
# **weights**: see the columns of 709. Rec. 601 was made for the primaries (the red, green and blue lights) of old television
# sets; sRGB screens have those of Rec. 709, whose green is more of the light. Luma puts the weights of the one on the primaries
# of the other. (Blue and magenta are ten units apart already in *sum of light, 601*: there light against code values does it.)
#
# Which gray a network is given is a convention for photographs. Is it one for toyworld, too, which hides colors behind equal luma?

# %% [markdown]
# ## 4. Zero chroma
#
# The ECS171 paper (section 2.2.4) writes a color as its brightness part plus its chroma part:
#
# $$v = \frac{Y}{w \cdot w}\, w + \alpha u_1 + \beta u_2, \qquad w = (.299, .587, .114), \qquad u_1 \cdot w = u_2 \cdot w = 0$$

# %%
predict(
    "02-zero-chroma",
    "A network of this kind that has learned nothing predicts alpha = beta = 0. What does its picture look like?",
    ["gray: no chroma, no color", "green", "black"],
)

# %%
# NBVAL_CHECK_OUTPUT
w = REC601.double()
direction = w / w.dot(w)  # of luma 1
angle = math.degrees(math.acos(direction.sum() / (direction.norm() * math.sqrt(3))))
print(
    f"w / (w.w) = {[round(x, 3) for x in direction.tolist()]}, {angle:.1f} degrees from gray"
)
print(f"outside the gamut above luma {1 / direction.max():.3f}")

# %%
printed = gray * direction.float().view(3, 1, 1)
figures.zero_chroma(rgb, printed, gray.expand(3, -1, -1), direction)

# %% [markdown] answer=true
# **(b).** $w$ is at right angles to the planes of equal luma, so $\frac{Y}{w \cdot w} w$ is the point of the plane that is nearest to *black*. Gray is
# another point of the same plane, on the diagonal. The weights prefer green, so their direction **is** a green, which the network has to
# undo everywhere. The remedy: start from gray, $v = Y\,(1, 1, 1) + \alpha e_1 + \beta e_2$, with $e_1, e_2$ orthonormal. labkit calls this
# space `luma-chroma`; lab 05 builds it. Whatever space you invent: look at its zero.

# %% [markdown]
# ## 5. A space to train in
#
# A **representation** is what a colorizer needs of a space: `split` says which gray image the network is given and which numbers it should predict,
# `loss` how wrong a prediction is, `to_rgb` which image it stands for. `fit` knows nothing else about color.
#
# ### Build: a color space as a representation (difficulty 3 of 5, core, 15 minutes)
#
# Write the three methods of `ColorSpace`. It takes any space whose first channel is the gray: the two conversions, and a range for each channel.
#
# - `split(rgb)`: `rgb` is $(N, 3, H, W)$, **bytes or floats** (`color.to_float` takes both). Convert, divide by the ranges; return gray $(N, 1, H, W)$ and
#   target $(N, 2, H, W)$.
# - `loss(prediction, target)`: the mean squared difference, one number.
# - `to_rgb(gray, colors)`: the way back, with your `scale_to_gamut` at the end.


# %% exercise="02-representation"
class ColorSpace(Representation):
    """A color space whose first channel is gray; a network predicts the other two, each divided by its range."""

    name = "yours"
    channels = 2  # that a network predicts

    def __init__(self, to_space, from_space, ranges):
        """to_space and its inverse from_space: (..., 3, H, W) -> (..., 3, H, W); ranges: three numbers."""
        super().__init__()
        self.to_space, self.from_space = to_space, from_space
        # a buffer is a tensor that belongs to the module and is not trained
        self.register_buffer("ranges", torch.tensor(ranges).view(3, 1, 1), persistent=False)

    def split(self, rgb):
        """Images (N, 3, H, W), uint8 or float -> gray (N, 1, H, W), target (N, 2, H, W)."""
        ### BEGIN SOLUTION
        channels = self.to_space(color.to_float(rgb)) / self.ranges
        return channels[:, :1], channels[:, 1:]
        ### END SOLUTION

    def loss(self, prediction, target):
        """Mean squared error of the two channels: a scalar."""
        ### BEGIN SOLUTION
        return (prediction - target).square().mean()
        ### END SOLUTION

    def to_rgb(self, gray, colors):
        """gray (N, 1, H, W) and colors (N, 2, H, W) -> rgb (N, 3, H, W) in 0..1."""
        ### BEGIN SOLUTION
        channels = torch.cat([gray, colors], dim=1) * self.ranges
        return scale_to_gamut(self.from_space(channels))
        ### END SOLUTION


# %% check="02-representation"
check("02-representation", ColorSpace)
check("02-representation-trains", ColorSpace)

# %%
space = lab.built(ColorSpace, otherwise=None)


def yours(to_space, from_space, ranges, library):
    """Your space, or the library's while yours is not built."""
    return space.piece(to_space, from_space, ranges) if space.yours else library


your_yuv = yours(to_yuv.piece, from_yuv.piece, (1.0, 0.436, 0.615), YUV())
your_lab = yours(rgb_to_lab, from_lab.piece, (100.0, 110.0, 110.0), LAB())

# %% [markdown]
# One class, and any pair of functions makes a space of it. Before we train: what do losses in different spaces say?

# %% [markdown]
# ## 6. One picture, many losses
#
# Zhuang's report trains a U-Net once for RGB and once for U and V, and compares the loss curves. We hold the *picture* fixed. On toyworld we know
# the best picture that can be made of a gray image: in each pixel the mean of the possible colors (lab 01).

# %%
predict(
    "02-one-picture",
    "Compared with its MSE in R, G, B, the MSE of this one picture in U, V is",
    ["the same: it is the same picture", "lower", "higher"],
)

# %%
best_picture = optimum(world, RGB()).prediction  # (N, 3, 32, 32)
truth = color.to_float(world.images)
coordinates = {
    "R, G, B from 0 to 1": lambda image: image,
    "R, G, B from 0 to 255": lambda image: 255 * image,
    "U, V": lambda image: to_yuv.piece(image)[:, 1:],
    "U, V, each divided by its range": your_yuv.target,
    "luma-chroma, orthonormal": LumaChroma().target,
    "a, b": lambda image: rgb_to_lab(image)[:, 1:],
    "a, b, divided by 110": your_lab.target,
}
figures.one_picture(
    {name: float(F.mse_loss(f(best_picture), f(truth))) for name, f in coordinates.items()}
)

# %%
# NBVAL_CHECK_OUTPUT
unit = torch.eye(3).view(3, 3, 1, 1)  # of Y, U and V
back = torch.stack(
    [color.yuv_to_rgb(unit[k]).flatten() for k in (1, 2)], dim=1
).double()  # (3, 2)
extremes = torch.linalg.eigvalsh(back.T @ back) / 3
print(
    f"MSE in U, V = {0.5 / extremes[1]:.2f} to {0.5 / extremes[0]:.2f} times the MSE in R, G, B"
)

# %% [markdown] answer=true
# **(b).** For *any* prediction that keeps the luma the loss in U, V is lower, never more than .93 of the RGB loss: from U and V an error
# arrives in RGB enlarged ($B = Y + 2.03\,U$). Divide by the ranges, as many programs do, and the order turns round. So "UV has the lower loss"
# says nothing about the pictures. A loss is for *training* in one space. To compare, decode everything to **one space** and score it there.

# %% [markdown]
# ## 7. One network, five spaces, judged in one
#
# The same U-Net with the same first weights (but those of the last layer), the same images in the same order. Only what it is given and
# what it predicts changes:
#
# | name | is given | predicts |
# |---|---|---|
# | RGB | luma | R, G, B: it has to predict the luma, too |
# | luma-chroma | luma | two coordinates of the chroma plane |
# | YUV (the library's, and yours) | luma | U and V, divided by their ranges |
# | LAB from luma | luma | $a$ and $b$, divided by 110; decoding finds the $L^*$ that keeps the luma |
# | LAB from $L^*$ (yours) | $L^*$ | $a$ and $b$, divided by 110 |

# %%
predict(
    "02-five-networks",
    "On toyworld, which network comes below the MSE of a perfect network that is given luma?",
    ["none can", "RGB: its loss is the MSE itself", "LAB from L*", "luma-chroma"],
)

# %%
count = lab.choose(test=64, quick=800, course=20_000, gpu=45_000)
epochs = lab.choose(test=1, quick=4, course=8, gpu=20)
width = lab.choose(test=4, quick=16, course=32, gpu=64)
train = load(lab.dataset, "train", limit=count, seed=seed)
test = load(lab.dataset, "test", limit=lab.choose(test=50, quick=300, course=2000))
spaces = {
    "RGB": RGB(),
    "luma-chroma": LumaChroma(),
    "YUV": YUV(),
    f"YUV, {space.label}": your_yuv,
    "LAB from luma": LAB(input_gray="luma"),
    f"LAB from L*, {space.label}": your_lab,
}
torch.set_num_threads(1)  # one thread is the safe choice for batches this small, see lab 01


def trained(representation):
    """The same network, trained on the same images, in one space."""
    small = {"max_width": 32, "convolutions": 1} if width <= 16 else {}
    model = Colorizer(representation, "unet", width=width, seed=seed, **small)
    model.fit(train.images, epochs=epochs, batch_size=16, seed=seed)
    return model


colorizers = {name: trained(representation) for name, representation in spaces.items()}
own_losses = {name: model.loss(test.images) for name, model in colorizers.items()}
wanted = ("mse", "psnr_mean")
scores = {
    m: metrics.evaluate(model, test.images, keys=wanted) for m, model in colorizers.items()
}

# %% [markdown]
# The RGB network predicts a luma of its own. We can put the true one back afterwards: move each color to the nearest one of the right luma, a step
# along $w$ (no gray in section 4, but the shortest way between two planes of equal luma).

# %%
in_rgb = colorizers["RGB"](test.images).cpu()
luma_error = color.luma(test.images) - color.luma(in_rgb)  # (N, 1, H, W)
put_back = to_gamut.piece(in_rgb + luma_error * direction.float().view(3, 1, 1))
scores["RGB, luma put back"] = metrics.score_with_gray(put_back, test.images, wanted)
error = luma_error.square().mean()
saved = error / w.dot(w) / 3  # of MSE, by Pythagoras
lab.record(rms_luma_error_of_rgb=float(error.sqrt()), mse_saved_by_the_step=float(saved))

# %%
rows = {"gray (nothing predicted)": scores["RGB"]["gray"], **scores}
levels = {"gray": scores["RGB"]["gray"]["mse"]}
if lab.dataset == "toyworld":
    best = best_scores(test)
    levels["best possible from luma"] = best["mse_realized"]
    rows["best possible from luma"] = {"mse": best["mse_realized"], "skill": best["skill"]}
lab.table(
    [
        {"model": name, "own loss": own_losses.get(name)}
        | {"MSE": row["mse"], "skill": row["skill"], "PSNR, dB": row.get("psnr_mean")}
        for name, row in rows.items()
    ],
    f"{len(train):,} images of {lab.dataset}, judged on {len(test):,} test images, in RGB",
    key="spaces",
)
figures.five_networks(own_losses, {name: scores[name]["mse"] for name in spaces}, levels)

# %%
some = test.images[[24, 15, 43]]
shown = {
    name: model(some)
    for name, model in colorizers.items()
    if name not in ("YUV", "luma-chroma")
}
figures.pictures(color.luma(some), shown, color.to_float(some))

# %% [markdown] answer=true
# **(c).** *LAB from $L^*$* comes below the limit. It did not colorize better: it was *given more*. Colors of equal luma differ in $L^*$
# (section 3), so its input tells what the experiment hides. A result that beats the optimum is a leak until the opposite is shown.
#
# **The own losses rank the units, not the pictures.** RGB, YUV and luma-chroma have the same MSE optimum, yet their losses sit at different heights.
# In MSE the networks that see luma come out near one another; do not believe an order among them before you have seen two more seeds
# (`labkit run 02 --sweep seed 0,1,2`).
#
# **RGB has to predict what it was given.** The step along $w$ can only help: the truth lies in the plane of the right luma, so by Pythagoras the squared
# error falls by the squared length of the step, the second number printed above the table. (The step back into the gamut carries no such promise.) What remains of RGB's
# distance to the others is chroma that it learned less well.
#
# **Your YUV and the library's** are the same mathematics. Their rows differ by rounding that training has enlarged, and by nothing else.

# %% [markdown]
# ## Reading the papers
#
# **Zhuang**: "UV outputs have much lower losses than RGB outputs." **Dalban and Lakbir**: LAB scores 5.5 dB more than RGB. Here are both comparisons on
# photographs, everything but the space kept equal, over three seeds. *Gain* is by how much the first side is better; the margin is that of the 95 %
# interval over seeds and test images. Below: what doing nothing scores.

# %%
lab.table(
    claims_of("skips", "zhuang", "dalban", about=("chroma over", "UV output", "LAB")),
    "RGB against luma with chroma, judged in RGB",
    key="claims",
)
photos = color.to_float(load("photos", "test", size=96).images)
nothing = metrics.psnr(metrics.gray_prediction(photos), photos).mean()
print(
    f"gray, five photographs at 96 pixels: {nothing:.1f} dB; published for U-Net RGB: 13.5 dB"
)

# %% [markdown]
# Chroma over a kept luma beats RGB: **supported**, and by how much is the news. Zhuang's two losses are in two units (section 6) and cannot show it. LAB,
# at equal size and network, gains a quarter of a dB. The published 5.5 dB compare 512 pixels with 96, 20.5 million parameters with 4.5, another loss and
# another number of epochs, and the LAB model *copies the true $L^*$*. The RGB model scores below the gray image of typical photographs (theirs
# were chosen to be colorful: take it as an order of magnitude).
#
# **What cannot be concluded:** that LAB is the better space. All of these gains may come from keeping what was given, and that needs no LAB.

# %% [markdown]
# ## Open task
#
# Invent a space: luma first, two numbers of your choice, and its inverse. Opponent colors, hue and strength, a rotation of U and V, a curve like LAB's on
# YUV. Train it by `trained(ColorSpace(to_mine, from_mine, ranges))` and choose on **validation** images only. Floor: gray, skill 0. Ours with the quick
# profile: .61 for luma-chroma, .62 for YUV; run the cell to see both. Then put yours in place of `your_yuv`'s.

# %%
validation = load(
    lab.dataset, "validation", limit=lab.choose(test=50, quick=300, course=1000), seed=seed
)
for name in ("luma-chroma", f"YUV, {space.label}"):
    print(
        f"{name}: skill {colorizers[name].score(validation.images)['skill']:.4f} on validation images"
    )

# %% [markdown]
# And your photograph, by the network in your space. It has seen nothing but its training images; the starter has seen photographs.

# %%
name = "yours" if space.yours else "library"
yuv = colorizers[f"YUV, {space.label}"]
show_on(own.image, {name: yuv, "starter": Colorizer.starter()})

# %% [markdown]
# ## What to remember
#
# - **Compare in one space.** Losses in different coordinates are in different units; decode, then score, beside gray.
# - **Never lose luma you were given.** Predict chroma only, and come back into the gamut along the way to gray.
# - Luma (Rec. 601, code values) and $L^*$ (Rec. 709, light) are different grays. A result that is too good may be a leak.
# - Look at the zero of your space: it should be gray.
#
# **Sources.** IEC 61966-2-1 (sRGB); ITU-R BT.601 and BT.709 (luma); CIE 15 (XYZ, LAB). C. Poynton, *Digital Video and HD*, 2012. R. Zhang, P. Isola, A.
# Efros, "Colorful image colorization", 2016 (arXiv:1603.08511). Zhuang (`zhuang`), Dalban and Lakbir (`dalban`) and the ECS171 report (`ecs171`): `labkit.experiments.published`.
