"""`load` without a split, and images of a data set by index."""

import pytest
import torch

from labkit import LabkitError
from labkit import data as module
from labkit.data import load


def test_splits_are_loaded_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = module.load

    def noted(name: str, split: str, **choices: object) -> object:
        asked.append(split)
        return real(name, split, **choices)

    data = load("toyworld", limit=5, seed=1)
    monkeypatch.setattr(module, "load", noted)
    assert asked == [] and "toyworld" in repr(data) and "limit=5" in repr(data)
    assert data.test is data.test and asked == ["test"]
    for split in ("train", "validation", "test"):
        assert torch.equal(getattr(data, split).images, real("toyworld", split, limit=5, seed=1).images)


def test_mistakes_are_named_at_once() -> None:
    with pytest.raises(LabkitError, match="unknown data set 'imagenet'"):
        load("imagenet")


def test_images_by_index() -> None:
    data = load("toyworld", "test", limit=5)
    assert torch.equal(data[:3], data.images[:3]) and data[0].shape == (3, 32, 32)
    assert len(list(data)) == 5
