"""Options: declared once, checked when they are given, the same keywords everywhere."""

import inspect
from dataclasses import fields
from typing import Any

import pytest

from labkit import Colorizer, LabkitError, fit
from labkit.options import FitSettings, GanSettings, TrainOptions, make_options
from labkit.training import fit_gan
from labkit.training.run import train

CLASSES = (FitSettings, GanSettings, TrainOptions)


@pytest.mark.parametrize("kind", CLASSES)
def test_each_has_a_sentence_of_help_and_an_allowed_default(kind: Any) -> None:
    kind()
    for item in fields(kind):
        assert item.metadata["help"].endswith("."), item.name


@pytest.mark.parametrize(
    ("function", "kind"),
    [(fit, FitSettings), (Colorizer.fit, FitSettings), (fit_gan, GanSettings), (train, TrainOptions)],
)
def test_the_keywords_of_functions_are_the_fields(function: Any, kind: Any) -> None:
    shown = inspect.signature(function).parameters
    assert {item.name: shown[item.name].default for item in fields(kind)} == {f.name: f.default for f in fields(kind)}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"epoch": 3}, TypeError, "unknown option 'epoch': did you mean 'epochs'?"),
        ({"epochs": 0}, LabkitError, "epochs must be a whole number of 1 or more. Got 0"),
        ({"epochs": 2.5}, TypeError, "epochs must be a whole number of 1 or more. Got 2.5 (float)"),
        ({"epochs": True}, TypeError, "epochs must be a whole number of 1 or more. Got True"),
        ({"learning_rate": 0.0}, LabkitError, "learning_rate must be a number above 0. Got 0"),
        ({"learning_rate": "1"}, TypeError, "learning_rate must be a number above 0. Got '1'"),
        ({"rotation": 181}, LabkitError, "rotation must be a number from 0 to 180. Got 181"),
        ({"seed": 2**32}, LabkitError, "seed must be a whole number from 0 to 4294967295. Got 4294967296"),
        ({"precision": "int8"}, LabkitError, "precision must be one of auto, float32, bf16, fp16. Got 'int8'"),
        ({"patience": 0}, LabkitError, "patience must be a whole number of 1 or more. Got 0"),
    ],
)
def test_refusals_name_option_limit_and_value(given: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        make_options(FitSettings, given)
    assert str(caught.value) == message
