"""Training the classifier of the metric features: what it writes loads, and is as good as its card says."""

import json
from types import SimpleNamespace

import pytest
import torch

from labkit.metrics.features import CARD_FILE, FOLDER, load_classifier, pretrained_classifier
from labkit.training import features

CARD = json.loads((FOLDER / CARD_FILE).read_text(encoding="utf-8"))


def pictures(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)


@pytest.mark.realdata
def test_accuracy_is_what_the_card_says(real_data):
    from labkit.data import load

    test = load("cifar10", "test", limit=2000, root=real_data)
    found = features.accuracy(pretrained_classifier(torch.device("cpu")), test.images, test.labels)
    assert found == pytest.approx(CARD["about"]["test_accuracy"], abs=0.025)  # three standard errors of 2,000


def test_the_recipe_writes_what_loads(tmp_path, monkeypatch):
    """On a toy of two classes, dark and bright, which three epochs suffice to tell apart."""
    labels = torch.arange(640) % 2
    images = (pictures(640) // 2 + 120 * labels.view(-1, 1, 1, 1)).to(torch.uint8)

    def toy(name: str, split: str) -> SimpleNamespace:
        part = slice(None) if split == "train" else slice(100)
        return SimpleNamespace(images=images[part], labels=labels[part])

    monkeypatch.setattr(features, "load", toy)
    features.train_classifier(tmp_path / "new", epochs=3, device="cpu")
    classifier = load_classifier(tmp_path / "new")
    card = json.loads((tmp_path / "new" / CARD_FILE).read_text(encoding="utf-8"))
    assert card["parameters"] == CARD["parameters"]
    assert not classifier.training
    assert card["about"]["test_accuracy"] == pytest.approx(features.accuracy(classifier, images[:100], labels[:100]))
    assert card["about"]["test_accuracy"] > 0.9


def test_shifting_and_mirroring_only_moves_pixels():
    torch.manual_seed(0)
    column = torch.arange(32, dtype=torch.uint8).expand(64, 3, 32, 32)
    moved = (features._shifted_and_mirrored(column) * 255).round()
    assert moved.shape == column.shape
    steps = moved[:, :, :, 1:] - moved[:, :, :, :-1]
    assert (steps.abs() == 1).all()  # a ramp stays one, turned at most by the mirrored border
    assert (moved == moved[:, :1, :1]).all()
    assert {int(image[0, 0, 16] - image[0, 0, 15]) for image in moved} == {1, -1}
    assert len({int(image[0, 0, 16]) for image in moved}) > 5
