"""Pictures as a viewer shows them, whatever else their files hold; and one line that names a file that is none."""

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labkit import LabkitError
from labkit.colorizer import read_image
from labkit.data import load
from labkit.data.pictures import read_rgb, read_size

HALVES = np.zeros((20, 40, 3), np.uint8)  # left red, right blue
HALVES[:, :20] = (250, 10, 10)
HALVES[:, 20:] = (10, 10, 250)
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SIGNED, FLOAT = 1, 2, 3, 4, 5, 7, 10, 11


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def tag(number: int, kind: int, count: int, value: bytes) -> bytes:
    """One entry of an IFD, with a value of up to four bytes or an offset."""
    return struct.pack("<HHI", number, kind, count) + value[:4].ljust(4, b"\0")


def exif(*entries: bytes, orientation: int = 6, count: int | None = None, tail: bytes = b"") -> bytes:
    """An EXIF block, little-endian: the orientation and these entries."""
    entries = (tag(0x0112, SHORT, 1, struct.pack("<H", orientation)), *entries)
    number = len(entries) if count is None else count
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", number) + b"".join(entries) + b"\0\0\0\0" + tail


ODD = {
    "plain": exif(),
    "resolution is text": exif(tag(0x011A, ASCII, 4, b"300\0"), tag(0x0128, SHORT, 1, b"\2\0")),
    "resolution is negative": exif(tag(0x011A, SIGNED, 1, struct.pack("<I", 38)), tail=struct.pack("<ii", -72, 1)),
    "resolution is divided by zero": exif(
        tag(0x011A, RATIONAL, 1, struct.pack("<I", 38)), tail=struct.pack("<II", 72, 0)
    ),
    "resolution is a float": exif(tag(0x011A, FLOAT, 1, struct.pack("<f", float("nan")))),
    "unit is text": exif(tag(0x0128, ASCII, 2, b"in")),
    "date is a number": exif(tag(0x0132, SHORT, 1, b"\1\0")),
    "maker is a short": exif(tag(0x010F, SHORT, 2, b"\1\0\2\0")),
    "offset beyond the end": exif(tag(0x010F, ASCII, 99, struct.pack("<I", 2**31))),
    "count beyond all bounds": exif(tag(0x010F, ASCII, 2**32 - 1, struct.pack("<I", 8))),
    "a type that there is not": exif(tag(0x010F, 99, 1, b"abc")),
    "EXIF folder that is text": exif(tag(0x8769, ASCII, 4, b"abc")),
    "EXIF folder is itself": exif(tag(0x8769, LONG, 1, struct.pack("<I", 8))),
    "GPS folder beyond the end": exif(tag(0x8825, LONG, 1, struct.pack("<I", 2**30))),
    "GPS folder is a short": exif(tag(0x8825, SHORT, 1, b"\7\0")),
    "preview that is no number": exif(tag(0x014A, UNDEFINED, 4, b"\xff\xff\xff\xff")),
    "more entries than bytes": exif(count=9000),
}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("oddity", ODD)
def test_an_odd_tag_does_not_hide_the_picture_nor_its_orientation(tmp_path: Path, oddity: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(HALVES).save(path, exif=ODD[oddity], quality=95)
    rgb = read_rgb(path)
    assert rgb.shape == (40, 20, 3) and rgb[5, 10, 0] > 200 and rgb[35, 10, 2] > 200
    assert read_size(path) == (40, 20)
    assert tuple(read_image(path).shape) == (3, 40, 20)
    (tmp_path / "set").mkdir()
    path.rename(tmp_path / "set" / path.name)
    assert load("folder", "train", size=20, root=tmp_path / "set").images[0, 0, 2, 10] > 200


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0XX*\0\x08\0\0\0\0\0",
        b"not exif at all",
        exif(orientation=0),
        exif(orientation=9),
        exif(orientation=65535),
        b"Exif\0\0II*\0\x08\0\0\0\1\0" + tag(0x0112, ASCII, 2, b"6\0"),
        b"Exif\0\0II*\0\x08\0\0\0\1\0" + tag(0x0112, BYTE, 1, b"\6"),
        b"Exif\0\0II*\0\x08\0\0\0\1\0" + tag(0x0112, RATIONAL, 1, struct.pack("<I", 2**20)),
    ],
)
def test_damaged_exif_and_orientations_that_are_none_leave_the_picture_upright(tmp_path: Path, block: bytes) -> None:
    Image.fromarray(HALVES).save(tmp_path / "a.jpg", exif=block, quality=95)
    assert read_rgb(tmp_path / "a.jpg").shape == (20, 40, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png", ".webp"])
def test_every_orientation_is_that_of_a_viewer(tmp_path: Path, orientation: int, suffix: str) -> None:
    corners = np.zeros((16, 32, 3), np.uint8)
    corners[:8, :16] = 255  # white top left, red top right
    corners[:8, 16:] = (255, 0, 0)
    # where the two lie when shown, as (row, column) of the halves: EXIF 2.32, orientation
    shown = {1: "00 01", 2: "01 00", 3: "11 10", 4: "10 11", 5: "00 10", 6: "01 11", 7: "11 01", 8: "10 00"}
    about = Image.Exif()
    about[0x0112] = orientation
    Image.fromarray(corners).save(tmp_path / f"a{suffix}", exif=about, quality=95)
    rgb = read_rgb(tmp_path / f"a{suffix}").astype(int)
    height, width = rgb.shape[:2]
    assert (height, width) == ((16, 32) if orientation < 5 else (32, 16))
    white, red = (
        (height * (1 + 2 * int(r)) // 4, width * (1 + 2 * int(c)) // 4) for r, c in shown[orientation].split()
    )
    assert rgb[white].min() > 200 and rgb[red][0] > 200 and rgb[red][1] < 60


def test_a_tiff_with_odd_tags_is_shown_turned(tmp_path: Path) -> None:
    about = Image.Exif()
    about[0x0112] = 6
    Image.fromarray(HALVES).save(tmp_path / "a.tif", exif=about)
    data = (tmp_path / "a.tif").read_bytes()
    # ResolutionUnit (0x0128) or whatever tag comes last, given another type: the file is still a picture
    for kind in (BYTE, ASCII, FLOAT, UNDEFINED):
        for number in (0x0112 + 4, 0x011C, 0x0128):
            at = data.find(struct.pack("<HH", number, SHORT))
            if at > 0 and number not in (0x0116,):
                (tmp_path / "b.tif").write_bytes(data[: at + 2] + struct.pack("<H", kind) + data[at + 4 :])
                assert read_rgb(tmp_path / "b.tif").shape[2] == 3


# --- 32 bits, and other depths


def gray(folder: Path, values: np.ndarray, suffix: str = ".tif") -> np.ndarray:
    Image.fromarray(values).save(folder / f"a{suffix}")
    rgb = read_rgb(folder / f"a{suffix}")
    assert (rgb == rgb[..., :1]).all()
    return rgb[..., 0]


RAMP = np.arange(256).reshape(16, 16)


@pytest.mark.parametrize(
    "values",
    [
        RAMP.astype(np.int32),
        (RAMP * 257).astype(np.int32),
        (RAMP / 255).astype(np.float32),
        RAMP.astype(np.float32),
        (RAMP * 257).astype(np.float32),
        RAMP.astype(np.float32) + np.float32(0.3) * (RAMP < 255) - np.float32(0.2) * (RAMP == 0),
        (RAMP / 255 * 1.004).astype(np.float32),
        (RAMP * 257).astype(np.uint16),
    ],
)
def test_the_scale_of_deep_files_is_told_from_the_values(tmp_path: Path, values: np.ndarray) -> None:
    assert abs(gray(tmp_path, values).astype(int) - RAMP).max() <= 1


def test_a_dark_picture_of_sixteen_bits_stays_dark(tmp_path: Path) -> None:
    for suffix in (".png", ".tif"):
        assert (gray(tmp_path, np.full((4, 4), 255, np.uint16), suffix) == 1).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), -1.0, 300.0, 70000.0, 1e30])
