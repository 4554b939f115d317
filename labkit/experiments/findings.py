"""Say in ten sentences what was learned, each with its numbers, its verdicts and the command behind it.

A finding names a recipe and the claims that decide it; its sentence states numbers, and the verdicts say what may be
concluded of them. Every number is read from data/measured when the page is made. A finding of which a number is
missing says that it is not yet measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from labkit.experiments.claims import ClaimResult
from labkit.experiments.comparability import PERFECT_SAMPLER
from labkit.experiments.measured import Measured, measured, number_of_seeds
from labkit.metrics import KID_NAME, skill

NOT_YET = "not yet measured"


class NotMeasured(Exception):
    """Say that a number of a sentence is not there yet."""


class Numbers:
    """The means of one recipe, by system and metric."""

    def __init__(self, rows: Sequence[Measured]) -> None:
        """Keep the rows of one recipe in one profile."""
        self._rows = {(row.system, row.metric): row for row in rows}

    def row(self, system: str, metric: str = "mse") -> Measured:
        """Return one metric of one system over seeds.

        Raises:
            NotMeasured: where there is no such row.
        """
        if (system, metric) not in self._rows:
            raise NotMeasured
        return self._rows[system, metric]

    def __call__(self, system: str, metric: str = "mse") -> float:
        """Return its mean over seeds."""
        return self.row(system, metric).mean

    def gray(self, system: str, metric: str = "mse") -> float:
        """Return the same of the gray images."""
        return self.row(system, metric).gray

    def oracle(self, system: str) -> float:
        """Return the MSE of the nearest bins."""
        return self.row(system).oracle or 0.0

    def lower(self, better: str, worse: str) -> float:
        """Return by how many percent the MSE of one system is below that of another."""
        return 100 * (1 - self(better) / self(worse))


@dataclass(frozen=True)
class Finding:
    """Hold what one sentence rests on; `figure` is the name of its figure, where it has one."""

    title: str
    recipe: str
    claims: tuple[str, ...]
    sentence: Callable[[Numbers], str]
    figure: str = ""


@dataclass(frozen=True)
class Costs:
    """Split the distance of a mode to the regression in its space into three prices, in MSE."""

    learning: float  # of the mean over the regression: coarse bins and cross-entropy instead of squared error
    quantization: float  # of rounding that mean to its nearest bin
    commitment: float  # of the likeliest bin instead


def costs(numbers: Numbers, bins: str, regression: str) -> Costs:
    """Return what each step costs on the way from a regression to the mode of bins."""
    mean, rounded, mode = (numbers(f"{bins}, {way}") for way in ("mean", "rounded", "mode"))
    return Costs(mean - numbers(regression), rounded - mean, mode - rounded)


def costs_on_photographs() -> list[dict[str, object]]:
    """Return the rows of a table: what bins cost on photographs, in thousandths of MSE, and regression beside them.

    Where that is not measured it is one row that says so.
    """
    found = measured("bins", metric="mse", profile="quick")
    if not found:
        return [{"colors": "not measured yet: labkit reproduce bins"}]
    numbers, gray = Numbers(found), found[0].gray

    def row(colors: str, mean: float, parts: Sequence[float] = ()) -> dict[str, object]:
        names = ("quantization", "commitment", "MSE of the mode")
        begin = {
            "colors": colors,
            "skill of the mean": round(skill(mean, gray), 3),
            "MSE of the mean": thousandths(mean),
        }
        return begin | dict(zip(names, map(thousandths, parts), strict=False))

    rows = [row("gray (no color)", gray)]
    for space, counts in {"RGB": (24, 150), "chroma": (24, 150), "ab": (313,)}.items():
        regression = f"regression to {space}"
        rows.append(row(regression, numbers(regression)))
        for bins in (f"{count} {space} bins" for count in counts):
            price = costs(numbers, bins, regression)
            parts = (price.quantization, price.commitment, numbers(f"{bins}, mode"))
            rows.append(row(bins, numbers(f"{bins}, mean"), parts))
    return rows


def adversary_on_photographs() -> list[dict[str, object]]:
    """Return the rows of a table: what an adversary changes on photographs, beside classifiers and a perfect sampler.

    Where that is not measured it is one row that says so.
    """
    found = measured("cnn-vs-gan", profile="quick")
    if not found:
        return [{"colored by": "not measured yet: labkit reproduce cnn-vs-gan"}]
    numbers, best, alone = Numbers(found), "classification, by mean", "generator alone, L1"

    def row(system: str) -> dict[str, object]:
        return {
            "colored by": system,
            "skill": round(skill(numbers(system), numbers.gray(system)), 3),
            "colorfulness": round(numbers(system, "colorfulness"), 1),
            "KID": round(numbers(system, KID_NAME), 4),
        }

    gray = {"colored by": "gray (no color)", "skill": 0.0, "colorfulness": 0.0}
    gray["KID"] = round(numbers.gray(alone, KID_NAME), 4)
    perfect = skill(PERFECT_SAMPLER * numbers(best), numbers.gray(best))
    sampler = {"colored by": f"a perfect sampler: at most twice the MSE of {best}", "skill": round(perfect, 3)}
    return [gray, *map(row, (best, "classification, by mode", alone, "C-DCGAN")), sampler]


def thousandths(value: float) -> float:
    """Return a number times 1,000, with two decimals."""
    return round(1000 * value, 2)


def _skips(n: Numbers) -> str:
    return (
        f"a network that predicts RGB has an MSE of {n('rgb, no skips'):.5f} without skips and {n('rgb, skips'):.5f} "
        f"with them; one that is given the exact luma {n('luma-chroma, no skips'):.5f} and "
        f"{n('luma-chroma, skips'):.5f} (gray {n.gray('rgb, skips'):.5f})"
    )


def _half(n: Numbers) -> str:
    return (
        f"with everything else equal, half resolution has an MSE of {n('half resolution'):.5f} and full resolution "
        f"{n('full resolution'):.5f}; with twice the width half resolution has "
        f"{n('half resolution, twice as wide'):.5f}. What every such network must lose is "
        f"{n('half resolution', 'floor of averages'):.5f} with averaged true colors, "
        f"{n('half resolution', 'floor of best colors'):.5f} with the best coarse ones"
    )


def _bins(n: Numbers) -> str:
    parts = []
    for bins, regression in (("24 RGB bins", "regression to RGB"), ("313 ab bins", "regression to ab")):
        price = costs(n, bins, regression)
        parts.append(
            f"with {bins} the mode's MSE is {n(f'{bins}, mode'):.5f}, the regression's {n(regression):.5f}: rounding "
            f"the mean to a bin costs {price.quantization:.5f}, committing to the likeliest bin another "
            f"{price.commitment:.5f}, and the mean differs from the regression by {price.learning:+.5f}"
        )
    return "; ".join(parts)


def _luma(n: Numbers) -> str:
    return (
        f"predicting luma again costs a regression {n('regression to RGB') - n('regression to chroma'):.5f} in MSE "
        f"({n('regression to RGB'):.5f} in RGB, {n('regression to chroma'):.5f} over the exact luma), the mode of 24 "
        f"bins {n('24 RGB bins, mode') - n('24 chroma bins, mode'):.5f}, that of 150 bins "
        f"{n('150 RGB bins, mode') - n('150 chroma bins, mode'):.5f}"
    )


def _basis(n: Numbers) -> str:
    words = {"printed": "as printed", "direction corrected": "with gray as the direction of luma"}
    words |= {"basis corrected": "with an orthonormal basis", "corrected": "with both"}
    parts = [f"{n(f'{form}, baseline'):.5f} and {n(f'{form}, hybrid'):.5f} {text}" for form, text in words.items()]
    return f"the MSE of baseline and hybrid is {', '.join(parts)} (gray {n.gray('printed, baseline'):.5f})"


def _kernels(n: Numbers) -> str:
    return (
        f"corrected, derivative kernels alone have an MSE of {n('corrected, zero-mean only'):.5f}, with the learned "
        f"bias that the paper proposes in section 4.5 {n('corrected, zero-mean + bias'):.5f}; the identity alone "
        f"{n('corrected, identity only'):.5f}, with a bias {n('corrected, identity + bias'):.5f}; the bias alone, "
        f"which is the baseline, {n('corrected, baseline'):.5f}"
    )


def _leaks(n: Numbers) -> str:
    def both(system: str) -> str:
        values, gradient = (n(f"corrected, {system}", f"leak of {what}") for what in ("values", "gradient"))
        return f"{values:.2f} of values and {gradient:.2f} of the gradient"

    return (
        f"of what the baseline's colors depend on, {both('baseline')} lies outside of 3x3 pixels; of the hybrid's, "
        f"{both('hybrid')}; of derivative kernels with a bias, {both('zero-mean + bias')}"
    )


def _l1(n: Numbers) -> str:
    parts = [
        f"{space} {n(f'{space}, L1', 'colorfulness'):.1f} against {n(f'{space}, MSE', 'colorfulness'):.1f}"
        for space in ("RGB", "YUV", "LAB", "luma-chroma")
    ]
    return f"the colorfulness of L1 against that of MSE, all else equal: {', '.join(parts)}"


def _gan(n: Numbers) -> str:
    gan, alone = "C-DCGAN", "generator alone, L1"
    return (
        f"trained until validation stops improving, the GAN has a skill of {skill(n(gan), n.gray(gan)):.2f}, "
        f"colorfulness {n(gan, 'colorfulness'):.1f} and KID {n(gan, KID_NAME):.4f}; its generator alone "
        f"{skill(n(alone), n.gray(alone)):.2f}, {n(alone, 'colorfulness'):.1f} and {n(alone, KID_NAME):.4f}"
    )


def _transfer(n: Numbers) -> str:
    return (
        f"on photographs of flowers a network that learned from them has an MSE of "
        f"{n('learned from photographs'):.4f}, from the same shrunk to 32 pixels "
        f"{n('from the same, shrunk to 32 and enlarged'):.4f}, from CIFAR-10 "
        f"{n('from CIFAR-10, enlarged'):.4f} (gray {n.gray('learned from photographs'):.4f})"
    )


FINDINGS = (
    Finding(
        "Skips carry luma",
        "skips",
        ("skips help when the network predicts RGB", "skips help when luma is given"),
        _skips,
        "skips",
    ),
    Finding("Half resolution", "half", ("full resolution beats half, everything else equal",), _half),
    Finding(
        "Quantization and commitment",
        "bins",
        (
            "committing to the likeliest bin costs more than rounding the mean to one, 24 RGB bins",
            "committing to the likeliest bin costs more than rounding the mean to one, 313 ab bins",
        ),
        _bins,
        "bins",
    ),
    Finding(
        "Repainting luma",
        "bins",
        (
            "keeping luma exact beats repainting it, regression",
            "keeping luma exact beats repainting it, 24 bins by mode",
        ),
        _luma,
    ),
    Finding(
        "What the hybrid repairs",
        "slr",
        (
            "the hybrid beats its baseline, as printed",
            "the hybrid beats its baseline, corrected",
            "an orthonormal basis helps the baseline, direction corrected",
            "gray as the direction of luma helps the baseline, basis corrected",
        ),
        _basis,
        "slr",
    ),
    Finding(
        "Kernels and the learned bias",
        "slr",
        (
            "a learned bias repairs zero-mean kernels, corrected (section 4.5)",
            "zero-mean kernels beside a learned bias beat the bias alone, corrected",
        ),
        _kernels,
    ),
    Finding(
        "Leaks",
        "slr",
        ("the gradient of the hybrid's colors depends less on far gray values, corrected (section 2.3.3)",),
        _leaks,
    ),
    Finding(
        "L1 and MSE",
        "l1-color",
        tuple(f"L1 makes more colorful pictures than MSE, {space}" for space in ("RGB", "YUV", "LAB", "luma-chroma")),
        _l1,
        "l1",
    ),
    Finding(
        "The adversary",
        "cnn-vs-gan",
        (
            "the adversary makes more colorful pictures",
            "the adversary makes the set look more real",
            "the adversary improves PSNR",
        ),
        _gan,
        "gan",
    ),
    Finding(
        "Small images do not prepare for photographs",
        "slr-transfer",
        (
            "enlarged CIFAR-10 prepares badly for photographs",
            "because what was lost in resolution does not come back",
        ),
        _transfer,
    ),
)


def findings_text(rows: Mapping[str, Sequence[Measured]], results: Mapping[str, Sequence[ClaimResult]]) -> list[str]:
    """Return the ten findings as Markdown, one a list item.

    Args:
        rows: what was measured, by recipe.
        results: the claims tested on it, by recipe.
    """
    return [_text(finding, rows.get(finding.recipe, ()), results.get(finding.recipe, ())) for finding in FINDINGS]


def _text(finding: Finding, rows: Sequence[Measured], results: Sequence[ClaimResult]) -> str:
    try:
        sentence = finding.sentence(Numbers(rows))
    except NotMeasured:
        return f"**{finding.title}**: {NOT_YET}. `labkit reproduce {finding.recipe} --profile quick --seeds 3`"
    found = {result.claim.claim: result for result in results}
    verdicts = [f"{claim}: *{found[claim].explained}*" for claim in finding.claims if claim in found]
    images = rows[0].images
    said = f"{sentence}. {'; '.join(verdicts)} ({number_of_seeds(rows)}, {images:,} test images)"
    return f"**{finding.title}**: {said}. `{rows[0].command}`"
