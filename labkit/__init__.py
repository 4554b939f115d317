"""labkit: a course on automatic image colorization, and the small PyTorch library under it.

A colorizer is a representation (which knows color) and a network (which knows images):
``rgb -> representation.encode -> (gray, target)``, ``network(gray) -> prediction``,
``representation.decode(gray, prediction) -> rgb``.
"""

from labkit.errors import LabkitError

__version__ = "0.2.0"
__all__ = ["LabkitError", "__version__"]
