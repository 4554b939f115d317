"""A colorizer is a network and a representation: the one object that turns gray pictures into color ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import __version__
from labkit.artifacts import write_bytes, write_text
from labkit.errors import LabkitError
from labkit.models import Network, evaluation_mode, make_network
from labkit.representation import Representation, make_representation

if TYPE_CHECKING:
    import PIL.Image

    AnyImage: TypeAlias = Tensor | np.ndarray | PIL.Image.Image | str | Path

WEIGHTS_FILE, CARD_FILE = "model.safetensors", "model.json"
FORMAT = 1  # of model.json; raised when an older labkit could no longer read what a newer one writes
STARTER = Path(__file__).parent / "weights" / "starter"


class Colorizer:
    """A network with the representation that gives its numbers their meaning.

    Args:
        network: predicts ``representation.channels`` numbers for each output pixel.
        representation: encodes pictures for it and decodes its predictions.
        about: what is worth knowing of its training (data set, command, scores); saved in ``model.json``.
    """

    def __init__(
        self, network: Network, representation: Representation, about: Mapping[str, object] | None = None
    ) -> None:
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
    def create(
        cls,
        representation: str | Representation = "luma-chroma",
        network: str = "unet-half",
        *,
        seed: int = 0,
        alpha: float = 1.0,
        **network_options: Any,
    ) -> Colorizer:
        """A fresh colorizer by names; ``seed`` fixes its first weights (torch's global generator is left alone).

        ``alpha`` is the share of MSE in a regression's loss. A representation with other options can be passed itself.
        """
        if isinstance(representation, str):
            options = {} if alpha == 1.0 else {"alpha": alpha}  # 1 is the default; classifications have no alpha
            space = make_representation(representation, **options)
        else:
            space = representation
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(make_network(network, space.channels, **network_options), space)

    @classmethod
    def starter(cls) -> Colorizer:
        """The small model that ships with labkit (``labkit/weights/starter/CARD.md`` says how it was made)."""
        return cls.load(STARTER)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @torch.no_grad()
    def predict(self, gray: Tensor, flip_average: bool = False) -> Tensor:
        """``gray (N, 1, H, W) -> prediction (N, C, h, w)`` with the network in evaluation mode, in float32.

        ``flip_average`` also predicts the mirrored image and averages the two.
        """
        gray = gray.to(self.device, torch.float32)
        with evaluation_mode(self.network):
            prediction = self.network(gray)
            if flip_average:
                prediction = (prediction + self.network(gray.flip(-1)).flip(-1)) / 2
        return prediction

    def reconstruct(self, images: Tensor, flip_average: bool = False) -> Tensor:
        """Takes the color from pictures and predicts it again: ``(N, 3, H, W) uint8 or float -> rgb (N, 3, H, W)``."""
        gray = self.representation.gray(images.to(self.device))
        return self.representation.decode(gray, self.predict(gray, flip_average))

    def colorize(self, image: AnyImage, *, working_size: int | None = None, flip_average: bool = False) -> Tensor:
        """Color for a picture of any size; its luma (L* for LAB) is kept exactly.

        Args:
            image: a file, a PIL image, an array ``(H, W)`` or ``(H, W, 3)``, or a tensor ``(3 | 1, H, W)`` or
                ``(N, 3 | 1, H, W)``; uint8 or float in [0, 1]. Of a color picture only the gray is used.
            working_size: shorter side, in pixels, of the image that the network sees; the chroma it predicts is then
                enlarged to the picture. Networks recognize things at the scale they were trained on (32 pixels for
                CIFAR-10), so a large photograph often gets better color this way. None: full resolution. Ignored by
                representations that predict luma.
            flip_average: also predict the mirrored picture and average the two.

        Returns: rgb ``(3, H, W)``, or ``(N, 3, H, W)`` for a batch, float32 in [0, 1] on the colorizer's device.
        """
        rgb = read_image(image).to(self.device)
        single = rgb.dim() == 3
        rgb = rgb[None] if single else rgb
        gray = self.representation.gray(rgb)
        if working_size is None or self.representation.predicts_luma or min(gray.shape[-2:]) <= working_size:
            out = self.representation.decode(gray, self.predict(gray, flip_average))
        else:
            scale = working_size / min(gray.shape[-2:])
            size = [max(1, round(side * scale)) for side in gray.shape[-2:]]
            small = F.interpolate(gray, size=size, mode="bilinear", antialias=True)
            colors = self.representation.colors(self.predict(small, flip_average))
            colors = F.interpolate(colors, size=gray.shape[-2:], mode="bicubic", align_corners=False)
            out = self.representation.to_rgb(gray, colors)
        return out[0] if single else out

    def save(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Writes ``model.safetensors`` (weights only) and ``model.json`` (everything else) into the folder.

        The weights file holds no time and no path: the same weights give the same bytes. ``model.json`` is written
        last and names the weights' SHA-256, so that a pair which was never completed is recognized by `load`.
        ``dtype=torch.float16`` halves the file; `load` returns to float32.
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
        write_text(folder / CARD_FILE, json.dumps(card, indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> Colorizer:
        """Reads what `save` wrote.

        Raises ``LabkitError`` naming the file when one is absent, of another format, damaged, or does not fit.
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
                fits = _same_shapes(make_network(network_name, channels, **network_options), state)
        except (ValueError, RuntimeError, OverflowError) as error:
            raise LabkitError(f"{card_file} describes a network that cannot be made: {error}") from None
        if not fits:
            raise LabkitError(f"{weights_file} does not fit the network that {CARD_FILE} describes")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
            raise LabkitError(f"{weights_file} holds NaN or infinity: train again, with a lower learning rate")
        network = make_network(network_name, channels, **network_options)
        network.load_state_dict(state)
        network.eval()
        about = card.get("about")
        return cls(network, representation, about if isinstance(about, dict) else None)


def read_image(image: AnyImage) -> Tensor:
    """A picture as a tensor ``(3, H, W)`` or ``(N, 3, H, W)``, uint8 or float; gray ones get three equal channels.

    Raises ``LabkitError`` naming the file when it cannot be read, ``TypeError`` for what is no image at all, and
    ``ValueError`` for arrays of another shape or type, empty ones, and floats outside [0, 1] (or not finite).
    """
    import PIL.Image

    if isinstance(image, (str, Path)):
        from labkit.data.pictures import read_rgb

        image = read_rgb(Path(image))
    if isinstance(image, PIL.Image.Image):
        from labkit.data.pictures import to_rgb

        image = np.asarray(to_rgb(image))
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
            raise ValueError(f"expected an array (H, W) or (H, W, 3). Got {image.shape}")
        if image.dtype.kind not in "uif":
            raise ValueError(f"expected uint8 or float values in [0, 1]. Got {image.dtype}")
        image = torch.from_numpy(np.array(image))  # a copy: arrays from files may be read-only
        image = image[None] if image.dim() == 2 else image.permute(2, 0, 1)
    if not isinstance(image, Tensor):
        raise TypeError(f"expected a file, a PIL image, an array or a tensor. Got {type(image).__name__}")
    if image.dim() not in (3, 4) or image.shape[-3] not in (1, 3) or image.numel() == 0:
        raise ValueError(f"expected an image (3 or 1, H, W) or a batch of them, not empty. Got {tuple(image.shape)}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise ValueError(f"expected uint8 or float values in [0, 1]. Got {image.dtype}")
    if image.is_floating_point():
        image = image.float()
        low, high = float(image.min()), float(image.max())
        if not -0.01 <= low <= high <= 1.01:  # a hair outside is rounding; 0..255 would come back white; NaN fails too
            raise ValueError(f"expected float values in [0, 1] (divide by 255?). Got {low:g} to {high:g}")
    return image.expand(*image.shape[:-3], 3, *image.shape[-2:])


def _named(config: object, file: Path, what: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(config, dict) or not isinstance(config.get("name"), str):
        raise LabkitError(f"{file}: {what} must be an object with a name. Got {config!r}")
    return config["name"], {key: value for key, value in config.items() if key != "name"}


def _same_shapes(network: Network, state: Mapping[str, Tensor]) -> bool:
    own = network.state_dict()
    return own.keys() == state.keys() and all(own[name].shape == tensor.shape for name, tensor in state.items())
