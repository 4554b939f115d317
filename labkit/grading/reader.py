"""What is done with a submission inside a `Bounded` child: it is read, compared and judged there.

Every function here takes and returns JSON, and may meet anything that a student can make.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labkit.checks import Judged, Verdict, find_exercise, judge_outcome
from labkit.grading.plan import only_definitions
from labkit.grading.similarity import fingerprint
from labkit.grading.submission import Cell, Notebook, Unreadable, choose
from labkit.grading.template import Template
from labkit.grading.usage import uses
from labkit.notebook.answer import VALUE, Outcome, decode, hand_over, read_response


def handlers(template: Template, inputs: Mapping[str, Sequence[str]]) -> dict[str, Callable[..., Any]]:
    """Return what a child can be asked to do for one submission to ``template`` that is judged on ``inputs``."""
    setup = template.setup

    def read(files: list[str], other: list[str], last: bool) -> dict[str, Any]:
        try:
            notebook, data, note = choose([Path(file) for file in files], other, template, last)
        except Unreadable as problem:
            return {"status": problem.status, "reason": problem.reason}
        digest = hashlib.sha256(data).hexdigest()
        cells = [asdict(cell) for cell in notebook.cells]
        return {"name": notebook.name, "lab": notebook.lab, "cells": cells, "note": note, "sha256": digest}

    def compare(source: str, before: str) -> dict[str, Any]:
        return {"fingerprint": fingerprint(source), "uses": uses(source, f"{setup}\n{before}")}

    def judge(exercise_id: str, number: int, response: Any) -> list[Any]:
        return _judge(exercise_id, decode(json.loads(inputs[exercise_id][number])), response)

    return {"read": read, "plain": only_definitions, "compare": compare, "judge": judge}


def read_notebook(said: Mapping[str, Any]) -> Notebook:
    """Return the notebook in what "read" returns."""
    return Notebook(said["name"], tuple(Cell(**cell) for cell in said["cells"]), said["lab"])


def _judge(exercise_id: str, inputs: Any, response: Any) -> list[Any]:
    """Return what came of an answer's response, as `judged` reads it."""
    exercise = find_exercise(exercise_id)
    try:
        outcome = Outcome(**response) if isinstance(response, dict) else read_response(response)
    except ValueError as error:
        raise NotRead(str(error)) from None
    try:
        found = judge_outcome(exercise, inputs, outcome)
    except Exception as error:
        # Whose fault is it? The exercise's own if it cannot judge its own reference either.
        judge_outcome(exercise, inputs, Outcome(VALUE, hand_over(exercise.reference, inputs, exercise.call)))
        verdict = Verdict(False, f"a value of this form cannot be judged ({type(error).__name__})")
        found = Judged((verdict,) * max(1, len(exercise.parts)))
    return [found.final, [[v.ok, v.hint, v.given, v.expected, v.form] for v in found.verdicts], list(outcome.uses)]


class NotRead(Exception):
    """A response is not of the form that a kernel sends."""


def judged(said: Sequence[Any]) -> Judged:
    """Return what "judge" found."""
    final, verdicts, _ = said
    return Judged(tuple(Verdict(*verdict) for verdict in verdicts), final)
