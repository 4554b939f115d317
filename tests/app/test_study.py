"""The study: its plan, its sessions and files, and an analysis proven on simulated raters of known sensitivity."""

import csv
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from scipy.stats import t
from serving import ask, served

from labkit import LabkitError
from labkit.app.server import Limits, Site
from labkit.app.study import TRUE, Answer, Session, Study, make_study, plan, read_answers, read_study, to_csv
from labkit.app.study_analysis import analyze, needed, rate, spread_between_raters
from labkit.app.study_server import study_rules
from labkit.cli import main
from labkit.colorizer import Colorizer


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return new_study(tmp_path / "study")


def new_study(folder: Path, kind: str = "pairs", count: int = 12) -> Study:
    true = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return make_study(folder, true, {"ours": true.flip(1), "other": 255 - true}, name="try", kind=kind)


def answer(rater: str = "a", picture: int = 0, method: str = "ours", fooled: bool = False, **more: object) -> Answer:
    row = Answer("s", rater, 1, "pairs", picture, method, "left", "right" if fooled else "left", 1.0, "")
    return replace(row, **more)  # type: ignore[arg-type]


def single(rater: str, picture: int, method: str, said_real: bool) -> Answer:
    truth = "real" if method == TRUE else "colored"
    return answer(rater, picture, method, kind="single", truth=truth, answer="real" if said_real else "colored")


# ------------------------------------------------------------------------------------------------------ the study


def test_a_study_is_written_and_read(study: Study) -> None:
    assert read_study(study.folder) == study and study.methods == ("gray", "ours", "other")
    assert len(list((study.folder / "pictures").iterdir())) == 12 * 4
    with pytest.raises(LabkitError, match="already holds a study"):
        new_study(study.folder)
    study.picture(3, "ours").unlink()
    with pytest.raises(LabkitError, match=r"0003\.ours\.png is missing"):
        read_study(study.folder)
    (study.folder / "study.json").write_text('{"format": 9}')
    with pytest.raises(LabkitError, match="is damaged"):
        read_study(study.folder)
    with pytest.raises(LabkitError, match="holds no study"):
        read_study(study.folder / "none")


def test_a_plan_is_balanced_random_and_shows_no_picture_twice(study: Study) -> None:
    trials = plan(study, 1)
    assert sorted(trial.picture for trial in trials) == list(range(12))
    assert Counter(trial.method for trial in trials) == {"gray": 4, "ours": 4, "other": 4}
    assert Counter(trial.truth for trial in trials) == {"left": 6, "right": 6}
    assert plan(study, 1) == trials != plan(study, 2)
    trials = plan(replace(study, kind="single"), 1)
    assert sum(trial.method == TRUE for trial in trials) == 6
    assert all((trial.method == TRUE) == (trial.truth == "real") for trial in trials)


def test_a_session_shows_the_truth_on_the_side_that_it_says(study: Study) -> None:
    session = Session(study, "Ada", seed=3)
    while not session.done:
        trial = session.trials[len(session.answers)]
        pictures = session.pictures()
        assert pictures[["left", "right"].index(trial.truth)] == study.picture(trial.picture, TRUE)
        assert study.picture(trial.picture, trial.method) in pictures
        session.answer("left", 0.5)
    with session.file.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and rows[0]["rater"] == "Ada" and rows[0]["seconds"] == "0.5"
    assert read_answers([study.folder]) == session.answers
    with pytest.raises(LabkitError, match="all trials are answered"):
        session.answer("left", 1)


def test_bad_answers_and_names_are_refused(study: Study) -> None:
    session = Session(study)
    assert session.rater.startswith("rater-")
    for choice, seconds, said in (
        ("up", 1, "one of left, right"),
        ("left", -1, "seconds"),
        ("left", math.nan, "seconds"),
    ):
        with pytest.raises(LabkitError, match=said):
            session.answer(choice, seconds)
    for name in ("../x", "a" * 41, "<b>"):
        with pytest.raises(LabkitError, match="rater: letters"):
            Session(study, name)


