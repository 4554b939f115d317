"""The study in a notebook: ``play("study")`` shows it, and writes the same CSV file as the page."""

from __future__ import annotations

import time
from pathlib import Path

import ipywidgets

from labkit.app.study import CHOICES, Session, read_study
from labkit.app.study_analysis import analyze, table

WORDS = {"left": "The left one is real", "right": "The right one is real", "real": "Real", "colored": "Colored"}
WIDTH = "256px"


def play(folder: str | Path, rater: str = "", seed: int | None = None) -> ipywidgets.VBox:
    """Show a study's trials to one rater, one after the other.

    Args:
        folder: that `labkit study make` wrote.
        rater: a name; empty: a random one.
        seed: of the trials; None: drawn.

    Returns: the widget. Buttons can be reached with Tab and pressed with Enter.
    """
    study = read_study(folder)
    session = Session(study, rater, seed)
    heading = ipywidgets.HTML()
    pictures = ipywidgets.HBox()
    buttons = [ipywidgets.Button(description=WORDS[choice], tooltip=WORDS[choice]) for choice in CHOICES[study.kind]]
    shown = 0.0

    def show() -> None:
        nonlocal shown
        if session.done:
            pictures.children, choices.children = (), ()
            rows = [f"{row['method']}: fooling rate {row['fooling rate']}" for row in table(analyze(session.answers))]
            heading.value = f"Done. Your answers are in <code>{session.file}</code>.<br>" + "<br>".join(rows)
            return
        question = "Which one is real?" if study.kind == "pairs" else "Is this picture real, or was it colored?"
        heading.value = f"{question} Trial {len(session.answers) + 1} of {len(session.trials)}"
        pictures.children = tuple(
            ipywidgets.Image(value=path.read_bytes(), format="png", layout={"width": WIDTH, "margin": "4px"})
            for path in session.pictures()
        )
        shown = time.monotonic()

    def choose(button: ipywidgets.Button) -> None:
        session.answer(CHOICES[study.kind][buttons.index(button)], time.monotonic() - shown)
        show()

    for button in buttons:
        button.on_click(choose)
    choices = ipywidgets.HBox(buttons)
    show()
    return ipywidgets.VBox([heading, pictures, choices])
