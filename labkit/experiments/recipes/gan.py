"""The recipe of CNN vs GAN: classification over 313 bins against a conditional DCGAN."""

from __future__ import annotations

from dataclasses import replace

from labkit.experiments.recipes.shared import L1, MEAN, MODE, ONE_CYCLE, TOY
from labkit.experiments.schema import Claim, Decoding, Recipe, Setup, System
from labkit.metrics import KID_NAME

_DCGAN = {"depth": 4, "down": "strided", "up": "transposed", "output_activation": "tanh"}
_GAN_QUICK = Setup(limit=10_000, test_limit=2_000, network={"width": 16}, fit=replace(ONE_CYCLE, epochs=3))
_GAN_FULL = Setup(network={"width": 64}, fit=replace(ONE_CYCLE, epochs=20))

CNN_VS_GAN = Recipe(
    name="cnn-vs-gan",
    paper="gan",
    line="313-bin classification with and without rebalancing, a conditional DCGAN, its generator without adversary",
    systems=(
        System(
            "classification",
            "ab313",
            "unet-half",
            more=(Decoding("classification, by mode", MODE), Decoding("classification, by mean", MEAN)),
        ),
        System(
            "classification, rebalanced",
            "ab313",
            "unet-half",
            {"rebalance": 0.5},
            more=(
                Decoding("classification, rebalanced, by mode", MODE),
                Decoding("classification, rebalanced, by mean", MEAN),
            ),
        ),
        System(
            "C-DCGAN",
            "lab",
            "unet",
            network_options=_DCGAN,
            gan={"layers": 3, "width": 64, "lambda_l1": 100.0, "learning_rate": 2e-4},
        ),
        System("generator alone, L1", "lab", "unet", L1, _DCGAN),
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
        Claim("the GAN has the better PSNR", "C-DCGAN", "classification", "psnr_mean", paper="gan", varies="gan"),
        Claim("the GAN has more right pixels", "C-DCGAN", "classification", "accuracy 0.05", paper="gan", varies="gan"),
        Claim("the GAN looks more real as a set", "C-DCGAN", "classification", KID_NAME, paper="gan", varies="gan"),
        Claim("the adversary improves PSNR", "C-DCGAN", "generator alone, L1", "psnr_mean", varies="gan"),
        Claim(
            "the adversary makes more colorful pictures", "C-DCGAN", "generator alone, L1", "colorfulness", varies="gan"
        ),
        Claim(
            "rebalancing, which disturbed the paper's training, hurts MSE",
            "classification",
            "classification, rebalanced",
            paper="gan",
            varies="representation.rebalance",
        ),
        Claim(
            "rebalancing makes more colorful pictures",
            "classification, rebalanced",
            "classification",
            "colorfulness",
            varies="representation.rebalance",
            headline=True,
        ),
        Claim(
            "the mean decodes better than the mode",
            "classification, by mean",
            "classification, by mode",
            varies="representation.decode",
        ),
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
