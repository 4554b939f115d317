"""Every experiment of the five papers by name, as data: what is trained, on what, how long, and beside which numbers.

A recipe is a list of systems. A system is a representation and a network, trained once for each seed; its readings are
the ways to take color from the trained network (a classifier can answer with its mode or its mean). A profile says on
which images and how long: test (seconds, toyworld), quick (one CPU core, minutes a run), course and gpu (the papers'
own widths and epochs). `labkit.experiments.reproduce` trains and scores; nothing here computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple

from labkit.errors import LabkitError
from labkit.experiments.published import PAPERS
from labkit.metrics import KID_NAME
from labkit.options import FitSettings

PROFILES = ("test", "quick", "course", "gpu")
OWN = "labkit"  # the `paper` of our own recipes
ALWAYS_SAID = ("dataset", "epochs", "batch_size", "learning_rate", "seed")
WHERE = ("device", "checkpoint_seconds", "compile")  # settings that leave the result alone


@dataclass(frozen=True)
class Setup:
    """The images of one profile, and how to train on them.

    `dataset` may name several ("cifar10+folder"), put together. `folder` (for the data set "folder") is looked for
    under the data root; where it is not there, the data root itself is taken: anybody's photographs. `size` resizes,
    `crop` then keeps the center. `limit` and `test_limit` cut each data set. `shrink` first makes the training images
    so small: what they lose is lost. Test images are of `test_dataset` and `test_classes`, where given, else of those
    trained on. `network` holds options of every network, such as its width. With `fit.patience` training stops on the
    validation split; with `hold_out` the validation split is looked at after each epoch, for curves; else validation
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

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(self.dataset.split("+"))

    @property
    def holds_out(self) -> bool:
        """Whether validation images are kept out of training."""
        return self.hold_out or self.fit.patience is not None

    def of_test(self) -> Setup:
        """The same with the data set, classes and limit of the test images."""
        dataset, classes = self.test_dataset or self.dataset, self.test_classes or self.classes
        return replace(self, dataset=dataset, classes=classes, limit=self.test_limit)

    def changed(self, changes: Mapping[str, Any]) -> Setup:
        """The same with other values; names of `FitSettings` are changed in `fit`."""
        own = {item.name for item in fields(Setup)} - {"fit"}
        here = {name: value for name, value in changes.items() if name in own}
        in_fit = {name: value for name, value in changes.items() if name not in own}
        return replace(self, **here, fit=replace(self.fit, **in_fit))


class Printed(NamedTuple):
    """Where the paper prints a system's numbers (table, system); by profile, why ours cannot be compared."""

    table: str
    system: str
    not_comparable: Mapping[str, str] = {}


@dataclass(frozen=True)
class Decoding:
    """One way to take color from a trained network: `name` is its row in every table.

    `options` replace options of the representation (decode="mean"); `flip_average` also looks at the mirrored image;
    `size` enlarges the test images, which a fully convolutional network allows, to so many pixels a side.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    flip_average: bool = False
    size: int | None = None
    printed: Printed | None = None


@dataclass(frozen=True)
class System:
    """What is trained: a representation and a network. `changes` are by profile, see `Setup.changed`.

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
    more: tuple[Decoding, ...] = ()  # readings beside the representation's own

    @property
    def decodings(self) -> tuple[Decoding, ...]:
        """All of them, the representation's own first, under the system's name."""
        return (Decoding(self.name, printed=self.printed), *self.more)


class PrintedGain(NamedTuple):
    """What the paper prints of one system against another: its name in `published`; by profile, why not comparable."""

    system: str
    not_comparable: Mapping[str, str] = {}


@dataclass(frozen=True)
class Claim:
    """A claim that one reading scores better than another in one metric, to be confirmed or refuted."""

    claim: str
    better: str
    worse: str
    metric: str = "mse"
    worse_metric: str | None = None  # where two metrics of one reading are compared; None: `metric`
    paper: str = OWN
    printed: PrintedGain | None = None

    @property
    def metrics(self) -> str:
        """What is compared, in words."""
        return self.metric if self.worse_metric is None else f"{self.metric} against {self.worse_metric}"


@dataclass(frozen=True)
class Recipe:
    """A named experiment. `metrics` are those that its table compares; all are measured."""

    name: str
    paper: str
    line: str
    systems: tuple[System, ...]
    profiles: Mapping[str, Setup]
    metrics: tuple[str, ...] = ("mse", "psnr_mean", "ssim")
    thresholds: tuple[float, ...] = ()  # of pixel accuracy, where a paper reports it
    kid: bool = False  # measure the kernel distance of `labkit.metrics.features`, too
    by_class: bool = False  # measure skill and color bias by class of the test images, too
    claims: tuple[Claim, ...] = ()
    differs: str = ""  # from the paper

    def setup(self, system: System, profile: str) -> Setup:
        """The images and settings of one system in one profile."""
        return self.profiles[profile].changed(system.changes.get(profile, {}))

    def before(self, system: System, profile: str) -> Setup | None:
        """The same of the first training of a system that has two."""
        changes = system.before.get(profile)
        return None if changes is None else self.setup(system, profile).changed(changes)

    def training(self, system: System, profile: str, seed: int) -> dict[str, Any]:
        """Everything that decides what is trained, in JSON types: two runs are the same if this is the same.

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


def _images_and_fit(setup: Setup, seed: int) -> dict[str, Any]:
    data, fit = _unusual(setup), _unusual(replace(setup.fit, seed=seed))
    return {
        "data": {name: data[name] for name in data if name not in ("network", "fit")},
        "fit": {name: fit[name] for name in fit if name not in WHERE},
    }


def _unusual(settings: Setup | FitSettings) -> dict[str, Any]:
    """The fields that are not at their default, and those that say the most."""
    usual, own = asdict(type(settings)()), asdict(settings)
    return {name: value for name, value in own.items() if value != usual[name] or name in ALWAYS_SAID}


def find_recipes(names: str | Sequence[str]) -> list[Recipe]:
    """Recipes by their names, by their paper's key, or "all". Raises LabkitError for an unknown name."""
    found: list[Recipe] = []
    for name in [names] if isinstance(names, str) else names:
        chosen = [recipe for recipe in RECIPES.values() if name in ("all", recipe.name, recipe.paper)]
        if not chosen:
            papers = [paper for paper in (*PAPERS, OWN) if any(r.paper == paper for r in RECIPES.values())]
            known = f"recipes {', '.join(RECIPES)}; papers {', '.join(papers)}; all"
            raise LabkitError(f"unknown recipe {name!r}: choose from {known}")
        found += [recipe for recipe in chosen if recipe not in found]
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Images and settings

