"""What an answer uses of labkit, scikit-image and kornia, by its source.

Solutions and the library are public, so an answer can call what it was asked to write. This finds the honest and the
careless; whoever wants to hide a call can. What an exercise may use stands in its ``may_use``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence

from labkit.notebook.answer import WATCHED

# Ways to a function that leave no name of it in the source.
DETOURS = frozenset(
    (
        *(
            "subprocess",
            "importlib",
            "__import__",
            "exec",
            "eval",
            "compile",
            "gc",
            "inspect",
            "ctypes",
            "runpy",
            "pickle",
        ),
        *("marshal", "get_ipython", "imp", "pkgutil", "multiprocessing", "settrace", "setprofile", "popen", "system"),
        *("__globals__", "__closure__", "__subclasses__", "_getframe", "modules"),
    )
)
LONGEST = 100_000  # characters of a source that is looked into
MOST = 30  # names


def uses(source: str, before: str = "") -> list[str]:
    """Return the dotted names in `WATCHED` packages that a cell uses, and the detours it takes ("via subprocess").

    Args:
        source: of the cell.
        before: of the cells that ran earlier, whose imports count.
    """
    tree = _tree(source)
    if tree is None:  # no Python: by its words
        found = set(re.findall(rf"\b(?:{'|'.join(WATCHED)})(?:\.\w+)+", source[:LONGEST]))
        return sorted(found)[:MOST]
    earlier = _tree(before)
    names = _imported(earlier) if earlier is not None else {}
    names = {name: whole for name, whole in names.items() if name not in _bound(tree)} | _imported(tree)
    found = {name for name in _imported(tree, all_of_them=True).values() if _is_watched(name)}
    texts, seen = _docstrings(tree), set[ast.AST]()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Name)) and node not in seen:
            words = _words(node, seen)
            whole = ".".join([names.get(words[0], words[0]), *words[1:]])
            if _is_watched(whole) and isinstance(node.ctx, ast.Load):
                found.add(whole)
            found |= {f"via {word}" for word in words if word in DETOURS}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found |= {f"via {word}" for name in modules for word in name.split(".") if word in DETOURS}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in texts:
            found |= {f"via the text {name}" for name in WATCHED if re.search(rf"\b{name}\b", node.value)}
    return sorted(found)[:MOST]


def beyond(found: Iterable[str], may_use: Sequence[str]) -> list[str]:
    """Return what was used and is not in ``may_use``: those names, and what lies in those modules and classes."""
    allowed = [_plain(name) for name in may_use]
    return [
        name for name in found if not any(_plain(name) == one or _plain(name).startswith(f"{one}.") for one in allowed)
    ]


def _plain(name: str) -> str:
    """Return a dotted name without the private modules in it: labkit.metrics.pixel.psnr is labkit.metrics.psnr too."""
    return name.replace("labkit.metrics.pixel.", "labkit.metrics.").replace("labkit.models.network.", "labkit.models.")


def _is_watched(name: str) -> bool:
    return name.partition(".")[0] in WATCHED


def _tree(source: str) -> ast.Module | None:
    if len(source) > LONGEST:
        return None
    lines = ["" if re.match(r"\s*[%!]", line) else line for line in source.splitlines()]  # magics
    try:
        return ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _imported(tree: ast.Module, all_of_them: bool = False) -> dict[str, str]:
    """Return name -> what it was imported as; with ``all_of_them`` also the modules that bring no name of their own."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname or all_of_them:
                    found[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                star = alias.name == "*"
                found[alias.asname or (node.module if star else alias.name)] = (
                    node.module if star else f"{node.module}.{alias.name}"
                )
    return found


def _bound(tree: ast.Module) -> set[str]:
    """Return the names that a cell gives to arguments and values of its own."""
    made = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return made | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def _words(node: ast.AST, seen: set[ast.AST]) -> list[str]:
    """Return the words of a dotted name ("?" where its root is none); its parts need not be looked at again."""
    words = []
    while isinstance(node, ast.Attribute):
        words.append(node.attr)
        node = node.value
        seen.add(node)
    if not isinstance(node, ast.Name):
        seen.discard(node)
    return [node.id if isinstance(node, ast.Name) else "?", *reversed(words)]


def _docstrings(tree: ast.Module) -> set[ast.AST]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
    firsts = (node.body[0] for node in ast.walk(tree) if isinstance(node, kinds) and node.body)
    return {first.value for first in firsts if isinstance(first, ast.Expr)}
