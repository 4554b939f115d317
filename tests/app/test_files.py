"""Colorizing files and folders: structure, formats, metadata, bad ones, and how much it takes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from serving import guided_model

from labkit import LabkitError
from labkit.app.files import Look, find_photos
from labkit.cli import main
from labkit.color import luma, scale_to_gamut
from labkit.colorizer import Colorizer
from labkit.enlarge import add_enlarged
from labkit.images import read_image, read_metadata


def call(*arguments: str) -> int:
    try:
        main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def picture(path: Path, size: tuple[int, int] = (40, 30), seed: int = 0, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(40, 220, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained model that takes hints and has styles."""
    folder = tmp_path_factory.mktemp("guided")
    guided_model().save(folder)
    return folder


def test_a_folder_keeps_its_structure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album = tmp_path / "album"
    for name in ("a.jpg", "sea/a.jpg", "sea/deep/b.png", ".hidden/c.png", "sea/notes.txt", "sea/old.colorized.png"):
        if name.endswith(".txt"):
            (album / name).write_text("no picture")
        else:
            picture(album / name)
    out = tmp_path / "out"
    assert call("colorize", str(album), "--out", str(out)) == 0
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert made == ["a.colorized.png", "sea/a.colorized.png", "sea/deep/b.colorized.png"]
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert call("colorize", str(album)) == 0  # beside each photograph
    assert call("colorize", str(album)) == 0  # and again: results are no photographs
    assert len(list(album.rglob("*.colorized.*"))) == 4
    (tmp_path / "empty").mkdir()
    assert call("colorize", str(tmp_path / "empty")) == 2
    assert "holds no photographs" in capsys.readouterr().err


def test_a_bad_one_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album = tmp_path / "album"
    picture(album / "a.png")
    picture(album / "z.png")
    (album / "bad.jpg").write_bytes(b"\xff\xd8 no picture")
    (album / "raw.dng").write_bytes(b"II*\0")
    (album / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert call("colorize", str(album), "--out", str(tmp_path / "out")) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    first, *failed = said.err.splitlines()
    assert first == "labkit: 3 of 5 failed:"
    assert "bad.jpg cannot be read as an image" in failed[0] and "raw.dng is a photograph in a format" in failed[2]
    assert "phone.heic" in failed[1]


@pytest.mark.parametrize(("kind", "suffix", "name"), [("jpeg", ".jpg", "JPEG"), ("webp", ".webp", "WEBP")])
def test_formats_and_quality(kind: str, suffix: str, name: str, tmp_path: Path) -> None:
    photo = picture(tmp_path / "a.png", (200, 150))
    sizes = []
    for quality in (20, 95):
        out = tmp_path / str(quality)
        assert call("colorize", str(photo), "--format", kind, "--quality", str(quality), "--out", str(out)) == 0
        result = out / f"a.colorized{suffix}"
        sizes.append(result.stat().st_size)
        with Image.open(result) as image:
            assert image.format == name and image.size == (200, 150)
    assert sizes[0] < sizes[1]
    assert call("colorize", str(photo), "--format", "bmp") == 2


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_date_and_profile_are_kept_and_the_place_is_not(kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0132] = "2001:02:03 04:05:06"
    exif[0x0112] = 6  # turned: must not be turned twice
    exif[0x8769] = {0x9003: "2001:02:03 04:05:06", 0x9010: "+01:00"}
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0)}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = picture(tmp_path / "a.jpg", exif=exif, icc_profile=profile)
    assert call("colorize", str(photo), "--format", kind, "--out", str(tmp_path / "no")) == 0
    assert call("colorize", str(photo), "--format", kind, "--keep-gps", "--out", str(tmp_path / "yes")) == 0
    for folder, has_place in (("no", False), ("yes", True)):
        [result] = (tmp_path / folder).iterdir()
        with Image.open(result) as image:
            assert image.size == (30, 40)
            found = image.getexif()
            assert image.info["icc_profile"] == profile
        assert found[0x0132] == "2001:02:03 04:05:06" and 0x0112 not in found
        assert found.get_ifd(0x8769)[0x9003] == "2001:02:03 04:05:06"
        assert bool(found.get_ifd(0x8825)) == has_place


