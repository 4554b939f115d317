"""Describe an experiment as data: what is trained, on what, how long, and beside which printed numbers.

A `Recipe` is a list of systems. A `System` is a representation and a network, trained once for each seed; each of its
decodings is one way to take color from the trained network (a classifier by its mode or by its mean). A profile says on
which images and how long: test (seconds, toyworld), quick (one CPU core, minutes a run), course and gpu (the papers'
own widths and epochs). References are checked when a recipe is made, so that a misspelled name fails at import and not
after hours of training. Nothing here computes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple

from labkit.data import DATASETS
from labkit.errors import LabkitError, check_integer, check_number
from labkit.experiments.published import PAPERS, published
from labkit.metrics import KEYS, KID_NAME
from labkit.models import NETWORKS
from labkit.options import FitSettings
from labkit.representation import REPRESENTATIONS

PROFILES = ("test", "quick", "course", "gpu")
FULL_CPU = "full-cpu"  # a fifth profile, of few recipes: the papers' own sizes, as far as an hour of one core goes
EVERY_PROFILE = (*PROFILES[:-1], FULL_CPU, PROFILES[-1])  # in order of size
OWN = "labkit"  # the `paper` of our own recipes
VALIDATION = "validation "  # begins the name of a metric that is measured after each epoch
ALWAYS_SAID = ("dataset", "epochs", "batch_size", "learning_rate", "seed")
NO_EFFECT = ("device", "checkpoint_seconds", "compile")  # settings that do not change the result
LEAKS = ("leak of values", "leak of gradient")  # metrics that `Recipe.leakage` adds
LEAK_IMAGES = 32  # test images that they are measured on
FLOORS = ("floor of averages", "floor of best colors")  # and those that `Recipe.floors` adds
PSNR_CAPS = (30, 100)  # dB; `Recipe.psnr_caps` adds "psnr capped at 30" and at 100, where nothing is cut in practice
CAPPED = tuple(f"psnr capped at {cap}" for cap in PSNR_CAPS)
BY_CLASS = ("skill", "a bias", "b bias")  # metrics that `Recipe.by_class` adds, the last two also for all images


@dataclass(frozen=True)
class Setup:
    """Describe the images of one profile, and how to train on them.

    `dataset` may name several ("cifar10+folder"), put together. `folder` (for the data set "folder") is looked for
    under the data root; where it is not there, the data root itself is taken. `size` resizes to so many pixels a side,
    `crop` then keeps the center. `limit` and `test_limit` cut each data set. `shrink` first reduces the training images
    to so many pixels a side and enlarges them again. Test images are of `test_dataset` and `test_classes`, where given,
    else of those trained on. `network` holds options of every network, such as its width. With `fit.patience` training
    stops on the validation split; with `hold_out` the validation split is scored after each epoch; else validation
    images are trained on as well.
    """

    dataset: str = "cifar10"
    folder: str | None = None
    classes: str | None = None
    size: int | None = None
    crop: int | None = None
    min_saturation: float | None = None
    limit: int | None = None
    shrink: int | None = None
    test_dataset: str | None = None
    test_limit: int | None = None
    test_classes: str | None = None
    hold_out: bool = False
    network: Mapping[str, Any] = field(default_factory=dict)
    fit: FitSettings = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        """Check every number."""
        for name in ("size", "crop", "limit", "shrink", "test_limit"):
            if (value := getattr(self, name)) is not None:
                check_integer(name, value, low=1)
        if self.min_saturation is not None:
            check_number("min_saturation", self.min_saturation, low=0, high=1)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Return the names of the data sets that are put together."""
        return tuple(self.dataset.split("+"))

    @property
    def holds_out(self) -> bool:
        """Return whether validation images are kept out of training."""
        return self.hold_out or self.fit.patience is not None

    def of_test(self) -> Setup:
        """Return the same with the data set, classes and limit of the test images."""
        dataset, classes = self.test_dataset or self.dataset, self.test_classes or self.classes
        return replace(self, dataset=dataset, classes=classes, limit=self.test_limit)

    def changed(self, changes: Mapping[str, Any]) -> Setup:
        """Return the same with other values; names of `FitSettings` are changed in `fit`.

        Raises:
            TypeError: for a name that neither has.
        """
        own = {item.name for item in fields(Setup)} - {"fit"}
        here = {name: value for name, value in changes.items() if name in own}
        in_fit = {name: value for name, value in changes.items() if name not in own}
        return replace(self, **here, fit=replace(self.fit, **in_fit))


class Printed(NamedTuple):
    """Name the row of `published` that a decoding is set beside; by profile, why ours cannot be compared."""

    table: str
    system: str
    not_comparable: Mapping[str, str] = {}


