"""Recipes of CNN vs GAN: classification over 313 bins against a conditional DCGAN, and the choice of its lambda."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labkit.experiments.recipes.shared import HORSES, L1, MEAN, MODE, ONE_CYCLE, TOY
from labkit.experiments.schema import CAPPED, VALIDATION, Claim, Decoding, Recipe, System
from labkit.metrics import KID_NAME

_DCGAN = {"depth": 4, "down": "strided", "up": "transposed", "output_activation": "tanh"}
_LAMBDA, _LAYERS = 100.0, 1  # chosen on validation images, see `GAN_LAMBDA`
_THRESHOLDS = (0.02, 0.05, 0.1)
_GAN_QUICK = replace(HORSES, hold_out=True, network={"width": 16}, fit=replace(ONE_CYCLE, epochs=6, learning_rate=4e-3))
_GAN_FULL = replace(HORSES, hold_out=True, network={"width": 64}, fit=replace(ONE_CYCLE, epochs=20))
_UNTIL_IT_STOPS = {  # of both adversarial trainings: as many epochs as the validation loss asks for
    "quick": {"epochs": 20, "patience": 4},
    "course": {"epochs": 60, "patience": 8},
    "gpu": {"epochs": 100, "patience": 10},
}


def _adversary(layers: int = _LAYERS, lambda_l1: float = _LAMBDA, lambda_gan: float = 1.0) -> dict[str, Any]:
    options = {"layers": layers, "width": 32, "learning_rate": 2e-4}
    return options | {"lambda_l1": lambda_l1, "lambda_gan": lambda_gan}


def _chosen_among(layers: int, lambda_l1: float) -> System:
    name = f"lambda {lambda_l1:g}, {layers} layer{'s' * (layers > 1)}"
    changes = {"quick": {"epochs": 6}, "course": {"epochs": 20}, "gpu": {"epochs": 20}}
    return System(name, "lab", "unet", L1, _DCGAN, changes, gan=_adversary(layers, lambda_l1))


GAN_LAMBDA = Recipe(
    name="gan-lambda",
    paper="gan",
    line="the weight of L1 and the layers of the discriminator, chosen on validation images for cnn-vs-gan",
    systems=tuple(_chosen_among(layers, lambda_l1) for layers in (1, 2) for lambda_l1 in (10.0, 100.0)),
    profiles={
        "test": replace(TOY, hold_out=True, network={"width": 4}),
        "quick": _GAN_QUICK,
        "course": _GAN_FULL,
        "gpu": _GAN_FULL,
    },
    metrics=tuple(f"{VALIDATION}{name}, epoch 6" for name in ("mse", KID_NAME)),
    kid=True,
    differs="Our source names neither; what is chosen is the pair with the lowest KID on 483 validation horses after 6 "
    "epochs. A discriminator of 1 layer sees 16 pixels, one of 2 layers 34, which at 32 pixels is all.",
)

_CLASSIFIERS = ("classification", "classification, rebalanced")
_OF_ANOTHER_KIND = (  # all that differs between a classifier and a GAN
    "representation.name",
    "representation.alpha",
    "representation.decode",
    "network.name",
    *(f"network.{name}" for name in _DCGAN),
    "fit.epochs",
    "fit.patience",
    "fit.learning_rate",
    "optimizer",
    "schedule",
)


def _beside_classifier(claim: str, metric: str, classifier: str) -> Claim:
    also = [name for name in _OF_ANOTHER_KIND if name != "representation.decode" or "by" in classifier]
    return Claim(claim, "C-DCGAN", classifier, metric, paper="gan", varies="gan", also=tuple(also))


CNN_VS_GAN = Recipe(
    name="cnn-vs-gan",
    paper="gan",
    line="313-bin classification with and without rebalancing, a conditional DCGAN, its generator without adversary",
    systems=(
        *(
            System(
                name,
                "ab313",
                "unet-half",
                options,
                more=(Decoding(f"{name}, by mode", MODE), Decoding(f"{name}, by mean", MEAN)),
            )
            for name, options in zip(_CLASSIFIERS, ({}, {"rebalance": 0.5}), strict=True)
        ),
        System("C-DCGAN", "lab", "unet", L1, _DCGAN, _UNTIL_IT_STOPS, gan=_adversary()),
        System("generator alone, L1", "lab", "unet", L1, _DCGAN, _UNTIL_IT_STOPS, gan=_adversary(lambda_gan=0.0)),
    ),
    profiles={
        "test": replace(TOY, hold_out=True, network={"width": 4}),
        "quick": _GAN_QUICK,
        "course": replace(_GAN_FULL, fit=replace(ONE_CYCLE, epochs=10)),
        "gpu": _GAN_FULL,
    },
    metrics=(
        "mse",
        "psnr_mean",
        *CAPPED,
        "ssim",
        "colorfulness",
        *(f"accuracy {threshold:g}" for threshold in _THRESHOLDS),
        "accuracy 0.05 red",
        "accuracy 0.05 green",
        "accuracy 0.05 blue",
        KID_NAME,
    ),
    thresholds=_THRESHOLDS,
    kid=True,
    psnr_caps=True,
    claims=(
        _beside_classifier("the GAN has the better PSNR", "psnr_mean", "classification"),
        *(
            _beside_classifier(
                f"the GAN has more right pixels, within {threshold:g}, than {name}", f"accuracy {threshold:g}", name
            )
            for threshold in _THRESHOLDS
            for name in ("classification", "classification, by mode", "classification, by mean")
        ),
        _beside_classifier("the GAN looks more real as a set", KID_NAME, "classification"),
        Claim("the adversary improves PSNR", "C-DCGAN", "generator alone, L1", "psnr_mean", varies="gan.lambda_gan"),
        Claim(
            "the adversary makes more colorful pictures",
            "C-DCGAN",
            "generator alone, L1",
            "colorfulness",
            varies="gan.lambda_gan",
        ),
        Claim(
            "the adversary makes the set look more real",
            "C-DCGAN",
            "generator alone, L1",
            KID_NAME,
            varies="gan.lambda_gan",
        ),
        *(
            Claim(
                f"more pixels are right within {threshold:g} by mode than by mean",
                "classification, by mode",
                "classification, by mean",
                f"accuracy {threshold:g}",
                varies="representation.decode",
            )
            for threshold in _THRESHOLDS
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
        ),
        Claim(
            "the mean decodes better than the mode",
            "classification, by mean",
            "classification, by mode",
            varies="representation.decode",
        ),
        *(
            Claim(
                f"{color} is predicted better than red, {'GAN' if name == 'C-DCGAN' else name}",
                name,
                name,
                f"accuracy 0.05 {color}",
                "accuracy 0.05 red",
                paper="gan",
            )
            for color, name in (("green", "C-DCGAN"), ("green", "classification"), ("blue", "C-DCGAN"))
        ),
    ),
    differs="Our source is a summary of the paper: it names no layer, loss or threshold. Layers are DCGAN's, the loss "
    "is pix2pix's with a local discriminator (1 layer: 16 of 32 pixels; 32 channels); the classifier predicts at half "
    "resolution. The generator alone has the GAN's optimizer and schedule, with an adversarial loss of weight 0; both "
    "train until the L1 distance on validation images has not improved for some epochs, which ended the GAN earlier. "
    "quick: horses only, 16 channels, at most 20 epochs.",
)
