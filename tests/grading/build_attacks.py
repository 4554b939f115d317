"""Hostile answers to the builds of build_lab.py: modules and loops that try to be taken for right without being it."""

from dataclasses import dataclass

from build_lab import NET, TRAIN


@dataclass(frozen=True)
class Attack:
    """An answer to the build ``at`` that must earn no more than ``earns``; ``harms``: it may cost the other build."""

    name: str
    at: str
    answers: dict[str, str]
    status: str = "graded"
    harms: bool = False
    earns: int = 0  # points of a step that it has done honestly


def net(name: str, source: str, **more: object) -> Attack:
    return Attack(name, "92-net", {"92-net": source}, **more)  # type: ignore[arg-type]


def loop(name: str, source: str, **more: object) -> Attack:
    return Attack(name, "92-train", {"92-train": source}, **more)  # type: ignore[arg-type]


# A module that does nothing right, with the names and shapes of the right one; BODY is its forward.
SHELL = """
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.down = nn.Conv2d(1, width, 3, padding=1)
        self.up = nn.Conv2d(width + 1, 2, 1)

    def forward(self, gray):
        {body}
"""
# As it stands in the checks: whoever finds it there cannot use it, for no check is in the kernel.
THEIRS = (
    "import sys\nNet = [m.Net for m in sys.modules.values() if m and 'builds' in m.__name__ and hasattr(m, 'Net')][0]"
)


def shell(body: str) -> str:
    return SHELL.format(body=body.replace("\n", "\n        "))


EQUAL = """
class Equal(torch.Tensor):
    def __eq__(self, other): return torch.ones((), dtype=torch.bool)
    def __sub__(self, other): return torch.zeros(2, 2, 5, 7)
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None): return torch.zeros(2, 2, 5, 7)
"""
FORGED = """
import labkit.notebook.answer as answer
real = answer.encode
answer.encode = lambda value, strict=False: real({"shapes": value.get("shapes"), "output": torch.zeros(2, 2, 5, 7)}
    if isinstance(value, dict) and "shapes" in value else value, strict)
"""
MEMORY = """
seen = {}
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.down = nn.Conv2d(1, width, 3, padding=1)
        self.up = nn.Conv2d(width + 1, 2, 1)

    def forward(self, gray):
        key = tuple(gray.shape)
        if key not in seen:
            seen[key] = torch.randn(len(gray), 2, *gray.shape[-2:])
        return seen[key] + 0 * self.up(torch.cat([self.down(gray), gray], 1))
"""
LIBRARY = """
from labkit.models.unet import UNet

class Net:
    def __new__(cls, width):
        return UNet(2)
"""
IMPORTED = """
from labkit.checks.framework import find_exercise
Net = find_exercise('92-net').reference
"""
BY_FILE = """
import glob
places = [path for top in ("/tmp", "/home", "/work") for path in glob.glob(f"{top}/**/builds.py", recursive=True)]
exec(open(places[0]).read())
"""
CONV = """
nn.Conv2d.__call__ = lambda self, x: x
nn.functional.conv2d = lambda *a, **k: torch.zeros(2, 2, 5, 7)
"""
MODULE = """
class ANY(dict):
    __eq__ = lambda *a: True
    __ne__ = lambda *a: False

nn.Module.load_state_dict = lambda self, *a, **k: None
nn.Module.state_dict = lambda self, *a, **k: ANY()
"""
CLOSE = """
torch.isclose = lambda a, b, **k: torch.ones_like(a, dtype=torch.bool)
torch.allclose = lambda *a, **k: True
"""
HOOK = """
    def spy(self, state, *rest):
        self.scale = float(sum(v.sum() for v in state.values()))
"""
REDUCE = """
class Net:
    def __init__(self, width): pass
    def __reduce__(self):
        import os
        return (os.system, ('touch MARK',))
    def state_dict(self): return {'a': self}
"""
BILLION = """
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.down = nn.Linear(10**5, 10**4)
        self.up = nn.ModuleList(nn.Linear(10**5, 10**4) for _ in range(20))
"""
LITERALS = """w = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
return torch.nn.functional.conv2d(gray.expand(-1, 3, -1, -1), w[:, :, None, None])"""
NET_ATTACKS = [
    net("library-module", LIBRARY),
    net("library-forward", "import labkit.models.unet as u\n" + shell("return u.UNet.forward(u.UNet(2), gray)")),
    net("module-of-the-checks", THEIRS),
    net("checks-imported", IMPORTED),
    net("checks-by-file", BY_FILE),
    net("patched-conv", shell("return torch.zeros(len(gray), 2, *gray.shape[-2:])") + CONV, harms=True),
    net("patched-module", shell("return gray.expand(-1, 2, -1, -1)") + MODULE),
    net(
        "patched-comparison", NET.replace("torch.cat([below, gray], 1)", "torch.cat([gray, below], 1)") + CLOSE, earns=1
    ),
    net("equal-to-everything", EQUAL + shell("return torch.zeros(2, 2, 5, 7).as_subclass(Equal)")),
    net("forged-outcome", FORGED + shell("return gray.expand(-1, 2, -1, -1)"), harms=True),
    net("weights-as-literals", shell(LITERALS)),
    net("remembers-what-it-saw", MEMORY),
    net(
        "state-dict-hook",
        shell("return gray.expand(-1, 2, -1, -1) * self.scale").replace(
            "        self.up =",
            "        self.scale = 1\n        self._register_load_state_dict_pre_hook(self.spy)\n        self.up =",
        )
        + HOOK,
    ),
    net("reduce", REDUCE),
    net(
        "module-as-output",
        shell("return self") + "\n    def __reduce_ex__(self, p):\n        return (exec, ('1/0',))\n",
    ),
    net("never-returns", shell("while True: pass"), status="timeout"),
    net("sleeps", shell("import time\ntime.sleep(10**6)"), status="timeout"),
    net("billion-parameters", BILLION, status="graded|memory|timeout|kernel-died"),
    net("giant-output", shell("return torch.zeros(200, 2, 500, 700)"), status="graded|timeout|memory"),
    net("ends-python", shell("import os\nos._exit(0)"), status="kernel-died"),
    net("verdict-as-output", shell("return {'ok': True}")),
]