TOY = Setup(dataset="toyworld", limit=48, test_limit=16, network={"width": 4}, fit=FitSettings(epochs=1, batch_size=16))
ONE_CYCLE = FitSettings(epochs=8, batch_size=64, learning_rate=2e-3)
HORSES = Setup(classes="horse", network={"width": 32}, fit=ONE_CYCLE)  # 5,000 to train on, 1,000 to score on
HORSES_FULL = replace(HORSES, network={"width": 64}, fit=replace(ONE_CYCLE, epochs=40))

# ---------------------------------------------------------------------------------------------------------------------
# skips: what skip connections alone do

SKIPS = Recipe(
    name="skips",
    paper="qureshi",
    line="the same encoder-decoder with and without skips, painting RGB or only the chroma: what do skips carry?",
    systems=(
        System("rgb, no skips", "rgb", "cnn", printed=Printed("3", "regression CNN")),
        System("rgb, skips", "rgb", "unet", printed=Printed("3", "regression U-Net")),
        System("luma-chroma, no skips", "luma-chroma", "cnn"),
        System("luma-chroma, skips", "luma-chroma", "unet"),
    ),
    profiles={"test": TOY, "quick": HORSES, "course": HORSES_FULL, "gpu": HORSES_FULL},
    metrics=("mse", "mae", "psnr_mean", "ssim"),
    claims=(
        Claim(
            "skips help when the network paints RGB",
            "rgb, skips",
            "rgb, no skips",
            paper="qureshi",
            printed=PrintedGain("regression U-Net against CNN"),
        ),
        Claim("skips help when luma is given", "luma-chroma, skips", "luma-chroma, no skips"),
        Claim("chroma over the exact luma beats RGB, with skips", "luma-chroma, skips", "rgb, skips"),
        Claim("giving luma without skips beats RGB with skips", "luma-chroma, no skips", "rgb, skips"),
    ),
    differs="Both networks have equal depth; in the paper's classification pair the U-Net is deeper as well.",
)

# ---------------------------------------------------------------------------------------------------------------------
# qureshi: Tables 3 and 6


def _epochs(count: int) -> dict[str, dict[str, Any]]:
    """As many epochs as the paper trained, in the profiles that follow it."""
    return {"course": {"epochs": count}, "gpu": {"epochs": count}}


_SMALL_BATCHES = replace(HORSES, fit=replace(ONE_CYCLE, batch_size=16))  # in so few epochs more steps are worth more
QURESHI = Recipe(
    name="qureshi",
    paper="qureshi",
    line="regression and 24-color classification, encoder-decoder and U-Net, on the horses of CIFAR-10",
    systems=(
        System(
            "regression CNN",
            "rgb",
            "cnn",
            changes=_epochs(21),
            printed=Printed("3", "regression CNN"),
            more=(Decoding("regression CNN, at 64 pixels", size=64),),
        ),
        System(
            "regression U-Net",
            "rgb",
            "unet",
            changes=_epochs(40),
            printed=Printed("3", "regression U-Net"),
            more=(Decoding("regression U-Net, at 64 pixels", size=64),),
        ),
        System(
            "classification CNN",
            "rgb24",
            "cnn",
            network_options={"up_convolutions": 1},
            changes=_epochs(25),
            printed=Printed("6", "classification CNN"),
            more=(Decoding("classification CNN, by mean", {"decode": "mean"}),),
        ),
        System(
            "classification U-Net",
            "rgb24",
            "unet",
            changes=_epochs(22),
            printed=Printed("6", "classification U-Net"),
            more=(Decoding("classification U-Net, by mean", {"decode": "mean"}),),
        ),
        System("ours: luma-chroma U-Net", "luma-chroma", "unet", changes=_epochs(40)),
    ),
    profiles={"test": TOY, "quick": _SMALL_BATCHES, "course": HORSES_FULL, "gpu": HORSES_FULL},
    metrics=("mse", "mae", "psnr_mean", "psnr_pooled", "ssim"),
    claims=(
        *(
            Claim(
                f"U-Net beats CNN, {kind}",
                f"{kind} U-Net",
                f"{kind} CNN",
                paper="qureshi",
                printed=PrintedGain(f"{kind} U-Net against CNN"),
            )
            for kind in ("regression", "classification")
        ),
        Claim(
            "regression beats classification by its mode", "regression U-Net", "classification U-Net", paper="qureshi"
        ),
        Claim("regression beats classification by its mean", "regression U-Net", "classification U-Net, by mean"),
        Claim(
            "classification is more colorful than regression",
            "classification U-Net",
            "regression U-Net",
            "colorfulness",
            paper="qureshi",
        ),
        Claim(
            "color learned at 32 pixels fits the same horses less well at 64",
            "regression U-Net",
            "regression U-Net, at 64 pixels",
            "skill",
        ),
        Claim(
            "without skips it fits them better at 64",
            "regression CNN, at 64 pixels",
            "regression CNN",
            "skill",
        ),
    ),
    differs="The paper stops early on a validation split and names no optimizer; here AdamW runs a one-cycle schedule "
    "over all 5,000 training horses, for the paper's epochs (quick: half its width, 8 epochs, and batches of 16, which "
    "score better on validation horses than 64 after so few epochs). Its PSNR is the mean over images. Its SSIM is not "
    "defined; at 32 x 32 pixels variants differ by up to .035.",
)

