"""What lab 03's checks hold a student's answer against, itself held against the library."""

import pytest
import torch

from labkit import color, quantize
from labkit.checks import RIGHT, evaluate
from labkit.checks import regression_vs_classification as checks
from labkit.checks.scenes import held_back_scenes
from labkit.quantize import Quantizer
from labkit.representation import Classification


def test_the_references_are_the_library() -> None:
    rng = torch.Generator().manual_seed(0)
    centers = 40 * torch.randn((9, 2), generator=rng)
    logits, colors = torch.randn((2, 9, 4, 5), generator=rng), 20 * torch.randn((2, 2, 4, 5), generator=rng)
    bins = Quantizer(centers, "ab", "random")
    space = Classification(bins, neighbors=3, sigma=20.0, temperature=0.4, input_gray="luma")
    ours = checks._Bins(centers, 3, 20.0, 0.4)
    images = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8, generator=rng)
    for mine, theirs in (
        (ours.loss(logits, colors), space.loss(logits, colors)),
        (ours.colors(logits), space.colors(logits)),
        (ours.split(images)[1], space.split(images)[1]),
        (checks.nearest_bin(checks._rows(colors), centers), bins.encode(colors).flatten()),
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    sampled = checks.sample(checks._rows(logits), centers, torch.rand(40, generator=torch.Generator().manual_seed(7)))
    theirs = bins.decode(logits, "sample", generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(sampled, checks._rows(theirs))
    assert quantize.NEIGHBORS == 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_the_floor_of_training_is_reached_with_room(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MOST_NATS", checks.MOST_NATS - 0.2)
    exercise = checks.CLASSIFIER_TRAINS
    result = evaluate(exercise, exercise.reference, seed=seed)
    assert result.status == RIGHT, result.message


def test_a_classifier_that_has_read_the_truth_is_found_out() -> None:
    exercise = checks.CLASSIFIER_TRAINS
    inputs = exercise.inputs(torch.Generator().manual_seed(0))
    test = held_back_scenes(inputs, checks.HELD_OUT)
    space = Classification(Quantizer(inputs["centers"], "ab", "drawn"), neighbors=1, input_gray="luma")
    right = torch.nn.functional.one_hot(space.quantizer.encode(space.target(test.images)), checks.BINS)
    assert exercise.judge is not None
    output = {"logits": 50.0 * right.movedim(-1, 1), "rgb": color.to_float(test.images)}
    verdict = exercise.judge(inputs, output)
    assert not verdict.ok and "read somewhere" in verdict.hint