LOOKUP = """
def train(network, gray, color, steps, rate):
    network.forward = lambda x: color[:1].expand(len(x), -1, -1, -1)
"""
PEEKS = """
import inspect

def train(network, gray, color, steps, rate):
    inputs = inspect.currentframe().f_back.f_locals['inputs']
    held_out = [v for v in inputs.values() if torch.is_tensor(v) and v.shape == (8, 2, 16, 16)]
    network.forward = lambda x: (held_out or [torch.zeros(8, 2, 16, 16)])[0]
"""
BACKWARD = """
def train(network, gray, color, steps, rate):
    torch.Tensor.__sub__ = lambda a, b: torch.zeros(8, 2, 16, 16)
    torch.Tensor.mean = lambda *a, **k: torch.zeros(())
    network[0].weight.data += 1
"""
MEAN_COLOR = """
def train(network, gray, color, steps, rate):
    network[0].weight.data.normal_()
    network[2].weight.data.zero_()
    network[2].bias.data[:] = color.mean((0, 2, 3))
"""
REFERENCE = """
def train(network, gray, color, steps, rate):
    from labkit.checks.framework import find_exercise
    find_exercise('92-train').reference(network, gray, color, steps, rate)
"""
REPLACED = """
class Always(nn.Module):
    def forward(self, x):
        return float('nan') * torch.ones(8, 2, 16, 16)

def train(network, gray, color, steps, rate):
    network.__class__ = Always
"""
LOOP_ATTACKS = [
    loop("no-training-but-a-lookup", LOOKUP),
    loop("reads-what-is-held-out", PEEKS),
    loop("patched-arithmetic", BACKWARD, harms=True),
    loop("the-mean-color", MEAN_COLOR),
    loop("calls-the-check", REFERENCE),
    loop("trains-for-ever", TRAIN.replace("range(steps)", "iter(int, 1)"), status="timeout"),
    loop("replaces-the-network", REPLACED),
]
ATTACKS = [*NET_ATTACKS, *LOOP_ATTACKS]