_WATCHED = replace(HORSES, hold_out=True, network={"width": 16}, fit=replace(ONE_CYCLE, epochs=8))
_WATCHED_FULL = replace(HORSES_FULL, hold_out=True)


QURESHI_CURVES = Recipe(
    name="qureshi-curves",
    paper="qureshi",
    line="MSE, MAE and right bins on held-out horses after every epoch: which network learns faster?",
    systems=tuple(
        System(name, representation, network)
        for name, representation, network in (
            ("regression CNN", "rgb", "cnn"),
            ("regression U-Net", "rgb", "unet"),
            ("classification CNN", "rgb24", "cnn"),
            ("classification U-Net", "rgb24", "unet"),
        )
    ),
    profiles={
        "test": replace(TOY, hold_out=True, fit=replace(TOY.fit, epochs=2)),
        "quick": _WATCHED,
        "course": _WATCHED_FULL,
        "gpu": _WATCHED_FULL,
    },
    claims=(
        *(
            Claim(
                f"lower validation error after {count} epochs, U-Net against CNN",
                "regression U-Net",
                "regression CNN",
                f"validation mse, epoch {number}",
                paper="qureshi",
            )
            for count, number in (("two", 2), ("eight", 8))
        ),
        Claim(
            "more right bins after eight epochs, U-Net against CNN",
            "classification U-Net",
            "classification CNN",
            "validation right bins, epoch 8",
        ),
    ),
    differs="483 of the 5,000 training horses are held out and looked at after each epoch; nothing is chosen by them. "
    "quick: a quarter of the paper's width, 8 epochs.",
)

# ---------------------------------------------------------------------------------------------------------------------
# decodings: what one trained classifier scores, read in different ways; with and without rebalancing


def _read(system: str, *ways: str, **options: Any) -> tuple[Decoding, ...]:
    return tuple(Decoding(f"{system}, {way}", options | {"decode": way}) for way in ways)


_WIDER = {profile: {"network": {"width": 32}} for profile in PROFILES[1:]}  # at half resolution that takes no longer
_SMALL_UNETS = Setup(classes="horse", network={"width": 16}, fit=FitSettings(epochs=6, batch_size=32))
DECODINGS = Recipe(
    name="decodings",
    paper=OWN,
    line="one classifier under four decodings, and rebalancing with its weights divided out, beside regression",
    systems=(
        System("regression to RGB", "rgb", "unet"),
        System(
            "24 bins, mode",
            "rgb24",
            "unet",
            more=_read("24 bins", "mean", "annealed", "sample"),
        ),
        System(
            "313 bins, mean", "ab313", "unet-half", {"decode": "mean"}, changes=_WIDER, more=_read("313 bins", "mode")
        ),
        System(
            "313 bins rebalanced, mean",
            "ab313",
            "unet-half",
            {"decode": "mean", "rebalance": 0.5},
            changes=_WIDER,
            more=_read("313 bins rebalanced", "mode")
            + _read("313 bins rebalanced, divided out", "mean", "mode", divide_out=True),
        ),
    ),
    profiles={"test": TOY, **dict.fromkeys(PROFILES[1:], _SMALL_UNETS)},
    metrics=("mse", "psnr_mean", "ssim", "colorfulness"),
    claims=(
        Claim("the mean beats the mode of the same classifier", "24 bins, mean", "24 bins, mode"),
        Claim("regression beats classification by its mode", "regression to RGB", "24 bins, mode", paper="qureshi"),
        Claim("regression beats classification by its mean", "regression to RGB", "24 bins, mean"),
        Claim("rebalancing raises the error", "313 bins, mean", "313 bins rebalanced, mean"),
        Claim(
            "rebalancing raises it still with its weights divided out",
            "313 bins, mean",
            "313 bins rebalanced, divided out, mean",
        ),
    ),
    differs="Small U-Nets, of 16 channels (313 bins: 32 at half resolution); no paper scores one classifier twice.",
)

# ---------------------------------------------------------------------------------------------------------------------
# slr: the ECS171 paper's hybrid, its decomposition as printed and corrected

_ZERO_MEAN = {"kernels": ["sobel-x", "sobel-y", "laplacian"]}
_PRINTED = {"form": "printed"}
_SMALL = {"quick": "32-pixel horses here, all of CIFAR-10 at 128 pixels in the paper"}
_SLR_32 = Setup(classes="horse", fit=FitSettings(epochs=12, batch_size=64, learning_rate=3e-3))
_SLR_128 = Setup(size=144, crop=128, fit=FitSettings(epochs=50, batch_size=64, learning_rate=3e-3, rotation=10))


