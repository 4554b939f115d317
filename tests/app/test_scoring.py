"""Scores of looks, and the decoding of styles that they compare."""

import pytest
import torch
from serving import guided_model

from labkit import LabkitError
from labkit.app.files import Look
from labkit.app.propagation import spread_hints
from labkit.app.scoring import score_look, score_table
from labkit.cli import main
from labkit.color import luma, rgb_to_lab
from labkit.colorizer import Colorizer
from labkit.data import load
from labkit.data.toyworld import generate
from labkit.hints import Hint, hint_planes
from labkit.representation import Classification, make_representation


@pytest.fixture(scope="module")
def model() -> Colorizer:
    return guided_model()


def test_gray_scores_nothing_and_hints_of_everything_help(model: Colorizer) -> None:
    images = generate(40, seed=5).images
    gray = score_look(model, images, Look(working_size=0, strength=0.0))
    assert gray["skill"] == pytest.approx(0, abs=1e-4) and gray["hue"] == 0
    assert gray["colorfulness"] < 0.5 < gray["true colorfulness"]
    rows = score_table(model, images, styles=["faithful", "vivid"], working_sizes=[0, 16], hints=[0, 5])
    assert [(row["style"], row["working size"], row["hints"]) for row in rows] == [
        *(("faithful", size, 0) for size in ("own", 16)), ("faithful", "own", 5),
        *(("vivid", size, 0) for size in ("own", 16)), ("vivid", "own", 5), ("hints alone", "own", 5),
    ]  # fmt: skip
    assert score_look(model, images, Look(), 5) == score_look(model, images, Look(), 5)  # the same places each time
    with pytest.raises(LabkitError, match="takes no color hints"):
        score_look(Colorizer("luma-chroma", "unet-half", width=8), images, Look(), 5)


def test_hints_alone_spread_to_the_edges_of_gray() -> None:
    """Two flat halves: one hint in each colors its half, and no more. A luma of its own is kept."""
    true = torch.zeros(1, 3, 12, 16)
    true[..., :8] = torch.tensor([0.8, 0.3, 0.2])[:, None, None]
    true[..., 8:] = torch.tensor([0.1, 0.2, 0.6])[:, None, None]
    planes = hint_planes([Hint(2, 3, (204, 76, 51)), Hint(13, 8, (26, 51, 153))], (12, 16), (12, 16))
    out = spread_hints(true, planes[None])
    torch.testing.assert_close(out, true, atol=0.02, rtol=0)
    torch.testing.assert_close(luma(out), luma(true), atol=1e-4, rtol=0)
    everywhere = torch.cat([torch.ones(1, 1, 12, 16), rgb_to_lab(true)[:, 1:] / 110], dim=1)
    torch.testing.assert_close(spread_hints(true, everywhere), true, atol=1e-3, rtol=0)


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["score", "--dataset", "toyworld", "--limit", "8"])
    assert end.value.code == 0 and "skill" in capsys.readouterr().out


def test_vivid_gives_rare_colors_more_weight() -> None:
    representation = make_representation("ab313-luma")
    assert isinstance(representation, Classification)
    colors = torch.zeros(64, 3, 16, 16, dtype=torch.uint8)
    colors[:, 0], colors[:, 1], colors[:, 2] = 120, 118, 116
    colors[:2, 0] = 220  # red is rare
    representation.fit(colors)
    assert representation.weights is not None
    centers = representation.quantizer.centers
    red, gray = (int((centers - torch.tensor(ab)).norm(dim=1).argmin()) for ab in ((60.0, 40.0), (0.0, 0.0)))
    assert representation.weights[red] > 3 * representation.weights[gray]
    logits = torch.full((1, 313, 2, 2), -9.0)
    logits[:, red], logits[:, gray] = 0.0, 0.5  # gray is a little more probable
    faithful, vivid = (representation.styled(style).colors(logits)[0, 0, 0, 0] for style in ("faithful", "vivid"))
    assert float(vivid) > float(faithful) + 5
    target = representation.target(colors)
    assert representation.encode_bins(target)[2] is None  # the loss is not weighted


def test_samples_differ_in_color_and_are_smooth(model: Colorizer) -> None:
    image = generate(1, seed=3).images[0]
    samples = [model.colorize(image, sample=number) for number in range(4)]
    again = model.colorize(image, sample=2)
    assert torch.equal(samples[2], again)
    ab = torch.stack([rgb_to_lab(sample)[1:] for sample in samples])
    assert ab.std(dim=0).mean() > 0.5


def test_styles_of_the_card_survive_a_file(model: Colorizer, tmp_path) -> None:
    model.save(tmp_path)
    again = Colorizer.load(tmp_path)
    image = load("photos", "test", size=48).images[0]
    for style in ("faithful", "vivid"):
        assert torch.equal(again.colorize(image, style=style), model.colorize(image, style=style))
    assert again.styles == ("faithful", "vivid") and again.takes_hints
