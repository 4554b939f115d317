"""Imports go down only: each part of the package may use what stands before it in this list, and nothing after."""

import ast
from pathlib import Path

import labkit

ORDER = [
    "errors",
    "printing",
    "artifacts",
    "machine",
    "ledger",
    "cluster",
    "device",
    "options",
    "color",
    "enlarge",
    "hints",
    "quantize",
    "representation",
    "models",
    "data",
    "images",
    "training",
    "metrics",
    "training.features",
    "colorizer",
    "training.run",
    "plots",
    "widgets",
    "analysis",
    "notebook",
    "checks",
    "course",
    "experiments",
    "grading.sandbox",
    "grading",
    "doctor",
    "app",
    "bench",
    "cli",
    "__main__",
]
PACKAGE = Path(labkit.__file__).parent
# Rooms that must not know of one another, whatever the order says. What a room may use of the other stands behind it.
APART = {
    "metrics": {"training": ()},
    "grading": {"course": ("source", "labs"), "experiments": ()},
    "models": {"color": (), "hints": (), "quantize": (), "representation": ()},
    "data": {"enlarge": (), "representation": (), "quantize": ()},
}


def part_of(module: str) -> str:
    """The part that a module belongs to (``training.run`` or its room ``training``); empty if it is none."""
    names = module.split(".")
    places = [".".join(names[:count]) for count in range(len(names), 0, -1)]
    return next((place for place in places if place in ORDER), "")


def imported(tree: ast.AST) -> set[str]:
    """The modules of labkit, without that name, that a module imports at run time, inside functions too."""
    for_types = {
        id(inner)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for inner in ast.walk(block)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("labkit.")}
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "labkit":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("labkit.") for name in found}


FILES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        file.read_text(encoding="utf-8")
    )
    for file in PACKAGE.rglob("*.py")
    if file != PACKAGE / "__init__.py"
}


def test_every_module_has_its_place() -> None:
    assert [module for module in FILES if not part_of(module)] == []


def test_imports_go_down_only() -> None:
    upward = [
        f"{module} imports {name}"
        for module, tree in FILES.items()
        for name in sorted(imported(tree))
        if (part := part_of(name)) and ORDER.index(part) > ORDER.index(part_of(module))
    ]
    assert upward == []


def test_rooms_that_are_apart_stay_apart() -> None:
    joined = [
        f"{module} imports {name}"
        for module, tree in FILES.items()
        for room, allowed in APART.get(module.split(".")[0], {}).items()
        for name in sorted(imported(tree))
        if name.split(".")[0] == room and not any(name.startswith(f"{room}.{part}.") for part in allowed)
    ]
    assert joined == []


def test_labkit_does_not_know_the_notebooks() -> None:
    assert [
        module for module, tree in FILES.items() if any(name.startswith("_notebooks") for name in imported(tree))
    ] == []


def test_every_room_says_what_belongs_there() -> None:
    for module, tree in FILES.items():
        if (PACKAGE / Path(*module.split("."))).is_dir():
            assert isinstance(tree, ast.Module)
            text = ast.get_docstring(tree) or ""
            assert 2 <= len(text.splitlines()) <= 6, f"{module}/__init__.py: say in three lines what belongs there"
