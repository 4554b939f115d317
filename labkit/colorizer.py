"""A colorizer: a representation and a network, to train, score, use, save and load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import __version__
from labkit.artifacts import write_bytes, write_json
from labkit.color import HasImages, image_tensor
from labkit.errors import LabkitError, check_integer, check_number, check_seed
from labkit.hints import Hint, hint_planes
from labkit.images import AnyImage, read_image
from labkit.metrics import KEYS, Scores, evaluate
from labkit.models import Network, evaluation_mode, make_network, make_saved_network
from labkit.options import takes
from labkit.representation import STYLES, Classification, Representation, make_representation
from labkit.training import History, dataset_loss, fit

WEIGHTS_FILE, CARD_FILE = "model.safetensors", "model.json"
WORKING_SIZE = 96  # pixels; of models whose card names none: most have learned from images of 32 to 96 pixels
SIZES = ("working_size", "fine_size")  # what `about` may tell of them
FORMAT = 1  # of model.json; raised when an older labkit could no longer read what a newer one writes
STARTER = Path(__file__).parent / "weights" / "starter"


class Colorizer(nn.Module):
    """A network with the representation that gives its numbers their meaning.

    Calling it takes the color from images and predicts it again: ``model(images)`` is rgb ``(N, 3, H, W)`` in [0, 1].

    Args:
        representation: its name (see `labkit.representation.REPRESENTATIONS`), or a `Representation`.
        network: its name (see `labkit.models.NETWORKS`), or a `Network`, of ``representation.channels`` outputs.
        seed: of the first weights of a network given by name; torch's global generator is left alone.
        alpha: fraction of MSE in the loss of a regression given by name; the rest is L1.
        about: what is worth knowing of its training (data set, command, scores); saved in ``model.json``.
        **options: of a network given by name: width, depth, ...

    Raises:
        LabkitError: an unknown name or option; or the representation predicts luma, which needs full resolution, and
            the network predicts at a lower one.

    Example::

        model = Colorizer("luma-chroma", "unet-half", width=32)
        model.fit(images, epochs=8)
        rgb = model.colorize("photo.jpg")
    """

    def __init__(
        self,
        representation: str | Representation = "luma-chroma",
        network: str | Network = "unet-half",
        *,
        seed: int = 0,
        alpha: float | None = None,
        about: Mapping[str, object] | None = None,
        **options: Any,
    ) -> None:
        """Make what is given by name, and check that both fit."""
        super().__init__()
        seed = check_seed(seed)
        alpha = None if alpha is None else check_number("alpha", alpha, low=0, high=1)
        if isinstance(representation, str):
            # 1 is the default; classifications have no alpha
            representation = make_representation(representation, **({} if alpha in (None, 1.0) else {"alpha": alpha}))
        elif alpha is not None:
            raise LabkitError(f"alpha is for a representation given by name. Got alpha={alpha} and an object")
        if isinstance(network, str):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = make_network(network, representation.channels, **options)
        elif options:
            raise LabkitError(f"{', '.join(options)}: for a network given by name. Got a network that is already made")
        if representation.predicts_luma and network.output_stride != 1:
            raise LabkitError(
                f"representation {representation.name!r} predicts luma, which needs full resolution: choose another "
                f"representation, or a network with output_stride 1 (cnn, unet). Got {network.output_stride}"
            )
        # channels-last is the layout in which convolutions are fastest, on CPUs as on tensor cores
        self.network: Network = network.to(memory_format=torch.channels_last)
        self.representation = representation
        self.about = dict(about or {})

    @classmethod
    def starter(cls) -> Colorizer:
        """Return the small model that ships with labkit (``labkit/weights/starter/CARD.md`` says how it was made)."""
        return cls.load(STARTER)

    @property
    def device(self) -> torch.device:
        """Where it computes; images from elsewhere are copied there."""
        return next(self.network.parameters()).device

    @torch.no_grad()
    def predict(self, gray: Tensor, flip_average: bool = False) -> Tensor:
        """Return the network's prediction, in evaluation mode and float32, without gradients.

        Args:
            gray: ``(N, 1, H, W)`` in [0, 1], or with planes of hints behind it, see `labkit.hints`.
            flip_average: predict the mirrored image too and average the two.

        Returns: ``(N, C, h, w)``.
        """
        gray = gray.to(self.device, torch.float32)
        with evaluation_mode(self.network):
            prediction = self.network(gray)
            if flip_average:
                prediction = (prediction + self.network(gray.flip(-1)).flip(-1)) / 2
        return prediction

    @torch.no_grad()
    def forward(self, images: Tensor | HasImages, flip_average: bool = False) -> Tensor:
        """Take the color from images and predict it again; always in evaluation mode, without gradients.

        What trains is ``network``, see `fit`.

        Args:
            images: a `Dataset`, or a tensor ``(N, 3, H, W)`` uint8 or float in [0, 1].
            flip_average: see `predict`.

        Returns: rgb ``(N, 3, H, W)`` in [0, 1], on the colorizer's device.
        """
        gray = self.representation.gray(image_tensor(images).to(self.device))
        return self.representation.decode(gray, self.predict(gray, flip_average))

    @takes(fit)
    def fit(
        self, images: Tensor | HasImages, *, validation: Tensor | HasImages | None = None, **options: Any
    ) -> History:
        """Train the network on images; see `labkit.training.fit`, whose keywords it takes.

        Args:
            images: a `Dataset`, or a tensor ``(N, 3, H, W)`` uint8.
            validation: images whose loss is recorded each epoch; ``patience`` needs them.
            **options: the other keywords of `labkit.training.fit`: epochs, batch_size, learning_rate, out, ...

        Returns: the history, one row per epoch.
        """
        return fit(self.network, self.representation, images, validation=validation, **options)

    def loss(self, images: Tensor | HasImages) -> float:
        """Return the representation's loss of what the network predicts for images: the mean over images.

        Args:
            images: true ones: a `Dataset`, or a tensor ``(N, 3, H, W)`` uint8.
        """
        return dataset_loss(self.network, self.representation, images)

    def score(self, images: Tensor | HasImages, keys: Sequence[str] = KEYS) -> Scores:
        """Score what it predicts for images, beside the gray baseline.

        Args:
            images: true ones: a `Dataset`, or a tensor ``(N, 3, H, W)`` uint8.
            keys: the scores wanted, of `labkit.metrics.KEYS`.

        Returns: means over the images; they print as a table.
        """
        return Scores.of(evaluate(self, images, keys=keys))

    def colorize(
        self,
        image: AnyImage,
        *,
        working_size: int | None = None,
        flip_average: bool = False,
        size_average: bool = False,
        hints: Sequence[Hint] = (),
        style: str = "faithful",
        strength: float = 1.0,
        sample: int | None = None,
    ) -> Tensor:
        """Colorize an image of any size; its luma (L* for LAB) is kept exactly.

        Args:
            image: a file, a PIL image, an array ``(H, W)`` or ``(H, W, 3)``, or a tensor ``(3 | 1, H, W)`` or
                ``(N, 3 | 1, H, W)``; uint8 or float in [0, 1]. Of a color image only the gray is used.
            working_size: shorter side, in pixels, of the image that the network sees; the chroma it predicts is then
                enlarged to the image's size. Networks recognize things at the scale they were trained on (32 pixels for
                CIFAR-10), so a large photograph often gets better color this way. None: `working_size`; 0: full
                resolution. Ignored by representations that predict luma.
            flip_average: see `predict`. The commands for photographs do it: it lowers the error.
            size_average: average the predictions for copies of the model's own sizes, `working_size` and `fine_size`,
                and of ``working_size``. The commands for photographs do it: a small copy shows the scene, a large one
                its details, and no size then has much worse colors than another.
            hints: colors at places of the image, which the result follows; only of networks that take hints.
            style: "faithful", the mean of the colors considered possible, or "vivid", which commits to one of them and
                shows rarer colors more often; vivid only of models that predict color bins.
            strength: the predicted chroma is multiplied by this: 0 is gray, 1 as predicted.
            sample: number of a sample, for models that predict color bins: each number is another plausible coloring.

        Returns: rgb ``(3, H, W)``, or ``(N, 3, H, W)`` for a batch, float32 in [0, 1] on the colorizer's device.
        """
        working_size = check_integer("working_size", self.working_size if working_size is None else working_size, low=0)
        strength = check_number("strength", strength, low=0, high=4)
        rgb = read_image(image).to(self.device)
        single = rgb.dim() == 3
        rgb = rgb[None] if single else rgb
        gray = self.representation.gray(rgb)
        representation = self.styled(style, sample)
        if strength != 1 and representation.predicts_luma:
            raise LabkitError(f"strength is for models that keep luma; {representation.name} predicts it: take 1")
        sides = {working_size, self.working_size, self.fine_size} if size_average else {working_size}
        if representation.predicts_luma:
            sides = {0}
        copies = {copy.shape: copy for copy in (_small_copy(gray, side) for side in sorted(sides))}
        predictions = [
            self.predict(self._with_hints(copy, hints, gray.shape[-2:]), flip_average) for copy in copies.values()
        ]
        colors = representation.colors(_average(predictions))
        to_rgb = representation.to_rgb if gray.shape in copies else representation.enlarge
        out = to_rgb(gray, colors if strength == 1 else strength * colors)
        return out[0] if single else out

    @property
    def working_size(self) -> int:
        """The shorter side, in pixels, at which photographs are shown to the network: what its card says, else 96."""
        return self._told("working_size", WORKING_SIZE)

    @property
    def fine_size(self) -> int:
        """The shorter side of a second copy with ``size_average``: what its card says, else `working_size`."""
        return self._told("fine_size", self.working_size)

    def _told(self, name: str, default: int) -> int:
        told = self.about.get(name)
        return told if isinstance(told, int) and told > 0 else default

    @property
    def takes_hints(self) -> bool:
        """Whether `colorize` takes hints."""
        return self.network.hint_planes > 0

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles that `colorize` knows for this model."""
        return STYLES if isinstance(self.representation, Classification) else STYLES[:1]

    def styled(self, style: str = "faithful", sample: int | None = None) -> Representation:
        """Return the representation as it decodes in a style.

        Raises:
            LabkitError: an unknown style, or one that this model does not have.
        """
        if style not in STYLES:
            raise LabkitError(f"unknown style: got {style!r}, expected one of {', '.join(STYLES)}")
        if not isinstance(self.representation, Classification):
            if style != "faithful" or sample is not None:
                what = f"style {style}" if sample is None else "samples"
                raise LabkitError(
                    f"{what}: this model predicts one color, expected a model that predicts color bins. Take another "
                    "--model, or --style faithful and --strength"
                )
            return self.representation
        return self.representation.styled(style, sample)

    def _with_hints(self, gray: Tensor, hints: Sequence[Hint], image_size: Sequence[int]) -> Tensor:
        """Return gray with the planes of the hints, (N, 1 + planes, h, w); without hints as it is.

        Raises:
            LabkitError: the network takes no hints, or a hint lies outside of the image.
        """
        if not hints:
            return gray
        if not self.takes_hints:
            raise LabkitError(
                "this model takes no color hints: it was trained without them. Take a model of network unet-guided, "
                "trained with --hints"
            )
        height, width = image_size
        planes = hint_planes(hints, (height, width), (gray.shape[-2], gray.shape[-1])).to(gray)
        return torch.cat([gray, planes.expand(len(gray), -1, -1, -1)], dim=1)

    def save(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Write ``model.safetensors`` (weights only) and ``model.json`` (everything else) into a folder.

        The weights file holds no time and no path: the same weights give the same bytes. ``model.json`` is written
        last and names the weights' SHA-256, so that a pair which was never completed is recognized by `load`.

        Args:
            folder: made if it is missing.
            dtype: of the weights; ``torch.float16`` halves the file, and `load` returns to float32.
        """
        from safetensors.torch import save

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
            for name, tensor in self.network.state_dict().items()
        }
        weights = save(state)
        card = {
            "format": FORMAT,
            "labkit": __version__,
            "representation": self.representation.config(),
            "network": self.network.config(),
            "sha256": hashlib.sha256(weights).hexdigest(),
            "about": self.about,
        }
        write_bytes(folder / WEIGHTS_FILE, weights)
        write_json(folder / CARD_FILE, card)

    @classmethod
    def load(cls, folder: str | Path) -> Colorizer:
        """Read what `save` wrote.

        Args:
            folder: with ``model.safetensors`` and ``model.json``.

        Returns: the colorizer, on the CPU, in evaluation mode.

        Raises:
            LabkitError: a file is missing, of another format, damaged, or does not fit; the message names it.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        folder = Path(folder)
        card_file, weights_file = folder / CARD_FILE, folder / WEIGHTS_FILE
        for file in (card_file, weights_file):
            if not file.is_file():
                raise LabkitError(f"no model in {folder}: {file.name} is missing (make one with `labkit train --out`)")
        try:
            card = json.loads(card_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise LabkitError(f"{card_file} is not JSON ({error}): save the model again") from None
        if not isinstance(card, dict) or card.get("format") != FORMAT:
            found = card.get("format") if isinstance(card, dict) else card
            raise LabkitError(f"{card_file} has format {found!r}; this labkit {__version__} reads format {FORMAT}")
        if missing := [key for key in ("representation", "network", "sha256") if key not in card]:
            raise LabkitError(f"{card_file} lacks {', '.join(missing)}: save the model again")
        weights = weights_file.read_bytes()
        if hashlib.sha256(weights).hexdigest() != card["sha256"]:
            raise LabkitError(f"{weights_file} is damaged or belongs to another {CARD_FILE}: its SHA-256 differs")
        try:
            state = {
                name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load(weights).items()
            }
        except SafetensorError as error:
            raise LabkitError(f"{weights_file} is not a safetensors file: {error}") from None
        network_name, network_options = _named(card["network"], card_file, "network")
        space_name, space_options = _named(card["representation"], card_file, "representation")
        representation = make_representation(space_name, **space_options)
        channels = network_options.pop("out_channels", representation.channels)
        if channels != representation.channels:
            wanted = f"{space_name} has {representation.channels}"
            raise LabkitError(f"{card_file}: the network predicts {channels} channels, {wanted}: save the model again")
        try:
            with torch.device("meta"):  # without memory: a damaged card may describe a network of any size
                fits = _same_shapes(make_saved_network(network_name, channels, **network_options), state)
        except (ValueError, RuntimeError, OverflowError) as error:
            raise LabkitError(f"{card_file} describes a network that cannot be made: {error}") from None
        if not fits:
            raise LabkitError(f"{weights_file} does not fit the network that {CARD_FILE} describes")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
            raise LabkitError(f"{weights_file} holds NaN or infinity: train again, with a lower learning rate")
        network = make_saved_network(network_name, channels, **network_options)
        network.load_state_dict(state)
        network.eval()
        about = card.get("about")
        return cls(representation, network, about=about if isinstance(about, dict) else None)


def _named(config: object, file: Path, what: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(config, dict) or not isinstance(config.get("name"), str):
        raise LabkitError(f"{file}: {what} must be an object with a name. Got {config!r}")
    return config["name"], {key: value for key, value in config.items() if key != "name"}


def _same_shapes(network: Network, state: Mapping[str, Tensor]) -> bool:
    own = network.state_dict()
    return own.keys() == state.keys() and all(own[name].shape == tensor.shape for name, tensor in state.items())


def _small_copy(gray: Tensor, side: int) -> Tensor:
    """Return gray ``(N, C, H, W)`` with a shorter side of ``side`` pixels; as it is if that is 0, or no reduction."""
    height, width = gray.shape[-2:]
    shorter = min(height, width)
    if not side or shorter <= side:
        return gray
    size = [max(1, round(length * side / shorter)) for length in (height, width)]
    return F.interpolate(gray, size=size, mode="bilinear", antialias=True)


def _average(predictions: Sequence[Tensor]) -> Tensor:
    """Return the mean of predictions ``(N, C, h, w)`` for copies of several sizes, at the size of the largest."""
    *smaller, total = sorted(predictions, key=torch.Tensor.numel)
    for one in smaller:  # one after the other: at full size a prediction takes gigabytes
        total = total + F.interpolate(one, size=total.shape[-2:], mode="bilinear", align_corners=False)
    return total / len(predictions) if smaller else total
