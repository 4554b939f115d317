"""Training: it learns, it repeats itself to the bit, it goes on after a kill, it stops when it must."""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from labkit import LabkitError, artifacts
from labkit.colorizer import Colorizer
from labkit.device import pick_device
from labkit.options import FitSettings
from labkit.training import checkpoint as checkpoint_module
from labkit.training.batches import enlarged, epoch_plan, rotated, take_batch
from labkit.training.checkpoint import CHECKPOINT_FILE, CHECKPOINT_FORMAT
from labkit.training.loop import fit
from labkit.training.session import History

SETTINGS = FitSettings(epochs=3, batch_size=8, seed=5, precision="float32", device="cpu")


def train(model: Colorizer, images: torch.Tensor, *, settings: FitSettings = SETTINGS, **how: Any) -> History:
    return fit(model.network, model.representation, images, progress=False, **vars(settings), **how)


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    """Small images whose chroma can be told from their gray: left red, right blue, brightness random."""
    generator = torch.Generator().manual_seed(seed)
    light = torch.randint(60, 180, (count, 1, 1, 1), generator=generator)
    tint = torch.tensor([[60, 0, -40], [-40, 0, 60]]).view(2, 3, 1, 1)
    side = torch.arange(16).expand(16, 16) >= 8
    tinted = light + torch.where(side, tint[1], tint[0])
    light_side = torch.where(side, 20, -20)  # so that gray tells the side
    return (tinted + light_side).clamp(0, 255).to(torch.uint8)


def colorizer(seed: int = 0, **options: object) -> Colorizer:
    return Colorizer("luma-chroma", "unet-half", width=4, seed=seed, **options)


def weights(c: Colorizer) -> torch.Tensor:
    return torch.cat([t.flatten().double() for t in c.network.state_dict().values()])


def test_it_learns() -> None:
    images, model = pictures(64), colorizer()
    before = model.loss(images)
    history = train(model, images, settings=dataclasses.replace(SETTINGS, epochs=40, learning_rate=2e-2))
    assert model.loss(images) < 0.3 * before
    assert [row["epoch"] for row in history.rows] == list(range(1, 41))
    assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]
    assert not model.network.training


@pytest.mark.parametrize("height", [24, 17])
def test_turned_images_are_scikit_images(height: int) -> None:
    """Bilinear, counterclockwise, and mirrored at the border, each image by its own angle."""
    from skimage.filters import gaussian
    from skimage.transform import rotate

    noise = torch.rand(2, 3, height, 24, generator=torch.Generator().manual_seed(0)).numpy()
    images = torch.from_numpy(255 * gaussian(noise, sigma=(0, 0, 2, 2))).round().to(torch.uint8)
    degrees = torch.tensor([10.0, -7.0])
    for image, ours, angle in zip(images, rotated(images, degrees), degrees.tolist(), strict=True):
        plain = image.permute(1, 2, 0).double().numpy()
        reference = rotate(plain, angle, order=1, mode="symmetric", preserve_range=True)
        assert abs(ours.permute(1, 2, 0).numpy() - reference).max() <= 0.501  # rounded to 8 bits
    assert torch.equal(rotated(images, torch.zeros(2)), images)


def test_a_turn_is_planned_and_changes_nothing_else() -> None:
    still, turning = SETTINGS, dataclasses.replace(SETTINGS, rotation=10.0)
    a, b = (epoch_plan(1, 40, settings, torch.device("cpu")) for settings in (still, turning))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])  # without turns, old trainings repeat to the bit
    assert not a[2].any() and 8 < b[2].abs().max() <= 10 and b[2].min() < 0 < b[2].max()
    images = pictures(40)
    assert torch.equal(take_batch(images, b, 1, turning), rotated(take_batch(images, b, 1, still), b[2][8:16]))
    with pytest.raises(LabkitError, match="rotation must be a number from 0 to 180"):
        dataclasses.replace(SETTINGS, rotation=-5)


def test_what_is_watched_joins_the_row_and_changes_no_weight() -> None:
    plain, watched = colorizer(dropout=0.1), colorizer(dropout=0.1)
    train(plain, pictures(20), settings=SETTINGS)

    def watch() -> dict[str, float]:
        watched.network.eval()
        return {"error": watched.loss(pictures(9, seed=1))}

    history = train(watched, pictures(20), settings=SETTINGS, watch=watch)
    assert torch.equal(weights(plain), weights(watched))
    assert history.rows[-1]["error"] == watched.loss(pictures(9, seed=1))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_same_seed_same_bits(precision: str) -> None:
    runs = []
    for _ in range(2):
        model = colorizer(dropout=0.2)
        train(model, pictures(20), settings=dataclasses.replace(SETTINGS, precision=precision))
        runs.append(weights(model))
    assert torch.equal(runs[0], runs[1])


