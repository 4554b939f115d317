"""Values in a check: a verdict on one, compared with what was expected, described, drawn, written as Python."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from labkit.notebook.answer import Foreign


@dataclass(frozen=True)
class Verdict:
    """What a judge says: right or not, and if not, a hint and the values given and expected, as text.

    ``form`` says that ``expected`` tells a type, a shape or keys and no value: only then does a graded student read it.
    """

    ok: bool
    hint: str = ""
    given: str = ""
    expected: str = ""
    form: bool = False


def close(output: Any, expected: Any, *, atol: float = 1e-5, rtol: float = 1e-3, hint: str = "") -> Verdict:
    """Compare by value: right if ``|output - expected| <= atol + rtol |expected|`` everywhere.

    Tensors, arrays, numbers and lists of numbers count alike, whatever their dtype; axes of length one may be there or
    not. ``expected`` may be a dict or a tuple of such values (all are compared), text, or None. Only exact plain types
    are read: an object that claims to equal everything equals nothing here.
    """
    if isinstance(expected, dict):
        if type(output) is not dict or set(output) != set(expected):
            keys = f"a dict with the keys {', '.join(map(str, expected))}"
            return Verdict(False, hint, describe(output), keys, form=True)
        return _first_wrong(close(output[k], expected[k], atol=atol, rtol=rtol, hint=hint) for k in expected)
    if isinstance(expected, tuple):
        if type(output) not in (tuple, list) or len(output) != len(expected):
            return Verdict(False, hint, describe(output), f"{len(expected)} values", form=True)
        pairs = zip(output, expected, strict=True)
        return _first_wrong(close(one, other, atol=atol, rtol=rtol, hint=hint) for one, other in pairs)
    if expected is None or isinstance(expected, str):
        same = type(output) is type(expected) and output == expected
        return Verdict(True) if same else Verdict(False, hint, describe(output), describe(expected))

    given, wanted = as_tensor(output), as_tensor(expected)
    if wanted is None:
        raise TypeError(f"a check expects tensors, numbers, text, dicts or tuples, got {type(expected).__name__}")
    if given is None:
        missing = "the function returned None: is its `return` missing?" if output is None else hint
        return Verdict(False, missing, describe(output), describe(expected))
    if given.squeeze().shape != wanted.squeeze().shape:
        return Verdict(False, hint, f"shape {tuple(given.shape)}", f"shape {tuple(wanted.shape)}", form=True)
    given = given.reshape(wanted.shape)
    wrong = ~torch.isclose(given, wanted, rtol=rtol, atol=atol, equal_nan=True)
    if not bool(wrong.any()):
        return Verdict(True)
    if wanted.numel() <= 8:
        return Verdict(False, hint, describe(given), describe(wanted))
    worst = int(torch.where(wrong, (given - wanted).abs().nan_to_num(nan=torch.inf), -1).argmax())
    place = [int(index) for index in np.unravel_index(worst, wanted.shape)]
    return Verdict(
        False,
        hint,
        f"{_number(given.flatten()[worst])} at {place} ({int(wrong.sum())} of {wrong.numel()} values differ)",
        f"{_number(wanted.flatten()[worst])} at {place}",
    )


def close_by_part(output: Any, expected: Mapping[str, Any], hints: Mapping[str, str], *, atol: float) -> Verdict:
    """Compare a dict part by part, in the order of ``hints``; the first part that differs gets its hint."""
    if type(output) is not dict:
        return close(output, dict(expected))
    return _first_wrong(close(output.get(part), expected[part], atol=atol, hint=hint) for part, hint in hints.items())


def _first_wrong(verdicts: Iterator[Verdict]) -> Verdict:
    return next((verdict for verdict in verdicts if not verdict.ok), Verdict(True))


def as_tensor(value: Any) -> torch.Tensor | None:
    """Return a plain value as a float64 tensor on the CPU, or None if it is not made of real numbers."""
    if type(value) in (list, tuple) and any(type(item) in (torch.Tensor, torch.nn.Parameter) for item in value):
        parts = [as_tensor(item) for item in value]
        shapes = {None if part is None else part.shape for part in parts}
        return (
            torch.stack([part for part in parts if part is not None])
            if len(shapes) == 1 and None not in shapes
            else None
        )
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        plain = value.layout == torch.strided and not (value.is_complex() or value.is_meta or value.is_quantized)
        return value.detach().to("cpu", torch.float64) if plain else None
    if type(value) in (bool, int, float, list, tuple, np.ndarray) or isinstance(value, np.generic):
        try:
            array = np.asarray(value)
        except (ValueError, RuntimeError):  # a ragged list
            return None
        return torch.from_numpy(array.astype(np.float64)) if array.dtype.kind in "biuf" else None
    return None


def describe(value: Any) -> str:
    """Describe a value in short: numbers rounded to four digits, large tensors by dtype, shape and range."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {describe(item)}" for name, item in value.items())
    if isinstance(value, str) or value is None:
        return repr(value)[:80]
    if type(value) in (list, tuple) and any(not isinstance(item, (bool, int, float)) for item in value):
        return "(" + ", ".join(describe(item) for item in value[:6]) + (", ...)" if len(value) > 6 else ")")
    tensor = as_tensor(value)
    if tensor is None:
        return f"an object of type {value.name if type(value) is Foreign else type(value).__name__}"
    if tensor.ndim == 0:
        return _number(tensor)
    if tensor.numel() == 0 and tensor.ndim > 1:
        return f"an empty tensor of shape {tuple(tensor.shape)}"
    if tensor.numel() <= 8:
        return _nested(tensor)
    dtype = str(value.dtype).removeprefix("torch.") if hasattr(value, "dtype") else type(value).__name__
    return f"{dtype} of shape {tuple(tensor.shape)}, values {_number(tensor.min())} to {_number(tensor.max())}"


