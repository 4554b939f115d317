"""The study "Which one is real?": a set of pictures, each rater's trials, and the answers in a CSV file.

A rater sees the true picture beside one that a method colored and says which is real (pairs), or one picture at a time
and says whether it is (single). Order and sides are random, nothing that is shown names the method, and nobody sees a
picture twice. `labkit.app.study_server` shows it in the browser, `labkit.app.study_widget` in a notebook.

Source: the user study of the paper on CNN against GAN; the randomized visual Turing test as in Zhang, Isola and Efros,
2016, arXiv:1603.08511, section 3.1.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from torch import Tensor

from labkit.artifacts import make_folder, write_json
from labkit.errors import LabkitError, check_integer, check_number
from labkit.images import save_image
from labkit.metrics import gray_prediction

STUDY_FILE, PICTURES, ANSWERS = "study.json", "pictures", "answers"
FORMAT = 1
TRUE = "true"
KINDS = ("pairs", "single")
CHOICES = {"pairs": ("left", "right"), "single": ("real", "colored")}
RATER = re.compile(r"[\w][\w .-]{0,39}")


@dataclass(frozen=True)
class Study:
    """A set of pictures, on disk.

    Attributes:
        folder: with ``study.json``, the pictures and the answers.
        name: of the study; answers carry it.
        kind: "pairs" or "single".
        methods: what colored the pictures.
        pictures: how many there are; each as true and by every method.
        trials: how many one rater sees.
    """

    folder: Path
    name: str
    kind: str
    methods: tuple[str, ...]
    pictures: int
    trials: int

    def picture(self, number: int, method: str) -> Path:
        """Return the file of a picture by a method (or "true")."""
        return self.folder / PICTURES / f"{number:04d}.{method}.png"


@dataclass(frozen=True)
class Trial:
    """One question: a picture, the method beside the truth, and what the right answer is."""

    picture: int
    method: str  # in a single trial "true" where the true picture is shown
    truth: str  # "left" or "right": where the true one is; "real" or "colored": what is shown


@dataclass(frozen=True)
class Answer:
    """One row of a rater's CSV file."""

    study: str
    rater: str
    trial: int
    kind: str
    picture: int
    method: str
    truth: str
    answer: str
    seconds: float
    time: str


def make_study(
    folder: str | Path,
    true: Tensor,
    methods: Mapping[str, Tensor],
    *,
    name: str = "study",
    kind: str = "pairs",
    trials: int | None = None,
    gray: bool = True,
) -> Study:
    """Write the pictures of a study into a new folder.

    Args:
        folder: must not hold a study yet.
        true: true images ``(N, 3, H, W)``, uint8.
        methods: name -> what a method made of them, ``(N, 3, H, W)``, uint8 or float in [0, 1].
        name: of the study.
        kind: "pairs" or "single".
        trials: how many one rater sees; None: each picture once.
        gray: whether the gray picture takes part as a method: nobody should take it for real, so it shows who did not
            look.

    Raises:
        LabkitError: a bad name or number, sizes that differ, or a folder that holds a study.
    """
    folder = make_folder(folder)
    if (folder / STUDY_FILE).exists():
        raise LabkitError(f"{folder} already holds a study: choose another --out")
    _check_name("name of the study", name)
    if kind not in KINDS:
        raise LabkitError(f"unknown kind of study: got {kind!r}, expected one of {', '.join(KINDS)}")
    shown = {**({"gray": gray_prediction(true)} if gray else {}), **methods}
    for method, images in shown.items():
        if not re.fullmatch(r"[\w-]{1,40}", method) or method == TRUE:
            raise LabkitError(f"a method's name has letters, digits, - and _ and is not true. Got {method!r}")
        if images.shape != true.shape:
            raise LabkitError(f"{method}: got {tuple(images.shape)}, expected {tuple(true.shape)} as the true pictures")
    if not shown:
        raise LabkitError("a study needs at least one method: give one, or gray")
    count = check_integer("trials", len(true) if trials is None else trials, low=1, high=len(true))
    study = Study(folder, name, kind, tuple(shown), len(true), count)
    for method, images in {TRUE: true, **shown}.items():
        for number, image in enumerate(images):
            save_image(image, study.picture(number, method))
    about = {key: value for key, value in asdict(study).items() if key != "folder"}
    write_json(folder / STUDY_FILE, {"format": FORMAT, **about})  # last: only a whole study has it
    return study


def read_study(folder: str | Path) -> Study:
    """Read what `make_study` wrote.

    Raises:
        LabkitError: there is none, or it is damaged.
    """
    file = Path(folder) / STUDY_FILE
    if not file.is_file():
        raise LabkitError(f"{folder} holds no study: make one with `labkit study make`")
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        if about.pop("format") != FORMAT:
            raise ValueError("another format")
        study = Study(Path(folder), **{**about, "methods": tuple(about["methods"])})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LabkitError(f"{file} is damaged ({error}): make the study again") from None
    files = [study.picture(number, method) for number in range(study.pictures) for method in (TRUE, *study.methods)]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise LabkitError(f"{missing[0]} is missing ({len(missing)} pictures are): make the study again")
    return study


