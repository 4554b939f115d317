"""Measure gradient leakage: whether color changes where the gray image does not.

The ECS171 paper (its section 2.3.3) attributes color drift to leakage: a network's chroma at a pixel depends on gray
values far from it, so that texture next to a flat region can change its color. Its hybrid is said to prevent that. The
measures come in two groups:

- the Jacobian ``d chroma(i, j) / d gray(k, l)``, which says what a pixel's color depends on, and at what distance;
- flat regions beside texture, drawn exactly flat.

Gray is ``(N, 1, H, W)`` in [0, 1]. Chroma is ``(N, C, H, W)`` at the same size, in the units of its representation
(those of the corrected luma-chroma plane are RGB distances, and only in them do channels add up as in `magnitude`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import LabkitError, check_integer, check_number, check_seed
from labkit.models import Network, evaluation_mode

Pixels = Sequence[tuple[int, int]]

# --------------------------------------------------------------------------------------------------- the Jacobian


def jacobian(network: Network, gray: Tensor, pixels: Pixels, chunk_size: int = 32) -> Tensor:
    """Return how chosen output pixels depend on the input: ``J[n, p, c, k, l] = d chroma_c(i_p, j_p) / d gray(k, l)``.

    Args:
        network: used in evaluation mode, where images of a batch do not mix and batch norm is a fixed scale and shift;
            its mode is restored afterwards.
        gray: ``(N, 1, H, W)``; converted to the network's device and dtype.
        pixels: P pairs (row, column) of the output, at the output's resolution.
        chunk_size: numbers (of the P * C) differentiated at a time; smaller needs less memory.

    Returns:
        ``(N, P, C, H, W)``, chroma units per unit of gray (black to white).

    Raises:
        LabkitError: for a pixel outside the output.
    """
    chunk_size = check_integer("chunk_size", chunk_size, low=1)
    weight = next(network.parameters())
    gray = gray.to(weight)
    height, width = (-(-side // network.output_stride) for side in gray.shape[-2:])
    for row, column in pixels:
        if not (0 <= row < height and 0 <= column < width):
            raise LabkitError(f"pixel outside the output: got {(row, column)}, expected one of {height}x{width}")
    rows, columns = torch.tensor(pixels, device=gray.device).unbind(dim=1)

    def chosen(image: Tensor) -> Tensor:
        # Image n's chroma depends on image n alone. So the gradient of the sum over n holds, at n, that of n's chroma.
        return network(image)[:, :, rows, columns].sum(dim=0)  # (C, P)

    with evaluation_mode(network), torch.no_grad():  # no gradient of the gradient; jacrev takes the one it needs
        found = torch.func.jacrev(chosen, chunk_size=chunk_size)(gray)  # (C, P, N, 1, H, W)
    return found.squeeze(3).permute(2, 1, 0, 3, 4)


def chroma_jacobian(network: nn.Module, gray: Tensor, pixel: tuple[int, int], change: bool = False) -> Tensor:
    """Return the derivatives of the chroma at one pixel of one image; lab 05 writes this again.

    Args:
        network: in evaluation mode.
        gray: ``(H, W)``.
        pixel: (row, column).
        change: differentiate how much the chroma changes from the pixel to its right neighbor instead.

    Returns:
        ``(2, H, W)``.
    """
    row, column = pixel

    def chosen(image: Tensor) -> Tensor:
        chroma = network(image[None, None])[0]  # (2, H, W)
        here: Tensor = chroma[:, row, column]
        return chroma[:, row, column + 1] - here if change else here

    found: Tensor = torch.func.jacrev(chosen)(gray)
    return found


def magnitude(jacobian: Tensor) -> Tensor:
    """Return the length of the chroma vector's derivative: ``M(k, l) = sqrt(sum_c J_c(k, l)^2)``.

    Args:
        jacobian: ``(N, P, C, H, W)``.

    Returns:
        ``(N, P, H, W)``: how far a color moves per unit of gray at each input pixel.
    """
    return jacobian.square().sum(dim=2).sqrt()


def rings(pixels: Pixels, size: Sequence[int], stride: int = 1) -> Tensor:
    """Return the distance of each input pixel from output pixels, ``max(|k - i|, |l - j|)``.

    Rings 0 and 1 together are the 3x3 neighborhood. With a stride, an output pixel covers stride x stride input
    pixels; these are ring 0, and distance is counted from their edge.

    Args:
        pixels: P pairs (row, column) of the output.
        size: (H, W) of the input.
        stride: of the output.

    Returns:
        ``(P, H, W)``, whole numbers.
    """
    stride = check_integer("stride", stride, low=1)

    def away(starts: Tensor, length: int) -> Tensor:
        positions = torch.arange(length)
        first = starts[:, None] * stride
        return torch.maximum(first - positions, positions - (first + stride - 1)).clamp(min=0)  # (P, length)

    rows, columns = torch.tensor(pixels).unbind(dim=1)
    return torch.maximum(away(rows, size[0])[:, :, None], away(columns, size[1])[:, None, :])


@dataclass(frozen=True)
class Profile:
    """The Jacobian's magnitude by distance from the output pixel; index r of each tensor is ring r of `rings`."""

    mean: Tensor  # (R,) magnitude per input pixel of the ring
    fraction: Tensor  # (R,) of the magnitude of the whole image; these add up to 1


