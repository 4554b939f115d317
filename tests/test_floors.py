"""Imports go down only: each part of the package may use what stands before it in this list, and nothing after."""

import ast
from pathlib import Path

import labkit

ORDER = [
    "errors",
    "artifacts",
    "color",
    "quantize",
    "data",
    "published",
    "measured",
    "representation",
    "models",
    "colorizer",
    "checkpoint",
    "training_loop",
]
ORDER += [
    "train",
    "adversarial",
    "features",
    "metrics",
    "training_run",
    "recipes",
    "verdicts",
    "leakage",
    "plots",
    "activations",
    "widgets",
    "parameters",
    "lab",
]
ORDER += ["answer", "checks", "course", "doctor", "cli"]
PACKAGE = Path(labkit.__file__).parent


def used(tree: ast.AST) -> set[str]:
    """The parts of labkit that a module imports at run time, inside functions too."""
    for_types = {
        id(inner)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for inner in ast.walk(block)
    }
    parts: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labkit") and id(node) not in for_types:
            _, dot, rest = str(node.module).partition(".")
            parts |= {rest.split(".")[0]} if dot else {alias.name for alias in node.names}
    return parts & set(ORDER)


def test_imports_go_down_only() -> None:
    upward = [
        f"{file.relative_to(PACKAGE)} imports {part}"
        for file in PACKAGE.rglob("*.py")
        if (own := file.relative_to(PACKAGE).parts[0].removesuffix(".py")) in ORDER
        for part in used(ast.parse(file.read_text(encoding="utf-8")))
        if ORDER.index(part) > ORDER.index(own)
    ]
    assert upward == []
