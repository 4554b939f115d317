"""Widgets: the static figure always, the live panel where it can run, and controls that redraw."""

import builtins

import IPython.display
import pytest

from labkit import plots, widgets

CONTROLS = {"alpha": (0.0, 1.0, 0.1), "bin_count": (1, 30, 1), "space": ["rgb", "lab"], "blurred": False}
STATIC = {"alpha": 0.5, "bin_count": 24, "space": "lab", "blurred": True}


class Drawing:
    def __init__(self) -> None:
        self.calls: list[dict] = []

    def __call__(self, **values):
        self.calls.append(values)
        return plots.curves({"line": [1, 2]}, width=2, height=1)


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


def explore(draw) -> None:
    widgets.explore(draw, alt="A line.", static=STATIC, caption="Words.", **CONTROLS)


def alts(shown) -> list[str]:
    return [metadata["image/png"]["alt"] for _, metadata in shown if metadata]


def test_static_shows_the_static_figure_alone(monkeypatch, shown):
    monkeypatch.setenv("LABKIT_STATIC", "1")
    draw = Drawing()
    explore(draw)
    assert draw.calls == [STATIC]
    assert len(shown) == 2
    assert alts(shown) == ["A line."]


def test_without_ipywidgets_the_static_figure_is_shown(live, monkeypatch, shown):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("ipywidgets"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert not widgets.is_live()
    explore(Drawing())
    assert len(shown) == 2


def test_live_shows_the_static_figure_and_a_panel(live, shown):
    draw = Drawing()
    explore(draw)
    assert alts(shown) == ["A line."]
    assert len(shown) == 3
    assert draw.calls == [STATIC]  # the panel draws only when touched


def test_controls_redraw(live, shown):
    import ipywidgets

    draw = Drawing()
    box = widgets.panel(draw, alt="A line.", static=STATIC, controls=CONTROLS)
    _, alpha, count, space, blurred, _ = box.children
    kinds = (ipywidgets.FloatSlider, ipywidgets.IntSlider, ipywidgets.Dropdown, ipywidgets.Checkbox, ipywidgets.Output)
    assert [type(w) for w in box.children[1:]] == list(kinds)
    assert [w.description for w in (alpha, count, space, blurred)] == ["alpha", "bin count", "space", "blurred"]
    assert (alpha.continuous_update, count.continuous_update) == (False, False)
    assert {name: w.value for name, w in zip(STATIC, box.children[1:], strict=False)} == STATIC

    alpha.value = 0.8
    space.value = "rgb"
    blurred.value = False
    assert draw.calls[-1] == {"alpha": 0.8, "bin_count": 24, "space": "rgb", "blurred": False}
    assert len(draw.calls) == 3
    assert alts(shown)[-1] == "At first: A line. Now drawn with alpha 0.8, bin count 24, space rgb, blurred False."


@pytest.mark.parametrize(
    ("control", "value", "message"),
    [
        ((0, 1), 0, r"wrong slider x: got \(0, 1\), expected three numbers"),
        ((1, 0, 1), 0, "wrong slider x: .* expected low < high"),
        ((0, 1, 0), 0, "step > 0"),
        ((0, 10, 1), 11, "wrong static value of x: got 11"),
        ((0, 10, 1), 2.5, "got 2.5"),
        (["a", "b"], "c", "got 'c'"),
        (True, "yes", "got 'yes'"),
        ("ab", "a", "wrong control x: got 'ab', expected .* a list or a bool"),
    ],
)
def test_bad_controls_are_refused(control, value, message):
    with pytest.raises(ValueError, match=message):
        widgets.explore(Drawing(), alt="A line.", static={"x": value}, x=control)


def test_static_must_name_each_control():
    with pytest.raises(ValueError, match=r"got \['y'\] and \['x'\]"):
        widgets.explore(Drawing(), alt="A line.", static={"y": 1}, x=(0, 1, 1))


# A slider that redraws while it is dragged


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


def test_a_live_kernel_redraws_in_place(monkeypatch):
    """In a real kernel: the Output widget holds exactly the newest figure."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("LABKIT_STATIC", "0")
    source = """
from labkit import plots, widgets
draw = lambda x: plots.curves({"line": [1, x]}, width=2, height=1)
box = widgets.panel(draw, alt="A line.", static={"x": 1}, controls={"x": (1, 5, 1)})
display(box)
box.children[1].value = 2
box.children[1].value = 4
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client = nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3")
    client.execute()
    states = [state for state in client.widget_state.values() if state.get("_model_name") == "OutputModel"]
    (outputs,) = [state["outputs"] for state in states]
    assert [set(out["data"]) for out in outputs] == [{"image/png", "text/plain"}, {"text/markdown", "text/plain"}]
    assert outputs[0]["metadata"]["image/png"]["alt"] == "At first: A line. Now drawn with x 4."
