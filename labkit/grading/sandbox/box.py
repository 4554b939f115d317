"""`Sandbox`: the one class through which everything else uses this room."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError
from labkit.grading.sandbox.namespaces import NONE, Limits
from labkit.grading.sandbox.probe import Tier, best_tier, start_code

if TYPE_CHECKING:  # imported where they are used: Windows and a machine without Jupyter lack what they need
    from labkit.grading.sandbox.kernels import Kernel

PRELOAD = (
    "torch", "numpy", "torch.nn.functional", "torchvision", "matplotlib.pyplot", "matplotlib_inline.backend_inline",
    "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "ipykernel.debugger",
    "labkit.notebook.lab", "labkit.colorizer", "labkit.data", "labkit.data.toyworld", "labkit.metrics",
    "labkit.models", "labkit.plots", "labkit.experiments.published", "labkit.training.loop", "labkit.widgets",
    "labkit.notebook.answer", "labkit.notebook.photograph", "scipy.cluster.vq", "skimage.color",
)  # fmt: skip


class Sandbox:
    """Kernels for code that nobody trusts: each starts at once, sees little, may use little, and ends for sure.

    ::

        with Sandbox(private=[submissions, results]) as sandbox:
            kernel = sandbox.start(folder)
            said = kernel.execute("print(1 + 1)")
            kernel.stop()

    Tools that start kernels by name (nbval, papermill) use `kernel_name` within `environment`; it is the same kernel.

    **What it promises.** Code in a kernel cannot read submissions, results, checks, solutions, the course's folder,
    homes or any file that is not on the list of `visible.View`; it can write to its own folder in memory only; it
    reaches no network, no process and no memory but its own; it has no rights on the machine; it cannot use more time,
    memory, processes, disk and output than `Limits` says; when it ends, nothing that it started is left. Two kernels
    share nothing that one of them could change, and start from the same random numbers.

    **Against whom.** A student whose notebook may hold any Python, any shell command and any compiled program, and who
    knows this source. Not against the instructor, nor against other users of the machine.

    **What it does not defend.** A fault in Linux itself; side channels (timing, load, caches of the processor); what a
    kernel sends to its client, which the client has to read as hostile; the right of an answer: a student can hand in a
    copied one. With the tiers "limits" and "none" it promises nothing, and says so (`Tier.safe`).

    **On what it relies.** Namespaces (mount, process, network, IPC, host name; of users unless root), a root file
    system in memory with read-only bind mounts, another uid for each kernel (tier "namespaces+uid"), no capabilities
    and no new ones, a seccomp filter, resource limits, a process outside that watches and kills. ``docs/sandbox.md``
    has it in full, with how it is tested and how to report a hole.

    **How it is known.** `best_tier` enters a sandbox and tries to read every private place before it calls the tier
    safe, and every kernel tries again before it starts.

    Attributes:
        tier: how kernels are kept apart.
        kernel_name: of the kernelspec, valid in ``environment``.
        environment: variables for a process that starts kernels by that name.
    """

    def __init__(
        self,
        tier: Tier | None = None,
        limits: Limits = Limits(),  # noqa: B008 (it is frozen)
        *,
        private: Iterable[Path] = (),
        preload: Sequence[str] = PRELOAD,
        show: Iterable[Path] = (),
    ):
        """Prepare; nothing starts before the ``with`` block.

        Args:
            tier: one of `tiers`; the best one if None. With "none" kernels are ordinary: cold, and without limits.
            limits: of each kernel.
            private: files and folders that no kernel may be able to read, besides those that are known
                (`visible.private_places`): submissions, results, a course's folder, files with checks.
            preload: modules that every kernel has imported; no secret may be in what they load.
            show: files and folders that kernels may read besides (data sets, say).
        """
        self.private = [os.path.abspath(path) for path in private]
        self.tier = tier or best_tier(map(Path, self.private))
        self.limits, self.preload, self.show = limits, tuple(preload), [str(Path(path).resolve()) for path in show]
        self.kernel_name = "labkit-graded"
        self.environment: dict[str, str] = {}
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Sandbox:
        """Start the server of kernels (seconds: it imports torch).

        Raises:
            LabkitError: when it cannot be started.
        """
        # Short, for the path of a socket has at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="labkit-"))
        self._socket = str(self._folder / "server")
        try:
            (self._folder / "home" / "tmp").mkdir(parents=True)
            self._write_kernelspec()
            if self.tier.name != NONE:
                self._start_server()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server; all kernels die with it."""
        self._stop()

    def start(self, folder: Path) -> Kernel:
        """Start a kernel and wait until it is ready.

        Args:
            folder: its files, notebooks excepted, are copied into the kernel's work folder (tiers "limits" and "none":
                it is the work folder).

        Raises:
            LabkitError: when it cannot be started, or could read something private.
        """
        from labkit.grading.sandbox.kernels import Kernel, Link, OrdinaryLink

        if self.tier.name == NONE:
            link: Link | OrdinaryLink = OrdinaryLink(self._folder / "jupyter" / "kernels", self.kernel_name)
        else:
            link = Link(self._socket, Path(tempfile.mkdtemp(prefix="k", dir=self._folder)))
        link.start(folder)
        try:
            return Kernel(link)
        except BaseException:
            link.kill()
            raise

    def _start_server(self) -> None:
        from labkit.grading.sandbox.server import environment

        home = self._folder / "home"
        settings = {
            "socket": self._socket,
            "tier": self.tier.name,
            "limits": asdict(self.limits),
            "preload": self.preload,
            "show": self.show,
            "private": self.private,
        }
        with (self._folder / "server.log").open("w") as log_file:
            self._server = subprocess.Popen(
                [sys.executable, *start_code("server")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env=environment(home),
                cwd=home,
                text=True,
                start_new_session=True,
            )
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(settings) + "\n")
        self._server.stdin.flush()
        line = self._server.stdout.readline()
        said = json.loads(line) if line.startswith("{") else {}
        if "ready" not in said:
            log = (self._folder / "server.log").read_text().strip().splitlines()
            why = said.get("error") or (log[-1] if log else "it ended without a word")
            raise LabkitError(f"the server of kernels could not start: {why}")

    def _write_kernelspec(self) -> None:
        from labkit.grading.sandbox.kernels import PROVISIONER
        from labkit.grading.sandbox.server import environment

        spec: dict[str, Any] = {"display_name": "labkit (graded)", "language": "python"}
        if self.tier.name == NONE:
            code = "from labkit.grading.sandbox.server import ordinary; ordinary()"
            spec["argv"] = [sys.executable, "-c", code, "-f", "{connection_file}"]
            own = environment(self._folder / "home")
            spec["env"] = {**own, "PATH": os.environ.get("PATH", ""), "PYTHONUSERBASE": site.getuserbase()}
        else:
            provisioner = {"provisioner_name": PROVISIONER, "config": {"server": self._socket}}
            spec |= {"argv": [], "interrupt_mode": "message", "metadata": {"kernel_provisioner": provisioner}}
        file = self._folder / "jupyter" / "kernels" / self.kernel_name / "kernel.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(spec))
        path = [str(self._folder / "jupyter"), os.environ.get("JUPYTER_PATH", "")]
        self.environment = {"JUPYTER_PATH": os.pathsep.join(filter(None, path))}

    def _stop(self) -> None:
        if self._server is not None:
            assert self._server.stdin is not None and self._server.stdout is not None
            self._server.stdin.close()  # the sign to end
            try:
                self._server.wait(5)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server.stdout.close()
            self._server = None
        shutil.rmtree(self._folder, ignore_errors=True)