def plan(study: Study, seed: int) -> list[Trial]:
    """Draw one rater's trials: pictures in random order, each once, methods equally often, sides at random.

    In a single study every second picture, at random, is the true one.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(study.pictures)[: study.trials]
    shown = _balanced(rng, study.methods, study.trials)
    if study.kind == "pairs":
        sides = _balanced(rng, CHOICES["pairs"], study.trials)
        return [Trial(int(p), m, s) for p, m, s in zip(chosen, shown, sides, strict=True)]
    truths = _balanced(rng, CHOICES["single"], study.trials)
    colored = iter(_balanced(rng, study.methods, study.trials))
    return [Trial(int(p), TRUE if t == "real" else next(colored), t) for p, t in zip(chosen, truths, strict=True)]


def _balanced(rng: np.random.Generator, values: Sequence[str], count: int) -> list[str]:
    """Return values in random order, each as often as the others, or once more."""
    blocks = [rng.permutation(values) for _ in range(-(-count // len(values)))]
    drawn = np.concatenate(blocks)[:count]
    return [str(value) for value in rng.permutation(drawn)]


class Session:
    """One rater's way through a study.

    Args:
        study: see `read_study`.
        rater: a name, or any word; empty: a random one.
        seed: of the trials; None: drawn.

    Attributes:
        answers: given so far.
    """

    def __init__(self, study: Study, rater: str = "", seed: int | None = None) -> None:
        """Draw the trials."""
        self.study = study
        self.rater = _check_name("rater", rater.strip()) if rater.strip() else f"rater-{secrets.token_hex(3)}"
        self.trials = plan(study, secrets.randbits(32) if seed is None else seed)
        self.answers: list[Answer] = []
        number = hashlib.sha256(secrets.token_bytes(8)).hexdigest()[:8]
        self.file = study.folder / ANSWERS / f"{self.rater.replace(' ', '_')}-{number}.csv"

    @property
    def done(self) -> bool:
        """Whether all trials are answered."""
        return len(self.answers) == len(self.trials)

    def pictures(self) -> list[Path]:
        """Return the files that the trial at hand shows, from left to right."""
        trial = self.trials[len(self.answers)]
        if self.study.kind == "single":
            return [self.study.picture(trial.picture, trial.method)]
        both = [self.study.picture(trial.picture, TRUE), self.study.picture(trial.picture, trial.method)]
        return both if trial.truth == "left" else both[::-1]

    def answer(self, choice: str, seconds: float) -> None:
        """Keep the answer to the trial at hand, also in the rater's CSV file.

        Args:
            choice: "left" or "right" for the one that is real; "real" or "colored".
            seconds: from when the pictures were shown.

        Raises:
            LabkitError: the study is over, or another choice or time.
        """
        if self.done:
            raise LabkitError("all trials are answered")
        allowed = CHOICES[self.study.kind]
        if choice not in allowed:
            raise LabkitError(f"an answer is one of {', '.join(allowed)}. Got {choice!r}")
        seconds = check_number("seconds", seconds, low=0, high=86_400)
        trial = self.trials[len(self.answers)]
        row = Answer(
            study=self.study.name,
            rater=self.rater,
            trial=len(self.answers) + 1,
            kind=self.study.kind,
            picture=trial.picture,
            method=trial.method,
            truth=trial.truth,
            answer=choice,
            seconds=round(seconds, 3),
            time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", newline="", encoding="utf-8") as file:
            file.write(to_csv([row], header=not self.answers))
        self.answers.append(row)


def to_csv(answers: Sequence[Answer], header: bool = True) -> str:
    """Return answers as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [item.name for item in fields(Answer)], lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(asdict(answer) for answer in answers)
    return out.getvalue()


def read_answers(paths: Sequence[Path]) -> list[Answer]:
    """Read raters' CSV files, and those in folders; an answer that is there twice counts once.

    Raises:
        LabkitError: a file that is no table of answers, naming the line; or none at all.
    """
    files = [f for path in paths for f in (sorted(path.rglob("*.csv")) if path.is_dir() else [path])]
    found: dict[Answer, None] = {}
    for file in files:
        try:
            rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise LabkitError(f"{file} cannot be read as CSV ({error})") from None
        for line, row in enumerate(rows, start=2):
            try:
                found[_answer(row)] = None
            except (KeyError, TypeError, ValueError):
                raise LabkitError(f"{file} line {line} is no answer of a study: mend or remove it") from None
    if not found:
        raise LabkitError("no answers: give the CSV files of raters, or a folder of them")
    return list(found)


def _answer(row: Mapping[str, str]) -> Answer:
    numbers = {"trial": int(row["trial"]), "picture": int(row["picture"]), "seconds": float(row["seconds"])}
    texts = {item.name: row[item.name] for item in fields(Answer) if item.name not in numbers}
    answer = Answer(**texts, **numbers)  # type: ignore[arg-type]
    allowed = CHOICES[answer.kind]
    if answer.truth not in allowed or answer.answer not in allowed or not answer.rater or not answer.method:
        raise ValueError
    return answer


def _check_name(what: str, name: str) -> str:
    """Return a name that may stand in file names.

    Raises:
        LabkitError: it may not.
    """
    if not RATER.fullmatch(name):
        raise LabkitError(f"{what}: letters, digits, spaces, - and _, at most 40. Got {name[:60]!r}")
    return name
