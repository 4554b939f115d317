"""What happens to a student's answer: inputs handed over, its output or error taken, both as plain data.

This is the one part of a check that needs the student's function, so it runs where that function is: in the notebook,
or, when a class is graded, in a kernel that holds nothing else of the checks. There `respond` gets the inputs as text
and gives the outcome as text; the grader's process reads it with `decode` and judges. Nothing is pickled.
"""

from __future__ import annotations

import base64
import builtins
import importlib
import inspect
import json
import linecache
import math
import symtable
import sys
import textwrap
import traceback
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np
import torch

from labkit.errors import LabkitError

HELD_BACK = "held back"  # an input of this name is the judge's alone: no answer gets it
STUB = "your answer here"  # the message of the NotImplementedError that stands in for a solution
VALUE_MIME = "application/vnd.labkit.outcome+json"
LARGEST = 2_000_000  # characters of an outcome as text
WATCHED = ("labkit", "skimage", "kornia")  # packages whose use by an answer is recorded
MOST_USES = 50  # names
MOST_EVENTS = 300_000  # calls and returns after which recording ends, for it is slow
LARGEST_EMPTY = 10**7  # size of an array that holds no value, in any dimension
CALL_FILE = "<call>"  # as which an exercise's `call` is compiled
_LATER = "from __future__ import annotations\n"  # annotations may name what is not there
# Outcomes of a call
VALUE, RAISED, UNATTEMPTED, OFF, NO_FUNCTION = "value", "raised", "not attempted", "switched off", "no function"


class SwitchedOff(RuntimeError):
    """The answer called the labkit function that the exercise asks for."""


@dataclass(frozen=True)
class Foreign:
    """Stands for a value of a type that is not judged, such as a subclass of Tensor; ``name`` is that type's."""

    name: str


@dataclass(frozen=True)
class Outcome:
    """What one call of an answer came to.

    ``kind`` is "value" (then ``value`` holds it), "raised" (then ``error`` is the exception's class, ``text`` what it
    says, ``place`` the student's own line), "not attempted", "switched off" (``text`` says what) or "no function".
    ``uses`` names the functions of `WATCHED` packages that it called, as far as they were recorded.
    """

    kind: str
    value: Any = None
    error: str = ""
    text: str = ""
    place: str = ""
    uses: tuple[str, ...] = ()


def attempt(
    answer: Any,
    inputs: Any,
    call: Callable[[Callable[..., Any], Any], Any] | None = None,
    asks_for: Sequence[str] = (),
) -> Outcome:
    """Call ``answer`` on a copy of ``inputs`` (it may overwrite what it is given) and say what came of it.

    Args:
        answer: the student's function.
        inputs: a dict (arguments by name, or by place where the answer names them otherwise), a tuple, or one value.
        call: hands the inputs over in another way.
        asks_for: labkit functions that are switched off meanwhile.
    """
    if answer is Ellipsis or answer is NotImplemented:
        return Outcome(UNATTEMPTED)
    if not callable(answer):
        return Outcome(NO_FUNCTION, answer)
    try:
        # The answer may draw random numbers; the lab's own must not depend on whether an exercise is done.
        with torch.random.fork_rng(devices=[]), switched_off(asks_for):
            return Outcome(VALUE, plain_value(hand_over(answer, inputs, call)))
    except SwitchedOff as error:
        return Outcome(OFF, text=str(error))
    except (Exception, SystemExit) as error:
        if isinstance(error, NotImplementedError) and str(error) in ("", STUB):
            return Outcome(UNATTEMPTED)
        return Outcome(RAISED, error=type(error).__name__, text=str(error), place=_own_line(answer, error))


def hand_over(answer: Callable[..., Any], inputs: Any, call: Callable[..., Any] | None = None) -> Any:
    """Return what ``answer`` gives on a copy of ``inputs``, computed by one thread."""
    inputs = copy_values(shown(inputs))
    with _one_thread():
        if call is not None:
            return call(answer, inputs)
        if isinstance(inputs, Mapping):
            return answer(**inputs) if _takes(answer, inputs) else answer(*inputs.values())  # renamed arguments
        return answer(*inputs) if isinstance(inputs, tuple) else answer(inputs)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let PyTorch compute with one thread, as in grading: inputs are small, and where a core is busy more threads wait.

    On two cores of which one was busy, checks of half a minute took more than fifteen minutes with two threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def shown(inputs: Any) -> Any:
    """Return inputs without what is held back from the answer, such as the seed of the images it is scored on."""
    return {key: value for key, value in inputs.items() if key != HELD_BACK} if type(inputs) is dict else inputs