def _number(value: Any) -> str:
    return f"{float(value):.4g}"


def _nested(tensor: torch.Tensor) -> str:
    if tensor.ndim == 0:
        return _number(tensor)
    return "[" + ", ".join(_nested(part) for part in tensor) + "]"


def uniform(rng: torch.Generator, low: float, high: float, shape: Sequence[int] = ()) -> Any:
    """Return uniform random numbers in low..high: a float if no shape is given, else a float32 tensor."""
    values = low + (high - low) * torch.rand(tuple(shape), generator=rng)
    return values if shape else float(values)


def whole(rng: torch.Generator, low: int, high: int) -> int:
    """Return a random whole number from ``low`` to ``high``, both included."""
    return int(torch.randint(low, high + 1, (), generator=rng))


# As Python that makes a value again


def as_code(value: Any, longest: int = 600) -> str:
    """Return Python that makes ``value`` again, to be pasted after ``import torch``; "" if it would be too long."""
    try:
        text = _code(value, longest)
    except (TypeError, ValueError):
        return ""
    return text if len(text) <= longest else ""


def _code(value: Any, longest: int) -> str:
    if value is None or type(value) in (bool, int, str):
        return repr(value)
    if type(value) is float:
        return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
    if type(value) in (list, tuple):
        inside = ", ".join(_code(item, longest) for item in value)
        return f"[{inside}]" if type(value) is list else f"({inside}{',' if len(value) == 1 else ''})"
    if type(value) is dict:
        return "{" + ", ".join(f"{_code(key, longest)}: {_code(item, longest)}" for key, item in value.items()) + "}"
    if type(value) in (torch.Tensor, np.ndarray):
        array = value.detach().cpu().numpy() if type(value) is torch.Tensor else value
        if array.size > longest // 2 or not array.size:
            raise ValueError("too large to be pasted")
        numbers = np.array2string(
            array, separator=", ", threshold=array.size + 1, floatmode="unique", max_line_width=10**9
        )
        numbers = re.sub(r"\s+", " ", numbers).replace("nan", "float('nan')")
        numbers = re.sub(r"(?<![\w'])inf", "float('inf')", numbers)
        if type(value) is torch.Tensor:
            default = array.dtype.name in ("float32", "int64", "bool")
            return f"torch.tensor({numbers}{'' if default else f', dtype={value.dtype}'})"
        return f"np.array({numbers}, dtype={array.dtype.name!r})"
    raise TypeError(type(value).__name__)
