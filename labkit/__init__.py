"""labkit: a course on automatic image colorization, and the small PyTorch library under it.

A colorizer is a representation (which knows color) and a network (which knows images):
``rgb -> representation.encode -> (gray, target)``, ``network(gray) -> prediction``,
``representation.decode(gray, prediction) -> rgb``.

    import labkit as lk

    data = lk.load("cifar10", classes="horse")
    model = lk.Colorizer("luma-chroma", "unet-half", width=32)
    model.fit(data.train, epochs=8)
    print(model.score(data.test))
"""

from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError

__version__ = "0.2.0"

if TYPE_CHECKING:
    from labkit.color import luma
    from labkit.colorizer import Colorizer
    from labkit.data import Dataset, load
    from labkit.images import read_image, save_image
    from labkit.models import make_network
    from labkit.plots import show_rows as show
    from labkit.representation import make_representation
    from labkit.training import fit

# Where each name is defined. Imported when it is first used: the command line, which asks only for the version and the
# error, must not wait for torch.
_DEFINED_IN = {
    "Colorizer": "labkit.colorizer:Colorizer",
    "Dataset": "labkit.data:Dataset",
    "fit": "labkit.training:fit",
    "load": "labkit.data:load",
    "luma": "labkit.color:luma",
    "make_network": "labkit.models:make_network",
    "make_representation": "labkit.representation:make_representation",
    "read_image": "labkit.images:read_image",
    "save_image": "labkit.images:save_image",
    "show": "labkit.plots:show_rows",
}

__all__ = [
    "Colorizer",
    "Dataset",
    "LabkitError",
    "__version__",
    "fit",
    "load",
    "luma",
    "make_network",
    "make_representation",
    "read_image",
    "save_image",
    "show",
]


def __getattr__(name: str) -> Any:
    if name not in _DEFINED_IN:
        raise AttributeError(f"module 'labkit' has no attribute {name!r}")
    import importlib

    module, attribute = _DEFINED_IN[name].split(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value  # next time it is found without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
