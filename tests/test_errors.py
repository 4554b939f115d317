"""The checks of numbers, and what is told of errors."""

import decimal
import fractions

import numpy as np
import pytest
import torch

from labkit import LabkitError
from labkit.errors import LabkitTypeError, SomeFailed, check_integer, check_number, in_words, noting

WHOLE = [3, np.int64(3), np.uint8(3), torch.tensor(3), np.array(3)]


@pytest.mark.parametrize("value", WHOLE)
def test_whole_numbers_of_every_library_are_taken(value: object) -> None:
    assert check_integer("n", value, low=3, high=3) == 3 and type(check_integer("n", value)) is int
    assert check_number("x", value, low=3, high=3) == 3.0 and type(check_number("x", value)) is float


@pytest.mark.parametrize(
    "value", [0.5, np.float32(0.5), torch.tensor(0.5), fractions.Fraction(1, 2), decimal.Decimal("0.5")]
)
def test_numbers_of_every_library_are_taken(value: object) -> None:
    assert check_number("x", value, low=0.5, high=0.5, above=0) == 0.5
    with pytest.raises(TypeError, match="n must be a whole number. Got"):
        check_integer("n", value)


@pytest.mark.parametrize(
    "value", [True, False, np.bool_(True), torch.tensor(True), "3", b"3", None, [3], (3,), {}, 3 + 0j, object(), "nan"]
)
def test_what_is_no_number_is_a_type_error(value: object) -> None:
    for check in (check_integer, check_number):
        with pytest.raises(LabkitTypeError, match="n must be a (whole )?number of 1 or more. Got ") as caught:
            check("n", value, low=1)
        assert isinstance(caught.value, TypeError) and "\n" not in str(caught.value)


def test_several_numbers_are_none() -> None:
    for value in (torch.ones(2), np.ones(2)):
        for check in (check_integer, check_number):
            with pytest.raises(TypeError, match="n must be"):
                check("n", value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.nan, torch.tensor(torch.inf), 10**400])
def test_what_is_not_finite_is_refused(value: object) -> None:
    with pytest.raises(LabkitError, match="x must be a number. Got"):
        check_number("x", value)


def test_ranges_are_told() -> None:
    for call, told in {
        (check_integer, 0, (("low", 1),)): "n must be a whole number of 1 or more. Got 0",
        (check_integer, 9, (("high", 8),)): "n must be a whole number of at most 8. Got 9",
        (check_integer, -1, (("low", 0), ("high", 2**32 - 1))): "n must be a whole number from 0 to 4294967295. Got -1",
        (check_number, 1.5, (("low", 0), ("high", 1))): "n must be a number from 0 to 1. Got 1.5",
        (check_number, 0, (("above", 0),)): "n must be a number above 0. Got 0",
        (check_number, 2, (("above", 0), ("high", 1))): "n must be a number above 0, up to 1. Got 2",
    }.items():
        check, value, limits = call
        with pytest.raises(LabkitError) as caught:
            check("n", value, **dict(limits))
        assert str(caught.value) == told


def test_what_fails_is_noted_and_the_rest_goes_on() -> None:
    failures: dict[str, str] = {}
    done = []
    for name, error in {
        "a": None,
        "b": LabkitError("no\nsuch thing"),
        "c": OSError(28, "No space left on device"),
        "d": MemoryError(),
        "e": RuntimeError("CUDA out of memory. Tried"),
        "f": None,
    }.items():
        with noting(failures, name):
            if error:
                raise error
            done.append(name)
    assert done == ["a", "f"] and list(failures) == ["b", "c", "d", "e"] and failures["b"] == "no such thing"
    with pytest.raises(ZeroDivisionError), noting(failures, "g"):  # a fault of the program is no failure of an item
        raise ZeroDivisionError
    told = SomeFailed({"x.png": "x.png is damaged", "y.png": "no such file"}, 3)
    assert str(told) == "2 of 3 failed: x.png is damaged; y.png: no such file"
    assert in_words(ValueError("x")) is None and in_words(RuntimeError("x")) is None


def test_what_a_file_holds_cannot_steer_a_terminal() -> None:
    assert str(LabkitError("class.csv: \x1b[2Jann\x07 is there twice")) == "class.csv: ?[2Jann? is there twice"
