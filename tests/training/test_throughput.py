"""Training speed as ratios, measured by the bench: `pytest -m slow tests/training/test_throughput.py -s`.

Only margins that hold on every machine: on an idle one labkit trains 1.6 to 2.6 times as fast as the tutorial's loop,
on a busy one more, and reaches .87 to .96 of the same network on tensors that are ready.
"""

import pytest

from labkit.bench.measure import compare
from labkit.bench.training import from_arrays, pictures


@pytest.mark.slow
def test_throughput() -> None:
    contestants = from_arrays(pictures(2560, 32), batch_size=64)
    tutorial, ready = compare("training", "2560 x 32 px", contestants, 3)
    for row in (tutorial, ready):
        print(row.cells())
    assert tutorial.ratio and tutorial.ratio >= 1.5
    assert ready.ratio and ready.ratio >= 0.85
