"""Close-ups of toyworld: windows around one thing, and what is measured on them."""

import pytest
import torch

from labkit.color import luma, to_float
from labkit.data.close_ups import CloseUps, close_ups, draw_colors, total_variation
from labkit.data.toyworld import generate
from labkit.errors import LabkitError


@pytest.fixture(scope="module")
def balls() -> CloseUps:
    return close_ups(40, seed=1, split="test")


def test_each_picture_shows_one_whole_thing(balls: CloseUps) -> None:
    assert balls.images.shape == (40, 3, 16, 16) and balls.thing.shape == (40, 16, 16)
    assert bool((balls.thing.flatten(1).sum(dim=1) >= 20).all())
    assert bool(balls.ambiguous()[balls.thing].all())
    fewer = close_ups(10, seed=1, split="test")
    assert torch.equal(fewer.images, balls.images[:10])


def test_true_colors_are_possible_ones(balls: CloseUps) -> None:
    chosen, distance = balls.choices(to_float(balls.images))
    hidden = balls.hidden()
    expected = [int(hidden[n][balls.thing[n]][0]) for n in range(len(balls))]
    assert chosen.tolist() == expected
    assert float(distance.max()) < 1e-3
    assert float(balls.frequencies(to_float(balls.images)).sum()) == pytest.approx(1)


def test_a_distance_is_that_of_the_color(balls: CloseUps) -> None:
    moved = to_float(balls.images) + torch.tensor([6.0, 0.0, 0.0])[:, None, None] / 255
    assert balls.choices(moved)[1].numpy() == pytest.approx(6 / 3**0.5, rel=1e-3)


def test_draws_keep_luma_and_odds_and_double_the_error(balls: CloseUps) -> None:
    true = to_float(balls.images)
    draws = torch.stack([balls.draw(seed) for seed in range(30)])
    assert torch.allclose(luma(draws), luma(true)[None].expand_as(luma(draws)), atol=1e-5)
    assert torch.equal(draws[3], balls.draw(3))
    certain = ~balls.ambiguous()[:, None].expand_as(true)
    assert torch.equal(draws[0][certain], true[certain])
    often = torch.stack([balls.frequencies(draw) for draw in draws]).mean(dim=0)
    assert total_variation(often, balls.odds) < 0.05
    mean = draws.mean(dim=0)
    ratio = (draws[:15] - draws[15:]).square().mean() / (draws - mean).square().mean()
    assert float(ratio) == pytest.approx(2, rel=0.1)


def test_the_likeliest_color_has_no_distance_and_no_variety(balls: CloseUps) -> None:
    realism = balls.realism(balls.most_likely())
    assert realism["distance, of 255"] < 1e-3
    assert realism["total variation"] == pytest.approx(1 - float(balls.odds.max()))


def test_two_things_of_one_scene_are_drawn_apart() -> None:
    scene = generate(60, seed=3)
    colors = {tuple((255 * draw_colors(scene, seed)).round().flatten().tolist()[:50]) for seed in range(2)}
    assert colors  # sky and grass stay: the first row is sky in every draw
    one, other = draw_colors(scene, 0), draw_colors(scene, 1)
    assert not torch.equal(one, other)


def test_total_variation() -> None:
    assert total_variation(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == 1
    assert total_variation(torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25])) == 0.25


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(LabkitError, match="a sky has one color"):
        close_ups(3, kind="sky")
    with pytest.raises(LabkitError):
        close_ups(0)
