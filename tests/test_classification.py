"""Classification over color bins as a representation: encode, train, decode, save, and its memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from labkit import LabkitError, color
from labkit.colorizer import Colorizer
from labkit.data import toyworld
from labkit.metrics import evaluate, score
from labkit.quantize import Quantizer, fit_rgb, spread
from labkit.representation import Classification, make_representation

QUICK = {"epochs": 2, "batch_size": 8, "precision": "float32", "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Smooth colors: random 4x4 pictures enlarged to 16x16."""
    small = torch.rand(16, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(small, scale_factor=4, mode="bilinear")
    return color.to_uint8(large)


def make(name: str, images: torch.Tensor, **options: object) -> Classification:
    space = make_representation(name, **options)
    assert isinstance(space, Classification)
    space.fit(images)
    return space


@pytest.fixture(params=["ab676", "ab313", "ab313-luma", "rgb24", "chroma12", "own"])
def space(request: pytest.FixtureRequest, images: torch.Tensor) -> Classification:
    if request.param == "own":
        return Classification(Quantizer(torch.randn(40, 2, generator=torch.Generator().manual_seed(1)) * 40, "ab"))
    if request.param == "chroma12":
        return make("classification", images, quantizer="chroma12")
    name, _, input_gray = request.param.partition("-")
    return make(name, images, **({"input_gray": input_gray} if input_gray else {}))


def perfect_logits(space: Classification, images: torch.Tensor) -> torch.Tensor:
    bins, probability, _ = space.encode_bins(space.target(images))
    return spread(bins, probability, space.channels).clamp(min=1e-30).log()


def test_shapes(space: Classification, images: torch.Tensor) -> None:
    gray, target = space.encode(images)
    assert gray.shape == (16, 1, 16, 16) and gray.min() >= 0 and gray.max() <= 1
    assert target.shape == (16, 3 if space.predicts_luma else 2, 16, 16)
    rgb = space.decode(gray, torch.randn(16, space.channels, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert rgb.shape == (16, 3, 16, 16) and rgb.min() >= 0 and rgb.max() <= 1


def test_bins_in_ab_keep_the_gray_they_were_given(space: Classification, images: torch.Tensor) -> None:
    gray = space.gray(images)
    rgb = space.decode(gray, torch.randn(16, space.channels, 16, 16, generator=torch.Generator().manual_seed(0)))
    given_luma = space.input_gray == "luma" or space.quantizer.space == "chroma"
    kept = color.luma(rgb) if given_luma else color.lightness(rgb) / 100
    assert ((kept - gray).abs().max() < 2e-3) is not space.predicts_luma


@pytest.mark.parametrize("method", ["mode", "mean", "annealed", "sample"])
def test_decoding_the_encoded_picture_is_near_it(images: torch.Tensor, method: str) -> None:
    space = make("ab313", images, decode=method)
    gray = space.gray(images)
    ours = score(space.decode(gray, perfect_logits(space, images)), images)
    floor = score(space.oracle(images), images)
    assert {"mode": 1.01, "annealed": 1.0, "mean": 1.0, "sample": 5}[method] * floor["mse"] >= ours["mse"]


def test_oracle_is_the_floor_of_hard_decisions(space: Classification, images: torch.Tensor) -> None:
    """No other choice of bins is nearer, in the bins' own coordinates."""
    target = space.target(images)
    best = (space.quantizer.nearest(target) - target).square().sum(1)
    random_bins = torch.randint(space.channels, best.shape, generator=torch.Generator().manual_seed(0))
    other = (space.quantizer.centers[random_bins].movedim(-1, 1) - target).square().sum(1)
    assert (best <= other + 1e-3).all()
    rgb = space.oracle(images)
    assert rgb.shape == images.shape and rgb.min() >= 0 and rgb.max() <= 1
    assert score(rgb, images)["mse"] < 0.02


def test_more_bins_have_a_lower_floor(images: torch.Tensor) -> None:
    floors = {name: score(make(name, images).oracle(images), images)["mse"] for name in ("rgb24", "ab676")}
    assert floors["ab676"] < floors["rgb24"]


def test_chroma_is_averaged_before_it_is_binned(images: torch.Tensor) -> None:
    space = make("ab313", images, neighbors=1)
    _, target = space.encode(images, stride=2)
    averaged = torch.nn.functional.avg_pool2d(color.rgb_to_lab(images)[:, 1:], 2)
    torch.testing.assert_close(target, averaged, atol=1e-3, rtol=0)
    bins, _, _ = space.encode_bins(target)
    assert torch.equal(bins[:, 0], space.quantizer.encode(averaged))
    # a red and a green pixel: binning first and then averaging would not even give a bin
    pair = torch.tensor([[[[226, 24]], [[76, 182]], [[51, 35]]]], dtype=torch.uint8).repeat(1, 1, 2, 1)
    first = space.quantizer.nearest(space.target(pair)).mean(dim=(2, 3))
    assert (first - space.quantizer.nearest(space.target(pair, 2)).flatten(1)).abs().max() > 0.5


def test_bins_in_rgb_refuse_a_stride(images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected stride 1. Got 2"):
        make("rgb24", images).encode(images, stride=2)
    with pytest.raises(LabkitError, match="needs full resolution"):
        Colorizer("rgb24", "unet-half")


def test_bins_in_rgb_must_be_fitted_first(images: torch.Tensor) -> None:
    space = make_representation("rgb24")
    with pytest.raises(LabkitError, match="not fitted yet"):
        space.loss(torch.zeros(1, 24, 2, 2), torch.zeros(1, 3, 2, 2))
    assert space.config()["quantizer"] == "rgb24"
    space.fit(images)
    assert isinstance(space, Classification)
    assert torch.equal(space.quantizer.centers, fit_rgb(images).centers)


def test_the_loss_is_least_at_the_encoded_picture(space: Classification, images: torch.Tensor) -> None:
    target = space.target(images)
    logits = perfect_logits(space, images)
    best = float(space.loss(logits, target))
    _, probability, _ = space.encode_bins(target)
    assert best == pytest.approx(float(torch.special.entr(probability).sum(1).mean()), abs=1e-4)
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
    assert float(space.loss(logits.clamp(min=-20) + noise, target)) > best


def test_rebalancing_is_learned_from_the_training_colors(images: torch.Tensor) -> None:
    space = make_representation("ab313", rebalance=0.5)
    assert isinstance(space, Classification) and space.weights is None
    space.fit(images, stride=2)
    assert space.weights is not None and space.weights.shape == (313,) and space.weights.isfinite().all()
    frequencies = space.quantizer.frequencies(space.target(images, 2))
    mean = float((space.quantizer.smooth(frequencies) * space.weights).sum())
    assert mean == pytest.approx(1, abs=1e-5)
    rare, common = space.weights[frequencies == 0].max(), space.weights[frequencies.argmax()]
    assert rare > 2 * common
    # the weight of a pixel is that of its nearest bin
    target = space.target(images, 2)
    _, _, weight = space.encode_bins(target)
    assert weight is not None and torch.equal(weight, space.weights[space.quantizer.encode(target)])
    plain = Classification("ab313")
    logits = torch.randn(16, 313, 8, 8, generator=torch.Generator().manual_seed(0))
    assert float(space.loss(logits, target)) != pytest.approx(float(plain.loss(logits, target)), rel=1e-3)


@pytest.mark.parametrize("name", ["ab676", "rgb24"])
def test_train_save_load_and_score(name: str, images: torch.Tensor, tmp_path: Path) -> None:
    colorizer = Colorizer(
        make_representation(name, rebalance=0.5), "unet" if name == "rgb24" else "unet-half", width=8, seed=0
    )
    history = colorizer.fit(images, validation=images, **QUICK)
    losses = [row["train_loss"] for row in history.rows]
    assert losses[-1] < losses[0] and history.rows[-1]["validation_loss"] > 0
    colorizer.save(tmp_path)
    again = Colorizer.load(tmp_path)
    assert again.representation.config() == colorizer.representation.config()
    torch.testing.assert_close(again.colorize(images), colorizer.colorize(images), atol=1e-4, rtol=0)
    assert evaluate(again, images)["mse"] < 0.3
    json.dumps(again.representation.config())


def test_resume_knows_the_same_bins(images: torch.Tensor, tmp_path: Path) -> None:
    def train(epochs_out: Path, resume: bool) -> Colorizer:
        colorizer = Colorizer(make_representation("rgb24", rebalance=0.5), "unet", width=4)
        colorizer.fit(images, out=epochs_out, resume=resume, **QUICK)
        return colorizer

    first, again = train(tmp_path, False), train(tmp_path, True)
    assert torch.equal(first.colorize(images[0]), again.colorize(images[0]))


@pytest.mark.parametrize("working_size", [None, 8])
def test_any_size_is_colorized(working_size: int | None) -> None:
    colorizer = Colorizer("ab313", "unet-half", width=4)
    colorizer.network.eval()
    rgb = torch.rand(3, 31, 20, generator=torch.Generator().manual_seed(0))
    out = colorizer.colorize(rgb, working_size=working_size, flip_average=True)
    assert out.shape == rgb.shape and out.min() >= 0 and out.max() <= 1
    torch.testing.assert_close(color.lightness(out), color.lightness(rgb), atol=0.3, rtol=0)


@pytest.mark.parametrize("decode", ["mean", "mode", "annealed"])
def test_weights_divided_out_give_back_what_they_tilted(decode: str) -> None:
    """A network that has learned p times w, decoded with w divided out, paints as one that has learned p."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 313, 4, 4, generator=generator)
    weights = (0.2 + torch.rand(313, generator=generator)).tolist()
    plain = Classification("ab313", decode=decode).colors(logits)
    tilted = logits + torch.tensor(weights).log()[:, None, None]
    divided = make_representation("ab313", decode=decode, weights=weights, divide_out=True)
    torch.testing.assert_close(divided.colors(tilted), plain)
    with_weights = Classification("ab313", decode=decode, weights=weights).colors(tilted)
    assert (with_weights - plain).abs().max() > 1


def test_sampling_is_the_same_each_time_and_follows_the_seed(images: torch.Tensor) -> None:
    logits = torch.randn(16, 313, 16, 16, generator=torch.Generator().manual_seed(0))
    gray = make("ab313", images).gray(images)
    first, again, other = (Classification("ab313", decode="sample", seed=s).decode(gray, logits) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_config_makes_the_same_again(space: Classification, images: torch.Tensor) -> None:
    config = json.loads(json.dumps(space.config()))
    again = make_representation(config.pop("name"), **config)
    assert again.config() == space.config()
    logits = torch.randn(16, space.channels, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.decode(again.gray(images), logits), space.decode(space.gray(images), logits))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ab313", {"decode": "median"}, "one of annealed, mean, mode, sample, rounded. Got 'median'"),
        ("ab313", {"temperature": 0.0}, "temperature .* must be a number above 0"),
        ("ab313", {"neighbors": 314}, "neighbors must be a whole number from 1 to 313. Got 314"),
        ("ab313", {"neighbors": 0}, "neighbors must be a whole number from 1 to 313. Got 0"),
        ("ab313", {"sigma": -1.0}, "sigma must be a number above 0"),
        ("ab313", {"rebalance": 2.0}, "rebalance must be a number from 0 to 1. Got 2"),
        ("ab313", {"weights": [1.0, 2.0]}, "weights must be 313 numbers.* Got 2"),
        ("ab313", {"input_gray": "blue"}, "'lightness' or 'luma'"),
        ("rgb24", {"input_gray": "luma"}, "bins in ab"),
        ("ab313", {"alpha": 0.5}, "does not take these options"),
        ("classification", {"quantizer": "ab99"}, "ab676, ab313"),
    ],
)
def test_refusals_are_one_line(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(LabkitError, match=message) as caught:
        make_representation(name, **options)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------- toyworld


@pytest.fixture(scope="module")
def world() -> toyworld.ToyWorld:
    return toyworld.generate(40, seed=1)


def test_posterior_over_bins_by_hand(world: toyworld.ToyWorld) -> None:
    space = Classification("ab313", neighbors=1, input_gray="luma")
    posterior = toyworld.bin_posterior(world.select(slice(0, 4)), space)
    torch.testing.assert_close(posterior.sum(dim=1), torch.ones(4, 32, 32))
    ball = [m.name for m in toyworld.MATERIALS].index("ball")
    where = (world.material[:4] == ball).nonzero()[0].tolist()
    n, y, x = where
    expected = torch.zeros(313)
    entry = toyworld.MATERIALS[ball]
    for rgb, probability in zip(entry.colors, entry.probabilities, strict=True):
        shaded = torch.tensor(rgb) + int(world.shade[n, y, x])
        expected[space.quantizer.encode(space.target(shaded.to(torch.uint8).view(1, 3, 1, 1))).item()] += probability
    torch.testing.assert_close(posterior[n, :, y, x], expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("options", [{"neighbors": 1}, {}, {"rebalance": 0.5}], ids=["hard", "soft", "weighted"])
def test_nothing_beats_the_best_cross_entropy(
    world: toyworld.ToyWorld, stride: int, options: dict[str, object]
) -> None:
    space = make_representation("ab313", input_gray="luma", **options)
    assert isinstance(space, Classification)
    space.fit(world.images, stride)
    best = toyworld.best_cross_entropy(world, space, stride)
    assert best["realized"] == pytest.approx(best["expected"], rel=0.1)
    part = world.select(slice(0, 8))
    target = space.target(part.images, stride)
    posterior = toyworld.bin_posterior(part, space, stride)
    own = toyworld.best_cross_entropy(part, space, stride)
    at_best = float(space.loss(posterior.clamp(min=1e-30).log(), target))
    if space.weights is None:
        assert at_best == pytest.approx(own["realized"], abs=1e-4)
    average = toyworld.bin_posterior(world, space, stride).mean(dim=(0, 2, 3), keepdim=True)[None, :, 0, 0]
    constant = average[0].view(1, -1, 1, 1).expand_as(posterior)
    assert float(space.loss(constant.log().clamp(min=-60), target)) > 1.2 * own["realized"]


def test_hard_entropy_at_full_resolution_is_that_of_the_posterior(world: toyworld.ToyWorld) -> None:
    """Each candidate of a palette has its own bin among 313, so binning loses nothing of the ambiguity."""
    best = toyworld.best_cross_entropy(world, Classification("ab313", neighbors=1, input_gray="luma"))
    assert best["expected"] == pytest.approx(toyworld.best_scores(world)["entropy"], rel=0.02)


def test_a_block_of_four_pixels_holds_one_hidden_thing() -> None:
    world = toyworld.generate(200, seed=2)
    ambiguous = world.ambiguous()
    material = world.material.int()
    highest = torch.nn.functional.max_pool2d(torch.where(ambiguous, material, -1).float(), 2)
    lowest = -torch.nn.functional.max_pool2d(-torch.where(ambiguous, material, 99).float(), 2)
    assert (highest <= lowest).all() or ((highest == lowest) | (lowest == 99)).all()
    hidden = world.hidden()
    most = torch.nn.functional.max_pool2d(torch.where(ambiguous, hidden, -1).float(), 2)
    least = -torch.nn.functional.max_pool2d(-torch.where(ambiguous, hidden, 99).float(), 2)
    assert ((most == least) | (least == 99)).all()


def test_no_posterior_at_other_strides(world: toyworld.ToyWorld) -> None:
    with pytest.raises(LabkitError, match="stride must be a whole number from 1 to 2. Got 4"):
        toyworld.best_cross_entropy(world, Classification("ab313"), stride=4)


def test_a_few_steps_go_towards_the_optimum(world: toyworld.ToyWorld) -> None:
    space = Classification("ab313", input_gray="luma")
    colorizer = Colorizer(space, "unet-half", width=8, normalization="group")
    before = colorizer.loss(world.images)
    colorizer.fit(world.images, **(QUICK | {"epochs": 10, "learning_rate": 1e-2}))
    best = toyworld.best_cross_entropy(world, space, stride=2)["realized"]
    assert best < colorizer.loss(world.images) < best + 0.7 * (before - best)


# ------------------------------------------------------------------------------------------------------------ memory

MEASURE = """
import resource, torch
from labkit.colorizer import Colorizer
from labkit.representation import make_representation
images = torch.randint(0, 256, (32, 3, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
colorizer = Colorizer(make_representation("ab676", rebalance=0.5), "unet-half", width=32)
colorizer.fit(images, validation=images, epochs=1, batch_size=16, precision="{precision}", device="cpu", progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in kilobytes on Linux only")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_676_classes_at_256_pixels_train_within_4_gb(precision: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", MEASURE.format(precision=precision)], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < 4e9 / 2**30


@pytest.mark.slow
def test_a_classifier_learns_the_posterior_of_toyworld() -> None:
    """Hard targets, 24,000 scenes seen once: at most 5 % above the lowest cross-entropy there is, on new scenes."""
    scenes, unseen = toyworld.generate(24_000, seed=0), toyworld.generate(500, seed=0, split="test")
    zhang = Classification("ab313", input_gray="luma")
    used = zhang.quantizer.frequencies(zhang.target(scenes.images[:500])) > 0
    bins = Quantizer(zhang.quantizer.centers[used], "ab", "toyworld")
    space = Classification(bins, neighbors=1, input_gray="luma")
    colorizer = Colorizer(space, "unet", width=16, convolutions=1)
    colorizer.fit(scenes.images, epochs=1, batch_size=8, learning_rate=2e-2, progress=False)
    best = toyworld.best_cross_entropy(unseen, space)["realized"]
    assert colorizer.loss(unseen.images) < 1.05 * best
