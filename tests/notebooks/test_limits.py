"""The limits that a lab of this course keeps."""

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from lab_sizes import CODE, FOLDER, LabSource, calls_in, exercises_by_id, labs, read_source, regions, root, sizes

from labkit.checks import hints_for
from labkit.notebook.lab import RESULTS_MIME

WORDS, OURS, DRAWING = 3000, 250, 8
TELLING = 10  # letters and signs that a line must have to give something away
every_lab = pytest.mark.parametrize("lab", labs(), ids=lambda lab: lab.name)


def calls(lab: LabSource, name: str) -> list[ast.Call]:
    """The calls of a function of this name, plain or of a module, in a lab's cells and its module of figures."""
    texts = [cell.text for cell in lab.cells if cell.kind in CODE]
    figures = FOLDER.parents[1] / "labkit" / "notebook" / "figures" / f"{lab.name[3:]}.py"
    if figures.exists():
        texts.append(figures.read_text(encoding="utf-8"))
    nodes = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [node for node in nodes if getattr(node.func, "attr", getattr(node.func, "id", "")) == name]


@every_lab
def test_words_lines_and_drawing(lab: LabSource) -> None:
    held = sizes(lab)
    assert held.words <= WORDS and held.ours <= OURS
    assert {where: count for where, count in held.drawing.items() if count > DRAWING} == {}
    assert sum(held.students.values()) > 0


@every_lab
def test_minutes_are_said_alike_and_are_those_of_reading_and_exercises(lab: LabSource) -> None:
    said = re.search(r"\*\*(\d+) minutes", lab.cells[0].text)
    assert said
    held = sizes(lab)
    assert abs(int(said[1]) - held.minutes - 25 * held.words / 1000) <= 5, "the core exercises, and 25 for 1,000 words"
    of_exercises = re.search(r"of which (\d+) for the exercises", lab.cells[0].text)
    assert not of_exercises or int(of_exercises[1]) == held.minutes
    for page in ("README.md", "docs/instructors.md"):
        lines = (FOLDER.parents[1] / page).read_text(encoding="utf-8").splitlines()
        rows = [line for line in lines if re.match(rf"\| \[?{lab.name[:2]} ", line)]
        assert len(rows) == 1 and f" | {said[1]} | " in rows[0], f"{page}: a row of {lab.name} with {said[1]} minutes"


@every_lab
def test_figures_are_described_by_the_code_that_draws_them(lab: LabSource) -> None:
    for cell in lab.cells:
        for node in ast.walk(ast.parse(cell.text)) if cell.kind in CODE else ():
            if isinstance(node, ast.Call):
                assert all(word.arg != "alt" for word in node.keywords), f"{cell.where}: alt text in a student's cell"


@every_lab
def test_one_figure_to_drag(lab: LabSource) -> None:
    drags = [call for call in calls(lab, "drag") if root(call.func) in ("widgets", "drag")]
    assert len(drags) == 1, "one figure of a lab is widgets.drag"


@every_lab
def test_hints_come_in_three_and_hold_no_solution(lab: LabSource) -> None:
    exercises = exercises_by_id()
    for cell in lab.cells:
        if cell.kind != "exercise":
            continue
        hints = exercises[cell.key].hints
        assert len(hints) == 3 and all(hints), f"{cell.key}: an idea, a line, the shape of the solution"
        lines = {bare(line) for line in solution_lines(cell.text)}
        secret = {line for line in lines if len(line) >= TELLING}
        for text in hints_for(exercises[cell.key]):
            told = {line for line in secret if line in bare(text)}
            assert not secret or 2 * len(told) < len(secret), f"{cell.key}: a hint holds {sorted(told)}"


def solution_lines(text: str) -> list[str]:
    lines = text.splitlines()
    return [line for first, last in regions(text, "SOLUTION") for line in lines[first + 1 : last]]


def bare(text: str) -> str:
    return "".join(re.sub(r"(^|\s)#.*", "", text).split())