def test_a_gray_profile_and_broken_metadata_are_left_out(tmp_path: Path) -> None:
    gray = bytearray(128)
    gray[16:20] = b"GRAY"
    photo = tmp_path / "a.png"
    Image.new("L", (20, 20), 90).save(photo, icc_profile=bytes(gray))
    assert read_metadata(photo).icc_profile is None
    assert read_metadata(tmp_path / "none.png").exif is None
    assert call("colorize", str(photo)) == 0


def test_the_starter_refuses_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = tmp_path / "plain"
    Colorizer("luma-chroma", "unet-half", width=8).save(plain)
    photo = str(picture(tmp_path / "a.png"))
    for options, said in (
        (["--hint", "1,2,#ff0000"], "takes no color hints"),
        (["--style", "vivid"], "predicts one color"),
        (["--samples", "2"], "predicts one color"),
        (["--style", "loud"], "unknown style: got 'loud'"),
    ):
        assert call("colorize", photo, "--model", str(plain), *options) == 2
        assert said in (err := capsys.readouterr().err) and len(err.splitlines()) == 1
    assert call("colorize", photo, "--model", str(plain), "--strength", "0") == 0
    pixels = read_image(tmp_path / "a.colorized.png").int()
    assert int((pixels - pixels[:1]).abs().max()) == 0  # gray


def test_hints_styles_and_samples_change_the_result(guided: Path, tmp_path: Path) -> None:
    photo = str(picture(tmp_path / "a.png", (90, 70)))
    hints = tmp_path / "hints.json"
    hints.write_text(json.dumps([{"x": 40, "y": 30, "color": "#ff0000"}]))
    results = []
    for number, options in enumerate([[], ["--hint", "40,30,#ff0000"], ["--hint", str(hints)], ["--style", "vivid"]]):
        out = tmp_path / str(number)
        assert call("colorize", photo, "--model", str(guided), "--out", str(out), *options) == 0
        results.append(read_image(out / "a.colorized.png"))
    plain, hinted, from_file, vivid = results
    assert torch.equal(hinted, from_file) and not torch.equal(plain, hinted) and not torch.equal(plain, vivid)
    assert call("colorize", photo, "--model", str(guided), "--out", str(tmp_path / "s"), "--samples", "3") == 0
    samples = [read_image(tmp_path / "s" / f"a.colorized.{number}.png") for number in (1, 2, 3)]
    assert not torch.equal(samples[0], samples[1]) and not torch.equal(samples[1], samples[2])
    assert int((luma(samples[0]) - luma(samples[1])).abs().max() * 255) <= 1
    assert call("colorize", photo, "--model", str(guided), "--hint", "500,3,#ff0000") == 1  # outside of this photo


def test_the_card_says_what_size_suits_the_model(guided: Path) -> None:
    model, seen = Colorizer.load(guided), []
    model.network.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].shape))
    Look().apply(model, torch.rand(3, 96, 120))
    Look(working_size=64).apply(model, torch.rand(3, 96, 120))
    Look(working_size=32).apply(model, torch.rand(3, 40, 40))
    # each copy twice, as it is and mirrored; one of the model's own size is always among them
    sizes = [(48, 60), (48, 60), (64, 80), (32, 32), (40, 40)]
    assert [tuple(shape[-2:]) for shape in seen] == [size for size in sizes for _ in range(2)]
    seen.clear()
    model.colorize(torch.rand(3, 96, 120))
    assert [tuple(shape[-2:]) for shape in seen] == [(48, 60)]