def _slr_systems(images: str, not_comparable: Mapping[str, str]) -> tuple[System, ...]:
    def printed(network: str) -> Printed:
        return Printed("2", f"{network}, {images}", not_comparable)

    return (
        System("printed, baseline", "luma-chroma", "slr-baseline", _PRINTED, printed=printed("baseline")),
        System("printed, hybrid", "luma-chroma", "slr-hybrid", _PRINTED, printed=printed("hybrid")),
        System("printed, identity only", "luma-chroma", "slr-hybrid", _PRINTED, {"kernels": ["identity"]}),
        System("printed, zero-mean only", "luma-chroma", "slr-hybrid", _PRINTED, _ZERO_MEAN),
        System("corrected, baseline", "luma-chroma", "slr-baseline"),
        System("corrected, hybrid", "luma-chroma", "slr-hybrid"),
        System("corrected, identity only", "luma-chroma", "slr-hybrid", {}, {"kernels": ["identity"]}),
        System("corrected, zero-mean only", "luma-chroma", "slr-hybrid", {}, _ZERO_MEAN),
    )


def _slr_relations(images: str, not_comparable: Mapping[str, str]) -> tuple[Claim, ...]:
    return (
        Claim(
            "the hybrid beats its baseline, as printed",
            "printed, hybrid",
            "printed, baseline",
            paper="ecs171",
            printed=PrintedGain(images, not_comparable),
        ),
        Claim("the hybrid beats its baseline, corrected", "corrected, hybrid", "corrected, baseline"),
        Claim("correcting the decomposition helps the baseline", "corrected, baseline", "printed, baseline"),
    )


_BY_KERNEL = (
    Claim("kernels that average to zero help, corrected", "corrected, hybrid", "corrected, identity only"),
    Claim("zero-mean kernels alone beat the baseline, corrected", "corrected, zero-mean only", "corrected, baseline"),
)
SLR = Recipe(
    name="slr",
    paper="ecs171",
    line="structural linear regression against its baseline, decomposition as printed and corrected, kernel by kernel",
    systems=_slr_systems("CIFAR-10", _SMALL),
    profiles={
        "test": replace(TOY, network={"width": 2}),
        "quick": _SLR_32,
        "course": replace(_SLR_128, fit=replace(_SLR_128.fit, epochs=10)),
        "gpu": _SLR_128,
    },
    metrics=("mse", "psnr_mean", "ssim"),
    claims=_slr_relations("CIFAR-10", _SMALL) + _BY_KERNEL,
    differs="quick: 32-pixel horses, not rotated. course and gpu: all of CIFAR-10 enlarged to 144 and cropped to 128 "
    "pixels, flipped and turned by up to 10 degrees, as in the paper. It prints validation errors; here, test errors.",
)

_OTHER_FLOWERS = {"quick": "other photographs of flowers"}
_PHOTO_FIT = replace(_SLR_32.fit, batch_size=16, rotation=10)
_SLR_FLOWERS = Setup("flowers102", size=144, crop=128, fit=replace(_SLR_128.fit, batch_size=16))
SLR_FLOWERS = replace(
    SLR,
    name="slr-flowers",
    line="the same on photographs of flowers",
    systems=_slr_systems("Flowers102", _OTHER_FLOWERS),
    claims=_slr_relations("Flowers102", _OTHER_FLOWERS) + _BY_KERNEL,
    profiles={
        "test": SLR.profiles["test"],
        "quick": Setup("folder", "flowers17", size=64, fit=_PHOTO_FIT),
        "course": replace(_SLR_FLOWERS, fit=replace(_SLR_FLOWERS.fit, epochs=20)),
        "gpu": _SLR_FLOWERS,
    },
    differs="quick: a folder flowers17 under the data root (else the photographs that lie there) at 64 pixels. course "
    "and gpu: Flowers102 at 144, cropped to 128 pixels, its official splits. Test errors.",
)
_SMALL_STL10 = {"quick": "smaller and fewer images"}
_SLR_STL10 = replace(_SLR_128, dataset="stl10")
SLR_STL10 = replace(
    SLR,
    name="slr-stl10",
    line="the same on STL-10",
    systems=_slr_systems("STL-10", _SMALL_STL10),
    claims=_slr_relations("STL-10", _SMALL_STL10) + _BY_KERNEL,
    profiles={
        "test": SLR.profiles["test"],
        "quick": Setup("stl10", size=48, limit=2_500, test_limit=1_000, fit=_SLR_32.fit),
        "course": replace(_SLR_STL10, fit=replace(_SLR_STL10.fit, epochs=20)),
        "gpu": _SLR_STL10,
    },
    differs="course and gpu: STL-10's 5,000 labeled training images at 144, cropped to 128 pixels. Test errors.",
)

_BY_FORM = SLR.systems[0], SLR.systems[1], SLR.systems[4], SLR.systems[5]  # baseline and hybrid, printed and corrected
SLR_MERGED = replace(
    SLR,
    name="slr-merged",
    line="the same on data sets put together: CIFAR-10, flowers and STL-10",
    systems=tuple(replace(system, printed=None) for system in _BY_FORM),
    profiles={
        "test": SLR.profiles["test"],
        "quick": Setup(
            "cifar10+folder", "flowers17", size=64, limit=1_000, test_limit=500, fit=replace(_PHOTO_FIT, epochs=8)
        ),
        "course": replace(_SLR_128, dataset="cifar10+flowers102+stl10", limit=10_000, fit=_SLR_FLOWERS.fit),
        "gpu": replace(_SLR_128, dataset="cifar10+flowers102+stl10"),
    },
    claims=_slr_relations("all data sets", dict.fromkeys(PROFILES, "the paper averages over data sets")),
    differs="quick: a thousand images of CIFAR-10, enlarged to 64 pixels, and a folder flowers17. Of all its data sets "
    "the paper prints an average (Table 1), by a rule that it does not tell; here one network learns from all of them.",
)


def _learned_from(name: str, **changes: Any) -> System:
    by_profile = {profile: changes for profile in PROFILES[1:]}
    return System(name, "luma-chroma", "slr-hybrid", changes=by_profile)


