"""toyworld: the gray image tells everything but the hidden color, and the closed forms are the optimum."""

import itertools
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit import LabkitError
from labkit.color import lightness, luma
from labkit.data import load
from labkit.data.toyworld import (
    CLASS_NAMES,
    LUMA_SUM,
    MATERIALS,
    SHADES,
    ToyWorld,
    best_scores,
    generate,
    material,
    optimum,
)
from labkit.representation import LAB, RGB, YUV, LumaChroma

NAMES = [m.name for m in MATERIALS]
THINGS = ("ball", "striped ball", "balloon", "kite")


@pytest.fixture(scope="module")
def world() -> ToyWorld:
    return generate(1500, seed=3)


def luma_sum(rgb: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor([299, 587, 114])[:, None, None]
    return (rgb.long() * weights).sum(dim=1)


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sky", "grass", *THINGS])
def test_candidates_have_exactly_equal_luma_and_room_for_every_shade(name: str) -> None:
    entry = material(name)
    assert entry.shades == SHADES
    for r, g, b in entry.colors:
        assert 299 * r + 587 * g + 114 * b == LUMA_SUM
        assert min(r, g, b) + SHADES[0] >= 0 and max(r, g, b) + SHADES[1] <= 255


def test_probabilities_sum_to_one_and_no_part_of_them_to_one_half() -> None:
    for entry in MATERIALS:
        assert len(entry.colors) == len(entry.probabilities) and abs(sum(entry.probabilities) - 1) < 1e-12
        for count in range(1, len(entry.colors)):
            for part in itertools.combinations(entry.probabilities, count):
                assert abs(sum(part) - 0.5) > 0.01, (entry.name, part)


def test_other_materials_have_lumas_of_their_own() -> None:
    """Ranges of luma of hedge, outline, stripe... are disjoint from one another and from the 94 to 146 of the rest."""
    ranges = [(LUMA_SUM / 1000 + SHADES[0], LUMA_SUM / 1000 + SHADES[1])]
    for entry in MATERIALS:
        (r, g, b), (low, high) = entry.colors[0], entry.shades
        if 299 * r + 587 * g + 114 * b != LUMA_SUM:
            ranges.append((0.299 * r + 0.587 * g + 0.114 * b + low, 0.299 * r + 0.587 * g + 0.114 * b + high))
    ranges.sort()
    assert all(below[1] + 5 < above[0] for below, above in itertools.pairwise(ranges))


def test_unknown_material_is_refused() -> None:
    with pytest.raises(LabkitError, match=r"no material 'ballon'.*balloon"):
        material("ballon")


# --- the scenes -------------------------------------------------------------------------------------------------------


def test_shapes_types_and_labels(world: ToyWorld) -> None:
    assert world.images.shape == (1500, 3, 32, 32) and world.images.dtype == torch.uint8
    assert world.material.shape == world.shade.shape == (1500, 32, 32)
    assert world.material.dtype == torch.uint8 and world.shade.dtype == torch.int8
    assert world.labels.dtype == torch.int64 and set(world.labels.tolist()) == {0, 1, 2}
    assert world.class_names == CLASS_NAMES
    assert set(world.material.unique().tolist()) == set(range(len(MATERIALS)))


def test_image_is_color_plus_shade_and_nothing_clips(world: ToyWorld) -> None:
    colors, probability = world.posterior()
    assert colors.dtype == torch.uint8 and probability.dtype == torch.float32
    assert torch.allclose(probability.sum(dim=1), torch.ones(()))
    hidden = world.hidden()
    drawn = colors.gather(1, hidden[:, None, None].expand(-1, 1, 3, -1, -1))[:, 0]
    assert torch.equal(drawn, world.images)
    assert (probability.gather(1, hidden[:, None]) > 0).all()
    for index, entry in enumerate(MATERIALS):
        shades = world.shade[world.material == index]
        assert entry.shades[0] <= shades.min() and shades.max() <= entry.shades[1]


def test_every_candidate_gives_the_same_gray_bit_for_bit(world: ToyWorld) -> None:
    colors, probability = world.select(slice(0, 300)).posterior()
    gray = luma(world.images[:300])
    for k in range(colors.shape[1]):
        same = (luma(colors[:, k]) == gray)[:, 0]
        assert (same | (probability[:, k] == 0)).all()
        assert ((luma_sum(colors[:, k]) == luma_sum(world.images[:300])) | (probability[:, k] == 0)).all()


def test_gray_image_determines_the_material(world: ToyWorld) -> None:
    """A decoder that sees only gray finds what every pixel shows: so the posterior is conditional on gray alone."""
    labels = pytest.importorskip("scipy.ndimage")
    gray = (luma_sum(world.images[:400]) / 1000).numpy()
    for image, truth, kind in zip(gray, world.material[:400].numpy(), world.labels[:400].tolist(), strict=True):
        horizon = np.flatnonzero(((image > 56) & (image < 72)).sum(axis=1) >= 5).max()  # the hedge's own luma
        assert kind == (0 if horizon < 11 else 1 if horizon < 21 else 2)  # the class is visible in gray
        decoded = np.where(np.arange(32)[:, None] < horizon, NAMES.index("sky"), NAMES.index("grass"))
        decoded = np.broadcast_to(decoded, (32, 32)).copy()
        outline = image == 30
        regions, count = labels.label(~outline)
        border = set(regions[0]) | set(regions[-1]) | set(regions[:, 0]) | set(regions[:, -1])
        for region in set(range(1, count + 1)) - border:  # closed off by an outline: the inside of a thing
            inside = regions == region
            rows, columns = np.nonzero(inside)
            fill = inside.sum() / ((np.ptp(rows) + 1) * (np.ptp(columns) + 1))
            if rows.mean() < horizon:
                name = "kite" if fill < 0.68 else "balloon"
            else:
                name = "striped ball" if (np.abs(image[inside] - 188) <= 10).any() else "ball"
            decoded[inside] = NAMES.index(name)
        ambiguous = (image >= 94) & (image <= 146)
        assert np.array_equal(decoded[ambiguous], truth[ambiguous])


def test_colors_are_drawn_with_their_probabilities() -> None:
    """Chi-square per kind, on one pixel per thing (its first in scan order of a component), fixed seed."""
    ndimage, stats = pytest.importorskip("scipy.ndimage"), pytest.importorskip("scipy.stats")
    world = generate(2000, seed=11)
    hidden = world.hidden().numpy()
    for name in THINGS:
        entry = material(name)
        mask = (world.material == NAMES.index(name)).numpy()
        # Things never touch, not even at corners; a stripe or spar may cut one in two, so grow the masks over it.
        grown = ndimage.binary_closing(mask, np.ones((1, 3, 3)), iterations=2) | mask
        structure = np.zeros((3, 3, 3), dtype=bool)
        structure[1] = True
        regions, count = ndimage.label(grown, structure)
        first = np.unique(np.where(mask, regions, 0).ravel(), return_index=True)[1][1:]
        counts = np.bincount(hidden.ravel()[first], minlength=len(entry.colors))
        assert counts.sum() == count > 400
        assert stats.chisquare(counts, np.array(entry.probabilities) * counts.sum()).pvalue > 0.01, (name, counts)


def test_a_share_of_a_fifth_to_a_third_is_ambiguous_and_means_are_dull(world: ToyWorld) -> None:
    assert 0.18 < world.ambiguous().float().mean() < 0.35
    for name in THINGS:
        entry = material(name)
        mean = [
            sum(c * p for c, p in zip(channel, entry.probabilities, strict=True))
            for channel in zip(*entry.colors, strict=True)
        ]
        assert max(mean) - min(mean) < 70 and min(max(c) - min(c) for c in entry.colors) > 115
        assert mean[0] == max(mean)  # brown rather than blue or green
    assert len(material("ball").colors) == 3


def test_seeds_splits_prefixes_and_sizes() -> None:
    a = generate(300, seed=5)
    assert torch.equal(a.images, generate(300, seed=5).images)
    assert torch.equal(a.images[:40], generate(40, seed=5).images)  # fewer scenes are a prefix
    streams = [generate(250, seed, split=split).images for seed in (5, 6) for split in ("train", "validation", "test")]
    scenes = {image.numpy().tobytes() for images in streams for image in images}
    assert len(scenes) == 6 * 250  # no scene occurs twice
    large = generate(4, seed=1, size=64)
    assert large.images.shape == (4, 3, 64, 64)
    assert torch.equal(
        large.images, large.posterior()[0].gather(1, large.hidden()[:, None, None].expand(-1, 1, 3, -1, -1))[:, 0]
    )


@pytest.mark.parametrize("size", [32, 45, 64])
@pytest.mark.parametrize("count", [1, 3, 120, 249])
def test_a_scene_does_not_depend_on_how_many_are_asked_for(whole: dict[int, ToyWorld], size: int, count: int) -> None:
    """Scenes share random draws with the 250 of their chunk, also with those that are not painted."""
    few = generate(count, seed=8, size=size, split="test")
    for name in ("images", "labels", "material", "shade"):
        assert torch.equal(getattr(few, name), getattr(whole[size], name)[:count]), name


@pytest.fixture(scope="module")
def whole() -> dict[int, ToyWorld]:
    return {size: generate(250, seed=8, size=size, split="test") for size in (32, 45, 64)}


def test_second_chunk_is_a_prefix_too() -> None:
    assert torch.equal(generate(253, seed=4).images, generate(500, seed=4).images[:253])


def test_scenes_are_those_of_every_release() -> None:
    """Mean R, G and B of three scenes. Another random stream would change them by far more than the tolerance."""
    small, large = generate(3, seed=0), generate(2, seed=1, size=100, split="test")
    expected = torch.tensor([[108.28, 124.11, 78.28], [89.99, 121.37, 120.17], [48.22, 146.0, 128.5]])
    assert torch.allclose(small.images.float().mean(dim=(2, 3)), expected, rtol=0, atol=0.05)
    expected = torch.tensor([[94.16, 124.58, 135.85], [46.39, 150.99, 120.89]])
    assert torch.allclose(large.images.float().mean(dim=(2, 3)), expected, rtol=0, atol=0.05)


def test_few_large_scenes_take_little_time() -> None:
    """Painting the 246 others of the chunk as well took six seconds."""
    start = time.process_time()
    generate(4, size=256)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generate(0), "count must be a whole number of 1 or more. Got 0"),
        (lambda: generate(3, seed=-1), "seed must be a whole number of 0 or more. Got -1"),
        (lambda: generate(3, size=8), "size must be a whole number from 32 to 256. Got 8"),
        (lambda: generate(3, size=1000), "size must be a whole number from 32 to 256. Got 1000"),
        (lambda: generate(3, split="dev"), "no split 'dev'"),
        (lambda: load("toyworld", "train", classes="beach"), "no class 'beach': choose among meadow, fair, sky"),
        (lambda: load("toyworld", "train", limit=0), "limit must be a whole number of 1 or more. Got 0"),
        (lambda: optimum(generate(2), RGB(), "huber"), "loss='huber'"),
    ],
)
def test_bad_arguments_are_one_line(call, message: str) -> None:
    with pytest.raises(LabkitError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_load_splits_limits_and_classes() -> None:
    test = load("toyworld", "test")
    assert isinstance(test, ToyWorld) and len(test) == 1000 and test.split == "test"
    cut = load("toyworld", "test", limit=30)
    assert torch.equal(cut.images, test.images[:30]) and len(load("toyworld", "test", limit=5000)) == 1000
    sky = load("toyworld", "test", classes="sky", limit=25)
    assert len(sky) == 25 and set(sky.labels.tolist()) == {2} and sky.provenance["classes"] == ["sky"]
    assert sky.posterior()[0].shape == (25, 4, 3, 32, 32)
    both = load("toyworld", "train+validation", limit=20)
    assert len(both) == 20 and both.split == "train+validation" and both.provenance["limit"] == 20


def test_select_and_to_carry_the_statistics(world: ToyWorld) -> None:
    few = world.select([4, 2]).to("cpu")
    assert torch.equal(few.material[1], world.material[2]) and torch.equal(few.shade[0], world.shade[4])
    assert len(world.select([])) == 0 and len(world.select(world.labels == 1)) == int((world.labels == 1).sum())


# --- the optimum ------------------------------------------------------------------------------------------------------

REPRESENTATIONS = [RGB(), LAB(input_gray="luma"), YUV(), LumaChroma(), LumaChroma(form="printed")]
IDS = ["rgb", "lab", "yuv", "luma-chroma", "printed"]


def candidates(world: ToyWorld, representation) -> tuple[torch.Tensor, torch.Tensor]:
    colors, probability = world.posterior()
    n, k = colors.shape[:2]
    return representation.target(colors.flatten(0, 1)).unflatten(0, (n, k)), probability[:, :, None]


@pytest.mark.parametrize("representation", REPRESENTATIONS, ids=IDS)
@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_optimum_is_the_mean_or_median_and_nothing_beats_it(world: ToyWorld, representation, loss: str) -> None:
    few = world.select(slice(0, 40))
    best = optimum(few, representation, loss)
    values, chance = candidates(few, representation)

    if loss == "mse":
        direct = (values * chance).sum(dim=1).numpy()
    else:  # numpy, pixel by pixel: the first value whose cumulative probability passes one half
        v, p = values.numpy(), np.broadcast_to(chance.numpy(), values.shape)
        order = np.argsort(v, axis=1)
        passed = np.cumsum(np.take_along_axis(p, order, 1), axis=1) > 0.5
        direct = np.take_along_axis(np.take_along_axis(v, order, 1), passed.argmax(axis=1)[:, None], 1)[:, 0]
    assert np.allclose(best.prediction.numpy(), direct, atol=2e-5)

    def expected(prediction: torch.Tensor) -> float:
        error = values.double() - prediction[:, None].double()
        return float(((error**2 if loss == "mse" else error.abs()) * chance).sum(dim=1).mean())

    assert expected(best.prediction) == pytest.approx(best.expected, rel=1e-4)
    generator = torch.Generator().manual_seed(0)
    for scale in (0.3, 0.05, 0.01):
        moved = best.prediction + scale * values.std() * torch.randn(best.prediction.shape, generator=generator)
        assert expected(moved) > best.expected
    function = F.mse_loss if loss == "mse" else F.l1_loss
    assert best.realized == pytest.approx(float(function(best.prediction, representation.target(few.images))), rel=1e-4)


def test_mean_agrees_between_linear_coordinates_and_median_does_not(world: ToyWorld) -> None:
    """YUV is linear in RGB, so its MSE optimum is the same color; its L1 optimum is another."""
    few = world.select(slice(0, 20))
    rgb, yuv = optimum(few, RGB()).prediction, optimum(few, YUV()).prediction
    as_yuv = YUV().target(rgb)
    assert torch.allclose(as_yuv, yuv, atol=1e-4)
    median = YUV().target(optimum(few, RGB(), "l1").prediction)
    assert (median - optimum(few, YUV(), "l1").prediction).abs().max() > 0.05


def test_best_scores(world: ToyWorld) -> None:
    scores = best_scores(world)
    assert scores["mse"] == pytest.approx(optimum(world, RGB()).expected)
    assert scores["mae"] == pytest.approx(optimum(world, RGB(), "l1").expected)
    assert scores["mse"] == pytest.approx(scores["mse_realized"], rel=0.05)
    gray = luma(world.images)
    assert scores["mse_gray"] == pytest.approx(
        float(F.mse_loss(gray.expand(-1, 3, -1, -1), world.images / 255)), rel=1e-4
    )
    assert scores["skill"] == pytest.approx(1 - scores["mse_realized"] / scores["mse_gray"])
    _, probability = world.posterior()
    assert scores["entropy"] == pytest.approx(float(torch.special.entr(probability).sum(1).mean()), rel=1e-5)
    assert scores["ambiguous"] == pytest.approx(float(((probability > 0).sum(1) > 1).float().mean()))


# --- nothing else leaks -----------------------------------------------------------------------------------------------


def test_a_network_cannot_guess_the_hidden_color_from_gray() -> None:
    """Trained to name each thing's hidden color, a network does no better than always naming the likeliest one.

    The test counts one vote per thing, so hits are binomial; a guess that is better by three standard deviations
    fails. The control is the trap that toyworld warns of: given L* instead of luma, the same network finds the color.
    """
    world = generate(2000, seed=21)
    gain, deviation = _guessing_gain(luma(world.images), world)
    assert gain < 3 * deviation
    gain, deviation = _guessing_gain(lightness(world.images) / 100, world)
    assert gain > 10 * deviation


def _guessing_gain(gray: torch.Tensor, world: ToyWorld) -> tuple[float, float]:
    """Things named right over what the best constant names right, and its standard deviation under no leak."""
    torch.manual_seed(0)
    count = 1500
    hidden, kind = world.hidden(), world.material.long()
    target = torch.where(world.ambiguous(), hidden, -1)
    network = nn.Sequential(  # sees every pixel, answers for every fourth
        nn.Conv2d(1, 24, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(24, 48, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(48, 48, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(48, 4, 1),
    )
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    small = target[:, 2::4, 2::4]
    centered = (gray - gray.mean()) * 8
    for step in range(200):
        batch = torch.arange(step * 48, step * 48 + 48) % count
        loss = F.cross_entropy(network(centered[batch]), small[batch], ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        scores = network(centered[count:]).log_softmax(1)
    # One vote per image and kind of which all pixels drew the same color: the sum of log-probabilities.
    gain, variance = 0.0, 0.0
    for name in THINGS:
        entry = material(name)
        best = int(np.argmax(entry.probabilities))
        mask = (kind[count:] == NAMES.index(name))[:, 2::4, 2::4]
        for image in torch.nonzero(mask.flatten(1).any(1)).flatten():
            drawn = small[count:][image][mask[image]]
            if drawn.min() != drawn.max():
                continue  # two things of one kind and different colors
            vote = int(scores[image][: len(entry.colors), mask[image]].sum(1).argmax())
            gain += (vote == int(drawn[0])) - (best == int(drawn[0]))
            if vote != best:
                variance += entry.probabilities[vote] + entry.probabilities[best]
    return gain, max(variance, 1.0) ** 0.5
