"""Files are wholly there or not at all."""

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import LabkitError, artifacts


def test_write_text_makes_folders_and_keeps_line_ends(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.txt"
    artifacts.write_text(target, "é\r\nx\n")
    assert target.read_bytes() == "é\r\nx\n".encode()
    assert os.listdir(target.parent) == ["b.txt"]


def test_replacing_replaces_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    artifacts.write_bytes(target, b"old")
    with artifacts.replacing(target) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.suffix == ".safetensors" and temporary.parent == tmp_path
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.json"
    artifacts.write_text(target, "old")
    with pytest.raises(error), artifacts.replacing(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        artifacts.write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_sha256(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    assert artifacts.sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_a_folder_is_claimed_by_one_process_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    hold = "import sys; from labkit.artifacts import claim_folder\nwith claim_folder(sys.argv[1]): print(1); input()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", hold, out], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline()
        told = r"another labkit is writing into .*out: wait for it, or choose another --out"
        with pytest.raises(LabkitError, match=told), artifacts.claim_folder(out):
            pass
        process.kill()
    for _ in range(2):  # a killed process gives it back, and so does the end of a block
        with artifacts.claim_folder(out) as folder:
            assert folder == out and folder.is_dir()