_TRANSFER = Setup("folder", "flowers17", size=64, fit=_PHOTO_FIT)
_TRANSFER_128 = replace(_SLR_FLOWERS, limit=2_000)
SLR_TRANSFER = Recipe(
    name="slr-transfer",
    paper="ecs171",
    line="trained on small images enlarged, tested on real large ones: is it the resolution, or what they show?",
    systems=(
        _learned_from("learned from photographs"),
        _learned_from("from the same, shrunk to 32 and enlarged", shrink=32),
        System(
            "from CIFAR-10, enlarged",
            "luma-chroma",
            "slr-hybrid",
            changes={
                "quick": {"dataset": "cifar10", "test_dataset": "folder", "limit": 720},
                "course": {"dataset": "cifar10", "test_dataset": "flowers102", "limit": 2_000},
                "gpu": {"dataset": "cifar10", "test_dataset": "flowers102", "limit": 2_000},
            },
        ),
    ),
    profiles={
        "test": replace(TOY, network={"width": 2}, size=32),
        "quick": _TRANSFER,
        "course": replace(_TRANSFER_128, fit=replace(_TRANSFER_128.fit, epochs=20)),
        "gpu": _TRANSFER_128,
    },
    claims=(
        Claim(
            "enlarged CIFAR-10 prepares badly for photographs",
            "learned from photographs",
            "from CIFAR-10, enlarged",
            paper="ecs171",
        ),
        Claim(
            "because what was lost in resolution does not come back",
            "learned from photographs",
            "from the same, shrunk to 32 and enlarged",
            paper="ecs171",
        ),
        Claim(
            "what the images show matters, resolution being equal",
            "from the same, shrunk to 32 and enlarged",
            "from CIFAR-10, enlarged",
        ),
    ),
    differs="The paper tells of this in words. The hybrid with the corrected decomposition learns from equally many "
    "images each time. quick: a folder flowers17 at 64 pixels; course and gpu: Flowers102 at 128.",
)

_WATER, _PASTURE = "ship,airplane", "horse,deer"
_SCENES = Setup(limit=5_000, test_classes="cat", network={"width": 32}, fit=replace(ONE_CYCLE, epochs=4))
_SCENES_FULL = replace(_SCENES, limit=None, network={"width": 64}, fit=replace(ONE_CYCLE, epochs=20))


def _seen(name: str, classes: str) -> System:
    return System(name, "luma-chroma", "unet-half", changes={p: {"classes": classes} for p in PROFILES[1:]})


SCENE_BIAS = Recipe(
    name="scene-bias",
    paper="ecs171",
    line="do the scenes that a network learned from tint the pictures that it paints of other things?",
    systems=(_seen("learned from sea and sky", _WATER), _seen("learned from pastures", _PASTURE)),
    profiles={"test": TOY, "quick": _SCENES, "course": _SCENES_FULL, "gpu": _SCENES_FULL},
    metrics=("mse", "colorfulness", "a bias", "b bias"),
    by_class=True,
    claims=(
        Claim(
            "who learned from pastures paints cats yellower",
            "learned from pastures",
            "learned from sea and sky",
            "b bias",
        ),
        Claim(
            "who learned from pastures paints cats redder",
            "learned from pastures",
            "learned from sea and sky",
            "a bias",
        ),
    ),
    differs="The paper supposes it of indoor scenes (warmer, yellower) and outdoor ones, without a number. Here ships "
    "and airplanes, blue behind, against horses and deer, brown and green; both networks are scored on cats, which "
    "neither has seen.",
)

# ---------------------------------------------------------------------------------------------------------------------
# zhuang: simple and complex U-Nets, RGB and YUV

_SIMPLE = {"depth": 4, "convolutions": 1, "output_activation": "tanh"}
_COMPLEX = _SIMPLE | {"down": "strided", "up": "transposed"}
_DEEPER = {"depth": 5}  # at 256 pixels the paper adds a level
_ZHUANG_TOY = replace(TOY, network={"width": 4, "max_width": 16})
_ZHUANG_QUICK = Setup(limit=40_000, network={"width": 32, "max_width": 128}, fit=replace(ONE_CYCLE, epochs=1))
_ZHUANG_FULL = replace(_ZHUANG_QUICK, network={"width": 64, "max_width": 256}, fit=replace(ONE_CYCLE, epochs=20))
_L1 = {"alpha": 0.0}


def _zhuang_systems(more: Mapping[str, Any]) -> tuple[System, ...]:
    return (
        System("simple, RGB", "rgb", "unet", {}, {**_SIMPLE, **more}),
        System("simple, UV", "yuv", "unet", {}, {**_SIMPLE, **more}),
        System("complex, RGB", "rgb", "unet", {}, {**_COMPLEX, **more}),
        System("complex, UV", "yuv", "unet", {}, {**_COMPLEX, **more}),
        System("simple, RGB, L1", "rgb", "unet", _L1, {**_SIMPLE, **more}),
        System("simple, UV, L1", "yuv", "unet", _L1, {**_SIMPLE, **more}),
    )


_ZHUANG_RELATIONS = (
    Claim("UV output beats RGB output, simple U-Net", "simple, UV", "simple, RGB", paper="zhuang"),
    Claim("UV output beats RGB output, complex U-Net", "complex, UV", "complex, RGB", paper="zhuang"),
    Claim("the complex U-Net beats the simple one, RGB", "complex, RGB", "simple, RGB"),
    Claim("L1 paints more colorfully than MSE, UV", "simple, UV, L1", "simple, UV", "colorfulness", paper="dalban"),
)

