"""Figures of images: exact pixels, readable titles, names and words from the data; and images written to files."""

import numpy as np
import pytest
import torch
from figures import decode, labels

from labkit import LabkitError, plots
from labkit.color import luma
from labkit.plots import images


def test_small_images_keep_their_exact_pixel_values():
    values = torch.tensor([[255, 0, 0], [1, 2, 3], [254, 253, 252], [17, 180, 99]], dtype=torch.uint8)
    _, png, _ = plots.to_image(plots.image_grid({"row": values.T.reshape(1, 3, 2, 2)}))
    seen = {tuple(color) for color in decode(png).reshape(-1, 3)}
    assert {tuple(color.tolist()) for color in values} <= seen
    counts = [(decode(png) == color.numpy()).all(-1).sum() for color in values]
    assert max(counts) < 1.1 * min(counts)  # hard edges: four equal squares


def test_image_grid_accepts_floats_out_of_range_lists_and_one_channel():
    rows = {
        "one channel": torch.rand(2, 1, 5, 9),
        "uint8": torch.zeros(2, 3, 5, 9, dtype=torch.uint8),
        "list": [torch.rand(3, 5, 9), torch.rand(1, 5, 9)],
        "out of range": 3 * torch.randn(2, 3, 5, 9),
        "half": torch.rand(2, 3, 5, 9).half(),
        "with gradient": torch.rand(2, 3, 5, 9, requires_grad=True),
    }
    assert plots.image_grid(rows, ["first", "second"], title="Title").get_size_inches()[0] <= plots.MAX_WIDTH


@pytest.mark.parametrize("columns", [["An unusually long title that goes on"] * 6, ["Incomprehensibilities"] * 6])
def test_column_titles_never_overlap(columns):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = plots.image_grid(
        {"a row with quite a long name": torch.rand(6, 3, 8, 8), "b": torch.rand(6, 3, 8, 8)}, columns
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [text.get_window_extent() for text in figure.texts] + [axes.get_window_extent() for axes in figure.axes]
    overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert overlaps == []
    assert min(box.y0 for box in boxes) >= -1
    assert min(box.x0 for box in boxes) >= -1
    assert max(box.y1 for box in boxes) <= figure.bbox.height + 1


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ({}, None, r"got \{\}, expected .* at least one"),
        (
            {"a": torch.rand(2, 3, 4, 4), "b": torch.rand(3, 3, 4, 4)},
            None,
            "rows differ in length: got .*same number of images",
        ),
        ({"a": torch.rand(2, 2, 4, 4)}, None, r"wrong shape of a: got \(2, 2, 4, 4\)"),
        ({"a": torch.rand(4, 4)}, None, r"got \(4, 4\)"),
        ({"a": torch.rand(2, 3, 4, 4)}, ["one"], "got 1, expected one for each of 2 images"),
        ({"a": torch.full((1, 3, 4, 4), float("nan"))}, None, "got NaN or infinity"),
    ],
)
def test_image_grid_refuses(rows, columns, message):
    with pytest.raises(ValueError, match=message):
        plots.image_grid(rows, columns)


def test_what_is_no_image_is_refused_with_its_type():
    for wrong in (np.zeros((1, 3, 4, 4)), [np.zeros((3, 4, 4))], "photo.jpg", 3):
        with pytest.raises(TypeError, match="wrong type of a: got (ndarray|str|int), expected a tensor"):
            plots.image_grid({"a": wrong})


def test_more_images_than_can_be_seen_are_refused():
    figure = plots.image_grid({"true": torch.rand(40, 3, 4, 4)})
    assert figure.get_size_inches()[0] <= plots.MAX_WIDTH
    with pytest.raises(LabkitError, match=r"got 500, expected at most 44. Show fewer: images\[:8\]"):
        plots.image_grid({"true": torch.rand(500, 3, 4, 4)})


def test_integers_other_than_uint8_are_refused():
    with pytest.raises(TypeError, match=r"got torch\.int64"):
        plots.image_grid({"a": torch.zeros(1, 3, 4, 4, dtype=torch.int64)})