class Killed(BaseException):
    """Stands for kill -9 right after a checkpoint; the real signal is tested through the command line."""


@pytest.mark.parametrize("kill_at", [1, 2, 4, 7, 9])
def test_resumed_anywhere_it_ends_with_the_same_bits(tmp_path: Path, monkeypatch, kill_at: int) -> None:
    settings = dataclasses.replace(SETTINGS, checkpoint_seconds=0.0)  # a checkpoint after every step: 3 x 3 of them
    data, validation = pictures(20), pictures(6, seed=9)
    straight = colorizer(dropout=0.2)
    expected = train(straight, data, validation=validation, settings=settings)

    writes = itertools.count(1)

    def dying_write(path: Path, content: bytes) -> None:
        artifacts.write_bytes(path, content)
        if next(writes) == kill_at:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_module, "write_bytes", dying_write)
        with pytest.raises(Killed):
            train(
                colorizer(dropout=0.2),
                data,
                validation=validation,
                settings=settings,
                out=tmp_path,
            )

    resumed = colorizer(seed=77, dropout=0.2)  # other first weights: all must come from the checkpoint
    history = train(resumed, data, validation=validation, settings=settings, out=tmp_path, resume=True)
    assert torch.equal(weights(resumed), weights(straight))
    for ours, theirs in zip(history.rows, expected.rows, strict=True):
        assert {k: v for k, v in ours.items() if k != "seconds"} == {k: v for k, v in theirs.items() if k != "seconds"}


def test_early_stopping_keeps_the_best_epoch_and_resumes_alike(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, epochs=30, patience=2, learning_rate=0.05)
    data, validation = pictures(16), torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    model = colorizer()
    history = train(model, data, validation=validation, settings=settings)
    losses = [row["validation_loss"] for row in history.rows]
    assert history.stopped_early and len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 1 - 2
    assert model.loss(validation) == pytest.approx(min(losses), rel=1e-6)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    train(colorizer(), pictures(16), settings=SETTINGS, out=tmp_path)
    assert (tmp_path / CHECKPOINT_FILE).is_file()
    for other, settings, data in [
        (
            "learning_rate was 0.004, now 0.001",
            dataclasses.replace(SETTINGS, learning_rate=1e-3),
            pictures(16),
        ),
        ("training images was", SETTINGS, pictures(16, seed=1)),
    ]:
        with pytest.raises(LabkitError, match=other):
            train(colorizer(), data, settings=settings, out=tmp_path, resume=True)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT_FILE).write_bytes(b"not a checkpoint")
    with pytest.raises(LabkitError, match=r"checkpoint.safetensors is damaged"):
        train(colorizer(), pictures(16), settings=SETTINGS, out=tmp_path, resume=True)


def test_a_loss_that_is_not_finite_stops_training() -> None:
    model = colorizer()
    next(model.network.parameters()).data.fill_(float("nan"))
    with pytest.raises(LabkitError, match=r"the loss is nan in epoch 1, batch 1: training stopped.*learning rate"):
        train(model, pictures(16), settings=SETTINGS)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(4, 3, 8, 8), "must be a uint8 tensor"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), "N > 0"),
        (torch.zeros(4, 1, 8, 8, dtype=torch.uint8), r"Got torch.uint8 \(4, 1, 8, 8\)"),
    ],
)
def test_other_images_are_refused(images: torch.Tensor, message: str) -> None:
    with pytest.raises(LabkitError, match=message):
        train(colorizer(), images, settings=SETTINGS)


def test_settings_are_checked() -> None:
    for wrong in ({"epochs": 0}, {"learning_rate": -1.0}, {"precision": "int8"}, {"patience": 0}):
        with pytest.raises(LabkitError, match="Got"):
            FitSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(LabkitError, match="patience needs validation"):
        train(colorizer(), pictures(8), settings=dataclasses.replace(SETTINGS, patience=1))
    with pytest.raises(LabkitError, match="not available here: got 'quantum'"):
        pick_device("quantum")


