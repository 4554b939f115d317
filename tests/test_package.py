"""`import labkit`: few names, each there when it is asked for, and nothing heavy before."""

import statistics
import subprocess
import sys

import labkit


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_every_public_name_is_there_and_described() -> None:
    assert 8 <= len(labkit.__all__) <= 16
    assert set(labkit.__all__) <= set(dir(labkit))
    for name in labkit.__all__:
        assert getattr(labkit, name).__doc__
    assert not hasattr(labkit, "horse")


def test_the_names_for_type_checkers_are_those_at_run_time() -> None:
    """They stand in two places of labkit/__init__.py: as imports, for mypy and editors, and as text, read when used."""
    import ast
    import inspect

    [block] = [node for node in ast.parse(inspect.getsource(labkit)).body if isinstance(node, ast.If)]
    static = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert static == labkit._DEFINED_IN
    assert set(static) | {"LabkitError", "__version__"} == set(labkit.__all__)


def test_importing_it_does_not_import_torch() -> None:
    heavy = ("torch", "numpy", "pydantic", "matplotlib")
    code = f"import sys, labkit; labkit.LabkitError; print([name for name in {heavy} if name in sys.modules])"
    assert python(code).strip() == "[]"


def test_what_a_lab_imports_does_without_the_slow_ones() -> None:
    """Every kernel starts with these imports: what needs a slow library imports it when it is called."""
    slow = ("torchvision", "torch._dynamo", "skimage.segmentation", "sympy", "torchmetrics", "sklearn")
    rooms = (
        "analysis, checks, color, data, metrics, models, notebook, plots, quantize, representation, training, widgets"
    )
    labs = "labkit.notebook.figures.averaging_problem, labkit.notebook.lab, labkit.notebook.photograph"
    code = f"import sys; from labkit import {rooms}; import {labs}; print([n for n in {slow} if n in sys.modules])"
    assert python(code).strip() == "[]"


def test_it_adds_little_to_the_import_of_torch() -> None:
    """Less than a tenth of a second, the median of three: processor time, which a busy machine does not change much."""
    code = "import time, torch; before = time.process_time(); import labkit; print(time.process_time() - before)"
    assert statistics.median(float(python(code)) for _ in range(3)) < 0.1