def profile(jacobian: Tensor, pixels: Pixels, stride: int = 1) -> Profile:
    """Return the profile of a Jacobian over distance, averaged over images and output pixels.

    ``fraction`` is the mean over images and pixels of their own fractions, so that no image counts more than another.
    A Jacobian that is zero everywhere has the fractions 0.

    Args:
        jacobian: ``(N, P, C, H, W)``.
        pixels: the P pairs (row, column) that it was taken at.
        stride: of the output.

    Returns:
        Mean magnitude and fraction of each ring.
    """
    size = max(jacobian.shape[-2:])
    ring = rings(pixels, jacobian.shape[-2:], stride).to(jacobian.device)
    member = F.one_hot(ring, size).to(jacobian.dtype)  # (P, H, W, R)
    size_of_ring = member.sum(dim=(1, 2))  # (P, R); 0 where the ring lies outside the image
    total = torch.einsum("nphw,phwr->npr", magnitude(jacobian), member)
    fraction = total / total.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(total.dtype).tiny)
    mean = total.sum(dim=(0, 1)) / (len(total) * size_of_ring.sum(dim=0)).clamp(min=1)
    return Profile(mean=mean, fraction=fraction.mean(dim=(0, 1)))


def leakage_index(jacobian: Tensor, pixels: Pixels, stride: int = 1, radius: int = 1) -> Tensor:
    """Return the fraction of what a pixel's color depends on that lies outside its neighborhood.

    ``sum of M(k, l) outside / sum of M(k, l)``, with M of `magnitude`; outside is farther than ``radius`` rings, so
    for radius 1 outside of 3x3. 0: the color is a function of the 3x3 patch. Near 1: it is a function of everything
    else. A Jacobian that is zero everywhere leaks nothing: 0.

    Args:
        jacobian: ``(N, P, C, H, W)``.
        pixels: the P pairs (row, column) that it was taken at.
        stride: of the output.
        radius: of the neighborhood, in rings.

    Returns:
        ``(N, P)``, from 0 to 1.
    """
    radius = check_integer("radius", radius, low=0)
    outside = rings(pixels, jacobian.shape[-2:], stride).to(jacobian.device) > radius
    size = magnitude(jacobian)
    total = size.sum(dim=(-2, -1))
    return (size * outside).sum(dim=(-2, -1)) / total.clamp(min=torch.finfo(total.dtype).tiny)


