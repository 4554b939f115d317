"""The checks of lab 01's training loop: what every right loop reaches, and right loops of other makes."""

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from labkit.checks import RIGHT, draw, evaluate, find_exercise
from labkit.checks import training_loop as checks
from labkit.checks.training_step import TRAINING_STEP, _call_step
from labkit.notebook.answer import call_source
from labkit.training import train, training_step

SEEDS = range(10)


def skill_reached(answer: Any, seed: int) -> float:
    (inputs,) = draw(checks.TRAIN_REACHES, seed, 1)
    given = checks._judge_reaches(inputs, checks._call_reaches(answer, inputs)).given
    return float(given.split()[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_is_well_above_the_floor_and_no_training_far_below(seed: int) -> None:
    assert skill_reached(train, seed) >= 0.94 > checks.REACHED > skill_reached(checks._idle, seed)


def test_the_truth_of_unseen_images_is_not_sent() -> None:
    (inputs,) = draw(checks.TRAIN_REACHES, 0, 1)
    assert set(inputs) == {"images", "gray", "seed"} and inputs["gray"].shape[1] == 1
    truth = checks._truth(inputs)
    torch.testing.assert_close(checks._to_gray(255 * truth), inputs["gray"])


@pytest.mark.parametrize("call", [_call_step, checks._call_loop, checks._call_reaches])
def test_what_runs_in_the_students_kernel_travels(call: Any) -> None:
    assert "def " in call_source(call)


def by_loader(
    network: Any, representation: Any, images: Any, epochs: int, batch_size: int, rate: float, seed: int = 0
) -> Any:
    """Train with a DataLoader and plain Adam."""
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(images, batch_size, shuffle=True, generator=order)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs=epochs, steps_per_epoch=len(loader))
    network.train()
    losses = []
    for _ in range(epochs):
        for batch in loader:
            losses.append(training_step(network, representation, batch, optimizer))
            schedule.step()
    network.eval()
    return losses


def without_momentum(
    network: Any, representation: Any, images: Any, epochs: int, size: int, rate: float, seed: int = 0
) -> Any:
    """Train with AdamW whose momentum the schedule leaves alone."""
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    total = epochs * -(-len(images) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=total, cycle_momentum=False)
    network.train()
    losses = []
    for _ in range(epochs):
        shuffled = images[torch.randperm(len(images), generator=order)]
        for at in range(0, len(images), size):
            losses.append(training_step(network, representation, shuffled[at : at + size], optimizer))
            schedule.step()
    network.eval()
    return losses


@pytest.mark.parametrize("answer", [by_loader, without_momentum])
@pytest.mark.parametrize("key", ["01-train", "01-train-reaches"])
def test_right_loops_of_other_makes_pass(answer: Any, key: str) -> None:
    for seed in range(3):
        result = evaluate(find_exercise(key), answer, seed=seed, switch_off=False)
        assert result.status == RIGHT, result.message


def test_a_step_may_divide_by_255_itself() -> None:
    def step(network: Any, representation: Any, images: Any, optimizer: Any) -> float:
        return training_step(network, representation, images / 255, optimizer)

    assert evaluate(TRAINING_STEP, step, seed=0, switch_off=False).status == RIGHT


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = checks.one_cycle(0.1, 50)
    assert rates.max() == pytest.approx(0.1, rel=0.01) and 0.25 < float(rates.argmax()) / 50 < 0.35
    assert rates[0] < 0.01 and rates[-1] < 1e-4
