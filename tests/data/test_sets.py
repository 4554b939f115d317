"""The container, the merge, the photographs, and the torchvision sets on tiny files with their own checksums."""

import hashlib
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from labkit import LabkitError
from labkit.color import luma
from labkit.data import DATASETS, Dataset, data_root, find, load, merge
from labkit.data.dataset import resize


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def fail_to_download(*_args: object, **_keywords: object) -> None:
    raise urllib.error.URLError("no network in this test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)


# --- fake files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CIFAR-10 of 5 x 20 + 30 images under tmp_path/cifar10."""
    from torchvision.datasets import CIFAR10, cifar

    folder = tmp_path / "cifar10" / CIFAR10.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)

    def write(name: str, content: object) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, md5(folder / name)]

    def batch(count: int) -> dict[str, object]:
        data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        return {"data": data, "labels": [int(v) for v in np.arange(count) % 10]}

    train = [write(f"data_batch_{number}", batch(20)) for number in range(1, 6)]
    test = [write("test_batch", batch(30))]
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    meta = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(CIFAR10, "train_list", train)
    monkeypatch.setattr(CIFAR10, "test_list", test)
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    monkeypatch.setattr(cifar, "download_and_extract_archive", fail_to_download)
    return tmp_path


@pytest.fixture
def stl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from torchvision.datasets import STL10
    from torchvision.datasets import stl10 as module

    folder = tmp_path / "stl10" / STL10.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)

    def write(name: str, content: bytes) -> list[str]:
        (folder / name).write_bytes(content)
        return [name, md5(folder / name)]

    def pair(split: str, count: int) -> list[list[str]]:
        images = rng.integers(0, 256, (count, 3, 96, 96), dtype=np.uint8)
        labels = (np.arange(count) % 10 + 1).astype(np.uint8)
        return [write(f"{split}_X.bin", images.tobytes()), write(f"{split}_y.bin", labels.tobytes())]

    absent = ["unlabeled_X.bin", "0" * 32]  # never needed
    monkeypatch.setattr(STL10, "train_list", [*pair("train", 20), absent])
    monkeypatch.setattr(STL10, "test_list", pair("test", 10))
    names = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
    (folder / "class_names.txt").write_text("\n".join(names))
    monkeypatch.setattr(module, "download_and_extract_archive", fail_to_download)
    return tmp_path


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from torchvision.datasets import Flowers102
    from torchvision.datasets import flowers102 as module

    savemat = pytest.importorskip("scipy.io").savemat
    folder = tmp_path / "flowers102" / "flowers-102"
    (folder / "jpg").mkdir(parents=True)
    for number in range(1, 13):
        Image.new("RGB", (60 + number, 50), (20 * number, 100, 50)).save(folder / "jpg" / f"image_{number:05d}.jpg")
    savemat(folder / "imagelabels.mat", {"labels": np.arange(1, 13)[None]})
    savemat(folder / "setid.mat", {"trnid": [[1, 2, 3, 4]], "valid": [[5, 6, 7]], "tstid": [[8, 9, 10, 11, 12]]})
    files = {
        "image": ("102flowers.tgz", "0" * 32),
        "label": ("imagelabels.mat", md5(folder / "imagelabels.mat")),
        "setid": ("setid.mat", md5(folder / "setid.mat")),
    }
    monkeypatch.setattr(Flowers102, "_file_dict", files)
    monkeypatch.setattr(module, "download_and_extract_archive", fail_to_download)
    return tmp_path


def rows(data: Dataset) -> set[bytes]:
    return {image.numpy().tobytes() for image in data.images}


# --- cifar10, stl10, flowers102 ---------------------------------------------------------------------------------------


