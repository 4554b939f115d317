"""What all tests share: three processes for the whole suite, where the real data are, and quiet, static figures."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("LABKIT_STATIC", "1")
os.environ["COLUMNS"] = "100"  # where printed lines break must not depend on whose terminal it is
WORKERS = 3  # for two cores: much of the time a test waits for a kernel to start or for another process
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if IS_WORKER:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch slows down many times over where threads outnumber the cores


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Plain ``pytest`` runs on three processes; what names a file, ``-n`` or ``-m`` runs as it says.

    Not in pyproject's addopts: there it would tear a student's notebook apart, whose cells nbval runs in order.
    """
    plain = config.args_source is pytest.Config.ArgsSource.TESTPATHS and config.option.markexpr == "not slow"
    parallel = config.pluginmanager.hasplugin("xdist") and not IS_WORKER  # a worker must not start workers of its own
    if plain and parallel and config.option.numprocesses is None:
        config.option.numprocesses = WORKERS
        config.option.dist = "worksteal"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real CIFAR-10 (``cifar10/cifar-10-batches-py``) and flowers (``flowers17``)."""
    sibling = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("LABKIT_REALDATA", sibling))
    if not (root / "cifar10" / "cifar-10-batches-py").is_dir():
        pytest.skip(f"no real CIFAR-10 under {root}: set LABKIT_REALDATA to a folder that holds cifar10/")
    return root
