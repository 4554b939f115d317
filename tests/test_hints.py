"""Color hints: their forms, their planes, simulated ones, and a network that follows them."""

import json
from pathlib import Path

import pytest
import torch

from labkit import LabkitError
from labkit.color import rgb_to_lab
from labkit.colorizer import Colorizer
from labkit.data.toyworld import MATERIALS, generate, material
from labkit.hints import Hint, hint_planes, parse_hint, random_hints, read_hints, simulated_hints
from labkit.models import make_network


def test_hints_are_read_from_texts_and_files(tmp_path: Path) -> None:
    assert parse_hint("12, 3.5,#ff8000") == Hint(12, 3.5, (255, 128, 0)) == parse_hint("12,3.5,FF8000")
    file = tmp_path / "hints.json"
    file.write_text(json.dumps(["1,2,#000102", {"x": 3, "y": 4, "color": "#030405"}]))
    assert read_hints(["0,0,#ffffff", str(file)])[1:] == [Hint(1, 2, (0, 1, 2)), Hint(3, 4, (3, 4, 5))]
    file.write_text('{"x": 1}')
    with pytest.raises(LabkitError, match="no list of hints"):
        read_hints([str(file)])
    file.write_text("[[1, 2]]")
    with pytest.raises(LabkitError, match="or an object with x, y and color"):
        read_hints([str(file)])
    with pytest.raises(LabkitError, match="cannot be read as JSON hints"):
        read_hints([str(tmp_path / "none.json")])
    with pytest.raises(LabkitError, match="too many hints"):
        read_hints(["0,0,#ffffff"] * 1001)


@pytest.mark.parametrize("text", ["", "1,2", "1,2,red", "1,2,#fff", "nan,2,#ffffff", "a,b,#ffffff", "1,2,#ffffff,4"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(LabkitError, match=r"a hint is x,y,#rrggbb"):
        parse_hint(text)


def test_planes_hold_the_color_at_its_place() -> None:
    planes = hint_planes([Hint(300, 100, (255, 0, 0))], (400, 600), (64, 96))
    assert planes.shape == (3, 64, 96)
    rows, columns = planes[0].nonzero(as_tuple=True)
    assert rows.min() == 15 and rows.max() == 17 and columns.min() == 47 and columns.max() == 49
    red = rgb_to_lab(torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None])[1:, 0, 0] / 110
    torch.testing.assert_close(planes[1:, 16, 48], red)
    assert (planes[1:, planes[0] == 0] == 0).all()
    with pytest.raises(LabkitError, match="a hint at 600,0 lies outside of the image of 600x400 pixels"):
        hint_planes([Hint(600, 0, (0, 0, 0))], (400, 600), (64, 96))


def test_simulated_hints_tell_the_true_color() -> None:
    torch.manual_seed(0)
    rgb = torch.tensor([200, 60, 40], dtype=torch.uint8)[:, None, None].expand(3, 16, 20)
    images = torch.stack([rgb] * 400)
    planes = simulated_hints(images, 0.5)
    given = planes[:, 0].flatten(1).any(dim=1)
    assert 0.4 < given.float().mean() < 0.6
    assert (planes[:, 1:] == 0)[~given].all()
    ab = rgb_to_lab(rgb)[1:, :1, :1] / 110
    inside = planes[:, :1].bool().expand(-1, 2, -1, -1)
    torch.testing.assert_close(planes[:, 1:][inside], ab.expand(400, 2, 16, 20)[inside])
    assert planes.shape == (400, 3, 16, 20) and set(planes[:, 0].unique().tolist()) == {0.0, 1.0}
    assert (simulated_hints(images, 0.0) == 0).all()


def test_the_number_of_hints_is_kept() -> None:
    torch.manual_seed(1)
    rgb = torch.randint(0, 256, (200, 3, 64, 64), dtype=torch.uint8)
    one, ten = (random_hints(rgb, torch.full((200,), count)) for count in (1, 10))
    area = one[:, 0].sum(dim=(1, 2))
    assert area.min() >= 1 and area.max() == 25 and 5 * area.mean() < ten[:, 0].sum(dim=(1, 2)).mean()


def test_a_network_without_hint_planes_is_refused() -> None:
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    with pytest.raises(LabkitError, match="hints need a network that takes them. Got 'unet'"):
        Colorizer("luma-chroma", "unet-half", width=8).fit(images, epochs=1, hints=0.5, progress=False)


def test_empty_planes_are_no_hints() -> None:
    torch.manual_seed(0)
    network = make_network("unet-guided", 2, width=8, depth=3).eval()
    gray = torch.rand(2, 1, 20, 16)
    assert torch.equal(network(gray), network(torch.cat([gray, torch.zeros(2, 3, 20, 16)], dim=1)))


@pytest.mark.slow
def test_a_hint_on_one_ball_colors_that_ball_and_not_its_twin() -> None:
    model = Colorizer("luma-chroma", "unet-guided", width=16, depth=3)
    model.fit(generate(3000, seed=1).images, epochs=8, hints=0.7, progress=False)
    world = generate(400, seed=2, split="test")
    ball = material("ball")
    kind = [entry.name for entry in MATERIALS].index("ball")
    own, twin = [], []
    for image, shown in zip(world.images, world.material, strict=True):
        mask = shown[4:-4, 4:-4] == kind
        if mask.sum() < 25:
            continue
        pair = torch.cat([image, image.flip(-1)], dim=-1)  # the scene beside its mirror image: every ball has a twin
        rows, columns = (shown == kind).nonzero(as_tuple=True)
        middle = len(rows) // 2
        x, y = int(columns[middle]), int(rows[middle])
        left = torch.zeros(32, 64, dtype=torch.bool)
        left[:, :32] = (shown == kind) & _near(shown, x, y)
        right = left.flip(-1)
        automatic = model.colorize(pair)
        for color in ball.colors:
            hinted = model.colorize(pair, hints=[Hint(x, y, color)])
            target = rgb_to_lab(torch.tensor(color, dtype=torch.uint8)[:, None, None])[1:]
            before, after = (_distance(rgb, target, left) for rgb in (automatic, hinted))
            own.append(after / before)
            twin.append(float((rgb_to_lab(hinted) - rgb_to_lab(automatic))[1:, right].norm(dim=0).mean()))
    assert len(own) >= 30
    assert sorted(own)[len(own) // 2] < 0.35  # the ball takes the color of the hint
    assert sorted(twin)[len(twin) // 2] < 3  # its twin keeps its own: 2 is just noticeable


def _near(shown: torch.Tensor, x: int, y: int) -> torch.Tensor:
    """Whether a pixel is within 3 pixels of a place: on the same ball."""
    rows, columns = torch.meshgrid(torch.arange(shown.shape[0]), torch.arange(shown.shape[1]), indexing="ij")
    return ((rows - y).square() + (columns - x).square()) <= 9


def _distance(rgb: torch.Tensor, ab: torch.Tensor, mask: torch.Tensor) -> float:
    return float((rgb_to_lab(rgb)[1:] - ab)[:, mask].norm(dim=0).mean())
