"""The inputs that an answer is tried on: drawn for one submission, and told so that a student can have them again."""

from __future__ import annotations

import json
from typing import Any

from labkit.checks import Exercise, as_code, draw, exercise_seed, find_exercise
from labkit.grading.template import Template
from labkit.notebook.answer import decode, encode, request, shown


def draw_inputs(template: Template, code: str, hidden_code: str = "") -> dict[str, list[str]]:
    """Draw inputs for every check of a lab, as JSON by the exercise's id.

    Args:
        template: the lab.
        code: from which the seeds of public checks follow; a student can have the same with `labkit check --inputs`.
        hidden_code: the same for hidden checks.

    Raises:
        LabkitError: if an exercise has inputs that cannot be sent to a kernel, or a ``call`` that cannot.
    """
    found = {}
    for call in (call for task in template.tasks for call in task.checks):
        exercise = find_exercise(call.id)
        drawn = list(draw(exercise, exercise_seed(hidden_code if call.hidden else code, call.id), exercise.draws))
        request(drawn[0], exercise.call, exercise.asks_for)
        found[call.id] = [json.dumps(encode(inputs, strict=True)) for inputs in drawn]
    return found


def tell_inputs(exercise: Exercise, answer: str, inputs: Any, seed: int, number: int) -> str:
    """Return a line that a student can paste and run to see what the answer does with these inputs."""
    inputs = shown(inputs)
    if code := as_code(inputs):
        if exercise.call is not None:
            return f"inputs:   {code}"
        if isinstance(inputs, dict):
            named = ", ".join(f"{name}={as_code(value)}" for name, value in inputs.items())
            return f"try:      {answer}({named})"
        return f"try:      {answer}{code}" if isinstance(inputs, tuple) else f"try:      {answer}({code})"
    drawn = f'inputs = example("{exercise.id}", seed={seed}, number={number})'
    star = "**" if isinstance(inputs, dict) else "*" if isinstance(inputs, tuple) else ""
    use = "" if exercise.call is not None else f"; {answer}({star}inputs)"
    return f"try:      from labkit.checks import example; {drawn}{use}"


def decode_inputs(text: str) -> Any:
    """Return inputs that `draw_inputs` has drawn."""
    return decode(json.loads(text))
