"""Small valid files with some of their bytes changed: whatever reads them gives a result or one line, and in time.

Half a minute for all kinds together. For longer: LABKIT_FUZZ_SECONDS=600 pytest tests/test_fuzz.py; LABKIT_FUZZ_SEED
gives other cases. A case depends on the seed and its number alone, so that a failure can be repeated.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from labkit import LabkitError
from labkit.colorizer import CARD_FILE, STARTER, WEIGHTS_FILE, Colorizer
from labkit.course import report
from labkit.course.jobs import _require_python
from labkit.course.labs import lab_parameters, read_notebook
from labkit.data import load
from labkit.data.pictures import read_rgb, read_size
from labkit.experiments import measured
from labkit.grading import gradebook
from labkit.grading.handed_in import find_submissions
from labkit.grading.submission import Unreadable, parse
from labkit.ledger import Entry, Ledger
from labkit.training.checkpoint import Checkpoint

KINDS = 6
SECONDS = float(os.environ.get("LABKIT_FUZZ_SECONDS", "24")) / KINDS
SEED = int(os.environ.get("LABKIT_FUZZ_SEED", "0"))
SLOW = 20.0  # seconds that nothing small may take, on a busy machine
GROWTH = 200e6  # bytes that the process may keep

# What Pillow reads but does not write: how such files begin.
READ_ONLY = {
    "PSD": b"8BPS\0\1\0\0\0\0\0\0\0\3\0\0\0\x10\0\0\0\x10\0\x08\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    "XPM": b'/* XPM */\nstatic char *a[] = {\n"2 2 2 1",\n"a c #ff0000",\n"b c #0000ff",\n"ab",\n"ba"};\n',
    "FITS": b"".join(
        card.ljust(80)
        for card in (b"SIMPLE  = T", b"BITPIX  = 8", b"NAXIS   = 2", b"NAXIS1  = 4", b"NAXIS2  = 4", b"END")
    ).ljust(2880)
    + bytes(16),
    "PCD": bytes(2048) + b"PCD_" + bytes(2000),
    "FLI": b"\x80\0\0\0\x11\xaf\1\0\4\0\4\0\x08\0" + bytes(114),
    "GBR": b"\0\0\0\x1c\0\0\0\2\0\0\0\4\0\0\0\4\0\0\0\1GIMP\0\0\0\1" + bytes(20),
    "CUR": b"\0\0\2\0\1\0\4\4\0\0\0\0\0\0\x30\0\0\0\x16\0\0\0" + bytes(60),
    "DCX": b"\xb1\x68\xde\x3a\x0c\0\0\0\0\0\0\0\n\5\1\x08\0\0\0\0\3\0\3\0" + bytes(120),
    "SUN": b"\x59\xa6\x6a\x95\0\0\0\4\0\0\0\4\0\0\0\x08\0\0\0\x10\0\0\0\1\0\0\0\0\0\0\0\0" + bytes(16),
    "MCIDAS": b"\0\0\0\0\0\0\0\4" + bytes(300),
    "XVTHUMB": b"P7 332\n#END_OF_COMMENTS\n4 4 255\n" + bytes(16),
    "IPTC": b"\x1c\3\x3c\0\2\1\1\x1c\3\x14\0\2\0\4\x1c\3\x1e\0\2\0\4" + bytes(30),
    "PIXAR": b"\x80\xe8\0\0" + bytes(600),
    "FTEX": b"FTEX\0\0\0\0\4\0\0\0\4\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\x20\0\0\0" + bytes(64),
    "IMT": b"width 4\nheight 4\n\x0c" + bytes(16),
    "WMF": b"\xd7\xcd\xc6\x9a\0\0\0\0\0\0\x10\0\x10\0\x60\0" + bytes(40),
    "MPEG": b"\0\0\1\xb3\x01\x00\x10" + bytes(20),
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n{ } loop\n",
}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The same with a few small damages, of the kinds that disks, editors and mischief make."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(out) + 1)
        length = rng.choice((1, 1, 2, 4, 8, 64))
        match rng.randrange(8):
            case 0:
                out = out[:at]  # cut
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = rng.randbytes(length)
            case 3:
                out[at:at] = out[at : at + length]  # doubled
            case 4:
                out[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\x80"))
            case 5:
                out[at : at + 1] = rng.choice((b"{", b"}", b"[", b'"', b"\n", b",", b"-", b"9", b"\0", b"\xe9", b"e"))
            case _:
                if at < len(out):
                    out[at] ^= 1 << rng.randrange(8)
    return bytes(out)


def survive(name: str, seeds: dict[str, bytes], read: Callable[[str, bytes], object]) -> int:
    """Read mutated files until the time is up; only LabkitError may come out, as one line. Returns how many."""
    end, count = time.monotonic() + SECONDS, 0
    before = psutil.Process().memory_info().rss
    names = sorted(seeds)
    while time.monotonic() < end:
        which = names[count % len(names)]
        data = mutated(seeds[which], random.Random(f"{SEED} {name} {count}"))
        started = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(which, data)
        except (LabkitError, Unreadable) as error:
            assert "\n" not in str(error), f"{name} {count} {which}: {error}"
        except Exception as error:
            raise AssertionError(f"{name}, case {count} ({which}), seed {SEED}: {type(error).__name__}") from error
        assert time.monotonic() - started < SLOW, f"{name} {count} {which} took {time.monotonic() - started:.0f} s"
        count += 1
    assert psutil.Process().memory_info().rss - before < GROWTH, f"{name}: memory grows"
    print(f"{name}: {count} cases in {SECONDS:.0f} s")
    return count


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pictures() -> dict[str, bytes]:
    """A small picture in every format that Pillow writes and reads, in every mode that the format takes."""
    found = {f"{name} read only": data for name, data in READ_ONLY.items()}
    ramp = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    about = Image.Exif()
    about[0x0112] = 6
    about[0x010F] = "maker"
    Image.init()
    for name in sorted(set(Image.SAVE) & set(Image.OPEN)):
        for mode in ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "I", "F", "LAB"):
            buffer = io.BytesIO()
            try:
                image = ramp.convert("L").convert(mode) if mode in ("I;16", "I", "F") else ramp.convert(mode)
                image.save(buffer, format=name, exif=about)
            except Exception:  # this format does not take this mode
                continue
            found[f"{name} {mode}"] = buffer.getvalue()
    for name, options in {"GIF": {}, "WEBP": {}, "TIFF": {"compression": "tiff_lzw"}, "PNG": {}, "MPO": {}}.items():
        buffer = io.BytesIO()
        ramp.save(buffer, format=name, save_all=True, append_images=[ramp.rotate(90)], **options)
        found[f"{name} frames"] = buffer.getvalue()
    return found


def test_pictures(tmp_path: Path) -> None:
    seeds = pictures()
    wanted = {"PNG RGB", "JPEG RGB", "TIFF F", "WEBP RGBA", "GIF P", "MPO frames"}
    assert wanted | ({"AVIF RGB"} if ".avif" in Image.registered_extensions() else set()) <= set(seeds)  # Pillow 11.3
    path = tmp_path / "a.png"

    def read(which: str, data: bytes) -> None:
        path.write_bytes(data)
        read_size(path)
        rgb = read_rgb(path, 4 if len(data) % 2 else None)
        assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.size

    assert survive("pictures", seeds, read) > 20


def notebook() -> bytes:
    payload = {"table": {"key": "k", "caption": "c", "columns": ["a"], "rows": [{"a": 1}]}, "numbers": {"x": 1.5}}
    data = {"application/vnd.labkit.results+json": payload, "image/png": "iVBORw0KGgo=", "text/plain": "x"}
    cells = [
        new_markdown_cell("# Title"),
        new_code_cell('profile: str = "auto"  # x\nn: list[int] = [1]', metadata={"tags": ["parameters"]}),
        new_code_cell(
            "1", outputs=[new_output("display_data", data, metadata={"image/png": {"alt": "a", "width": 3}})]
        ),
        new_code_cell("x", outputs=[new_output("error", ename="E", evalue="v", traceback=["t"])]),
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.writes(new_notebook(cells=cells, metadata=metadata)).encode()


def test_notebooks(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": "1", "outputs": [], "language": "python"}]}]}
    old |= {"nbformat": 3, "nbformat_minor": 0, "metadata": {}}
    seeds = {"new": notebook(), "old": json.dumps(old).encode()}

    def read(which: str, data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(Unreadable):
            parse("a.ipynb", data)
        _require_python(path)
        lab_parameters(path)
        report.collect(read_notebook(path))

    assert survive("notebooks", seeds, read) > 20


def test_tables(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    row = measured.Row("r", "s", "mse", "quick", 0, 0.1, 0.2, None, 9, 1.0, "cpu", 1, "2", "1", "2026", "d", "c")
    measured.merge(tmp_path / "m.csv", [row])
    seeds = {
        "labels": b"file,label,split\na.png,x,train\nb.png,y,test\nc.png,x,val\n",
        "gradebook": b'student_id,score,override,comment\nann,3,4.5,"a, b"\n\'=bob,1,,\n',
        "class": b"student_id,file,submitted\nann,a.ipynb,2026-03-01T23:59\nbob,b.ipynb,2026-03-01\n",
        "measured": (tmp_path / "m.csv").read_bytes(),
    }

    def read(which: str, data: bytes) -> None:
        path = tmp_path / ("labels.csv" if which == "labels" else "table.csv")
        path.write_bytes(data)
        if which == "labels":
            load("folder", "train", size=4, root=tmp_path)
        elif which == "gradebook":
            gradebook.read_overrides(path)
        elif which == "class":
            find_submissions(path, tmp_path)
        else:
            measured.read(path)

    assert survive("tables", seeds, read) > 20


def test_model_files(tmp_path: Path) -> None:
    card, weights = (STARTER / CARD_FILE).read_bytes(), (STARTER / WEIGHTS_FILE).read_bytes()
    header = 8 + int.from_bytes(weights[:8], "little")  # mutated with more zeal: the rest is only numbers

    def read(which: str, data: bytes) -> None:
        mine, theirs = (data, weights) if which == "card" else (card, data + weights[header:])
        if which == "weights":
            changed = {**json.loads(card), "sha256": hashlib.sha256(theirs).hexdigest()}
            mine = json.dumps(changed).encode()
        (tmp_path / CARD_FILE).write_bytes(mine)
        (tmp_path / WEIGHTS_FILE).write_bytes(theirs)
        Colorizer.load(tmp_path)

    assert survive("model files", {"card": card, "weights": weights[:header]}, read) > 20


def test_checkpoints(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, {"seed": 0})
    checkpoint.write({"weights.a": torch.ones(2, 3), "step": torch.tensor(3)}, {"epoch": 1, "best": 0.5})
    data = checkpoint.file.read_bytes()

    def read(which: str, data: bytes) -> None:
        checkpoint.file.write_bytes(data)
        checkpoint.read(lambda tensors, state: tensors["weights.a"].reshape(2, 3) + state["epoch"])

    assert survive("checkpoints", {"checkpoint": data}, read) > 20


def test_ledgers(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for key in ("a", "b"):
        ledger.append(Entry(kind="run", key=key, input_hash="0" * 64, status="ok", output=f"{key}.ipynb"))
    data = ledger.path.read_bytes()

    def read(which: str, data: bytes) -> None:
        ledger.path.write_bytes(data)
        for entry in ledger.entries():
            ledger.done("run", entry.key, entry.input_hash)
        ledger.append(Entry(kind="run", key="c", input_hash="0", status="ok"))
        assert ledger.entries()[-1].key == "c"

    assert survive("ledgers", {"ledger": data}, read) > 20