def test_compare_shows_two():
    figure = plots.compare(torch.rand(3, 9, 9), torch.rand(1, 1, 9, 9), ("with color", "without"))
    assert [axes.get_title() for axes in figure.axes] == ["with color", "without"]
    with pytest.raises(ValueError, match="expected one on each side"):
        plots.compare(torch.rand(2, 3, 9, 9), torch.rand(3, 9, 9))


# ------------------------------------------------------------------------------------------------------- show_rows


@pytest.fixture
def notebook(monkeypatch):
    monkeypatch.setattr(images, "in_notebook", lambda: True)


ROWS = {
    "gray": torch.full((3, 1, 8, 12), 0.5),
    "ours_now": torch.rand(3, 3, 8, 12),
    "true": torch.randint(0, 256, (3, 3, 8, 12), dtype=torch.uint8),
}


def test_show_rows_returns_a_figure_in_a_script():
    figure = plots.show_rows(**ROWS)
    assert labels(figure) == {"gray", "ours now", "true"}
    assert len(figure.axes) == 9
    assert plots.to_image(figure)[0] == "image/png"
    assert plots.to_image(figure) == plots.to_image(plots.image_grid({k.replace("_", " "): v for k, v in ROWS.items()}))


def test_show_rows_displays_in_a_notebook_with_alt_text_from_the_data(notebook, outputs):
    assert plots.show_rows(**ROWS) is None
    assert outputs[0].data["text/plain"] == (
        "3 rows of 3 images each, 12 x 8 pixels: gray (without color), ours now and true."
    )
    assert "Figure in words" in outputs[1].data["text/markdown"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"true": torch.rand(3, 8, 8)}, "One image, 8 x 8 pixels: true."),
        ({"true": torch.rand(2, 3, 8, 8)}, "One row of 2 images, 8 x 8 pixels: true."),
        (
            {"gray": torch.rand(1, 9, 7), "ours": torch.rand(1, 3, 9, 7), "true": [torch.rand(3, 9, 7)]},
            "3 images side by side, 7 x 9 pixels: gray (without color), ours and true.",
        ),
        (
            {"small": torch.zeros(2, 3, 4, 4), "mixed": [torch.rand(3, 8, 8), torch.rand(3, 6, 8)]},
            "2 rows of 2 images each: small (4 x 4 pixels, without color) and mixed (8 x 6 pixels and 8 x 8 pixels).",
        ),
    ],
)
def test_show_rows_in_words(notebook, outputs, rows, words):
    plots.show_rows(**rows)
    assert outputs[0].data["text/plain"] == words


def test_single_images_stand_side_by_side_under_their_names():
    figure = plots.show_rows(gray=torch.rand(1, 40, 60), ours=torch.rand(3, 40, 60))
    assert labels(figure) == {"", "gray", "ours"}
    left, right = (axes.get_position() for axes in figure.axes)
    assert left.y0 == pytest.approx(right.y0)
    assert left.x1 < right.x0


def test_show_rows_takes_data_sets(notebook, outputs):
    from labkit.data import load

    data = load("toyworld", "test", limit=3)
    plots.show_rows(gray=luma(data.images), true=data)
    assert outputs[0].data["text/plain"].startswith("2 rows of 3 images each, 32 x 32 pixels: gray (without color)")


def test_show_rows_refuses():
    with pytest.raises(LabkitError, match="got no rows, expected name=images"):
        plots.show_rows()
    with pytest.raises(LabkitError, match="rows differ in length: got {'a': 2, 'b': 1}"):
        plots.show_rows(a=torch.rand(2, 3, 4, 4), b=torch.rand(3, 4, 4))
    with pytest.raises(TypeError, match="wrong type of a: got str"):
        plots.show_rows(a="photo.jpg")


def test_show_rows_in_a_real_kernel():
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    source = "import torch\nfrom labkit import plots\nplots.show_rows(true=torch.zeros(2, 3, 8, 8))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    image, words = notebook.cells[0].outputs  # the figure once, not again as the cell's value
    assert image["metadata"]["image/png"]["alt"] == "One row of 2 images, 8 x 8 pixels: true (without color)."
    assert image["output_type"] == words["output_type"] == "display_data"
