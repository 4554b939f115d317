"""How a student's module is compared with the reference: by what it computes once both hold the same numbers.

The contract of such an exercise names none of the module's parts. So `run_modules` fills the layers with numbers in the
order in which they *run*: two modules that compute the same thing then give the same output, however they are written.
"""

from collections.abc import Callable
from typing import Any

import torch

from labkit.checks.framework import Verdict, as_tensor, close, describe, hand_over

CUT = (
    "the output is right, but the gradient with respect to the image is not: something between the two cuts it "
    "(detach, .data, torch.no_grad)"
)


def run_modules(answer: Any, inputs: Any) -> Any:
    """Build the module of each case, fill its layers in the order in which they run, and run it.

    Args:
        answer: makes the module.
        inputs: case -> what the answer is called with, images, a seed, and whether only the shape is wanted.

    Returns:
        Case -> number of parameters, shape, and (unless only the shape is wanted) the output in training mode and in
        evaluation mode, and the gradients of the latter's mean square with respect to the images.
    """

    def fill(layers: Any, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in dict.fromkeys(layers):  # each once
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.running_mean.copy_(0.3 * torch.randn(layer.num_features, generator=random))
                    layer.running_var.copy_(0.5 + torch.rand(layer.num_features, generator=random))
                    if layer.weight is not None:
                        layer.weight.copy_(0.7 + 0.6 * torch.rand(layer.weight.shape, generator=random))
                else:
                    fan_in = layer.weight[0].numel()
                    numbers = torch.randn(layer.weight.shape, generator=random) * (2 / fan_in) ** 0.5
                    layer.weight.copy_(numbers)
                if layer.bias is not None:
                    layer.bias.copy_(0.3 * torch.randn(layer.bias.shape, generator=random))

    found = {}
    for case, given in inputs.items():
        torch.manual_seed(given["seed"])
        module = answer(*given["arguments"], **given.get("options", {})).train()
        ran: list[Any] = []
        kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.BatchNorm2d)
        layers = [layer for layer in module.modules() if isinstance(layer, kinds)]
        hooks = [layer.register_forward_pre_hook(lambda layer, _, ran=ran: ran.append(layer)) for layer in layers]
        out = module(*given["images"])
        for hook in hooks:
            hook.remove()
        count = sum(p.numel() for p in module.parameters() if p.requires_grad)
        found[case] = {"parameters": count, "shape": list(out.shape)}
        if given.get("values", True):
            fill(ran, given["seed"])
            with torch.no_grad():
                found[case]["training"] = module(*given["images"])
            fill(ran, given["seed"])  # the running statistics have moved
            images = [image.clone().requires_grad_() for image in given["images"]]
            out = module.eval()(*(1 * image for image in images))  # copies, which the module may change in place
            found[case]["evaluation"] = out.detach()
            if out.requires_grad:
                out.square().mean().backward()
            slopes = [(image, image.grad) for image in images]
            found[case]["gradients"] = tuple(torch.zeros_like(at) if slope is None else slope for at, slope in slopes)
    return found


def judge_modules(reference: Any, hint: str = "") -> Callable[[Any, Any], Verdict]:
    """Return a judge of `run_modules` that compares, case by case, shapes, then numbers of parameters, then values.

    Args:
        reference: makes the right module.
        hint: what is said where nothing better is known.
    """

    def judge(inputs: Any, output: Any) -> Verdict:
        expected = hand_over(reference, inputs, run_modules)
        if type(output) is not dict or set(output) != set(expected):
            return Verdict(False, "return a module: a class (or function) that makes one", describe(output))
        for key in ("shape", "parameters", "training", "evaluation"):
            for case, values in expected.items():
                if key not in values:
                    continue
                verdict = close(output[case].get(key), values[key], atol=1e-4)
                if not verdict.ok:
                    given, wanted = (describe(one.get(key)) for one in (output[case], values))
                    in_mode = f"{key} mode: " if key in ("training", "evaluation") else f"{key} "
                    of_values = key in ("training", "evaluation")
                    given, wanted = (verdict.given, verdict.expected) if of_values else (given, wanted)
                    return Verdict(False, hint, f"{case}: {in_mode}{given}", f"{in_mode}{wanted}", form=not of_values)
        for case, values in expected.items():
            if "gradients" in values and not _alike(output[case].get("gradients"), values["gradients"]):
                return Verdict(False, CUT, f"{case}: the right output, another gradient")
        return Verdict(True)

    return judge


def _alike(given: Any, wanted: tuple[torch.Tensor, ...]) -> bool:
    """Return whether gradients agree but for a few pixels: rounding decides at a ReLU's corner, and in a max pool."""
    if type(given) is not tuple or len(given) != len(wanted):
        return False
    pairs = [(as_tensor(one), other) for one, other in zip(given, wanted, strict=True)]
    return all(
        one is not None and one.shape == other.shape and bool((one - other).norm() <= 0.1 * other.norm() + 1e-8)
        for one, other in pairs
    )