def gradient_leakage(
    network: Network, gray: Tensor, pixels: Pixels, to_color: Tensor | None = None, chunk_size: int = 6
) -> tuple[Tensor, Tensor]:
    """Return the `leakage_index` of colors, and that of their gradient.

    The paper (its section 2.3.3) lets a color depend on its surroundings; what should depend on the local gray values
    alone is the gradient of color, in finite differences ``c(i + 1, j) - c(i, j)`` and ``c(i, j + 1) - c(i, j)``. Its
    index counts as inside what lies in the 3x3 neighborhood of one of these three pixels, so that both indices are 0
    for a color that is a function of the 3x3 patch.

    Args:
        network: with an output stride of 1.
        gray: ``(N, 1, H, W)``.
        pixels: P pairs (row, column), none in the last row or column.
        to_color: ``(D, C)`` that turns chroma into units in which lengths are distances, such as the transpose of
            `labkit.color.chroma_basis`; None: they are already.
        chunk_size: as in `jacobian`; many at a time are slower here.

    Returns:
        Both ``(N, P)``, from 0 to 1: of the colors, and of their gradient.

    Raises:
        LabkitError: for an output stride other than 1, or a pixel without a neighbor below and to the right.
    """
    if network.output_stride != 1:
        raise LabkitError(f"output stride must be 1, got {network.output_stride}: neighbors would share their gray")
    count = len(pixels)
    below, right = [(i + 1, j) for i, j in pixels], [(i, j + 1) for i, j in pixels]
    every = [*pixels, *below, *right]
    found = jacobian(network, gray, every, chunk_size)  # (N, 3P, C, H, W)
    if to_color is not None:
        found = torch.einsum("dc,npchw->npdhw", to_color.to(found), found)
    own, low, side = found.split(count, dim=1)
    gradient = torch.cat([low - own, side - own], dim=2)
    inside = (rings(every, gray.shape[-2:]).to(found.device) <= 1).unflatten(0, (3, count)).any(dim=0)  # (P, H, W)
    size = magnitude(gradient)
    total = size.sum(dim=(-2, -1)).clamp(min=torch.finfo(size.dtype).tiny)
    return leakage_index(own, pixels), (size * ~inside).sum(dim=(-2, -1)) / total


# ---------------------------------------------------------------------------------- flat regions beside texture


@dataclass(frozen=True)
class FlatScenes:
    """Gray images of which one side is exactly flat and the other is texture."""

    gray: Tensor  # (N, 1, H, W) float32, multiples of 1/255
    plain: Tensor  # the same without the texture: one gray level everywhere
    flat: Tensor  # bool (N, 1, H, W): pixels outside the texture whose 3x3 neighborhood is exactly flat
    distance: Tensor  # int64 (N, 1, H, W): pixels to the texture, 1 next to it; 0 inside


def flat_beside_texture(count: int, size: int = 32, seed: int = 0) -> FlatScenes:
    """Draw scenes: a flat region of random gray, and beside it noise, stripes or a checkerboard.

    The texture takes 1/4 to 1/2 of the image, on any of its four sides. The flat level is .2 to .8, the texture's
    values .3 around .5.

    Args:
        count: number of scenes, N.
        size: pixels a side.
        seed: of the drawing.

    Returns:
        The scenes.

    Raises:
        LabkitError: if the size is below 8.
    """
    count, size = check_integer("count", count, low=1), check_integer("size", size, low=8)
    seed = check_seed(seed)
    random = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=random))

    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    scenes = []
    for index in range(count):
        period = draw(1, 3)
        noise = torch.randint(0, 154, (size, size), generator=random)
        stripes = 153 * (row // period % 2)
        checkerboard = 153 * ((row // period + column // period) % 2)
        texture = 51 + (noise, stripes, checkerboard)[index % 3]
        border = draw(size // 2, size - size // 4)
        plain = torch.full((size, size), draw(51, 204))
        scene = torch.stack([torch.where(column < border, plain, texture), plain, (border - column).clamp(min=0)])
        scenes.append(scene.rot90(draw(0, 3), dims=(1, 2)))
    gray, plain, distance = torch.stack(scenes).split(1, dim=1)
    gray = gray / 255
    return FlatScenes(gray, plain / 255, flat_mask(gray) & (distance > 0), distance)


def local_range(gray: Tensor) -> Tensor:
    """Return the largest minus the smallest gray value of each 3x3 neighborhood: ``(N, 1, H, W) -> (N, 1, H, W)``.

    At the border of the image the neighborhood is what of it lies inside.
    """
    return F.max_pool2d(gray, 3, stride=1, padding=1) + F.max_pool2d(-gray, 3, stride=1, padding=1)


def flat_mask(gray: Tensor, tolerance: float = 0.0) -> Tensor:
    """Return a mask of the pixels whose 3x3 neighborhood is flat.

    Flat means a `local_range` of at most ``tolerance``; then no two values in the neighborhood, and so no finite
    difference in it, differ by more. 0 is exactly flat. For photographs state a tolerance between two 8-bit steps:
    ``2.5 / 255`` admits steps of 2 and refuses steps of 3, however they round.

    Args:
        gray: ``(N, 1, H, W)``.
        tolerance: in units of gray.

    Returns:
        bool ``(N, 1, H, W)``.
    """
    tolerance = check_number("tolerance", tolerance, low=0)
    return local_range(gray) <= tolerance
