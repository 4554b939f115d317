"""The parser of parameters cells: what it reads, what it refuses, and that papermill reads the same."""

import math

import pytest

from labkit import LabkitError
from labkit.notebook.parameters import (
    TYPES,
    Parameter,
    check_values,
    coerce,
    coerce_values,
    convert,
    parse_parameters,
)

CELL = """\
profile: str = "auto"  # test, quick, course, gpu or auto
seed: int = 0

alpha: float = 1  # share of MSE # in the loss
live: bool = False  # draw while training
name: "str" = "a # b"
weights: list[float] = [0, 0.5,
    1.0]  # of the path
"""
DECLARED = parse_parameters(CELL)


def test_reads_names_types_defaults_and_help() -> None:
    assert [
        Parameter("profile", "str", "auto", "test, quick, course, gpu or auto"),
        Parameter("seed", "int", 0, ""),
        Parameter("alpha", "float", 1.0, "share of MSE # in the loss"),
        Parameter("live", "bool", False, "draw while training"),
        Parameter("name", "str", "a # b", ""),
        Parameter("weights", "list[float]", [0.0, 0.5, 1.0], "of the path"),
    ] == DECLARED
    assert type(DECLARED[2].default) is float


def test_papermill_reads_the_same_names_types_and_help() -> None:
    nbformat = pytest.importorskip("nbformat")
    translators = pytest.importorskip("papermill.translators")
    simple = CELL.replace('"str"', "str").replace(' = "a # b"', ' = "a"').replace("MSE # in", "MSE in")
    found = translators.PythonTranslator.inspect(nbformat.v4.new_code_cell(simple))
    ours = parse_parameters(simple)
    assert [(p.name, p.inferred_type_name, p.help) for p in found] == [(p.name, p.type, p.help) for p in ours]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x = 3", "expected 'name: type = value"),
        ("x: int", "expected 'name: type = value"),
        ("import os", "expected 'name: type = value"),
        ("x: int = 3\nx: int = 4", "x is declared twice"),
        ("x: dict = {}", "use one of int, float"),
        ("x: int = 0.5", "x must be a whole number"),
        ("x: int = True", "x must be a whole number"),
        ("x: str = 3", "x must be text"),
        ("x: float = 1 / 2", "plain value"),
        ("x: list[int] = [1, 2.5]", r"x\[1\] must be a whole number"),
        ("x: int = (", "line 1"),
    ],
)
def test_refuses_other_cells(line: str, message: str) -> None:
    with pytest.raises(LabkitError, match=message):
        parse_parameters(line)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("0.3", float, 0.3),
        ("3", "float", 3.0),
        ("1e-3", "float", 1e-3),
        ("-3", int, -3),
        ("true", bool, True),
        ("No", "bool", False),
        ("a=b, c", str, "a=b, c"),
        ("0,0.5,1", "list[float]", [0.0, 0.5, 1.0]),
        ("[1, 2]", "list[int]", [1, 2]),
        ("['a', \"b\"]", "list[str]", ["a", "b"]),
        ("", "list[int]", []),
    ],
)
def test_coerce(text: str, kind: type | str, value: object) -> None:
    assert coerce(text, kind) == value
    assert type(coerce(text, kind)) is type(value)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a,b]", ["a", "b]"]),
        ("[a", ["[a"]),
        ("a[0],b", ["a[0]", "b"]),
        ("[a],[b]", ["[a]", "[b]"]),
        ("[a, b]", ["a", "b"]),
        ("[[a, c], b]", ["[a, c]", "b"]),
        ("'a,b', \"c\"", ["a,b", "c"]),
        ("['a, b', 'c']", ["a, b", "c"]),
        ("it's,dogs'", ["it's", "dogs'"]),
        ("a,,b,", ["a", "", "b"]),
        ("[]", []),
        ("", []),
        ("]", ["]"]),
        ("'", ["'"]),
    ],
)
def test_a_list_loses_nothing(text: str, items: list[str]) -> None:
    assert coerce(text, "list[str]") == items


@pytest.mark.parametrize("text", ["[1,2", "1,2]", "[1],[2]", "1,,2", "1;2", "1 2"])
def test_a_list_of_numbers_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LabkitError, match="alpha must be a number"):
        coerce(text, "list[float]", "alpha")


@pytest.mark.parametrize(
    "source", ["a: int = \0", "a: dict = {[]: 1}", "a: int = " + "(" * 5000, "a: int = {{}}", "a: str = '\\d'  # x\n\f"]
)
def test_whatever_stands_in_a_parameters_cell(source: str) -> None:
    try:
        parse_parameters(source)
    except LabkitError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "kind"), [("0.3", "int"), ("x", "float"), ("1", "bool"), ("", "int"), ("1,x", "list[int]")]
)
def test_coerce_names_the_parameter_the_type_and_the_text(text: str, kind: str) -> None:
    with pytest.raises(LabkitError) as caught:
        coerce(text, kind, "alpha")
    message = str(caught.value)
    assert message.startswith("alpha must be")
    assert "\n" not in message


def test_values_are_checked_by_name_and_type() -> None:
    assert check_values(DECLARED, {"alpha": 1, "seed": 3}) == {"alpha": 1.0, "seed": 3}
    assert coerce_values(DECLARED, {"alpha": "1", "live": "yes"}) == {"alpha": 1.0, "live": True}
    assert math.isnan(check_values(DECLARED, {"alpha": math.nan})["alpha"])  # type: ignore[arg-type]
    with pytest.raises(LabkitError, match="01_x has no parameter 'alhpa'; did you mean alpha"):
        check_values(DECLARED, {"alhpa": 1}, where="01_x")
    with pytest.raises(LabkitError, match="it has: profile, seed"):
        coerce_values(DECLARED, {"zzz": "1"})
    for bad in ({"seed": True}, {"seed": "1"}, {"alpha": "0.5"}, {"profile": 3}, {"weights": [1, "x"]}):
        with pytest.raises(LabkitError, match=f"^{next(iter(bad))}.* must be"):
            check_values(DECLARED, bad)


def test_every_type_has_a_value_and_a_refusal() -> None:
    for kind in TYPES:
        with pytest.raises(LabkitError):
            convert(None, kind)
