"""Widgets: the static figure always, and a slider that redraws while it is dragged where it can run."""

import builtins

import IPython.display
import pytest

from labkit import plots, widgets


@pytest.fixture
def live(monkeypatch):
    pytest.importorskip("ipywidgets")
    monkeypatch.setenv("LABKIT_STATIC", "0")


@pytest.fixture
def shown(monkeypatch) -> list[tuple]:
    """What was displayed, as (object or MIME bundle, metadata)."""
    outputs: list[tuple] = []
    record = lambda thing, metadata=None, raw=False: outputs.append((thing, metadata))  # noqa: E731
    monkeypatch.setattr(IPython.display, "display", record)
    return outputs


def alts(shown) -> list[str]:
    return [metadata["image/png"]["alt"] for _, metadata in shown if metadata]


def drag(draw, **changed):
    widgets.drag(
        draw, **{"name": "odds_ratio", "values": [1, 2.5, 4], "start": 2.5, "alt": lambda v: f"At <{v}>.", **changed}
    )


def line(value):
    return plots.curves({"line": [1, value]}, width=2, height=1)


def test_drag_is_a_static_figure_where_nothing_is_live(monkeypatch, shown):
    monkeypatch.setenv("LABKIT_STATIC", "1")
    drawn = []
    drag(lambda value: (drawn.append(value), line(value))[1])
    assert drawn == [2.5] and alts(shown) == ["At <2.5>."] and len(shown) == 2


def test_without_ipywidgets_the_static_figure_is_shown(live, monkeypatch, shown):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("ipywidgets"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert not widgets.is_live()
    drag(line)
    assert len(shown) == 2


def test_drag_turns_to_frames_that_are_drawn_before(live, shown):
    drawn = []
    drag(lambda value: (drawn.append(value), line(value))[1])
    assert alts(shown) == ["At <2.5>."]
    hint, slider, picture = shown[-1][0].children
    assert slider.continuous_update and slider.description == "odds ratio" and "arrow keys" in hint.value
    assert [label for label, _ in slider.options] == ["1", "2.5", "4"]
    count, frames = len(drawn), []
    assert picture.value == ""
    for index in (0, 2, 1, 0):
        slider.value = index
        frames.append(picture.value)
    assert len(drawn) == count == 4 and len(set(frames)) == 3 and frames[0] == frames[-1]
    assert 'alt="At &lt;1&gt;."' in frames[0] and "data:image/png;base64," in frames[0]


@pytest.mark.parametrize("changed", [{"values": [2.5]}, {"start": 3}])
def test_drag_refuses_what_cannot_be_dragged(changed):
    with pytest.raises(ValueError, match="wrong slider odds_ratio: got values .* expected two or more"):
        drag(line, **changed)
