"""Score colorizations: per image (`pixel`), as sets of images (`sets`, over `features`), and as tables (`scores`).

Every score stands beside its gray baseline. What trains a network belongs to `labkit.training`; what runs many
systems and tests claims belongs to `labkit.experiments`.
"""

from labkit.metrics.pixel import (
    PSNR_CAP,
    SSIM_WINDOW,
    balanced_accuracy,
    balanced_hue_accuracy,
    color_bias,
    colorfulness,
    hue_counts,
    mae,
    mse,
    pixel_accuracy,
    psnr,
    ssim,
)
from labkit.metrics.scores import KEYS, Scores, evaluate, gray_prediction, score, score_with_gray, skill
from labkit.metrics.sets import FID_NAME, KID_NAME, Kid, fid, kid

__all__ = [
    "FID_NAME",
    "KEYS",
    "KID_NAME",
    "PSNR_CAP",
    "SSIM_WINDOW",
    "Kid",
    "Scores",
    "balanced_accuracy",
    "balanced_hue_accuracy",
    "color_bias",
    "colorfulness",
    "evaluate",
    "fid",
    "gray_prediction",
    "hue_counts",
    "kid",
    "mae",
    "mse",
    "pixel_accuracy",
    "psnr",
    "score",
    "score_with_gray",
    "skill",
    "ssim",
]
