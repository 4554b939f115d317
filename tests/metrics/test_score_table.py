"""Scores print as a table with the gray baseline beside them."""

import torch

import labkit as lk
from labkit.metrics import Scores, evaluate


def test_a_colorizers_scores_are_those_of_evaluate_and_print_as_a_table() -> None:
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = lk.Colorizer("luma-chroma", "cnn", width=2)
    scores, expected = model.score(images), evaluate(model, images)
    assert scores.gray == expected["gray"] and scores["mse"] == expected["mse"] == scores.ours["mse"]
    lines = str(scores).splitlines()
    assert lines[0].split() == ["ours", "gray"] and len(lines) == 1 + len(scores.ours)
    assert lines[1].split() == ["MSE", f"{expected['mse']:.4g}", f"{expected['gray']['mse']:.4g}"]
    assert len({len(line) for line in lines}) == 1  # columns
    table = scores._repr_html_()
    assert table.count("<tr>") == len(lines) and f"<td>{expected['mse']:.4g}</td>" in table


def test_an_unknown_metric_keeps_its_name_and_is_escaped() -> None:
    scores = Scores({"a<b": 1.0}, {"a<b": 2.0})
    assert "a<b" in str(scores) and "a&lt;b" in scores._repr_html_()