def test_cifar_splits_are_disjoint_and_do_not_follow_the_seed(cifar: Path) -> None:
    train, validation, test = (load("cifar10", split, root=cifar) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (90, 10, 30)
    assert train.images.shape == (90, 3, 32, 32) and train.images.dtype == torch.uint8
    assert train.images.is_contiguous() and train.labels.dtype == torch.int64
    assert not rows(train) & rows(validation) and not (rows(train) | rows(validation)) & rows(test)
    both = load("cifar10", "train+validation", root=cifar)
    assert len(both) == 100 and rows(both) == rows(train) | rows(validation)
    assert torch.equal(load("cifar10", "validation", root=cifar, seed=9).images, validation.images)
    with (cifar / "cifar10" / "cifar-10-batches-py" / "test_batch").open("rb") as file:
        stored = pickle.load(file)
    assert np.array_equal(test.images.numpy().reshape(30, -1), stored["data"])
    assert test.labels.tolist() == stored["labels"]


def test_classes_and_limit(cifar: Path) -> None:
    horses = load("cifar10", "test", classes="horse, deer", root=cifar)
    assert set(horses.labels.tolist()) == {4, 7} and len(horses) == 6 and horses.class_names[7] == "horse"
    assert len(load("cifar10", "test", classes=["horse"], root=cifar)) == 3
    with pytest.raises(LabkitError, match=r"cifar10 has no class 'hose': choose among airplane, .* truck"):
        load("cifar10", "test", classes="horse,hose", root=cifar)
    few, more = (load("cifar10", "train", limit=n, seed=4, root=cifar) for n in (5, 40))
    assert torch.equal(few.images, more.images[:5]) and len(set(more.labels.tolist())) > 6
    assert not torch.equal(few.images, load("cifar10", "train", limit=5, seed=5, root=cifar).images)
    assert torch.equal(
        load("cifar10", "train", limit=900, root=cifar).images, load("cifar10", "train", root=cifar).images
    )
    assert few.provenance["count"] == 5 and few.provenance["limit"] == 5 and few.provenance["seed"] == 4


def test_size(cifar: Path) -> None:
    small = load("cifar10", "test", size=16, limit=4, root=cifar)
    assert small.images.shape == (4, 3, 16, 16) and small.images.dtype == torch.uint8
    with pytest.raises(LabkitError, match="size must be a whole number from 1 to 4096. Got 0"):
        load("cifar10", "test", size=0, root=cifar)


def test_resize_crops_the_center_and_keeps_flat_colors() -> None:
    images = torch.zeros(2, 3, 8, 20, dtype=torch.uint8)
    images[..., 6:14] = 200
    assert (resize(images, 8) == 200).all() and (resize(images, 3) == 200).all()


def test_a_damaged_file_is_named(cifar: Path) -> None:
    bad = cifar / "cifar10" / "cifar-10-batches-py" / "data_batch_3"
    bad.write_bytes(bad.read_bytes()[:1000])
    with pytest.raises(LabkitError, match=r"data_batch_3 is damaged or half-downloaded: delete .* and load") as caught:
        load("cifar10", "test", root=cifar)
    assert "\n" not in str(caught.value)
    (cifar / "cifar10" / "cifar-10-batches-py" / "data_batch_5").unlink()  # absent and damaged: damaged is said first
    with pytest.raises(LabkitError, match=r"data_batch_3 is damaged"):
        load("cifar10", "test", root=cifar)


def test_a_failed_download_says_where_files_belong(cifar: Path, tmp_path: Path) -> None:
    with pytest.raises(
        LabkitError, match=r"cifar10 is not in .*elsewhere.*cannot be downloaded.*LABKIT_DATA"
    ) as caught:
        load("cifar10", "train", root=tmp_path / "elsewhere")
    assert "\n" not in str(caught.value) and "cifar-10-batches-py/data_batch_1" in str(caught.value)


def test_absent_files_are_downloaded_once(cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from torchvision.datasets import cifar as module

    calls = []

    def download(_url: str, root: str, **_keywords: object) -> None:
        calls.append(root)
        shutil.copytree(cifar / "cifar10" / "cifar-10-batches-py", Path(root) / "cifar-10-batches-py")

    monkeypatch.setattr(module, "download_and_extract_archive", download)
    for _ in range(2):
        assert len(load("cifar10", "test", root=tmp_path / "fresh")) == 30
    assert len(calls) == 1 and [path.name for path in (tmp_path / "fresh").iterdir()] == ["cifar10"]


def test_stl10_needs_no_unlabeled_images(stl: Path) -> None:
    train, validation, test = (load("stl10", split, root=stl) for split in ("train", "validation", "test"))
    assert train.images.shape == (18, 3, 96, 96) and len(validation) == 2 and len(test) == 10
    assert not rows(train) & rows(validation) and train.class_names[0] == "airplane"
    raw = np.fromfile(stl / "stl10" / "stl10_binary" / "test_X.bin", np.uint8).reshape(10, 3, 96, 96)
    assert np.array_equal(test.images.numpy(), raw.transpose(0, 1, 3, 2))  # stored column by column
    assert test.labels.tolist() == list(range(10))
    assert load("stl10", "test", size=32, classes="cat", root=stl).images.shape == (1, 3, 32, 32)
    (stl / "stl10" / "stl10_binary" / "train_y.bin").write_bytes(b"\x01")
    with pytest.raises(LabkitError, match=r"train_y\.bin is damaged"):
        load("stl10", "train", root=stl)


def test_flowers102_is_decoded_once(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = load("flowers102", "train", root=flowers)
    assert train.images.shape == (4, 3, 128, 128) and train.labels.tolist() == [0, 1, 2, 3]
    assert len(train.class_names) == 102
    assert len(load("flowers102", "train+validation", root=flowers)) == 7
    assert load("flowers102", "test", size=24, root=flowers).images.shape == (5, 3, 24, 24)
    monkeypatch.setattr("labkit.data.pictures.read_rgb", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(load("flowers102", "train", root=flowers).images, train.images)
    (flowers / "flowers102" / "flowers-102" / "jpg" / "image_00002.jpg").unlink()
    with pytest.raises(LabkitError, match=r"image_00002\.jpg is missing"):
        load("flowers102", "train", root=flowers)


def test_find_looks_but_never_downloads(cifar: Path, tmp_path: Path) -> None:
    assert find("cifar10", cifar) == str(cifar / "cifar10" / "cifar-10-batches-py")
    assert find("cifar10", tmp_path / "nowhere") is None and find("flowers102", cifar) is None
    assert find("toyworld") and find("photos") and find("folder") is None
    with pytest.raises(LabkitError, match="unknown data set 'mnist'"):
        find("mnist")


# --- photos, roots, the container -------------------------------------------------------------------------------------


def test_photos_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", fail_to_download)
    photos = load("photos", "test")
    assert photos.images.shape == (5, 3, 256, 256)
    assert photos.class_names == ("astronaut", "chelsea", "coffee", "rocket", "motorcycle")
    assert photos.images.float().std(dim=1).mean() > 5  # they have color
    assert load("photos", "test", size=96, classes="coffee,rocket").images.shape == (2, 3, 96, 96)
    with pytest.raises(LabkitError, match=r"photos has no split 'train'.*give split="):
        load("photos", "train")


def test_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "b"))
    assert data_root(tmp_path / "a") == tmp_path / "a" and data_root() == tmp_path / "b"
    monkeypatch.delenv("LABKIT_DATA")
    assert data_root().name == "data"
    monkeypatch.setattr("labkit.data.__file__", str(tmp_path / "site-packages" / "labkit" / "data" / "__init__.py"))
    assert data_root() == tmp_path / "cache" / "labkit" / "data"  # installed, not a checkout


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"name": "imagenet"}, "unknown data set 'imagenet': choose among toyworld, photos, cifar10"),
        ({"name": "toyworld", "split": "dev"}, "unknown split 'dev': choose among train, validation, test"),
        ({"name": "toyworld", "min_saturation": 0.1}, "min_saturation is for the data set 'folder'"),
        ({"name": "folder", "split": "train"}, "which folder"),
    ],
)
def test_bad_requests_are_one_line(keywords: dict, message: str) -> None:
    with pytest.raises(LabkitError, match=message) as caught:
        load(**keywords)
    assert "\n" not in str(caught.value)