def test_files_of_raters_are_merged(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(to_csv([answer("a"), answer("a", picture=1)]))
    (tmp_path / "b.csv").write_text(to_csv([answer("b")]))
    assert len(read_answers([tmp_path])) == 3 == len(read_answers([tmp_path, tmp_path / "a.csv"]))  # none counts twice
    (tmp_path / "bad.csv").write_text(to_csv([answer("c")]) + "s,c,2,pairs,x\n")
    with pytest.raises(LabkitError, match=r"bad\.csv line 3 is no answer"):
        read_answers([tmp_path])
    with pytest.raises(LabkitError, match="no answers"):
        read_answers([])


# --------------------------------------------------------------------------------------------------- the analysis


def test_rates_and_d_prime_of_known_answers() -> None:
    answers = [answer(f"r{r}", p, fooled=(r + p) % 4 == 0) for r in range(8) for p in range(12)]
    [result] = analyze(answers)
    assert result.fooling.value == 0.25 and (result.trials, result.raters, result.pictures) == (96, 8, 12)
    assert result.d_prime.value == pytest.approx(math.sqrt(2) * 0.6745, abs=1e-3)  # z(.75) = .6745
    assert result.d_prime.low < result.d_prime.value < result.d_prime.high
    assert result.fooling.low < 0.25 < result.fooling.high


def test_d_prime_of_single_pictures() -> None:
    answers = [single(f"r{r}", p, TRUE, (r + p) % 5 != 0) for r in range(10) for p in range(10)]  # hits .8
    answers += [single(f"r{r}", p, "ours", (r + p) % 10 < 3) for r in range(10) for p in range(10)]  # false alarms .3
    [result] = analyze(answers)
    assert result.fooling.value == pytest.approx(0.3)
    assert result.d_prime.value == pytest.approx(0.8416 + 0.5244, abs=1e-3)
    assert result.d_prime.low < 1.366 < result.d_prime.high
    with pytest.raises(LabkitError, match="no true picture"):
        analyze([each for each in answers if each.method != TRUE])


def test_clustered_answers_have_wider_intervals() -> None:
    own = np.repeat([0.0, 1.0] * 4, 20)  # eight raters who always answer alike
    raters, pictures = np.repeat(np.arange(8), 20), np.tile(np.arange(20), 8)
    clustered, free = rate(own, raters, pictures), rate(own, np.arange(160), np.arange(160))
    assert clustered.high - clustered.low > 3 * (free.high - free.low)
    never = rate(np.zeros(50), np.repeat(np.arange(5), 10), np.tile(np.arange(10), 5))
    assert never.value == 0 and 0 < never.high < 0.5


def test_several_studies_are_refused() -> None:
    with pytest.raises(LabkitError, match="answers of 2 studies"):
        analyze([answer(), answer(study="other")])


def simulate(
    rng: np.random.Generator, mean: float, raters: int, pictures: int, rater_sd: float, picture_sd: float, trials: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Draw the answers of raters of known sensitivity about one method.

    A picture fools a rater with probability ``Phi(mean + own + picture's)``, own and picture's normal.

    Returns: 0 and 1 ``(N,)``, raters ``(N,)``, pictures ``(N,)``, and the true rate over all raters and pictures.
    """
    own = rater_sd * rng.standard_normal(raters)
    hard = picture_sd * rng.standard_normal(pictures)
    seen = np.stack([rng.permutation(pictures)[:trials] for _ in range(raters)])  # (raters, trials)
    chance = ndtr(mean + own[:, None] + hard[seen])
    fooled = (rng.random(chance.shape) < chance).astype(float)
    truth = float(ndtr(mean / math.sqrt(1 + rater_sd**2 + picture_sd**2)))
    return fooled.ravel(), np.repeat(np.arange(raters), trials), seen.ravel(), truth


@pytest.mark.parametrize(
    ("mean", "raters", "pictures", "rater_sd", "picture_sd", "trials"),
    [
        (-0.5, 16, 40, 0.3, 0.3, 40),
        (0.0, 30, 40, 0.2, 0.2, 20),
        (-1.6, 16, 40, 0.4, 0.4, 20),
        (-0.5, 40, 20, 0.2, 0.6, 20),
    ],
)
def test_intervals_cover_the_truth_in_a_thousand_studies(
    mean: float, raters: int, pictures: int, rater_sd: float, picture_sd: float, trials: int
) -> None:
    rng = np.random.default_rng(0)
    covered = naive = 0
    for _ in range(1000):
        values, who, which, truth = simulate(rng, mean, raters, pictures, rater_sd, picture_sd, trials)
        found = rate(values, who, which)
        covered += found.low <= truth <= found.high
        single = rate(values, np.arange(len(values)), np.arange(len(values)))
        naive += single.low <= truth <= single.high
    assert 935 <= covered <= 985  # .95 within four standard errors, and no more than a little too wide
    if mean != 0:
        assert naive < covered - 50  # what counts answers as independent claims too much


def test_the_number_of_raters_that_is_needed_is_enough() -> None:
    plan_ = needed(0.15, rate=0.4, between=0.1, trials=20)
    rng, found = np.random.default_rng(1), 0
    for _ in range(1000):
        true = 0.15 + 0.1 * rng.standard_normal(plan_["raters"])
        rates = [rng.binomial(20, np.clip(0.4 + sign * true / 2, 0, 1)) / 20 for sign in (1, -1)]
        difference = rates[0] - rates[1]
        error = difference.std(ddof=1) / math.sqrt(len(difference))
        found += abs(difference.mean()) / error > t.ppf(0.975, len(difference) - 1)
    assert 760 <= found <= 860
    assert (
        needed(0.05)["raters"] > 3 * needed(0.1)["raters"] and needed(0.1, trials=100)["raters"] < needed(0.1)["raters"]
    )


def test_the_spread_between_raters_is_found() -> None:
    rng = np.random.default_rng(0)
    true = np.clip(0.4 + 0.15 * rng.standard_normal(200), 0, 1)
    answers = [answer(f"r{r}", p, fooled=bool(rng.random() < true[r])) for r in range(200) for p in range(20)]
    assert spread_between_raters(answers) == pytest.approx(0.15, abs=0.03)
    same = [answer(f"r{r}", p, fooled=bool(rng.random() < 0.4)) for r in range(200) for p in range(20)]
    assert spread_between_raters(same) < 0.06


# ------------------------------------------------------------------------------------------- server and commands


def test_the_server_leads_through_a_study_and_tells_nothing(study: Study) -> None:
    site = Site({"plain": Colorizer("luma-chroma", "unet-half", width=8)}, Limits(burst=10_000))
    with served(site, *study_rules(site, study)) as port:
        assert b"Which one is real?" in ask(port, "/study.html")[2]
        begun = ask(port, "/api/study/begin", json.dumps({"rater": "Ada"}).encode())
        told = json.loads(begun[2])
        assert (told["trials"], told["done"], told["pictures"]) == (12, 0, 2)
        key = told["key"]
        assert ask(port, f"/api/study/{key}/answers.csv")[0] == 403
        assert ask(port, f"/api/study/{key}/1/0.png")[0] == 404  # not yet
        for number in range(12):
            for place in (0, 1):
                status, headers, body = ask(port, f"/api/study/{key}/{number}/{place}.png")
                assert status == 200 and body.startswith(b"\x89PNG")
                assert not any(word in str(headers) for word in study.methods)
            message = json.dumps({"trial": number, "answer": "left", "seconds": 1.5}).encode()
            for _ in range(2):  # a second click, or an answer that was sent again, changes nothing
                told = json.loads(ask(port, f"/api/study/{key}/answer", message)[2])
                assert told["done"] == number + 1
        text = ask(port, f"/api/study/{key}/answers.csv")[2].decode()
        assert len(text.splitlines()) == 13
        assert ask(port, "/api/study/begin", b'{"rater": "../../x"}')[0] == 400
        assert ask(port, "/api/study/begin", b"[]")[0] == 400
        assert ask(port, "/api/study/AAAAAAAAAAAAAAAA/answer", b"{}")[0] == 404
    [file] = (study.folder / "answers").iterdir()
    assert file.read_text() == text


def test_the_widget_writes_the_same_file(study: Study) -> None:
    from labkit.app.study_widget import play

    box = play(study.folder, "Ada", seed=1)
    heading, pictures, choices = box.children
    assert len(pictures.children) == 2 and "Trial 1 of 12" in heading.value
    for _ in range(12):
        choices.children[1].click()
    assert "Done" in heading.value and "fooling rate" in heading.value and not pictures.children
    assert {row.answer for row in read_answers([study.folder])} == {"right"}


def test_the_commands_make_and_analyze(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["study", "make", "shown", "--dataset", "photos", "--size", "32"])
    assert end.value.code == 0 and "labkit serve --study shown" in capsys.readouterr().out
    made = read_study("shown")
    assert made.methods == ("gray", "starter") and made.pictures == 5
    rng = np.random.default_rng(0)
    for rater in range(6):
        session = Session(made, f"r{rater}")
        while not session.done:
            session.answer(str(rng.choice(["left", "right"])), 1.0)
    with pytest.raises(SystemExit) as end:
        main(["study", "analyze", "shown/answers"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and "starter" in said and "fooling rate" in said and "To show a difference" in said
    with pytest.raises(SystemExit) as end:
        main(["study", "make", "toys", "--dataset", "toyworld"])
    assert end.value.code == 2
