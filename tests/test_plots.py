"""Figures: accessible, small, true to the pixels, and nothing left behind."""

import base64
import io
from types import SimpleNamespace

import IPython.display
import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from labkit import plots


def decode(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def photographs(count: int = 5) -> torch.Tensor:
    """Rough pictures that compress badly: smooth color with fine noise, as photographs have."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(count, 3, 6, 6, generator=generator), size=(256, 256), mode="bicubic"
    )
    return (smooth + 0.06 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


def grays(images: torch.Tensor) -> torch.Tensor:
    return images.mean(1, keepdim=True)


class Output:
    """What one call of display would put into a notebook."""

    def __init__(self, shown, metadata=None, raw=False) -> None:
        self.data = shown if raw else {"text/markdown": shown._repr_markdown_()}
        self.metadata = metadata or {}


@pytest.fixture
def displayed(monkeypatch):
    def run(figure, alt="A gray square.", caption=None) -> list[Output]:
        outputs: list[Output] = []
        monkeypatch.setattr(IPython.display, "display", lambda *a, **k: outputs.append(Output(*a, **k)))
        plots.show(figure, alt, caption)
        return outputs

    return run


def small_grid():
    return plots.image_grid({"true": torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))})


def test_show_displays_one_image_with_alt_then_the_caption(displayed):
    outputs = displayed(small_grid(), "Three  noisy\n squares & more.", "What a *caption* says.")
    assert len(outputs) == 2
    image, caption = outputs
    assert set(image.data) == {"image/png", "text/plain"}
    assert image.metadata["image/png"]["alt"] == "Three noisy squares & more."
    assert image.data["text/plain"] == "Three noisy squares & more."
    assert decode(image.data["image/png"]).ndim == 3
    text = caption.data["text/markdown"]
    assert text.startswith("*What a *caption* says.*\n\n")
    assert "Three noisy squares &amp; more.</details>" in text


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_show_refuses_an_empty_alt(alt):
    with pytest.raises(ValueError, match="alt"):
        plots.show(small_grid(), alt)


def test_alt_reaches_a_notebook_and_its_html(displayed):
    nbformat = pytest.importorskip("nbformat")
    nbconvert = pytest.importorskip("nbconvert")
    image, caption = displayed(small_grid(), 'Three "noisy" squares.', "Caption.")
    v4 = nbformat.v4
    png = base64.b64encode(image.data["image/png"]).decode()
    outputs = [
        v4.new_output("display_data", data={**image.data, "image/png": png}, metadata=image.metadata),
        v4.new_output("display_data", data=caption.data),
    ]
    notebook = v4.new_notebook(cells=[v4.new_code_cell("show()", outputs=outputs)])
    nbformat.validate(notebook)
    classic, _ = nbconvert.HTMLExporter(template_name="classic").from_notebook_node(notebook)
    assert 'alt="Three &#34;noisy&#34; squares."' in classic or "alt='Three \"noisy\" squares.'" in classic
    lab, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)  # its template knows no alt: hence the words below
    assert '<summary>Figure in words</summary>Three "noisy" squares.</details>' in lab
    assert "<em>Caption.</em>" in lab


@pytest.mark.parametrize(
    "draw",
    [
        lambda p: plots.image_grid({"gray": grays(p), "colorized": 0.5 * p + 0.2, "true": p}, list("abcde")),
        lambda p: plots.compare(p[0], p[1]),
        lambda p: plots.image_grid({f"row {i}": p for i in range(4)}),
    ],
)
def test_photographs_stay_under_150_kb(displayed, draw):
    image = displayed(draw(photographs()))[0]
    (mime,) = (key for key in image.data if key.startswith("image/"))
    assert len(base64.b64encode(image.data[mime])) <= 150_000
    assert tuple(decode(image.data[mime])[0, 0]) == (255, 255, 255)
    assert 300 < image.metadata[mime]["width"] <= 800


def test_photographs_keep_their_colors():
    """Chroma is not subsampled: mean error below 2 of 255 against the exact picture, and no hue is lost."""
    figure = plots.image_grid({"true": photographs()})
    exact = plots.to_image(figure, max_bytes=10**8)
    small = plots.to_image(figure, max_bytes=60_000)
    assert (exact[0], small[0]) == ("image/png", "image/jpeg")
    wanted = Image.open(io.BytesIO(exact[1])).convert("RGB")
    got = Image.open(io.BytesIO(small[1])).convert("RGB").resize(wanted.size)
    difference = np.asarray(wanted).astype(float) - np.asarray(got)
    assert abs(difference.mean(axis=(0, 1))).max() < 2


def test_impossible_size_is_refused():
    with pytest.raises(ValueError, match="more than 2000 bytes: show fewer or smaller"):
        plots.to_image(plots.image_grid({"true": photographs(2)}), max_bytes=2000)


def test_same_figure_same_bytes_without_metadata():
    _, first, _ = plots.to_image(small_grid())
    _, second, _ = plots.to_image(small_grid())
    assert first == second
    assert Image.open(io.BytesIO(first)).info == {}


def test_show_closes_figures_of_pyplot_too(displayed):
    import matplotlib.pyplot as plt

    figure, _ = plt.subplots()
    displayed(figure)
    assert plt.get_fignums() == []


def test_global_settings_stay_as_they_are(displayed):
    before = dict(mpl.rcParams)
    displayed(plots.curves({"a": [1, 2, 3]}))
    plots.subplots()
    assert dict(mpl.rcParams) == before


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
        ({}, None, r"at least one. Got \{\}"),
        ({"a": torch.rand(2, 3, 4, 4), "b": torch.rand(3, 3, 4, 4)}, None, "same number of images.*Got"),
        ({"a": torch.rand(2, 2, 4, 4)}, None, r"a: images must be .*Got \(2, 2, 4, 4\)"),
        ({"a": torch.rand(4, 4)}, None, r"Got \(4, 4\)"),
        ({"a": torch.rand(2, 3, 4, 4)}, ["one"], "one title for each of 2 images. Got 1"),
        ({"a": torch.full((1, 3, 4, 4), float("nan"))}, None, "finite. Got NaN"),
    ],
)
def test_image_grid_refuses(rows, columns, message):
    with pytest.raises(ValueError, match=message):
        plots.image_grid(rows, columns)


def test_integers_other_than_uint8_are_refused():
    with pytest.raises(TypeError, match=r"Got torch\.int64"):
        plots.image_grid({"a": torch.zeros(1, 3, 4, 4, dtype=torch.int64)})


def labels(figure) -> set[str]:
    return {text.get_text() for axes in figure.axes for text in axes.texts} | {text.get_text() for text in figure.texts}


def test_bars_write_their_numbers():
    figure = plots.bars(
        {"U-Net": 0.0038, "CNN": 0.0067, "not printed": None},
        "MSE",
        better="lower",
        reference=("gray baseline", 0.005985),
        highlight=["CNN"],
    )
    assert {"0.0038", "0.0067", "not given", "gray baseline: 0.005985"} <= labels(figure)
    assert figure.axes[0].get_xlabel() == "MSE  (lower is better)"
    assert [bar.get_hatch() for bar in figure.axes[0].patches] == ["", "////", ""]


def test_bars_in_groups_differ_without_color():
    figure = plots.bars({"RGB": {"no skips": 0.0064, "skips": 0.0038}, "chroma": {"no skips": 0.0036, "skips": None}})
    assert len({bar.get_hatch() for bar in figure.axes[0].patches}) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["no skips", "skips"]
    with pytest.raises(ValueError, match="better"):
        plots.bars({"a": 1.0}, better="more")
    with pytest.raises(ValueError, match="Got none"):
        plots.bars({})


def test_curves_from_a_history():
    rows = [{"epoch": i, "train_loss": 1 / i, "validation_loss": None if i < 3 else 2 / i} for i in range(1, 6)]
    figure = plots.curves(SimpleNamespace(rows=rows), log=True, optimum={"floor": 0.1})
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert set(lines) == {"training", "validation", "floor: 0.1"}
    assert list(lines["validation"].get_xdata()) == [3, 4, 5]
    assert len({line.get_linestyle() for line in lines.values()}) == 3
    assert figure.axes[0].get_yscale() == "log"


def test_curves_from_a_mapping():
    figure = plots.curves({"a": torch.tensor([3.0, 2.0]), "b": ([0.0, 0.5], [1.0, 4.0])}, optimum=1.5)
    a, b, floor = figure.axes[0].lines
    assert list(a.get_xdata()) == [1, 2]
    assert list(b.get_xdata()) == [0, 0.5]
    assert floor.get_label() == "optimum: 1.5"
    with pytest.raises(ValueError, match="Got 2 and 1"):
        plots.curves({"a": ([1, 2], [1])})
    with pytest.raises(ValueError, match="Got none"):
        plots.curves([])


FIVE = torch.tensor([[226, 76, 51], [24, 182, 35], [40, 142, 199], [227, 45, 208], [196, 94, 37]], dtype=torch.uint8)


def test_swatches_show_the_colors_and_say_them():
    figure = plots.swatches(
        FIVE, ["red", "green", "blue", "magenta", "brown"], probabilities=torch.full((5,), 0.2), show_gray=True
    )
    assert {"red\n20 %", "226, 76, 51\ngray 118.0"} <= labels(figure)
    seen = {tuple(color) for color in decode(plots.to_image(figure)[1]).reshape(-1, 3)}
    assert {tuple(color.tolist()) for color in FIVE} <= seen
    assert (118, 118, 118) in seen


def test_swatches_in_rows():
    figure = plots.swatches({"predicted": FIVE / 255.0, "measured": FIVE})
    assert {"predicted", "measured"} <= labels(figure)
    assert len(figure.axes) == 10
    with pytest.raises(ValueError, match="same number of colors"):
        plots.swatches({"a": FIVE, "b": FIVE[:2]})
    with pytest.raises(ValueError, match="labels must hold one entry for each of 5 colors"):
        plots.swatches(FIVE, ["red"])
    with pytest.raises(ValueError, match=r"Got \(3,\)"):
        plots.swatches(FIVE[0])


def test_posterior_bars_are_the_colors():
    figure = plots.posterior_bars(FIVE, [0.5, 0.3, 0.2, 0.0, 0.0], marks={"mean": FIVE.float().mean(0) / 255})
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.5, 0.3, 0.2]  # the padding is left out
    faces = [tuple(round(255 * v) for v in bar.get_facecolor()[:3]) for bar in axes.patches]
    assert faces == [tuple(color.tolist()) for color in FIVE[:3]]
    assert "143, 108, 106" in labels(figure)
    with pytest.raises(ValueError, match="agree in length"):
        plots.posterior_bars(FIVE, [0.5, 0.5])
    with pytest.raises(ValueError, match="above 0"):
        plots.posterior_bars(FIVE[:1], [0.0])


def test_compare_shows_two():
    figure = plots.compare(torch.rand(3, 9, 9), torch.rand(1, 1, 9, 9), ("with color", "without"))
    assert [axes.get_title() for axes in figure.axes] == ["with color", "without"]
    with pytest.raises(ValueError, match="one image on each side"):
        plots.compare(torch.rand(2, 3, 9, 9), torch.rand(3, 9, 9))