ZHUANG = Recipe(
    name="zhuang",
    paper="zhuang",
    line="simple and complex U-Nets with tanh, RGB and UV output, MSE and L1, all scored as RGB on CIFAR-10",
    systems=_zhuang_systems({}),
    profiles={"test": _ZHUANG_TOY, "quick": _ZHUANG_QUICK, "course": _ZHUANG_FULL, "gpu": _ZHUANG_FULL},
    metrics=("mse", "psnr_mean", "ssim", "colorfulness"),
    claims=_ZHUANG_RELATIONS,
    differs="40,000 training and 10,000 test images as in the paper. It prints no number, channels or epochs: 64 "
    "channels are our reading (quick: 32, 1 epoch). Its losses live in two color spaces; here all is scored as RGB.",
)

ZHUANG_FLOWERS = Recipe(
    name="zhuang-flowers",
    paper="zhuang",
    line="the same U-Nets, one level deeper, on photographs of flowers",
    systems=_zhuang_systems(_DEEPER),
    profiles={
        "test": _ZHUANG_TOY,
        "quick": Setup(
            "folder",
            "flowers17",
            size=64,
            network={"width": 32, "max_width": 256},
            fit=replace(ONE_CYCLE, epochs=5, batch_size=16),
        ),
        "course": Setup(
            "flowers102",
            size=128,
            network={"width": 64, "max_width": 512},
            fit=replace(ONE_CYCLE, epochs=20, batch_size=16),
        ),
        "gpu": Setup(
            "flowers102",
            size=256,
            network={"width": 64, "max_width": 512},
            fit=replace(ONE_CYCLE, epochs=50, batch_size=16),
        ),
    },
    metrics=ZHUANG.metrics,
    claims=_ZHUANG_RELATIONS,
    differs="quick: a folder flowers17 under the data root (else the photographs that lie there) at 64 pixels; gpu: "
    "Flowers102 at 256 pixels, as in the paper.",
)

_TEN = {"classes": None, "limit": 40_000, "test_classes": "horse"}
ZHUANG_CLASSES = Recipe(
    name="zhuang-classes",
    paper="zhuang",
    line="one class against ten: horses painted by a network that saw only horses, and by one that saw everything",
    systems=(
        System("trained on horses", "yuv", "unet", {}, _SIMPLE),
        System(
            "trained on ten classes",
            "yuv",
            "unet",
            {},
            _SIMPLE,
            changes={name: _TEN | {"epochs": count} for name, count in (("quick", 1), ("course", 10), ("gpu", 10))},
        ),
    ),
    profiles={
        "test": _ZHUANG_TOY,
        "quick": replace(HORSES, network=_ZHUANG_QUICK.network),
        "course": replace(HORSES, network=_ZHUANG_FULL.network, fit=replace(ONE_CYCLE, epochs=80)),
        "gpu": replace(HORSES, network=_ZHUANG_FULL.network, fit=replace(ONE_CYCLE, epochs=80)),
    },
    metrics=ZHUANG.metrics,
    claims=(
        Claim(
            "a network trained on one kind of object paints it better",
            "trained on horses",
            "trained on ten classes",
            paper="zhuang",
        ),
    ),
    differs="Both networks take equally many steps. The paper compares flowers with CIFAR-10, by eye, at two sizes.",
)

_SWEEP = Setup(classes="horse", network={"width": 16}, fit=replace(ONE_CYCLE, epochs=4))
_SWEEP_FULL = replace(_SWEEP, network={"width": 64}, fit=replace(ONE_CYCLE, epochs=20))


def _swept(name: str, network: Mapping[str, Any] | None = None, **fit: Any) -> System:
    changes = {profile: fit for profile in ("quick", "course", "gpu")}
    return System(name, "yuv", "unet", {}, {**_SIMPLE, **(network or {})}, changes)


ZHUANG_SWEEP = Recipe(
    name="zhuang-sweep",
    paper="zhuang",
    line="dropout, batch size, learning rate and depth, one changed at a time, on the horses",
    systems=(
        _swept("base: no dropout, batch 64, rate .002, depth 4"),
        _swept("dropout .25", {"dropout": 0.25}),
        _swept("dropout .5", {"dropout": 0.5}),
        _swept("batch 16", batch_size=16),
        _swept("batch 256", batch_size=256),
        _swept("rate .0005", learning_rate=5e-4),
        _swept("rate .008", learning_rate=8e-3),
        _swept("depth 3", {"depth": 3}),
        _swept("depth 5", {"depth": 5}),
    ),
    profiles={"test": _ZHUANG_TOY, "quick": _SWEEP, "course": _SWEEP_FULL, "gpu": _SWEEP_FULL},
    metrics=("mse",),
    claims=(
        Claim(
            "a bottleneck of 8x8 beats 4x4 at 32 pixels",
            "depth 3",
            "base: no dropout, batch 64, rate .002, depth 4",
            paper="zhuang",
        ),
    ),
    differs="The paper names what it swept and prints no number. Nothing is chosen here: every value is scored.",
)

# ---------------------------------------------------------------------------------------------------------------------
# gan: classification over 313 bins against a conditional DCGAN

_DCGAN = {"depth": 4, "down": "strided", "up": "transposed", "output_activation": "tanh"}
_GAN_QUICK = Setup(limit=10_000, test_limit=2_000, network={"width": 16}, fit=replace(ONE_CYCLE, epochs=3))
_GAN_FULL = Setup(network={"width": 64}, fit=replace(ONE_CYCLE, epochs=20))
_MODE, _MEAN = {"decode": "mode"}, {"decode": "mean"}

