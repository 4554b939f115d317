"""Anybody's folder of images: every kind of file, classes, splits, the cache, and errors that name the file."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from labkit import LabkitError
from labkit.data import load
from labkit.data.pictures import read_rgb


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    return tmp_path / "cache" / "labkit" / "images"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def paint(path: Path, color: tuple[int, ...] = (200, 40, 40), size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def fill(root: Path, count: int, folder: str = "") -> None:
    for number in range(count):
        paint(root / folder / f"{number:03d}.png", (number % 256, 100, 50), (6, 6))


def names(root: Path, split: str) -> set[int]:
    return set(load("folder", split, root=root).images[:, 0, 0, 0].tolist())


# --- one file ---------------------------------------------------------------------------------------------------------

HALVES = np.zeros((20, 40, 3), np.uint8)  # left red, right blue
HALVES[:, :20] = (250, 10, 10)
HALVES[:, 20:] = (10, 10, 250)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".gif", ".JPG"])
def test_kinds_of_files(root: Path, suffix: str) -> None:
    Image.fromarray(HALVES).save(root / f"a{suffix}")
    rgb = read_rgb(root / f"a{suffix}").astype(int)
    assert rgb.shape == (20, 40, 3)
    assert abs(rgb[:, 4:16] - HALVES[:, 4:16]).max() < 16 and abs(rgb[:, 24:36] - HALVES[:, 24:36]).max() < 16


def test_exif_rotation_is_applied(root: Path) -> None:
    image = Image.fromarray(HALVES)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: left goes to the top
    image.save(root / "a.jpg", exif=exif, quality=95)
    rgb = read_rgb(root / "a.jpg")
    assert rgb.shape == (40, 20, 3) and rgb[5, 10, 0] > 200 and rgb[35, 10, 2] > 200
    image.resize((30, 30)).save(root / "a.jpg", exif=exif, quality=95)
    turned = load("folder", "train", root=root, size=30).images[0]
    assert turned[0, 4, 15] > 200 and turned[2, 26, 15] > 200


def test_cmyk_palette_gray_and_one_bit(root: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(root / "cmyk.jpg", quality=95)
    assert abs(read_rgb(root / "cmyk.jpg")[4, 4].astype(int) - (255, 0, 0)).max() < 12
    Image.fromarray(HALVES).convert("P", palette=Image.Palette.ADAPTIVE).save(root / "palette.png")
    assert np.array_equal(read_rgb(root / "palette.png"), HALVES)
    Image.new("L", (5, 4), 77).save(root / "gray.png")
    assert (read_rgb(root / "gray.png") == 77).all() and read_rgb(root / "gray.png").shape == (4, 5, 3)
    Image.new("1", (5, 4), 1).save(root / "bit.png")
    assert (read_rgb(root / "bit.png") == 255).all()


def test_sixteen_bit_and_float(root: Path) -> None:
    deep = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(deep).save(root / "deep.png")
    Image.fromarray(deep).save(root / "deep.tif")
    expected = np.arange(256).reshape(16, 16)
    assert np.array_equal(read_rgb(root / "deep.png")[..., 0], expected)
    assert np.array_equal(read_rgb(root / "deep.tif")[..., 2], expected)
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(root / "float.tif")
    assert (read_rgb(root / "float.tif") == 128).all()
    Image.fromarray(np.full((4, 4), 300.0, np.float32)).save(root / "float.tif")
    with pytest.raises(LabkitError, match=r"float\.tif cannot be read.*expected 0 to 1"):
        read_rgb(root / "float.tif")


def test_alpha_is_laid_on_white(root: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(root / "clear.png")
    assert (read_rgb(root / "clear.png") == 255).all()
    Image.new("RGBA", (4, 4), (200, 0, 0, 128)).save(root / "half.png")
    assert abs(read_rgb(root / "half.png")[0, 0].astype(int) - (227, 127, 127)).max() <= 1
    Image.new("LA", (4, 4), (0, 0)).save(root / "la.png")
    assert (read_rgb(root / "la.png") == 255).all()
    palette = Image.fromarray(HALVES).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(root / "p.png", transparency=palette.getpixel((0, 0)))
    assert (read_rgb(root / "p.png")[:, :20] == 255).all() and np.array_equal(
        read_rgb(root / "p.png")[:, 20:], HALVES[:, 20:]
    )


@pytest.mark.parametrize("size", [1, 7])
def test_one_pixel_images(root: Path, size: int) -> None:
    paint(root / "dot.png", (10, 20, 30), (1, 1))
    images = load("folder", "train", root=root, size=size).images
    assert images.shape == (1, 3, size, size) and images[0, :, 0, 0].tolist() == [10, 20, 30]
    assert load("folder", "train", root=root).images.shape == (1, 3, 1, 1)


def test_resizing_crops_the_center(root: Path) -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    Image.fromarray(wide).save(root / "wide.png")
    assert (load("folder", "train", root=root, size=5).images == 200).all()


@pytest.mark.parametrize("damage", ["truncated.jpg", "truncated.png", "text.png", "empty.jpg"])
def test_a_damaged_image_is_named(root: Path, damage: str) -> None:
    paint(root / "good.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = root / damage
    if damage.startswith("truncated"):
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b"" if damage.startswith("empty") else b"this is no picture")
    for size in (None, 16):
        with pytest.raises(LabkitError, match=f"{damage} cannot be read as an image") as caught:
            load("folder", "train+validation", root=root, size=size)
        assert "\n" not in str(caught.value)


# --- the folder -------------------------------------------------------------------------------------------------------


def test_empty_and_missing_folders(root: Path) -> None:
    (root / "notes.txt").write_text("no image")
    with pytest.raises(LabkitError, match="holds no images"):
        load("folder", "train", root=root)
    with pytest.raises(LabkitError, match="is no folder"):
        load("folder", "train", root=root / "nowhere")


def test_subfolders_are_classes_at_any_depth(root: Path) -> None:
    paint(root / "cats" / "a.png")
    paint(root / "cats" / "more" / "b.JPEG")
    paint(root / "dogs" / "c.webp")
    paint(root / ".hidden" / "d.png")
    paint(root / "cats" / ".thumb.png")
    data = load("folder", "train+validation", root=root)
    test = load("folder", "test", root=root)
    assert data.class_names == test.class_names == ("cats", "dogs") and len(data) + len(test) == 3
    assert data.images.shape[1:] == (3, 128, 128)  # 40x30: no common square
    assert str(root) not in repr(data.provenance)


def test_split_folders_are_honored(root: Path) -> None:
    fill(root, 3, "train/cats")
    paint(root / "val" / "cats" / "v.png", (210, 0, 0), (6, 6))
    paint(root / "test" / "dogs" / "t.png", (220, 0, 0), (6, 6))
    assert names(root, "train") == {0, 1, 2} and names(root, "validation") == {210} and names(root, "test") == {220}
    assert load("folder", "train", root=root).class_names == ("cats", "dogs")


def test_a_missing_validation_is_taken_from_training(root: Path) -> None:
    fill(root, 20, "train")
    paint(root / "test" / "t.png", (220, 0, 0), (6, 6))
    train, validation = names(root, "train"), names(root, "validation")
    assert len(validation) == 2 and not train & validation and len(train) == 18 and names(root, "test") == {220}


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("train/a val/b test/c stray", r"split folders test, train, val, but 'stray\.png' lies outside"),
        ("train/x/a test/x/c other/d", r"'other/d\.png' lies outside"),
        ("Train/a TEST/b Trian/c", r"'Trian/c\.png' lies outside"),
        (
            "training_set/a test_set/b",
            "almost named after splits: rename 'test_set' to test, 'training_set' to training",
        ),
        ("train-images/a/b val-images/a/c", "almost named after splits"),
        ("cats/train/a cats/test/b dogs/train/c", r"splits inside of other folders \(cats/test\): put train"),
        ("data/train/a data/test/b", r"splits inside of other folders \(data/test\): give .*data$"),
        ("cats/a dogs/b stray", r"class folders \(cats, ...\), but 'stray\.png' lies beside them"),
        ("train/cats/a train/stray test/cats/b", r"train has class folders \(cats, ...\), but 'stray\.png'"),
    ],
)
def test_a_layout_that_is_almost_a_known_one_is_refused(root: Path, images: str, message: str) -> None:
    for name in images.split():
        paint(root / f"{name}.png")
    for split in ("train", "test"):
        with pytest.raises(LabkitError, match=message):
            load("folder", split, root=root)


@pytest.mark.parametrize("images", ["cats/a dogs/b", "test_tube/a bottle/b", "a b c", "latest/a trainers/b contest/c"])
def test_a_known_layout_is_not_refused(root: Path, images: str) -> None:
    for name in images.split():
        paint(root / f"{name.replace('_', ' ')}.png")
    assert len(load("folder", "train", root=root)) > 0


def test_what_other_programs_leave_behind_is_no_image(root: Path) -> None:
    for split in ("train", "val", "test"):
        paint(root / split / "a.png")
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a.png", "notes.txt"):
            (root / split / name).write_bytes(b"x")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a.png", "README.md"):
        (root / name).write_bytes(b"x")
    paint(root / "__MACOSX" / "a.png")
    paint(root / "@eaDir" / "a.png")
    assert [len(load("folder", split, root=root)) for split in ("train", "validation", "test")] == [1, 1, 1]


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_linked_folders_are_followed_and_loops_are_not(root: Path, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", 3)
    paint(root / "dogs" / "d.png", (250, 0, 0), (6, 6))
    (root / "cats").symlink_to(tmp_path / "elsewhere")
    (root / "dogs" / "up").symlink_to(root)
    (root / "dogs" / "self").symlink_to(root / "dogs")
    (root / "nowhere").symlink_to(tmp_path / "nowhere")
    (root / "round").symlink_to(root / "round")
    data = load("folder", "train", root=root)
    assert data.class_names == ("cats", "dogs")
    assert len(data) + len(load("folder", "validation", root=root)) + len(load("folder", "test", root=root)) == 4
    (root / "kittens").symlink_to(root / "cats")
    with pytest.raises(LabkitError, match="cats and .*kittens are one folder"):
        load("folder", "train", root=root)
    (root / "kittens").unlink()
    (root / "dogs" / "x.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(LabkitError, match=r"x\.png: no such image file \(a broken link\)"):
        load("folder", "train+validation", size=6, root=root)
        load("folder", "test", size=6, root=root)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_not_left_out(root: Path) -> None:
    paint(root / "cats" / "a.png")
    paint(root / "dogs" / "b.png")
    (root / "dogs").chmod(0)
    try:
        with pytest.raises(LabkitError, match=r"dogs cannot be read \(Permission denied\)"):
            load("folder", "train", root=root)
    finally:
        (root / "dogs").chmod(0o755)


@pytest.mark.parametrize("name", ["Labels.csv", "label.csv", "labels.tsv", "labels.csv.csv"])
def test_a_table_that_is_almost_named_labels_csv_is_not_left_out(root: Path, name: str) -> None:
    fill(root, 3)
    (root / name).write_text("file,label\n000.png,cat\n")
    with pytest.raises(LabkitError, match="is not read: save it as labels.csv"):
        load("folder", "train", root=root)


@pytest.mark.parametrize(("count", "sizes"), [(3, (1, 1, 1)), (10, (8, 1, 1)), (30, (24, 3, 3))])
def test_small_folders_fill_all_splits(root: Path, count: int, sizes: tuple[int, ...]) -> None:
    fill(root, count)
    parts = [names(root, split) for split in ("train", "validation", "test")]
    assert tuple(map(len, parts)) == sizes and len(set.union(*parts)) == count


def test_large_folders_split_by_name_alone(root: Path) -> None:
    fill(root, 150)
    before = [names(root, split) for split in ("train", "validation", "test")]
    assert sum(map(len, before)) == 150 and 105 < len(before[0]) < 135 and min(map(len, before)) > 5
    for number in range(150, 200):
        paint(root / f"{number:03d}.png", (number, 0, 0), (6, 6))
    after = [names(root, split) for split in ("train", "validation", "test")]
    assert all(old == {value for value in new if value < 150} for old, new in zip(before, after, strict=True))


def test_one_image_and_an_empty_split(root: Path) -> None:
    paint(root / "a.png")
    assert len(load("folder", "train", root=root)) == 1
    with pytest.raises(LabkitError, match="has 1 images but none in split 'test'"):
        load("folder", "test", root=root)


def test_labels_csv(root: Path) -> None:
    fill(root, 6)
    lines = ["file,label,split", "000.png,cat,train", "001.png,dog,val", "002.png,cat,test", "003.png,dog,train"]
    (root / "labels.csv").write_text("\n".join(lines))
    train = load("folder", "train", root=root)
    assert train.class_names == ("cat", "dog") and train.labels.tolist() == [0, 1] and names(root, "test") == {2}
    assert len(load("folder", "train", classes="dog", root=root)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\nmissing.png,cat", r"labels\.csv line 2 names 'missing\.png', which is not in"),
        ("file,label,split\n000.png,cat,dev", r"line 2: split 'dev' is none of"),
        ("file\n000.png\n000.png", "lists a file twice"),
        ("name,label\n000.png,cat", "needs a header line file,label,split"),
        ("", "needs a header line"),
        ("file;label\n000.png;cat", "needs a header line file,label,split .with commas"),
        ("file,label,split\n000.png,cat,train\n001.png,cat,", r"gives '001\.png' no split, but others one"),
        ("file\n" + "x" * 5000, "line 2 names 'xxx"),
        ("file\n" + "x" * 200000, "cannot be read as CSV"),
        ("file,label\n,cat", "line 2 names ''"),
    ],
)
def test_bad_labels_csv(root: Path, text: str, message: str) -> None:
    fill(root, 2)
    (root / "labels.csv").write_text(text)
    with pytest.raises(LabkitError, match=message):
        load("folder", "train", root=root)


def test_the_header_of_labels_csv_may_be_in_capitals(root: Path) -> None:
    fill(root, 2)
    (root / "labels.csv").write_text("\ufeffFile , Label,SPLIT\n000.png,cat,train\n001.png,dog,Test\n")
    assert load("folder", "train", root=root).class_names == ("cat", "dog") and names(root, "test") == {1}


def test_saturation_filter(root: Path) -> None:
    for number in range(5):
        paint(root / f"gray{number}.png", (90, 90, 90), (8, 8))
        paint(root / f"red{number}.png", (200, 40, 40), (8, 8))
    everything = load("folder", "train+validation", root=root)
    vivid = load("folder", "train+validation", root=root, min_saturation=20 / 255)
    assert 0 < len(vivid) < len(everything) and (vivid.images[:, 0] == 200).all()
    with pytest.raises(LabkitError, match="min_saturation must be a number from 0 to 1. Got 20"):
        load("folder", "train", root=root, min_saturation=20)
    with pytest.raises(LabkitError, match=r"no image of mean saturation 0\.9 or more"):
        load("folder", "train", root=root, min_saturation=0.9)


# --- the cache --------------------------------------------------------------------------------------------------------


def test_images_are_decoded_once_and_again_when_they_change(
    root: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(root / "a.png", (1, 2, 3))
    first = load("folder", "train", root=root, size=8)
    assert len(list(own_cache.iterdir())) == 1  # and no temporary file is left
    with monkeypatch.context() as patch:
        patch.setattr("labkit.data.pictures.read_rgb", lambda *_: pytest.fail("decoded again"))
        again = load("folder", "train", root=root, size=8)
    assert torch.equal(first.images, again.images)
    again.images.zero_()  # a user may change his tensor: the cache stays as it is
    assert torch.equal(load("folder", "train", root=root, size=8).images, first.images)
    paint(root / "a.png", (9, 9, 9), (41, 30))
    assert (load("folder", "train", root=root, size=8).images == 9).all()


def test_a_damaged_cache_is_made_anew(root: Path, own_cache: Path) -> None:
    paint(root / "a.png", (1, 2, 3))
    load("folder", "train", root=root, size=8)
    (cached,) = own_cache.iterdir()
    cached.write_bytes(cached.read_bytes()[:50])
    assert load("folder", "train", root=root, size=8).images[0, :, 0, 0].tolist() == [1, 2, 3]


def test_without_a_cache_folder_images_are_kept_in_memory(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    paint(root / "a.png", (1, 2, 3))
    assert load("folder", "train", root=root, size=8).images[0, :, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_name_that_is_no_unicode_is_a_name(tmp_path: Path) -> None:
    for name in (b"bad\xff.png", b"a.png", b"b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / os.fsdecode(name))
    assert len(load("folder", "train", root=tmp_path)) == 1


def test_one_file_under_two_spellings_is_one_file(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("file,label\n./a.png,x\na.png,y\n")
    with pytest.raises(LabkitError, match="lists a file twice"):
        load("folder", "train", root=tmp_path)


def test_a_photograph_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name in ("cats/a.png", "cats/IMG_1.HEIC"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name, "PNG")
    with pytest.raises(LabkitError, match=r"IMG_1\.HEIC is a photograph in a format that cannot be read: save it as"):
        load("folder", "train", root=tmp_path)
