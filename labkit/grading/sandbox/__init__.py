"""Run code that nobody trusts: kernels in namespaces, with limits and without rights.

`Sandbox` is the whole of it: ``start`` a kernel, ``execute`` cells, ``stop`` it; its docstring says what it promises.
`best_tier` finds out how well this machine can do it.
"""

from labkit.grading.sandbox.box import Sandbox
from labkit.grading.sandbox.namespaces import Limits
from labkit.grading.sandbox.probe import Tier, best_tier, tiers
from labkit.grading.sandbox.visible import course_places

__all__ = ["Limits", "Sandbox", "Tier", "best_tier", "course_places", "tiers"]
