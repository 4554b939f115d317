"""Catch what a figure displays."""

import IPython.display
import pytest

from labkit import plots


class Output:
    """What one call of display would put into a notebook."""

    def __init__(self, shown, metadata=None, raw=False) -> None:
        self.data = shown if raw else {"text/markdown": shown._repr_markdown_()}
        self.metadata = metadata or {}


@pytest.fixture
def outputs(monkeypatch) -> list[Output]:
    """Everything that is displayed, in order."""
    caught: list[Output] = []
    monkeypatch.setattr(IPython.display, "display", lambda *a, **k: caught.append(Output(*a, **k)))
    return caught


@pytest.fixture
def displayed(outputs):
    """Show a figure and return its outputs."""

    def run(figure, alt="A gray square.", caption=None) -> list[Output]:
        outputs.clear()
        plots.show(figure, alt, caption)
        return outputs

    return run
