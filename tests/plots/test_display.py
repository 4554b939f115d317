"""Displayed figures: accessible, small, true to the pixels, and nothing left behind."""

import base64
import io

import matplotlib as mpl
import numpy as np
import pytest
from figures import decode, grays, photographs, small_grid
from PIL import Image

from labkit import plots


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
    with pytest.raises(ValueError, match="bytes, expected at most 2000. Show fewer or smaller"):
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
