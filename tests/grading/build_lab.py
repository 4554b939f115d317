"""A lab with two builds, as the labs of the course have them: a class in two steps, and a training loop."""

from pathlib import Path

from labkit.course.build import make_notebook, read_source
from labkit.course.source import exercises_by_id

CHECKS = '''
import torch
from torch import nn

from labkit.checks import Exercise, Verdict, Wrong, close
from labkit.checks.framework import whole


class Net(nn.Module):
    """Two convolutions; the second sees the input beside what the first puts out."""

    def __init__(self, width):
        super().__init__()
        self.down = nn.Conv2d(1, width, 3, padding=1)
        self.up = nn.Conv2d(width + 1, 2, 1)

    def forward(self, gray):
        return self.up(torch.cat([self.down(gray).relu(), gray], 1))


class Added(Net):
    def __init__(self, width):
        super().__init__(width)
        self.up = nn.Conv2d(width, 2, 1)

    def forward(self, gray):
        return self.up(self.down(gray).relu() + gray)


class Swapped(Net):
    def forward(self, gray):
        return self.up(torch.cat([gray, self.down(gray).relu()], 1))


class NoSkip(Net):
    def forward(self, gray):
        return self.up(torch.cat([self.down(gray).relu(), torch.zeros_like(gray)], 1))


def draw_net(rng):
    width = whole(rng, 3, 6)
    shapes = {"down.weight": (width, 1, 3, 3), "down.bias": (width,)}
    shapes |= {"up.weight": (2, width + 1, 1, 1), "up.bias": (2,)}
    weights = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    return {"width": width, "weights": weights, "gray": torch.rand(2, 1, 5, 7, generator=rng)}


def call_net(answer, inputs):
    net = answer(inputs["width"])
    shapes = {name: list(value.shape) for name, value in net.state_dict().items()}
    if shapes != {name: list(value.shape) for name, value in inputs["weights"].items()}:
        return {"shapes": shapes}
    net.load_state_dict(inputs["weights"])
    return {"shapes": shapes, "output": net(inputs["gray"])}


def judge_net(inputs, output):
    if type(output) is not dict or type(output.get("shapes")) is not dict:
        return Verdict(False, "its state_dict cannot be read")
    wanted = {name: list(value.shape) for name, value in inputs["weights"].items()}
    if output["shapes"] != wanted:
        hint = "the second convolution takes width + 1 channels: concatenate the input"
        return Verdict(False, hint, str(output["shapes"]), str(wanted), form=True)
    net = Net(inputs["width"])
    net.load_state_dict(inputs["weights"])
    with torch.no_grad():
        return close(output.get("output"), net(inputs["gray"]), atol=1e-4, hint="the values are others")


def call_gradients(answer, inputs):
    net = answer(inputs["width"])
    gray = inputs["gray"].requires_grad_()
    net(gray).square().sum().backward()
    return {"input": float(gray.grad.abs().sum()),
            "parameters": {name: float(p.grad.abs().sum()) for name, p in net.named_parameters()}}


def judge_gradients(inputs, output):
    ok = type(output) is dict and type(output.get("parameters")) is dict and output.get("input", 0) > 0
    ok = ok and set(output["parameters"]) == set(inputs["weights"])
    ok = ok and all(type(value) is float and 0 < value < 1e9 for value in output["parameters"].values())
    return Verdict(ok, "every layer must receive a gradient")


class Detached(Net):
    def forward(self, gray):
        return self.up(torch.cat([self.down(gray).relu(), gray], 1).detach())


def train(network, gray, color, steps, rate):
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(steps):
        loss = (network(gray) - color).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def no_zero_grad(network, gray, color, steps, rate):
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(steps):
        loss = (network(gray) - color).square().mean()
        loss.backward()
        optimizer.step()


def no_step(network, gray, color, steps, rate):
    for _ in range(steps):
        (network(gray) - color).square().mean().backward()


def scene(rng, count):
    """Gray pictures whose color follows from the gray: 4 g (1 - g), and g squared."""
    gray = torch.rand(count, 1, 16, 16, generator=rng)
    return gray, torch.cat([4 * gray * (1 - gray), gray.square()], 1)


def draw_training(rng):
    gray, color = scene(rng, 16)
    test, _ = scene(rng, 8)
    return {"gray": gray, "color": color, "test": test, "seed": whole(rng, 0, 10**6)}


def call_training(answer, inputs):
    from torch import nn

    torch.manual_seed(inputs["seed"])
    network = nn.Sequential(nn.Conv2d(1, 32, 1), nn.Tanh(), nn.Conv2d(32, 2, 1))
    before = network[0].weight.detach().clone()
    answer(network, inputs["gray"], inputs["color"], 400, 0.02)
    sizes = [float(p.grad.abs().max()) for p in network.parameters() if p.grad is not None]
    with torch.no_grad():
        same = bool((network[0].weight == before).all())
        return {"predicted": network(inputs["test"]), "same": same, "size": max(sizes, default=0.0)}


FLOOR = 0.008  # the reference stays under half of it with forty seeds (see the test)


def judge_training(inputs, output):
    if type(output) is not dict or type(output.get("predicted")) is not torch.Tensor:
        return Verdict(False, "nothing was predicted")
    test, predicted = inputs["test"], output["predicted"]
    if predicted.shape != (8, 2, 16, 16):
        return Verdict(False, "another shape", str(tuple(predicted.shape)), "(8, 2, 16, 16)", form=True)
    if output.get("same") is True:
        return Verdict(False, "the weights did not change: optimizer.step()")
    error = float((predicted - torch.cat([4 * test * (1 - test), test.square()], 1)).square().mean())
    if error <= FLOOR:
        return Verdict(True)
    if output.get("size", 0) > 1:
        return Verdict(False, "gradients add up from step to step: zero_grad()", f"{error:.4f}")
    return Verdict(False, "it does not learn", f"{error:.4f}")


EXERCISES = (
    Exercise(
        id="92-net", title="A network with a skip", points=3, minutes=10, level=3,
        hints=("two layers", "torch.cat", "cat, then up"), asks_for=("labkit.models.unet.UNet.forward",),
        inputs=draw_net, call=call_net, judge=judge_net, reference=Net,
        wrong=(
            Wrong("added", Added, "takes width + 1 channels: concatenate"),
            Wrong("swapped", Swapped, "the order: what came from below first, then the input"),
            Wrong("no skip", NoSkip, "give the gray input to the last layer"),
        ),
    ),
    Exercise(
        id="92-net-gradients", title="A gradient for every layer", points=1, minutes=2, level=3,
        inputs=draw_net, call=call_gradients, judge=judge_gradients, reference=Net,
        wrong=(Wrong("detached", Detached, "every layer must receive a gradient"),),
    ),
    Exercise(
        id="92-train", title="A training loop", points=3, minutes=10, level=4, draws=1,
        hints=("four lines", "zero_grad", "loss, zero, backward, step"), asks_for=(),
        inputs=draw_training, call=call_training, judge=judge_training, reference=train,
        wrong=(
            Wrong("no zero_grad", no_zero_grad, "gradients add up from step to step: zero_grad()"),
            Wrong("no step", no_step, "the weights did not change: optimizer.step()"),
        ),
    ),
)
'''
SOURCE = '''# %% [markdown]
# # A lab with builds

# %% tags=["setup"]
import torch
from torch import nn
from labkit.checks import check, hint

# %% tags=["opening"]
print("a picture")

# %% [markdown]
# ### Build: a network (difficulty 3 of 5, core, 12 minutes)

# %% exercise="92-net"
class Net(nn.Module):
    """Two convolutions, `down` and `up`; the second sees the input beside what the first puts out."""

    def __init__(self, width: int) -> None:
        """Make `down` (3x3, width channels) and `up` (1x1, 2 channels)."""
        ### BEGIN SOLUTION
        super().__init__()
        self.down = nn.Conv2d(1, width, 3, padding=1)
        self.up = nn.Conv2d(width + 1, 2, 1)
        ### END SOLUTION

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        """Return two channels."""
        ### BEGIN SOLUTION
        below = self.down(gray).relu()
        return self.up(torch.cat([below, gray], 1))
        ### END SOLUTION

# %% check="92-net"
check("92-net", Net)
check("92-net-gradients", Net)

# %% [markdown]
# ### Build: a training loop (difficulty 4 of 5, core, 10 minutes)

# %% exercise="92-train"
def train(network, gray, color, steps: int, rate: float) -> None:
    """Train with Adam on all images at once."""
    ### BEGIN SOLUTION
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(steps):
        loss = (network(gray) - color).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ### END SOLUTION

# %% check="92-train"
check("92-train", train)
'''
FLOOR = 0.008  # as in CHECKS
POINTS = {"92-net": 4, "92-train": 3}


def write_build_course(root: Path) -> str:
    """Write the lab and its checks under ``root``; return LABKIT_CHECKS."""
    from tiny_lab import write_course

    write_course(root, "92_builds", SOURCE, builds=CHECKS)
    return str(root / "builds.py")


def copy_of(root: Path, solution: bool = False) -> dict:
    """The built notebook as JSON, not executed (LABKIT_CHECKS must be set)."""
    import json

    source = read_source(root / "notebooks" / "src" / "92_builds.py", exercises_by_id())
    return dict(json.loads(json.dumps(make_notebook(source, "https://git.example.org/a/b", solution))))


NET = (
    SOURCE.split('# %% exercise="92-net"\n')[1]
    .split("\n\n# %%")[0]
    .replace("### BEGIN SOLUTION", "")
    .replace("### END SOLUTION", "")
)
TRAIN = (
    SOURCE.split('# %% exercise="92-train"\n')[1]
    .split("\n\n# %%")[0]
    .replace("### BEGIN SOLUTION", "")
    .replace("### END SOLUTION", "")
)