CNN_VS_GAN = Recipe(
    name="cnn-vs-gan",
    paper="gan",
    line="313-bin classification with and without rebalancing, a conditional DCGAN, its generator without adversary",
    systems=(
        System(
            "classification",
            "ab313",
            "unet-half",
            more=(Decoding("classification, by mode", _MODE), Decoding("classification, by mean", _MEAN)),
        ),
        System(
            "classification, rebalanced",
            "ab313",
            "unet-half",
            {"rebalance": 0.5},
            more=(
                Decoding("classification, rebalanced, by mode", _MODE),
                Decoding("classification, rebalanced, by mean", _MEAN),
            ),
        ),
        System(
            "C-DCGAN",
            "lab",
            "unet",
            network_options=_DCGAN,
            gan={"layers": 3, "width": 64, "lambda_l1": 100.0, "learning_rate": 2e-4},
        ),
        System("generator alone, L1", "lab", "unet", _L1, _DCGAN),
    ),
    profiles={
        "test": replace(TOY, network={"width": 4}),
        "quick": _GAN_QUICK,
        "course": replace(_GAN_FULL, fit=replace(ONE_CYCLE, epochs=10)),
        "gpu": _GAN_FULL,
    },
    metrics=(
        "mse",
        "psnr_mean",
        "ssim",
        "colorfulness",
        "accuracy 0.05",
        "accuracy 0.05 red",
        "accuracy 0.05 green",
        "accuracy 0.05 blue",
        KID_NAME,
    ),
    thresholds=(0.02, 0.05, 0.1),
    kid=True,
    claims=(
        Claim("the GAN has the better PSNR", "C-DCGAN", "classification", "psnr_mean", paper="gan"),
        Claim("the GAN has more right pixels", "C-DCGAN", "classification", "accuracy 0.05", paper="gan"),
        Claim("the GAN looks more real as a set", "C-DCGAN", "classification", KID_NAME, paper="gan"),
        Claim("the adversary improves PSNR", "C-DCGAN", "generator alone, L1", "psnr_mean"),
        Claim("the adversary makes more colorful pictures", "C-DCGAN", "generator alone, L1", "colorfulness"),
        Claim(
            "rebalancing, which disturbed the paper's training, hurts MSE",
            "classification",
            "classification, rebalanced",
            paper="gan",
        ),
        Claim(
            "rebalancing makes more colorful pictures",
            "classification, rebalanced",
            "classification",
            "colorfulness",
        ),
        Claim("the mean decodes better than the mode", "classification, by mean", "classification, by mode"),
        Claim(
            "green is predicted better than red, GAN",
            "C-DCGAN",
            "C-DCGAN",
            "accuracy 0.05 green",
            "accuracy 0.05 red",
            paper="gan",
        ),
        Claim(
            "green is predicted better than red, classification",
            "classification",
            "classification",
            "accuracy 0.05 green",
            "accuracy 0.05 red",
            paper="gan",
        ),
        Claim(
            "blue is predicted better than red, GAN",
            "C-DCGAN",
            "C-DCGAN",
            "accuracy 0.05 blue",
            "accuracy 0.05 red",
            paper="gan",
        ),
    ),
    differs="Our source is a summary of the paper: it names no layer, loss or threshold. Layers are DCGAN's, the "
    "loss is pix2pix's; the classifier predicts at half resolution. The GAN learns with Adam at .0002, as pix2pix, the "
    "generator alone with AdamW and one cycle: rows that compare the two compare that as well. quick: 10,000 images, 3 "
    "epochs, scored on 2,000.",
)

# ---------------------------------------------------------------------------------------------------------------------
# dalban: RGB, LAB and 676 bins on photographs

_PEXELS = dict.fromkeys(PROFILES, "the paper's photographs (Pexels) are not public; another folder stands in")
_CNN_4M = {"network": {"width": 64}}  # 4.31M parameters, the paper says 4.3M
_UNET_4M = {"depth": 4}  # at width 48: 4.38M parameters, the paper says 4.5M
_UNET_20M = {"depth": 5}  # at width 52: 20.7M, the paper says 20.5M
_PHOTOS = Setup("folder", "flowers17", size=64, min_saturation=20 / 255)
_LARGE = {"size": 512, "batch_size": 16, "network": {"width": 52}}


def _dalban(name: str) -> Printed:
    return Printed("results", name, _PEXELS)


