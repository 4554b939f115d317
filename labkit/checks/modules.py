"""How a student's module is compared with the reference: by what it computes once both hold the same numbers.

The contract of such an exercise names none of the module's parts. So `run_modules` fills the layers with numbers in the
order in which they *run*: two modules that compute the same thing then give the same output, however they are written.
"""

from collections.abc import Callable
from typing import Any

import torch

from labkit.checks.framework import Verdict, as_tensor, close, describe, hand_over

CUT = (
    "the output is right, but a gradient is not: something between images, weights and output cuts it "
    "(detach, .data, torch.no_grad)"
)
NOT_RUN = (
    "some of the layers with weights did not run. Call each as a module, self.conv(x): the check gives Conv2d, "
    "ConvTranspose2d and BatchNorm2d their numbers in the order in which they run"
)
NOT_KEPT = (
    "the module does not know of its fixed numbers: a plain attribute or a list stays behind when the module moves to "
    "a GPU. Make the part that holds them an attribute (or a ModuleList), or use register_buffer"
)


def run_modules(answer: Any, inputs: Any) -> Any:
    """Build the module of each case, fill its layers in the order in which they run, and run it.

    Args:
        answer: makes the module.
        inputs: case -> what the answer is called with, images, a seed, and whether only the shape is wanted.

    Returns:
        Case -> number of parameters, of fixed numbers (buffers and frozen parameters) and of parameters in layers that
        did not run; shape; and (unless only the shape is wanted) the output in training mode, the output for the first
        image in evaluation mode, and twice, with other numbers each time, the gradients of the mean squares of both
        with respect to images and weights.

    Raises:
        TypeError: the answer makes no module, or the module's output is no tensor.
    """

    def run(module: Any, images: Any) -> Any:
        out = module(*(1 * image for image in images))  # copies, which the module may change in place
        if not isinstance(out, torch.Tensor):
            raise TypeError(f"forward must return a tensor, got {type(out).__name__}: is a `return` missing?")
        return out

    def fill(layers: Any, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in layers:
                if isinstance(layer, torch.nn.BatchNorm2d):
                    if layer.running_mean is not None and layer.running_var is not None:
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

    def slopes(module: Any, images: Any, weights: Any) -> Any:
        """Return the output and the gradients of its mean square with respect to images and weights."""
        leaves = [image.clone().requires_grad_() for image in images]
        module.zero_grad()
        out = run(module, leaves)
        if out.requires_grad:
            out.square().mean().backward()
        found = [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in (*leaves, *weights)]
        return out.detach(), tuple(found)

    found = {}
    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.BatchNorm2d, torch.nn.LazyBatchNorm2d)
    for case, given in inputs.items():
        torch.manual_seed(given["seed"])
        module = answer(*given["arguments"], **given.get("options", {}))
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"return a module, got {type(module).__name__}: is a `return` missing?")
        ran: dict[Any, None] = {}  # each once
        layers = [layer for layer in module.modules() if isinstance(layer, kinds)]
        # fixed kernels may be a layer as well, whose weight is frozen
        layers = [layer for layer in layers if layer.weight is None or layer.weight.requires_grad]
        hooks = [
            layer.register_forward_pre_hook(lambda layer, _, ran=ran: ran.update({layer: None})) for layer in layers
        ]
        out = run(module.train(), given["images"])
        for hook in hooks:
            hook.remove()
        learned = [p for p in module.parameters() if p.requires_grad]
        weights = [p for layer in ran for p in layer.parameters(recurse=False)]
        fixed = [*module.buffers(), *(p for p in module.parameters() if not p.requires_grad)]
        in_layers = {id(p) for p in weights}
        found[case] = {
            "parameters": sum(p.numel() for p in learned),
            "fixed": sum(tensor.numel() for tensor in fixed),
            "not run": sum(p.numel() for p in learned if id(p) not in in_layers),
            "shape": list(out.shape),
        }
        if given.get("values", True):
            gradients = []
            for seed in (given["seed"], given["seed"] + 1):
                fill(ran, seed)
                training, in_training = slopes(module.train(), given["images"], weights)
                fill(ran, seed)  # the running statistics have moved
                evaluation, in_evaluation = slopes(module.eval(), [image[:1] for image in given["images"]], ())
                gradients.append(in_training + in_evaluation)
            found[case] |= {"training": training, "evaluation": evaluation, "gradients": tuple(gradients)}
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
        for key in ("shape", "parameters"):
            for case, values in expected.items():
                if output[case].get(key) != values[key]:
                    given, wanted = (describe(one.get(key)) for one in (output[case], values))
                    return Verdict(False, hint, f"{case}: {key} {given}", f"{key} {wanted}", form=True)
        for key in ("training", "evaluation"):
            for case, values in expected.items():
                verdict = close(output[case].get(key), values.get(key), atol=1e-4)
                if not verdict.ok:
                    given, wanted = f"{case}: {key} mode: {verdict.given}", f"{key} mode: {verdict.expected}"
                    return Verdict(False, NOT_RUN if output[case].get("not run") else hint, given, wanted)
        for case, values in expected.items():
            if not output[case].get("fixed", 0) >= values["fixed"]:
                given, wanted = (f"{one.get('fixed')} fixed numbers" for one in (output[case], values))
                return Verdict(False, NOT_KEPT, f"{case}: {given}", wanted, form=True)
            if not _same_gradients(output[case].get("gradients"), values.get("gradients")):
                return Verdict(False, CUT, f"{case}: the right output, another gradient")
        return Verdict(True)

    return judge


def _same_gradients(given: Any, wanted: Any) -> bool:
    """Return whether one of two tries gives the right gradients.

    Rounding may decide on which side of a ReLU's corner a number falls, and so change a gradient; hardly in both.
    """
    if wanted is None:
        return True
    if type(given) is not tuple or len(given) != len(wanted):
        return False
    return any(_same_in_one_try(one, other) for one, other in zip(given, wanted, strict=True))


def _same_in_one_try(given: Any, wanted: tuple[torch.Tensor, ...]) -> bool:
    if type(given) is not tuple or len(given) != len(wanted):
        return False
    noise = 1e-6 * max(float(one.norm()) for one in wanted)  # where a gradient is 0 but for rounding
    pairs = [(as_tensor(one), other) for one, other in zip(given, wanted, strict=True)]
    return all(
        one is not None and one.shape == other.shape and bool((one - other).norm() <= 1e-3 * other.norm() + noise)
        for one, other in pairs
    )