def make(name: str, class_names: tuple[str, ...], size: int = 4) -> Dataset:
    count = len(class_names)
    images = torch.full((count, 3, size, size), len(name), dtype=torch.uint8)
    return Dataset(images, torch.arange(count), class_names, name, "train", {"source": name})


def test_merge_joins_classes_by_name() -> None:
    merged = merge(make("a", ("cat", "dog")), make("bb", ("dog", "owl")))
    assert merged.class_names == ("cat", "dog", "owl") and merged.labels.tolist() == [0, 1, 1, 2]
    assert merged.images[:, 0, 0, 0].tolist() == [1, 1, 2, 2] and merged.name == "a+bb"
    with pytest.raises(LabkitError, match="images of one size, got a 4x4, bb 5x5"):
        merge(make("a", ("cat",)), make("bb", ("cat",), 5))
    with pytest.raises(LabkitError, match="no data set"):
        merge()


def test_select_keeps_order_and_every_data_set_is_described() -> None:
    data = make("a", ("cat", "dog", "owl"))
    assert data.select([2, 0]).labels.tolist() == [2, 0] and len(data.select(data.labels > 0)) == 2
    assert all(info.line and info.size and info.license for info in DATASETS.values())


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_can_be_looked_for_and_stands_in_the_table(name: str, tmp_path: Path) -> None:
    there = find(name, tmp_path) is not None
    assert there == (not DATASETS[name].size[0].isdigit() and name != "folder"), "a download says its size"
    assert f"| `{name}` |" in (Path(__file__).resolve().parents[2] / "data" / "README.md").read_text(encoding="utf-8")


# --- the real files ---------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_real_cifar10_has_the_known_gray_baseline(real_data: Path) -> None:
    test = load("cifar10", "test", root=real_data)
    assert len(test) == 10_000
    floor = F.mse_loss(luma(test.images).expand(-1, 3, -1, -1), test.images / 255)
    assert float(floor) == pytest.approx(0.006616, abs=1e-6)
    horses = test.select(test.labels == test.class_names.index("horse"))
    floor = F.mse_loss(luma(horses.images).expand(-1, 3, -1, -1), horses.images / 255)
    assert len(horses) == 1000 and float(floor) == pytest.approx(0.005985, abs=1e-6)


@pytest.mark.realdata
def test_real_cifar10_counts(real_data: Path) -> None:
    assert len(load("cifar10", "train+validation", classes="horse", root=real_data)) == 5000
    validation = load("cifar10", "validation", root=real_data)
    assert len(validation) == 5000 and validation.labels.bincount().min() > 400


@pytest.mark.realdata
def test_real_flowers_follow_their_labels(real_data: Path) -> None:
    flowers = real_data / "flowers17"
    train, validation, test = (load("folder", split, root=flowers) for split in ("train", "validation", "test"))
    assert len(train) + len(validation) + len(test) == 960 and len(train.class_names) == 12
    assert train.images.shape[1:] == (3, 144, 144) and len(validation) > 40
    everything = merge(train, validation, test).images
    gray = F.mse_loss(luma(everything).expand(-1, 3, -1, -1), everything / 255)
    assert float(gray) == pytest.approx(0.025426, abs=2e-5)