DALBAN = Recipe(
    name="dalban",
    paper="dalban",
    line="CNN, U-Net RGB, U-Net LAB and 676 ab bins, MSE and L1 mixed, on a folder of photographs",
    systems=(
        System(
            "CNN baseline",
            "rgb",
            "cnn-plain",
            {"alpha": 0.7},
            changes={"course": _CNN_4M, "gpu": _CNN_4M},
            printed=_dalban("CNN baseline"),
        ),
        System("U-Net RGB", "rgb", "unet", {"alpha": 0.7}, _UNET_4M, printed=_dalban("U-Net RGB")),
        System("U-Net RGB, alpha .5", "rgb", "unet", {"alpha": 0.5}, _UNET_4M),
        System("U-Net RGB, alpha .3", "rgb", "unet", {"alpha": 0.3}, _UNET_4M),
        System("U-Net LAB, as small", "lab", "unet", {"alpha": 0.7}, _UNET_4M),
        System(
            "U-Net LAB",
            "lab",
            "unet",
            {"alpha": 0.5},
            _UNET_20M,
            changes={"gpu": _LARGE | {"epochs": 15}},
            printed=_dalban("U-Net LAB"),
        ),
        System(
            "U-Net classification",
            "ab676",
            "unet",
            {"decode": "mode", "rebalance": 0.5},
            _UNET_20M,
            changes={"quick": {"epochs": 4}, "gpu": _LARGE},
            printed=_dalban("U-Net classification"),
            more=(Decoding("U-Net classification, by mean", _MEAN),),
        ),
    ),
    profiles={
        "test": TOY,
        "quick": replace(_PHOTOS, network={"width": 16}, fit=replace(ONE_CYCLE, batch_size=16)),
        "course": replace(
            _PHOTOS, size=96, network={"width": 48}, fit=FitSettings(epochs=20, batch_size=32, learning_rate=1e-3)
        ),
        "gpu": replace(
            _PHOTOS, size=96, network={"width": 48}, fit=FitSettings(epochs=20, batch_size=64, learning_rate=1e-3)
        ),
    },
    metrics=("mse", "psnr_mean", "ssim", "colorfulness"),
    claims=(
        Claim(
            "skips raise PSNR",
            "U-Net RGB",
            "CNN baseline",
            "psnr_mean",
            paper="dalban",
            printed=PrintedGain("U-Net RGB", _PEXELS),
        ),
        Claim(
            "LAB paints more colorfully, size and network equal",
            "U-Net LAB, as small",
            "U-Net RGB",
            "colorfulness",
            paper="dalban",
        ),
        Claim("LAB raises PSNR, size and network equal", "U-Net LAB, as small", "U-Net RGB", "psnr_mean"),
        Claim(
            "more L1 makes more colorful pictures", "U-Net RGB, alpha .3", "U-Net RGB", "colorfulness", paper="dalban"
        ),
        Claim(
            "classification is more colorful than regression",
            "U-Net classification",
            "U-Net LAB",
            "colorfulness",
            paper="dalban",
        ),
        Claim("regression has the better PSNR", "U-Net LAB", "U-Net classification", "psnr_mean", paper="dalban"),
    ),
    differs="The paper's photographs are not public: a folder flowers17 under the data root stands in, else the "
    "photographs that lie there. gpu follows its sizes (96 and 512 pixels) and nearly its parameters: 4.31M, 4.38M, "
    "20.7M. Its PSNR formula is not said to be a mean over images; ours is.",
)

BY_CLASS = Recipe(
    name="by-class",
    paper="dalban",
    line="skill and color bias by class of object: which things have a color that gray tells?",
    systems=(
        System("simple, UV", "yuv", "unet", {}, _SIMPLE),
        System("simple, RGB", "rgb", "unet", {}, _SIMPLE),
    ),
    profiles={"test": TOY, "quick": _ZHUANG_QUICK, "course": _ZHUANG_FULL, "gpu": _ZHUANG_FULL},
    metrics=(
        "mse",
        "a bias",
        "b bias",
        *(f"skill {name}" for name in ("deer", "frog", "horse", "automobile", "truck")),
    ),
    by_class=True,
    claims=(
        Claim(
            "animals of few colors (deer) are painted better than cars",
            "simple, UV",
            "simple, UV",
            "skill deer",
            "skill automobile",
        ),
        Claim(
            "ships, on blue water, better than trucks",
            "simple, UV",
            "simple, UV",
            "skill ship",
            "skill truck",
        ),
    ),
    differs="The paper names grass, sky and skin as easy, walls and clothing as hard, by eye; here CIFAR-10's "
    "classes, by our numbers, with Zhuang's simple U-Net, 40,000 training and 10,000 test images.",
)

# ---------------------------------------------------------------------------------------------------------------------
# labkit-best: the most color for a few minutes of training


def _quick_learner(name: str, network: str, width: int, before: int = 0, **fit: Any) -> System:
    changes = {"network": {"width": width}, **fit}
    first = {"classes": None, "epochs": before}
    return System(
        name,
        "luma-chroma",
        network,
        changes={profile: changes for profile in PROFILES[1:]},
        before={profile: first for profile in PROFILES[1:]} if before else {},
        more=(Decoding(f"{name}, flip-averaged", flip_average=True),),
    )


_BEST = Setup(classes="horse", fit=FitSettings(batch_size=16))

LABKIT_BEST = Recipe(
    name="labkit-best",
    paper=OWN,
    line="the most color for a stated time: chroma alone over the exact luma, in small batches",
    systems=(
        _quick_learner("half resolution, 4 epochs", "unet-half", 24, epochs=4, batch_size=24, learning_rate=4e-3),
        _quick_learner("full resolution, 8 epochs", "unet", 32, epochs=8, learning_rate=2e-3),
        _quick_learner(
            "full resolution, 1 epoch of all classes, 6 of horses", "unet", 32, before=1, epochs=6, learning_rate=2e-3
        ),
    ),
    profiles={"test": TOY, "quick": _BEST, "course": _BEST, "gpu": _BEST},
    metrics=("mse", "mae", "psnr_mean", "ssim"),
    claims=(
        Claim(
            "an epoch of all classes first helps to paint horses (and takes twice the steps)",
            "full resolution, 1 epoch of all classes, 6 of horses",
            "full resolution, 8 epochs",
        ),
        Claim(
            "averaging with the mirrored image's colors helps",
            "full resolution, 8 epochs, flip-averaged",
            "full resolution, 8 epochs",
        ),
    ),
    differs="Beside the published U-Net's MSE of .0038 after 40 epochs. Batch, rate and width were chosen on the 483 "
    "validation horses; the test horses decided nothing.",
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        SKIPS,
        QURESHI,
        QURESHI_CURVES,
        DECODINGS,
        SLR,
        SLR_FLOWERS,
        SLR_STL10,
        SLR_MERGED,
        SLR_TRANSFER,
        SCENE_BIAS,
        ZHUANG,
        ZHUANG_FLOWERS,
        ZHUANG_CLASSES,
        ZHUANG_SWEEP,
        CNN_VS_GAN,
        DALBAN,
        BY_CLASS,
        LABKIT_BEST,
    )
}
