"""What all tests share: where the real data are, and quiet, static figures."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("LABKIT_STATIC", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real CIFAR-10 (``cifar10/cifar-10-batches-py``) and flowers (``flowers17``)."""
    sibling = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("LABKIT_REALDATA", sibling))
    if not (root / "cifar10" / "cifar-10-batches-py").is_dir():
        pytest.skip(f"no real CIFAR-10 under {root}: set LABKIT_REALDATA to a folder that holds cifar10/")
    return root