@pytest.mark.parametrize("name", ["luma-chroma", "ab313-luma", "rgb"])
def test_copies_of_two_sizes_are_averaged(name: str) -> None:
    """By hand: the mean of the predictions, at the size of the larger copy."""
    model = Colorizer(name, "unet", width=4, about={"working_size": 16})
    image = torch.rand(3, 48, 64)
    gray = model.representation.gray(image[None])
    if name == "rgb":  # predicts luma: always at the image's own size
        assert torch.equal(model.colorize(image, working_size=24, size_average=True), model.colorize(image))
        return
    small, large = (
        model.predict(torch.nn.functional.interpolate(gray, size=size, mode="bilinear", antialias=True))
        for size in ((16, 21), (24, 32))
    )
    mean = (torch.nn.functional.interpolate(small, size=(24, 32), mode="bilinear") + large) / 2
    representation = model.styled("faithful")
    expected = representation.enlarge(gray, representation.colors(mean))[0]
    torch.testing.assert_close(model.colorize(image, working_size=24, size_average=True), expected)
    assert torch.equal(model.colorize(image, size_average=True), model.colorize(image))  # one size, one prediction
    model.about["fine_size"] = 24
    torch.testing.assert_close(model.colorize(image, size_average=True), expected)
    assert model.fine_size == 24 and torch.equal(model.colorize(image), model.colorize(image, working_size=16))


def test_enlarging_is_torch_s_bicubic_scaled_into_the_gamut() -> None:
    torch.manual_seed(0)
    gray, difference = torch.rand(2, 1, 301, 203), 0.3 * torch.randn(2, 3, 20, 31)
    difference = difference - luma(difference)
    large = torch.nn.functional.interpolate(difference, size=(301, 203), mode="bicubic", align_corners=False)
    torch.testing.assert_close(add_enlarged(gray, difference), scale_to_gamut(gray + large), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["luma-chroma", "yuv", "lab", "ab313", "ab313-luma"])
def test_a_large_photograph_keeps_its_gray(name: str) -> None:
    model = Colorizer(name, "unet-guided", width=8, depth=3)
    image = torch.rand(3, 80, 100)
    result = model.colorize(image, working_size=32)
    gray = model.representation.gray
    torch.testing.assert_close(gray(result[None]), gray(image[None]), atol=2e-3, rtol=0)


def test_two_results_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        picture(tmp_path / folder / "x.png")
    with pytest.raises(LabkitError, match="would both become"):
        find_photos([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert len(find_photos([tmp_path / "a", tmp_path / "b"], None)) == 2


@pytest.mark.slow
def test_two_hundred_mixed_files_with_twenty_damaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    album = tmp_path / "album"
    kinds = [("png", "RGB"), ("jpg", "RGB"), ("webp", "RGB"), ("tif", "RGB"), ("bmp", "RGB"), ("png", "RGBA")]
    kinds += [("png", "L"), ("png", "P"), ("jpg", "CMYK"), ("gif", "P")]
    for number in range(200):
        suffix, mode = kinds[number % len(kinds)]
        path = album / f"{number % 7}" / f"{number:03d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = (int(side) for side in rng.integers(1, 300, 2))
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode).save(path)
        if number % 10 == 3:  # damaged: cut off, overwritten in the middle, empty, or no picture at all
            data = path.read_bytes()
            damage = [data[: len(data) // 3], b"", b"GIF89a" + data[:9], bytes(rng.integers(0, 256, 500, np.uint8))]
            path.write_bytes(damage[number // 10 % 4])
    command = [sys.executable, "-m", "labkit", "colorize", str(album), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[0] == "labkit: 20 of 200 failed:"
    assert len(done.stdout.splitlines()) == 180 == sum(path.is_file() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.slow
def test_24_megapixels_stay_within_3_gigabytes(tmp_path: Path) -> None:
    pytest.importorskip("resource")  # not on Windows
    photo = picture(tmp_path / "large.jpg", (6000, 4000), quality=92)
    code = (
        "import resource, sys\nfrom labkit.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as end: assert not end.code\n"
        "usage = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(usage.ru_maxrss // 1024, usage.ru_utime + usage.ru_stime)"
    )
    command = [sys.executable, "-c", code, "colorize", str(photo), "--format", "jpeg"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=True)
    megabytes, seconds = done.stdout.splitlines()[-1].split()
    assert int(megabytes) < 3000
    assert float(seconds) < 20  # of the processor, start included: ten seconds on two cores
