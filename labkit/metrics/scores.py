"""Scores that print as a table, with the gray baseline beside them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LABELS = {
    "mse": "MSE",
    "mae": "MAE",
    "psnr_mean": "PSNR, mean over images (dB)",
    "psnr_pooled": "PSNR of the mean MSE (dB)",
    "ssim": "SSIM",
    "colorfulness": "colorfulness",
    "skill": "skill (fraction of gray's MSE removed)",
}


@dataclass(frozen=True)
class Scores:
    """Means over images, by name, of a model and of the gray baseline.

    Attributes:
        ours: of the model: mse, mae, psnr_mean, psnr_pooled, ssim, colorfulness, skill.
        gray: the same of images without color.

    ``scores["mse"]`` is ``scores.ours["mse"]``. Printed, and shown by a notebook, it is a table.
    """

    ours: dict[str, float]
    gray: dict[str, float]

    @classmethod
    def of(cls, evaluated: Mapping[str, Any]) -> Scores:
        """Make scores of what `labkit.metrics.evaluate` returned."""
        own = {name: value for name, value in evaluated.items() if name != "gray"}
        return cls(own, dict(evaluated["gray"]))

    def __getitem__(self, name: str) -> float:
        """Return one of the model's own scores."""
        return self.ours[name]

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the rows of the table as text: metric, ours, gray."""
        return [(LABELS.get(name, name), f"{value:.4g}", f"{self.gray[name]:.4g}") for name, value in self.ours.items()]

    def __str__(self) -> str:
        """Return the table as text."""
        rows = [("", "ours", "gray"), *self.rows()]
        width = max(len(label) for label, _, _ in rows)
        return "\n".join(f"{label:<{width}}  {ours:>8}  {gray:>8}" for label, ours, gray in rows)

    def _repr_html_(self) -> str:
        head = "<tr><th></th><th>ours</th><th>gray</th></tr>"
        rows = "".join(
            f"<tr><td>{html.escape(label)}</td><td>{ours}</td><td>{gray}</td></tr>" for label, ours, gray in self.rows()
        )
        return f"<table>{head}{rows}</table>"
