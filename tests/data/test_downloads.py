"""Every way in which a download can fail: one line with a remedy, and no half file. The servers are on this machine."""

import contextlib
import errno
import hashlib
import io
import os
import pickle
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit import LabkitError
from labkit.data import load

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-gzip\r\n"


def serve_once_each(answer: bytes) -> tuple[str, socket.socket]:
    """A server that reads a request, sends these bytes whatever was asked, and closes; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    connection.recv(65536)
                    connection.sendall(answer)

    threading.Thread(target=work, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}", listener


@pytest.fixture
def serve() -> Iterator[Any]:
    listeners = []

    def begin(answer: bytes) -> str:
        address, listener = serve_once_each(answer)
        listeners.append(listener)
        return address

    yield begin
    for listener in listeners:
        listener.close()


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A CIFAR-10 of six images as its tar archive; torchvision knows its checksums."""
    from torchvision.datasets import CIFAR10

    files: dict[str, bytes] = {}
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        files[name] = pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [0]})
    files["batches.meta"] = pickle.dumps({"label_names": list("abcdefghij")})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    checksums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{n}", checksums[f"data_batch_{n}"]] for n in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", checksums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": checksums["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(buffer.getvalue()).hexdigest())
    monkeypatch.setattr("urllib.request._opener", None)  # urllib keeps the first one, with the proxies of that moment
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return buffer.getvalue()


def refused(root: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> str:
    """The one line that a failed download gives; it must leave nothing behind."""
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", url)
    with pytest.raises(LabkitError) as caught:
        load("cifar10", "train", root=root)
    said = str(caught.value)
    assert said.isprintable() and len(said) < 1000
    assert url in said and "LABKIT_DATA" in said and "data_batch_1 is missing" in said
    assert [path for path in root.rglob("*") if path.is_file()] == [] and list(root.iterdir()) == []
    return said


ANSWERS = {
    "nothing": b"",
    "garbage": bytes(range(256)) * 4,
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a status that is no number": b"HTTP/1.1 OK fine\r\n\r\n",
    "a version that there is not": b"HTTP/9.9 200 OK\r\n\r\n",
    "an overlong status line": b"HTTP/1.1 200 " + b"x" * 70000 + b"\r\n\r\n",
    "an overlong header": OK + b"X: " + b"x" * 70000 + b"\r\n\r\n",
    "too many headers": OK + b"".join(b"X-%d: y\r\n" % n for n in range(300)) + b"\r\n",
    "half a body": OK + b"Content-Length: 5000\r\n\r\nhalf",
    "no body": OK + b"Content-Length: 0\r\n\r\n",
    "a cut chunked body": OK + b"Transfer-Encoding: chunked\r\n\r\n1000\r\nhalf",
    "a chunk whose size is none": OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhalf\r\n",
    "an overlong chunk line": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 70000,
    "a negative length": OK + b"Content-Length: -5\r\n\r\nhalf",
    "a login page": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<html>log in</html> ",
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    "404 with control characters": b"HTTP/1.1 404 \x1b[31mNo\x07\r\nContent-Length: 0\r\n\r\n",
    "503": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n",
    "a redirect to another protocol": b"HTTP/1.1 302 Found\r\nLocation: ftp2://x\r\nContent-Length: 0\r\n\r\n",
    "a redirect to no address": b"HTTP/1.1 302 Found\r\nLocation: http://[::x/\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_a_server_answers(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Any, answer: str
) -> None:
    said = refused(tmp_path, monkeypatch, f"http://{serve(ANSWERS[answer])}/cifar-10-python.tar.gz")
    assert "check the network and its proxy" in said


def test_a_redirect_without_end(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Any) -> None:
    again = b"HTTP/1.1 302 Found\r\nLocation: /cifar-10-python.tar.gz\r\nContent-Length: 0\r\n\r\n"
    refused(tmp_path, monkeypatch, f"http://{serve(again)}/cifar-10-python.tar.gz")


@pytest.mark.parametrize("answer", ["nothing", "garbage", "ssh", "403", "an overlong header", "a login page"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_whatever_a_proxy_answers(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Any, answer: str, scheme: str
) -> None:
    address = serve(ANSWERS[answer])
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://{address}")
    refused(tmp_path, monkeypatch, f"{scheme}://data.invalid/cifar-10-python.tar.gz")


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "http://[", "nonsense", "http://127.0.0.1:port"])
def test_a_proxy_that_is_none(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    refused(tmp_path, monkeypatch, "http://data.invalid/cifar-10-python.tar.gz")


def test_no_such_host(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, monkeypatch, "http://data.invalid/cifar-10-python.tar.gz")


def test_a_silent_server(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.data.torchvision_sets.PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said = refused(tmp_path, monkeypatch, f"http://127.0.0.1:{listener.getsockname()[1]}/cifar-10-python.tar.gz")
    assert "timed out" in said


def body(content: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n" % len(content) + content


def test_a_wrong_checksum_and_an_archive_that_is_none(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Any
) -> None:
    from torchvision.datasets import CIFAR10

    wrong = archive[:-10] + bytes(10)
    url = f"http://{serve(body(wrong))}/cifar-10-python.tar.gz"
    assert "what came is not the data set: its checksum differs" in refused(tmp_path, monkeypatch, url)
    for content in (b"", b"no archive at all", archive[:60]):  # and the publisher's checksum is of the same
        monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(content).hexdigest())
        refused(tmp_path, monkeypatch, f"http://{serve(body(content))}/cifar-10-python.tar.gz")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), MemoryError()])
def test_a_full_disk(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Any, error: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", full)
    assert "make room" in refused(tmp_path, monkeypatch, "http://data.invalid/cifar-10-python.tar.gz")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_root_that_cannot_be_written(archive: bytes, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LabkitError, match="Permission denied.*LABKIT_DATA"):
        load("cifar10", "train", root=tmp_path)
    tmp_path.chmod(0o700)


def test_a_root_that_is_a_file(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabkitError, match="LABKIT_DATA"):
        load("cifar10", "train", root=tmp_path / "file")


def test_ctrl_c_leaves_nothing(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(url: str, root: str, **_: object) -> None:
        (Path(root) / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load("cifar10", "train", root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_data_set_itself_and_an_archive_put_there_by_hand(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Any
) -> None:
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", f"http://{serve(body(archive))}/cifar-10-python.tar.gz")
    assert len(load("cifar10", "train+validation", root=tmp_path)) == 5
    monkeypatch.setattr(CIFAR10, "url", "http://data.invalid/cifar-10-python.tar.gz")
    (tmp_path / "b" / "cifar10").mkdir(parents=True)
    (tmp_path / "b" / "cifar10" / "cifar-10-python.tar.gz").write_bytes(archive)
    assert len(load("cifar10", "test", root=tmp_path / "b")) == 1
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["cifar10"]


def test_the_command_says_it_in_one_line(archive: bytes, tmp_path: Path, serve: Any) -> None:
    """In a real process, through a proxy: what is printed besides comes from torchvision's progress bar."""
    environment = {**os.environ, "https_proxy": f"http://{serve(ANSWERS['garbage'])}", "LABKIT_DATA": str(tmp_path)}
    environment["http_proxy"] = environment["https_proxy"]
    command = [sys.executable, "-m", "labkit", "train", "--dataset", "cifar10", "--epochs", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("labkit: cifar10 is not in ")
    assert list(tmp_path.iterdir()) == []