class PrintedGain(NamedTuple):
    """Name what the paper prints of one system against another; by profile, why ours cannot be compared."""

    system: str  # in `published`
    not_comparable: Mapping[str, str] = {}


@dataclass(frozen=True)
class Decoding:
    """Describe one way to take color from a trained network; `name` is its row in every table.

    `options` replace options of the representation (decode="mean"); `flip_average` averages with the mirrored image's
    prediction; `size` enlarges the test images to so many pixels a side, which a fully convolutional network allows;
    `coarse` averages the predicted colors over so many pixels a side before they are upsampled again.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    flip_average: bool = False
    size: int | None = None
    coarse: int | None = None
    printed: Printed | None = None

    def __post_init__(self) -> None:
        """Check size and coarseness."""
        if self.size is not None:
            check_integer("size", self.size, low=1)
        if self.coarse is not None:
            check_integer("coarse", self.coarse, low=1)


@dataclass(frozen=True)
class System:
    """Describe what is trained: a representation and a network. `changes` are by profile, see `Setup.changed`.

    With `gan`, the network is the generator of `labkit.training.gan`: options of its discriminator (layers, width) and
    those of `GanSettings` that `Setup.fit` does not hold (gan_loss, lambda_l1, ...), in one mapping. `before` is, by
    profile, what differs in a first training whose weights the second starts from.
    """

    name: str
    representation: str
    network: str
    representation_options: Mapping[str, Any] = field(default_factory=dict)
    network_options: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gan: Mapping[str, Any] | None = None
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    printed: Printed | None = None
    more: tuple[Decoding, ...] = ()  # decodings beside the representation's own

    @property
    def decodings(self) -> tuple[Decoding, ...]:
        """Return all decodings, the representation's own first, under the system's name."""
        return (Decoding(self.name, printed=self.printed), *self.more)


@dataclass(frozen=True)
class Claim:
    """State that one decoding scores better than another in one metric.

    `varies` names the one thing that the two sides are meant to differ in, as `labkit.experiments.comparability`
    names it ("network.name", "representation.alpha"); empty where two metrics of one decoding are compared. Where more
    differs, the claim is refused, unless `also` lists the rest: by the same names, or in words what no setting shows.
    """

    claim: str
    better: str
    worse: str
    metric: str = "mse"
    worse_metric: str | None = None  # where two metrics of one decoding are compared; None: `metric`
    paper: str = OWN
    printed: PrintedGain | None = None
    varies: str = ""
    also: tuple[str, ...] = ()

    @property
    def metrics(self) -> str:
        """Return what is compared, in words."""
        return self.metric if self.worse_metric is None else f"{self.metric} against {self.worse_metric}"


@dataclass(frozen=True)
class Recipe:
    """Name an experiment. `metrics` are those that its table compares; all are measured.

    `paper_profiles` are those that follow the paper's own setting (images, width, epochs): only there can a claim of
    the paper be contradicted; elsewhere it is contradicted in our setting.

    Raises:
        LabkitError: where a reference leads nowhere, naming the recipe: a profile, network, representation or data set
            that there is not, an option that `Setup` does not have, a claim about a decoding or a metric that the
            recipe does not measure, a printed row that `published` does not hold.
    """

    name: str
    paper: str
    line: str
    systems: tuple[System, ...]
    profiles: Mapping[str, Setup]
    metrics: tuple[str, ...] = ("mse", "psnr_mean", "ssim")
    thresholds: tuple[float, ...] = ()  # of pixel accuracy, where a paper reports it
    kid: bool = False  # measure the kernel distance of `labkit.metrics.features`, too
    by_class: bool = False  # measure skill and color bias by class of the test images, too
    leakage: bool = False  # measure how far the gray values are that colors depend on, too
    floors: bool = False  # measure, too, what any network of this output stride must lose
    psnr_caps: bool = False  # measure PSNR with other caps than 50 dB, too
    claims: tuple[Claim, ...] = ()
    differs: str = ""  # from the paper
    paper_profiles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every reference."""
        try:
            self._check_profiles()
            self._check_systems()
            self._check_printed()
            self._check_claims()
        except (LabkitError, TypeError) as error:
            raise LabkitError(f"recipe {self.name!r}: {error}") from None

    @property
    def decodings(self) -> tuple[Decoding, ...]:
        """Return the decodings of all systems, in order."""
        return tuple(decoding for system in self.systems for decoding in system.decodings)

    def setup(self, system: System, profile: str) -> Setup:
        """Return the images and settings of one system in one profile."""
        return self.profiles[profile].changed(system.changes.get(profile, {}))

    def before(self, system: System, profile: str) -> Setup | None:
        """Return the same of the first training of a system that has two, else None."""
        changes = system.before.get(profile)
        return None if changes is None else self.setup(system, profile).changed(changes)

    def training(self, system: System, profile: str, seed: int) -> dict[str, Any]:
        """Return everything that decides what is trained, in JSON types: equal for two runs that are the same.

        Settings at their default are left out, so that a new one does not make old runs other runs.
        """
        setup = self.setup(system, profile)
        training: dict[str, Any] = {
            "representation": {"name": system.representation} | dict(system.representation_options),
            "network": {"name": system.network} | dict(setup.network) | dict(system.network_options),
            **_images_and_fit(setup, seed),
        }
        if system.gan is not None:
            training["gan"] = dict(system.gan)
        if first := self.before(system, profile):
            training["before"] = _images_and_fit(first, seed)
        return training

    def measures(self, metric: str) -> bool:
        """Return whether the recipe measures a metric in at least one profile."""
        accuracies = [f"accuracy {value:g}" for value in self.thresholds]
        if match := re.fullmatch(rf"{VALIDATION}(mse|mae|right bins|{re.escape(KID_NAME)}), epoch (\d+)", metric):
            epochs = [setup.fit.epochs for setup in self.profiles.values() if setup.holds_out]
            return any(1 <= int(match[2]) <= count for count in epochs)
        if self.by_class and metric.startswith(BY_CLASS):  # a class name may follow: the images decide which there are
            return True
        if any(metric in (name, f"{name} red", f"{name} green", f"{name} blue") for name in accuracies):
            return True
        if metric in (*LEAKS, *FLOORS, *CAPPED):
            return self.leakage if metric in LEAKS else self.floors if metric in FLOORS else self.psnr_caps
        return metric in (*KEYS, "skill") or (self.kid and metric == KID_NAME)

    def _check_profiles(self) -> None:
        _one_of("paper", [self.paper], (*PAPERS, OWN))
        _one_of("profile", (*self.profiles, *self.paper_profiles), EVERY_PROFILE)
        for setup in self.profiles.values():
            _one_of("data set", (*setup.datasets, *setup.of_test().datasets), DATASETS)

    def _check_systems(self) -> None:
        for system in self.systems:
            _one_of("representation", [system.representation], REPRESENTATIONS)
            _one_of("network", [system.network], NETWORKS)
            _one_of("profile", (*system.changes, *system.before), EVERY_PROFILE)
            for profile in self.profiles:
                self.setup(system, profile)  # TypeError for a change that neither Setup nor FitSettings has
                self.before(system, profile)
        names = [decoding.name for decoding in self.decodings]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise LabkitError(f"two decodings have the name {twice[0]!r}: name them apart")
        if bad := [name for name in names if "|" in name]:
            raise LabkitError(f"the name {bad[0]!r} holds a |, which ends names in files of scores: leave it out")

    def _check_printed(self) -> None:
        for decoding in self.decodings:
            if printed := decoding.printed:
                _one_of("profile", printed.not_comparable, EVERY_PROFILE)
                if not published(self.paper, table=printed.table, system=printed.system):
                    raise LabkitError(f"no published row has table {printed.table!r} and system {printed.system!r}")

    def _check_claims(self) -> None:
        names = [decoding.name for decoding in self.decodings]
        for metric in self.metrics:
            self._check_metric(metric)
        for claim in self.claims:
            _one_of(f"decoding of the claim {claim.claim!r}:", (claim.better, claim.worse), names)
            _one_of(f"paper of the claim {claim.claim!r}:", [claim.paper], (*PAPERS, OWN))
            for metric in (claim.metric, claim.worse_metric or claim.metric):
                self._check_metric(metric)
            if claim.printed:
                _one_of("profile", claim.printed.not_comparable, EVERY_PROFILE)
                published(self.paper, system=claim.printed.system)

    def _check_metric(self, metric: str) -> None:
        if not self.measures(metric):
            raise LabkitError(
                f"unknown metric {metric!r}: expected one of {', '.join((*KEYS, 'skill'))}, or one that thresholds=, "
                "kid=, by_class=, leakage=, floors=, psnr_caps= or hold_out= of this recipe add"
            )


def _one_of(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = tuple(known)
    for name in names:
        if name not in known:
            raise LabkitError(f"unknown {what} {name!r}: expected one of {', '.join(known)}")


def _images_and_fit(setup: Setup, seed: int) -> dict[str, Any]:
    data, fit = _unusual(setup), _unusual(replace(setup.fit, seed=seed))
    return {
        "data": {name: data[name] for name in data if name not in ("network", "fit")},
        "fit": {name: fit[name] for name in fit if name not in NO_EFFECT},
    }


def _unusual(settings: Setup | FitSettings) -> dict[str, Any]:
    """Return the fields that are not at their default, and those that say the most."""
    usual, own = asdict(type(settings)()), asdict(settings)
    return {name: value for name, value in own.items() if value != usual[name] or name in ALWAYS_SAID}