def test_tensorboard_logs_curves_and_pictures(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(
        colorizer(),
        pictures(16),
        validation=pictures(4),
        settings=SETTINGS,
        tensorboard=tmp_path,
    )
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert {"train_loss", "validation_loss", "learning_rate"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("train_loss")) == 3 and "colorized" in events.Tags()["images"]


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    train(colorizer(dropout=0.1), pictures(8), settings=SETTINGS)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "settings", [{"learning_rate": math.inf}, {"learning_rate": math.nan}, {"seed": -1}, {"seed": 2**63 - 1}]
)
def test_settings_that_no_training_can_have(settings: dict[str, Any]) -> None:
    with pytest.raises(LabkitError, match=next(iter(settings))):
        FitSettings(**settings)


def test_weights_thrown_away_by_the_last_step_are_noticed() -> None:
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    settings = FitSettings(epochs=1, learning_rate=1e30, device="cpu")  # one step: no later batch sees it
    with pytest.raises(LabkitError, match=r"the loss is .* Try a learning rate below 1e\+30"):
        train(Colorizer("luma-chroma", "cnn", width=2), images, settings=settings)


@pytest.mark.parametrize("state", ["{", "{}", "[]"])
def test_a_checkpoint_with_a_damaged_state_is_named(tmp_path: Path, state: str) -> None:
    from safetensors.torch import load_file, save_file

    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    settings = FitSettings(epochs=1, device="cpu")

    def run(resume: bool) -> None:
        train(
            Colorizer("luma-chroma", "cnn", width=2),
            images,
            settings=settings,
            out=tmp_path,
            resume=resume,
        )

    run(False)
    file = tmp_path / CHECKPOINT_FILE
    save_file(load_file(file), file, metadata={"format": CHECKPOINT_FORMAT, "state": state})
    with pytest.raises(LabkitError, match=r"checkpoint\.safetensors is damaged .* delete it and start again"):
        run(True)


def test_devices_that_compute_nothing_are_refused() -> None:
    with pytest.raises(LabkitError, match="device not available here: got 'meta'"):
        pick_device("meta")
    if not torch.backends.mps.is_available():
        with pytest.raises(LabkitError) as caught:
            pick_device("mps")
        assert len(str(caught.value)) < 300  # torch lists its two hundred backends here


def test_zoom_enlarges_a_part_of_each_image() -> None:
    images = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
    images[..., 8:] = 200  # dark on the left, bright on the right
    parts = torch.tensor([[1.0, 0.5, 0.5], [2.0, 0.0, 0.0], [2.0, 0.0, 1.0], [4.0, 1.0, 0.5]])
    shown = enlarged(images[:4], parts)
    assert torch.equal(shown[0], images[0])
    assert (shown[1][..., :15] == 0).all() and (shown[2][..., 1:] == 200).all()  # the left half, the right half
    assert (shown[3][..., :6] == 0).all() and (shown[3][..., 10:] == 200).all()  # the middle
    settings = FitSettings(zoom=2.0, batch_size=8, flips=False)
    plan = epoch_plan(0, 8, settings, torch.device("cpu"))
    assert (plan[3][:, 0] >= 1).all() and (plan[3][:, 0] <= 2).all()
    assert torch.equal(take_batch(images, plan, 0, settings), enlarged(images[plan[0]], plan[3]))


def test_enlarge_shows_whole_batches_at_several_sizes() -> None:
    images = torch.randint(0, 256, (60, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    settings = FitSettings(enlarge=2.0, batch_size=2, flips=False)
    plan = epoch_plan(0, 60, settings, torch.device("cpu"))
    batches = [take_batch(images, plan, number, settings) for number in range(30)]
    assert {batch.shape[-1] for batch in batches} == {16, 24, 32}
    large = next(number for number, batch in enumerate(batches) if batch.shape[-1] == 32)
    expected = torch.nn.functional.interpolate(
        images[plan[0]][2 * large : 2 * large + 2].float(), scale_factor=2.0, mode="bilinear"
    )
    assert (batches[large].float() - expected).abs().max() <= 0.51  # rounded
    for rank in range(2):  # the processes of one training see one size
        assert take_batch(images, plan, large, settings, rank, 2).shape[-1] == 32
    many = epoch_plan(0, 100_000, settings, torch.device("cpu"))[4]
    time = torch.stack([(many == factor).sum() * factor**2 for factor in (1.0, 1.5, 2.0)])
    torch.testing.assert_close(time / time.sum(), torch.full((3,), 1 / 3), atol=0.01, rtol=0)
    same, plain = FitSettings(enlarge=1.4, batch_size=2), FitSettings(batch_size=2)
    device = torch.device("cpu")
    assert all(
        torch.equal(a, b) for a, b in zip(epoch_plan(3, 9, same, device), epoch_plan(3, 9, plain, device), strict=True)
    )