@every_lab
def test_every_prediction_has_its_right_answer(lab: LabSource) -> None:
    right = importlib.import_module(f"labkit.checks.{lab.name[3:]}").PREDICTIONS
    asked = [id for cell in lab.cells if cell.kind == "code" for id in calls_in(cell.text)]
    assert sorted(asked) == sorted(right), "every prediction once, and none without a right answer"
    assert all(id[:3] == f"{lab.name[:2]}-" for id in asked)
    for call in (one for one in calls(lab, "predict") if isinstance(one.func, ast.Name)):  # no network.predict(gray)
        [id, _, *options] = call.args
        assert isinstance(id, ast.Constant)
        answer = right[id.value]
        if options:
            assert isinstance(options[0], ast.List), f"{id.value}: write the options as a list"
            assert answer in list("abcdefgh"[: len(options[0].elts)])
        else:
            low, high = answer
            assert low < high


@every_lab
def test_a_student_can_call_for_a_hint(lab: LabSource) -> None:
    [setup] = [cell.text for cell in lab.cells if cell.kind == "setup"]
    assert "hint" in names_bound(setup), "a check that fails says hint(...): import it"


def names_bound(text: str) -> set[str]:
    imports = (node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom)))
    return {alias.asname or alias.name for node in imports for alias in node.names}


@every_lab
def test_the_first_of_everything_stands_in_time(lab: LabSource) -> None:
    assert sum("opening" in cell.tags for cell in lab.cells) == 1, 'a lab has one cell with tags=["opening"]'
    kinds = ["opening" if "opening" in cell.tags else cell.kind for cell in lab.cells]
    words = sum(len(cell.text.split()) for cell in lab.cells[: kinds.index("opening")] if cell.kind == "markdown")
    assert words <= 200, "the first figure must stand on the first screen"


def tables(lab: LabSource) -> list[dict[str, Any]]:
    """The tables in the built solution, if it was built from this source."""
    path = Path(FOLDER.parent / "solutions" / f"{lab.name}.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    if [cell["id"] for cell in cells] != [cell.id for cell in lab.cells]:
        pytest.skip("the solution is not built from this source")
    found = [out.get("data", {}).get(RESULTS_MIME) for cell in cells for out in cell.get("outputs", [])]
    return [one["table"] for one in found if one and "table" in one]


@every_lab
def test_tables_of_scores_have_gray_and_skill(lab: LabSource) -> None:
    for table in tables(lab):
        if any(column.startswith("MSE") for column in table["columns"]):
            assert any("skill" in column for column in table["columns"]), table["key"]
            first = table["columns"][0]
            assert any("gray" in str(row[first]) for row in table["rows"]), f"{table['key']}: no row of gray"


# That the limits can be broken


def test_what_counts(tmp_path: Path) -> None:
    text = '''# %% [markdown]
# # A title of five words
#
# ### Build: it (difficulty 2 of 5, core, 3 minutes)

# %% tags=["setup"]
from labkit.checks import check  # one

# %% tags=["opening"]
# a comment

plots.show(
    plots.bars({"a": 1}),
    alt="x",
)

# %% exercise="00-skill"
def skill(mse: float, mse_gray: float) -> float:
    """Two
    lines."""
    ### BEGIN SOLUTION
    # why
    ratio = mse / mse_gray

    return 1 - ratio
    ### END SOLUTION

# %% check="00-skill"
check("00-skill", skill)

# %%
predict("00-x", "?", ["a", "b"])
'''
    exercises = exercises_by_id()
    minutes = exercises["00-skill"].label()
    path = tmp_path / "00_x.py"
    path.write_text(text.replace("(difficulty 2 of 5, core, 3 minutes)", minutes))
    lab = read_source(path, exercises)
    held = sizes(lab)
    assert held.words == len(
        ["A", "title", "of", "five", "words", "Build:", "it", "(difficulty", "of", "core,", "minute)"]
    )
    assert (held.ours, held.students, held.predictions) == (1 + 4 + 1 + 1 + 1, {"00-skill": 2}, ["00-x"])
    assert max(held.drawing.values()) == 4
    with pytest.raises(AssertionError, match="alt text in a student's cell"):
        test_figures_are_described_by_the_code_that_draws_them(lab)
    with pytest.raises(AssertionError):
        test_one_figure_to_drag(lab)
