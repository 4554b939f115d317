"""What lab 02's checks hold a student's answer against, itself held against scikit-image and the library."""

import pytest
import torch
from skimage.color import rgb2lab

from labkit import color
from labkit.checks import RIGHT, color_spaces, evaluate
from labkit.checks.scenes import held_back_scenes


def test_the_reference_is_that_of_scikit_image() -> None:
    rgb = torch.rand((3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rgb[:, 0] *= 0.02
    theirs = torch.from_numpy(rgb2lab(rgb.movedim(0, -1).numpy())).movedim(-1, 0)
    ours = color_spaces.cie_lab(color.srgb_to_linear(rgb))
    assert float((ours - theirs).abs().max()) < 1e-3
    assert float((color_spaces.from_lab(ours) - rgb).abs().max()) < 1e-4


def test_the_library_is_a_right_answer() -> None:
    answers = {
        "02-srgb-to-linear": color.srgb_to_linear,
        "02-linear-to-lab": lambda linear: color.xyz_to_lab(color.linear_to_xyz(linear)),
        "02-lab-to-rgb": color.lab_to_rgb,
        "02-rgb-to-yuv": color.rgb_to_yuv,
        "02-yuv-to-rgb": color.yuv_to_rgb,
        "02-scale-to-gamut": color.scale_to_gamut,
    }
    for exercise in color_spaces.EXERCISES[:6]:
        result = evaluate(exercise, answers[exercise.id], seed=1, switch_off=False)
        assert result.status == RIGHT, result.message


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_the_floor_of_training_is_reached_with_room(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(color_spaces, "LEAST_SKILL", color_spaces.LEAST_SKILL + 0.04)
    exercise = color_spaces.REPRESENTATION_TRAINS
    assert evaluate(exercise, exercise.reference, seed=seed).status == RIGHT


def test_a_network_that_has_read_the_truth_is_found_out() -> None:
    exercise = color_spaces.REPRESENTATION_TRAINS
    inputs = exercise.inputs(torch.Generator().manual_seed(0))
    truth = color.to_float(held_back_scenes(inputs, color_spaces.HELD_OUT).images)
    assert exercise.judge is not None
    verdict = exercise.judge(inputs, truth)
    assert not verdict.ok and "read somewhere" in verdict.hint
