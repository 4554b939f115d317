"""What a network is scored on is held back from the answer that trains it."""

import pytest
import torch

from labkit.checks import draw, example, find_exercise
from labkit.checks.scenes import held_back_scenes
from labkit.grading.inputs import tell_inputs
from labkit.notebook.answer import HELD_BACK, hand_over, request

TRAINED = ("02-representation-trains", "03-classifier-trains", "04-unet-trains", "05-slr-trains")


@pytest.mark.parametrize("exercise_id", TRAINED)
def test_what_is_held_back_reaches_no_answer_and_no_page(exercise_id: str) -> None:
    exercise = find_exercise(exercise_id)
    [inputs] = draw(exercise, 3, 1)
    seed = inputs[HELD_BACK]
    sent = request(inputs, exercise.call, ())
    assert HELD_BACK not in sent and str(seed) not in sent
    assert set(example(exercise_id, 3)) == set(inputs) - {HELD_BACK}
    assert str(seed) not in tell_inputs(exercise, "answer", inputs, 3, 1)
    seen: list[set[str]] = []
    hand_over(lambda *_: None, inputs, lambda _, given: seen.append(set(given)))
    assert seen == [set(inputs) - {HELD_BACK}]


def test_the_judge_draws_the_same_scenes_again_and_they_are_no_training_scenes() -> None:
    [inputs] = draw(find_exercise("02-representation-trains"), 3, 1)
    scenes = held_back_scenes(inputs, 24).images
    assert torch.equal(scenes, held_back_scenes(inputs, 24).images)
    assert not any(torch.equal(one, other) for one in scenes for other in inputs["images"])
