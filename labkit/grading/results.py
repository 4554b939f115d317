"""The grade of one submission, as it is kept in grades/*.json."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

PARTLY, MISSING, GRADER_ERROR, OVERALL = "partly right", "missing", "grader-error", "overall-timeout"
Status = Literal[
    "graded", "missing", "invalid", "wrong-lab", "timeout", "overall-timeout", "kernel-died", "memory", "output-limit",
    "grader-error",
]  # fmt: skip


class ExerciseGrade(BaseModel):
    """One exercise of one student.

    Attributes:
        status: right, partly right, wrong, not attempted, missing, or why it could not be graded (timeout,
            overall-timeout, kernel-died, memory, output-limit, grader-error).
        note: what had to be decided to find the answer.
        parts: whether each part is right.
        hidden: titles of hidden checks, and whether they passed.
        source: the cells that count.
        ran: what became of each of them, where there is something to say.
        uses: what it uses of labkit, scikit-image and kornia beyond what the exercise allows.
        fingerprint: by which it is compared with others.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    status: str
    points: int
    max_points: int
    message: str = ""
    note: str = ""
    parts: dict[str, bool] = {}
    hidden: dict[str, bool] = {}
    source: str = ""
    ran: list[str] = []
    uses: list[str] = []
    fingerprint: dict[str, Any] = {}


class Graded(BaseModel):
    """One student's submission, graded or not; no time and no order is in it, so the same submission gives the same.

    ``code`` gives the student's inputs again; ``carried`` names her own cells that were carried along.
    """

    model_config = ConfigDict(frozen=True)

    student: str
    status: Status
    reason: str = ""
    sha256: str = ""
    file: str = ""
    code: str = ""
    carried: list[str] = []
    exercises: list[ExerciseGrade] = []
    starved: bool = False  # out of time, which others may have taken; in no file

    @property
    def score(self) -> int | None:
        """Points earned; None where nothing could be graded, which is not zero."""
        if all(exercise.status == GRADER_ERROR for exercise in self.exercises):
            return None
        return sum(exercise.points for exercise in self.exercises)