def plain_value(value: Any) -> Any:
    """Return ``value`` in the plain types that are judged, where it is of a type that stands for one of them.

    A namedtuple counts as a tuple; a deque and a range as a list; an OrderedDict, a defaultdict and a Counter as a
    dict; a Fraction and a Decimal as a float; a numpy matrix as an array. Other types are left as they are, and are
    not judged.
    """
    kind = type(value)
    if kind in (list, tuple):
        return value if all(type(item) in (int, float) for item in value) else kind(map(plain_value, value))
    if kind is dict:
        return {key: plain_value(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return tuple(plain_value(item) for item in tuple.__iter__(value))
    if kind in (deque, range):
        return [plain_value(item) for item in value]
    if kind in (OrderedDict, defaultdict, Counter):
        return {key: plain_value(item) for key, item in dict.items(value)}
    if kind in (Fraction, Decimal):
        return float(value)
    if kind is np.matrix:
        return np.asarray(value)
    return value


def _takes(answer: Callable[..., Any], inputs: Mapping[str, Any]) -> bool:
    """Whether an answer's arguments have the names of the inputs (or its arguments cannot be known)."""
    try:
        inspect.signature(answer).bind(**inputs)
    except TypeError:
        return False
    except ValueError:  # of some functions written in C
        return True
    return True


def _own_line(answer: Callable[..., Any], error: BaseException) -> str:
    """Where in the student's own code an error comes from, as " in line 3: its text"."""
    parts = vars(answer).values() if isinstance(answer, type) else [inspect.unwrap(answer)]  # of a class its methods
    files = {part.__code__.co_filename for part in parts if isinstance(part, FunctionType)}
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in files]
    if not own:
        return ""
    source = linecache.getline(own[-1].filename, own[-1].lineno or 0).strip()
    return f" in line {own[-1].lineno}: {source}"


def clean_text(text: str) -> str:
    """Text that can be written as UTF-8: JSON and file names can hold halves of characters, which cannot."""
    return text.encode("utf-8", "replace").decode()


def copy_values(value: Any) -> Any:
    """Return a deep copy of the tensors, arrays and containers in ``value``."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {name: copy_values(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(copy_values(item) for item in value)
    return value


# Switching off what is asked for


@contextmanager
def switched_off(names: Sequence[str]) -> Iterator[None]:
    """While this runs, calling one of the named labkit functions raises `SwitchedOff`, however it was imported.

    The function objects stay what they are and only their code is swapped, so ``from labkit.color import
    luma`` is caught as well as ``labkit.color.luma``, and so is every labkit function that calls them. This
    guides honest students; it is no defence (nothing inside the student's own process can be).

    Raises:
        LabkitError: if a name is no plain Python function.
    """
    functions = [(name, library_function(name)) for name in names]
    saved = [(function, function.__code__) for _, function in functions]
    try:
        for name, function in functions:
            function.__code__ = _raising_code(name)
        yield
    finally:
        for function, code in reversed(saved):
            function.__code__ = code


def library_function(name: str) -> FunctionType:
    """Return the plain function behind a dotted name (of a module or a class), without its decorators.

    Raises:
        LabkitError: if there is none.
    """
    words = name.split(".")
    try:
        found: Any = importlib.import_module(words[0])
        for at, word in enumerate(words[1:], 2):
            with suppress(ImportError):
                importlib.import_module(".".join(words[:at]))
            found = getattr(found, word)
        found = inspect.unwrap(found)
    except (ImportError, AttributeError):
        raise LabkitError(f"asks_for names {name!r}, which does not exist") from None
    if not isinstance(found, FunctionType) or found.__code__.co_freevars:
        raise LabkitError(f"asks_for names {name!r}, which is no plain function and cannot be switched off")
    return found


def _raising_code(name: str) -> CodeType:
    """Code that raises, without free variables and globals (it runs with those of another function)."""

    def raising(*arguments: Any, **named: Any) -> None:
        from labkit.notebook.answer import SwitchedOff

        raise SwitchedOff("write it yourself: NAME is switched off while the check runs")

    code = raising.__code__
    constants = tuple(c.replace("NAME", name) if isinstance(c, str) else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_name=name.rpartition(".")[2])


# Recording what an answer uses


@contextmanager
def recorded(found: set[str]) -> Iterator[None]:
    """While this runs, put the functions of `WATCHED` packages that other code calls into ``found``.

    It is a hint for the instructor: code in the same process can switch it off.
    """
    left = MOST_EVENTS
    own = __name__

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            sys.setprofile(None)
        if event != "call" or len(found) >= MOST_USES:
            return
        module = str(frame.f_globals.get("__name__", ""))
        if module == own or module.partition(".")[0] not in WATCHED:
            return
        if frame.f_back and frame.f_back.f_code.co_filename == CALL_FILE:
            return  # the exercise's own `call` uses it, not the answer
        caller = str(frame.f_back.f_globals.get("__name__", "")) if frame.f_back else ""
        if caller == own or caller.partition(".")[0] not in WATCHED:
            name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
            found.add(f"{module}.{name}"[:100])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


# Across processes: the grader asks, the kernel responds


def request(inputs: Any, call: Callable[..., Any] | None, asks_for: Sequence[str], record: bool = False) -> str:
    """Return the text that `respond` takes: inputs by value, ``call`` as source, names to switch off.

    Args:
        inputs: plain values.
        call: hands them over in a way of its own.
        asks_for: labkit functions that are switched off meanwhile.
        record: whether to record what the answer uses (it makes it slower).

    Raises:
        LabkitError: for inputs that are not plain values, or a ``call`` that cannot travel.
    """
    source = None if call is None else call_source(call)
    asked = {"inputs": encode(shown(inputs), strict=True), "call": source, "asks_for": list(asks_for), "record": record}
    return json.dumps(asked)


@cache
def call_source(call: Callable[..., Any]) -> str:
    """Return the source of an exercise's ``call``, which must stand alone.

    Raises:
        LabkitError: if it is no ``def``, or uses more than its arguments, builtins, math, np and torch.
    """
    name = getattr(call, "__name__", "call")
    if name == "<lambda>" or not isinstance(call, FunctionType):
        raise LabkitError("an exercise's `call` runs in the student's kernel: write it as a def, not as a lambda")
    source = textwrap.dedent(inspect.getsource(call))
    [table] = symtable.symtable(_LATER + source, "call", "exec").get_children()
    if unknown := sorted(_globals(table) - {"math", "np", "torch"} - set(dir(builtins))):
        raise LabkitError(
            f"call={name} runs in the student's kernel alone: it may use its arguments, math, np and torch, "
            f"not {unknown[0]} (a labkit module can be imported inside it)"
        )
    return source


def _globals(table: symtable.SymbolTable) -> set[str]:
    """Return the names that a function, or one inside it, looks up outside."""
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return own.union(*(_globals(inner) for inner in table.get_children()))


class Response:
    """An outcome as a notebook displays it: its value travels as text under `VALUE_MIME`."""

    def __init__(self, text: str):
        """Keep the outcome, as JSON."""
        self.text = text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        return {VALUE_MIME: self.text, "text/plain": "labkit outcome"}


def respond(answer: Any, text: str) -> Response:
    """In the kernel: do what a `request` asks with ``answer``."""
    import random

    asked = json.loads(text)
    call = None
    if asked["call"] is not None:
        space: dict[str, Any] = {"math": math, "np": np, "torch": torch}
        exec(compile(_LATER + asked["call"], CALL_FILE, "exec"), space)
        call = [value for value in space.values() if isinstance(value, FunctionType)][-1]
    with torch.random.fork_rng(devices=[]):
        for seed in (random.seed, np.random.seed, torch.manual_seed):  # an answer with random numbers: the same twice
            seed(0)
        inputs, found = decode(asked["inputs"]), set[str]()
        with recorded(found) if asked["record"] else nullcontext():
            outcome = attempt(answer, inputs, call, asked["asks_for"])
    reply = {
        "kind": outcome.kind,
        "error": outcome.error[:100],
        "text": outcome.text[:2000],
        "place": outcome.place[:300],
        "uses": sorted(found),
        "value": encode(outcome.value) if outcome.kind in (VALUE, NO_FUNCTION) else None,
    }
    packed = json.dumps(reply)
    if len(packed) > LARGEST:
        reply["value"] = {"object": f"{type(outcome.value).__name__} of {len(packed) // 10**6} MB"}
        packed = json.dumps(reply)
    return Response(packed)


def read_response(text: Any) -> Outcome:
    """Return the outcome in a response, which may come from a hostile kernel.

    Raises:
        ValueError: if it is not of the form that `respond` gives, or too large.
    """
    if type(text) is not str or len(text) > LARGEST:
        raise ValueError("no text, or too much of it")
    try:
        reply = json.loads(text)
        fields = {name: reply[name] for name in ("kind", "error", "text", "place")}
        if reply["kind"] not in (VALUE, RAISED, UNATTEMPTED, OFF, NO_FUNCTION):
            raise ValueError("an unknown kind of outcome")
        if any(type(field) is not str or len(field) > 2000 for field in fields.values()):
            raise ValueError("its fields are no short texts")
        uses = reply.get("uses", [])
        if type(uses) is not list or len(uses) > MOST_USES or any(type(u) is not str or len(u) > 100 for u in uses):
            raise ValueError("what it uses is no short list of names")
        texts = {name: clean_text(field) for name, field in fields.items()}
        return Outcome(value=decode(reply["value"]), uses=tuple(map(clean_text, uses)), **texts)
    except (KeyError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(type(error).__name__) from None


_DTYPES = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {
    "bool",
    "float16",
    "float32",
    "float64",
}


def encode(value: Any, strict: bool = False) -> Any:
    """``value`` as JSON: only exact plain types, arrays as raw bytes; anything else by its type's name.

    Raises:
        LabkitError: with ``strict``, for a value of any other type.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, tuple):
        return {kind.__name__: [encode(item, strict) for item in value]}
    if kind is dict:
        return {"dict": [[encode(key, strict), encode(item, strict)] for key, item in value.items()]}
    if kind in (torch.Tensor, torch.nn.Parameter):
        plain = value.layout == torch.strided and not (value.is_complex() or value.is_meta or value.is_quantized)
        if plain:
            tensor = value.detach().cpu()
            if str(tensor.dtype).removeprefix("torch.") not in _DTYPES:  # bfloat16 and the like
                tensor = tensor.float()
            return {"tensor": _raw(tensor.resolve_neg().contiguous().numpy())}
    if kind is np.ndarray or isinstance(value, np.generic):
        array = np.asarray(value)
        if array.dtype == np.longdouble and array.dtype.name not in _DTYPES:
            array = array.astype(np.float64)
        if array.dtype.name in _DTYPES:
            return {"array": _raw(array)}
    if strict:
        raise LabkitError(f"the inputs of an exercise must be plain values, not of type {kind.__name__}")
    return {"object": kind.__name__[:100]}


def _raw(array: np.ndarray[Any, Any]) -> list[Any]:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return [array.dtype.name, list(array.shape), base64.b64encode(little.tobytes()).decode()]


def decode(value: Any) -> Any:
    """Return the value that `encode` has put into JSON; what it could not take is a `Foreign`.

    Raises:
        ValueError: if it is not of that form.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is not dict or len(value) != 1:
        raise ValueError("no encoded value")
    [(kind, content)] = value.items()
    if kind == "list":
        return [decode(item) for item in content]
    if kind == "tuple":
        return tuple(decode(item) for item in content)
    if kind == "dict":
        return {decode(key): decode(item) for key, item in content}
    if kind == "object":
        return Foreign(clean_text(str(content)[:100]))
    if kind not in ("tensor", "array"):
        raise ValueError(f"an encoded value of the kind {str(kind)[:20]}")
    name, shape, text = content
    if name not in _DTYPES or len(shape) > 32 or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError("an array of another form")
    data = base64.b64decode(text, validate=True)
    dtype = np.dtype(name).newbyteorder("<")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("an array whose shape and bytes disagree")
    if not data and any(size > LARGEST_EMPTY for size in shape):
        raise ValueError("an array without values, yet very long")
    if name == "bool" and data.strip(b"\0\1"):
        raise ValueError("truth values other than 0 and 1")
    array = np.frombuffer(data, dtype).reshape(shape).astype(name)  # a copy that can be written to
    return torch.from_numpy(array) if kind == "tensor" else array
