"""Tiny ImageNet in its standard layout: small files written here, and the real ones."""

import hashlib
import shutil
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from labkit import LabkitError
from labkit.color import luma
from labkit.data import find, load, tiny_imagenet

WNIDS = ("n01", "n02", "n03")
WORDS = "n00\tentity\nn01\tgoldfish, Carassius auratus\nn02\tsea slug, nudibranch\nn03\tbell pepper\n"


def write(root: Path, per_kind: int = 20, tests: int = 4) -> Path:
    """A small set in the standard layout; one image is gray, as some of the real ones are."""
    base = root / "tiny-imagenet" / "tiny-imagenet-200"
    rng = np.random.default_rng(0)

    def picture(path: Path, gray: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8) if gray else (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(path, "JPEG")

    for wnid in WNIDS:
        for number in range(per_kind):
            picture(base / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", gray=number == 0)
    rows = [f"val_{number}.JPEG\t{WNIDS[number % 3]}\t0\t0\t9\t9" for number in range(tests)]
    for number in range(tests):
        picture(base / "val" / "images" / f"val_{number}.JPEG")
    (base / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")
    (base / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (base / "words.txt").write_text(WORDS)
    return base


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    folder = write(tmp_path)
    checked = [
        (name, md5 and hashlib.md5((folder.parent / name).read_bytes()).hexdigest())
        for name, md5 in tiny_imagenet.FILES
    ]
    monkeypatch.setattr(tiny_imagenet, "FILES", tuple(checked))

    def fail(*_args: object, **_keywords: object) -> None:
        raise urllib.error.URLError("no network in this test")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", fail)
    return folder


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_splits_are_disjoint_and_named_in_words(base: Path, tmp_path: Path) -> None:
    train, validation, test = (load("tiny-imagenet", split, root=tmp_path) for split in ("train", "validation", "test"))
    assert train.class_names == ("goldfish", "sea slug", "bell pepper")
    assert len(train) + len(validation) == 60 and 1 <= len(validation) <= 15 and len(test) == 4
    assert train.images.shape[1:] == (3, 64, 64) and train.images.dtype == torch.uint8
    assert not rows(train.images) & rows(validation.images) and not rows(train.images) & rows(test.images)
    both = load("tiny-imagenet", "train+validation", root=tmp_path)
    assert rows(both.images) == rows(train.images) | rows(validation.images) and len(both) == 60
    assert both.labels.bincount().tolist() == [20, 20, 20] and test.labels.tolist() == [0, 1, 2, 0]
    assert len(load("tiny-imagenet", "test", classes="goldfish, sea slug", root=tmp_path)) == 3
    assert load("tiny-imagenet", "test", size=32, root=tmp_path).images.shape == (4, 3, 32, 32)


def test_labels_belong_to_their_images(base: Path, tmp_path: Path) -> None:
    train = load("tiny-imagenet", "train+validation", classes="sea slug", root=tmp_path)
    stored = {
        np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1).tobytes()
        for path in (base / "train" / "n02" / "images").iterdir()
    }
    assert rows(train.images) == stored


def test_an_image_is_on_the_same_side_in_a_part_of_the_set(base: Path, tmp_path: Path) -> None:
    whole = {split: rows(load("tiny-imagenet", split, root=tmp_path).images) for split in ("train", "validation")}
    part = tmp_path / "part" / "tiny-imagenet" / "tiny-imagenet-200"
    shutil.copytree(base, part)
    for path in part.glob("train/*/images/*_1?.JPEG"):
        path.unlink()
    for split, images in whole.items():
        fewer = rows(load("tiny-imagenet", split, root=tmp_path / "part").images)
        assert fewer < images, split


def test_images_are_decoded_once_and_mapped(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = load("tiny-imagenet", "train", root=tmp_path)
    monkeypatch.setattr("labkit.data.pictures.read_rgb", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(load("tiny-imagenet", "train", root=tmp_path).images, train.images)
    assert len(load("tiny-imagenet", "validation", root=tmp_path)) > 0  # of the same file
    assert len(list((tmp_path / "cache" / "labkit" / "images").glob("*.npy"))) == 1


def test_what_is_missing_or_damaged_is_named(base: Path, tmp_path: Path) -> None:
    assert find("tiny-imagenet", tmp_path) == str(base) and find("tiny-imagenet", tmp_path / "nowhere") is None
    with pytest.raises(LabkitError, match=r"tiny-imagenet is not in .*wnids\.txt is missing.*LABKIT_DATA"):
        load("tiny-imagenet", "train", root=tmp_path / "nowhere")
    (base / "val" / "images" / "val_2.JPEG").unlink()
    with pytest.raises(LabkitError, match=r"val_2\.JPEG is missing \(1 images are\): delete"):
        load("tiny-imagenet", "test", root=tmp_path)
    (base / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn99\n")
    with pytest.raises(LabkitError, match="line 1 names no image and kind"):
        load("tiny-imagenet", "test", root=tmp_path)
    (base / "words.txt").write_text("n01\tcat\n")
    with pytest.raises(LabkitError, match=r"words\.txt is damaged or half-downloaded: delete"):
        load("tiny-imagenet", "train", root=tmp_path)


def test_a_set_without_training_images_is_refused(base: Path, tmp_path: Path) -> None:
    shutil.rmtree(base / "train")
    (base / "train").mkdir()
    with pytest.raises(LabkitError, match="no images for split 'train'"):
        load("tiny-imagenet", "train", root=tmp_path)


def test_absent_files_are_downloaded_once(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def download(_url: str, place: str, **keywords: object) -> None:
        calls.append(keywords)
        shutil.copytree(base, Path(place) / "tiny-imagenet-200")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", download)
    for _ in range(2):
        assert len(load("tiny-imagenet", "test", root=tmp_path / "fresh")) == 4
    assert len(calls) == 1 and calls[0]["md5"] == tiny_imagenet.ARCHIVE_MD5
    assert [path.name for path in (tmp_path / "fresh").iterdir()] == ["tiny-imagenet"]


@pytest.mark.realdata
def test_real_tiny_imagenet_has_the_known_gray_baseline(real_data: Path) -> None:
    if find("tiny-imagenet", real_data) is None:
        pytest.skip(f"no tiny-imagenet under {real_data}")
    splits = {split: load("tiny-imagenet", split, root=real_data) for split in ("train", "validation", "test")}
    train, validation, test = splits.values()
    assert len(train) + len(validation) in (20_000, 100_000) and len(test) in (2_000, 10_000)
    assert len(validation) / len(train) == pytest.approx(1 / 9, abs=0.01)
    assert len(set(test.class_names)) == 200 and "goldfish" in test.class_names
    assert test.labels.bincount().unique().tolist() == [len(test) // 200]
    floor = F.mse_loss(luma(test.images).expand(-1, 3, -1, -1), test.images / 255)
    assert float(floor) == pytest.approx(0.00989, abs=2e-4)