def test_pixels_that_are_no_gray_are_refused(tmp_path: Path, bad: float) -> None:
    values = np.full((4, 4), 0.5, np.float32)
    values[1, 2] = bad
    with pytest.raises(LabkitError, match=r"a\.tif cannot be read as an image \(values from .* expected 0 to 1, 255"):
        gray(tmp_path, values)
    if np.isfinite(bad) and abs(bad) < 2**31:
        with pytest.raises(LabkitError, match="expected 0 to 255 or 65535"):
            gray(tmp_path, np.full((2, 2), int(bad), np.int32))


def test_modes_that_pillow_does_not_convert_itself(tmp_path: Path) -> None:
    Image.fromarray(HALVES).resize((8, 8)).convert("RGB").save(tmp_path / "rgb.tif")
    lab = Image.new("LAB", (4, 4), (128, 128, 128))
    lab.save(tmp_path / "lab.tif")
    assert abs(read_rgb(tmp_path / "lab.tif").astype(int) - 119).max() <= 2  # L* 50 is sRGB 119
    for mode, color in (("La", (0, 0)), ("RGBa", (0, 0, 0, 0)), ("PA", (0, 0)), ("HSV", (0, 0, 255)), ("1", 1)):
        assert (read_image(Image.new(mode, (3, 2), color)) == 255).all(), mode


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ((250, 0, 0), (0, 250, 0))]
    for suffix in (".gif", ".webp", ".png", ".tif"):
        options = {} if suffix == ".tif" else {"duration": 50}
        frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], **options)
        red = read_rgb(tmp_path / f"a{suffix}")[4, 4].astype(int)
        assert red[0] > 220 and red[1] < 30, suffix


# --- what is no picture


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links")
def test_what_is_no_file_is_named_and_nothing_waits(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "empty.jpg").touch()
    told = {
        "folder.jpg": "is no file",
        "link.jpg": "no such image file \\(a broken link\\)",
        "loop.jpg": "cannot be read|no such image file",
        "pipe.jpg": "is no file",
        "empty.jpg": "cannot be read as an image",
        "absent.jpg": "no such image file",
        "x" * 300 + ".jpg": "cannot be read|no such image file",
        "nul\0.jpg": "cannot be read|no such image file",
    }
    for name, reason in told.items():
        for read in (read_rgb, read_size, read_image):
            with pytest.raises(LabkitError, match=reason) as caught:
                read(tmp_path / name)
            assert name.replace("\0", "?") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(LabkitError, match=r"a\.png cannot be read .*Permission denied"):
        read_rgb(tmp_path / "a.png")


def test_a_decompression_bomb_and_a_lack_of_memory_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    with pytest.raises(LabkitError, match=r"bomb\.png cannot be read as an image \(Image size"):
        read_rgb(tmp_path / "bomb.png")

    def full(self: Image.Image) -> None:
        raise MemoryError

    Image.new("1", (2, 2)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", full)
    with pytest.raises(LabkitError, match=r"a\.png needs more memory than there is"):
        read_rgb(tmp_path / "a.png")
