"""A generated class that has done lab 01: honest, partly right, wrong and hostile submissions, with what they deserve.

python class_of.py 100 FOLDER      # writes FOLDER/*.ipynb
"""

import copy
import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.course.labs import find_lab

LAB = "01"
POINTS = {
    "01-mean-color": 1,
    "01-median-color": 2,
    "01-color-table": 2,
    "01-lowest-mse": 2,
}  # its other exercises stay stubs
RIGHT = {
    "01-mean-color": [
        "def mean_color(colors, probabilities):\n    return probabilities @ colors",
        "def mean_color(c, p):\n    total = 0\n    for color, chance in zip(c, p):\n"
        "        total = total + chance * color\n"
        "    return total",
    ],
    "01-median-color": [
        "def median_color(colors, probabilities):\n    values, order = colors.sort(dim=0)\n"
        "    passed = probabilities[order].cumsum(0) > 0.5\n"
        "    return values.gather(0, passed.int().argmax(0, keepdim=True))[0]",
        "def median_color(colors, probabilities):\n    best = []\n    for channel in colors.T:\n        half = 0.0\n"
        "        for i in channel.argsort():\n            half += float(probabilities[i])\n            if half > 0.5:\n"
        "                best.append(float(channel[i]))\n                break\n    return best",
    ],
    "01-color-table": [
        "def color_table(cell, colors, fallback):\n    table = fallback.clone()\n    for c in set(cell.tolist()):\n"
        "        table[c] = colors[cell == c].mean(0)\n    return table",
        "def color_table(cell, colors, fallback):\n    import numpy as np\n    out = fallback.numpy().copy()\n"
        "    for c in np.unique(cell.numpy()):\n        out[c] = colors.numpy()[cell.numpy() == c].mean(axis=0)\n"
        "    return out",
    ],
    "01-lowest-mse": [
        "def lowest_mse(colors, probability):\n    x = colors.double() / 255\n    p = probability[:, :, None]\n"
        "    mean = (p * x).sum(1, keepdim=True)\n    return (p * (x - mean) ** 2).sum(1).mean()",
    ],
}
WRONG = {
    "01-mean-color": ["def mean_color(colors, probabilities):\n    return colors.mean(0)"],
    "01-median-color": ["def median_color(colors, probabilities):\n    return colors.median(0).values", "1 / 0"],
    "01-color-table": ["def color_table(cell, colors, fallback):\n    return fallback"],
    "01-lowest-mse": [
        "def lowest_mse(colors, probability):\n    return colors.var()",
        "def lowest_mse(colors, p) return 0",
    ],
}
HOSTILE = (  # (added to a wrong mean_color, status); none runs into a limit
    ("class Yes(float):\n    __eq__ = lambda *a: True\ndef mean_color(c, p): return Yes(0)", "graded"),
    ("import torch\ntorch.isclose = torch.allclose = lambda *a, **k: torch.tensor(True)", "graded"),
    ("import labkit.checks\nlabkit.checks.check = print", "graded"),
    ("import os\ndef mean_color(c, p): os._exit(0)", "kernel-died"),
    ("import sys\ndef mean_color(c, p): sys.exit(0)", "graded"),
    ("raise KeyboardInterrupt", "graded"),
)


@dataclass(frozen=True)
class Deserved:
    """What must come of a submission."""

    status: str
    score: int | None


def class_of(count: int, folder: Path, seed: int = 0) -> dict[str, Deserved]:
    """Write ``count`` notebooks; return student -> what the submission deserves."""
    rng = random.Random(seed)
    notebook = json.loads(find_lab(LAB).path.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    deserved = {}
    for number in range(count):
        kind = rng.choices(("honest", "partly", "wrong", "hostile", "damaged"), (40, 30, 12, 15, 3))[0]
        student = f"s{number:03d}-{kind}"
        if kind == "damaged":
            (folder / f"{student}.ipynb").write_text("{")
            deserved[student] = Deserved("invalid", None)
            continue
        answers, score, status = {}, 0, "graded"
        for key, points in POINTS.items():
            choice = {"honest": "right", "hostile": "right", "wrong": "wrong"}.get(kind)
            choice = choice or rng.choice(("right", "wrong", "stub"))
            if choice != "stub":
                answers[key] = rng.choice((RIGHT if choice == "right" else WRONG)[key])
            score += points if choice == "right" else 0
        if kind == "hostile":
            attack, status = rng.choice(HOSTILE)
            answers["01-mean-color"] = f"{WRONG['01-mean-color'][0]}\n{attack}"
            score -= POINTS["01-mean-color"]
        (folder / f"{student}.ipynb").write_text(json.dumps(with_answers(notebook, answers)))
        deserved[student] = Deserved(status, score)
    return deserved


def with_answers(notebook: dict[str, Any], answers: dict[str, str]) -> dict[str, Any]:
    """A copy of the student notebook with these sources."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        key = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if key in answers:
            cell["source"] = answers[key]
    return notebook


if __name__ == "__main__":
    class_of(int(sys.argv[1]), Path(sys.argv[2]))
