"""What a late submission loses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import timedelta

from labkit.errors import LabkitError

UNITS = {"day": 86400, "hour": 3600, "week": 604800}


@dataclass(frozen=True)
class Penalty:
    """A fraction of the points that is lost for each begun ``unit`` of seconds after the deadline."""

    fraction: float
    unit: int

    def lost(self, late_by: timedelta) -> float:
        """Return the fraction of the points that a submission loses, 0 to 1."""
        begun = math.ceil(late_by.total_seconds() / self.unit)
        return min(1.0, max(0, begun) * self.fraction)


def parse_penalty(text: str) -> Penalty | None:
    """Return the penalty that "10%/day" (or hour, or week) means; None for "none".

    Raises:
        LabkitError: if it is neither.
    """
    if text.strip().lower() in ("", "none"):
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%\s*/\s*(day|hour|week)", text.strip().lower())
    if not found or not 0 < float(found[1]) <= 100:
        raise LabkitError(f"--late: expected none, or a penalty such as 10%/day, got {text!r}")
    return Penalty(float(found[1]) / 100, UNITS[found[2]])
