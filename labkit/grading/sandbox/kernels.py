"""Kernels for submissions that start at once, each in a box of its own::

    with WarmKernels(best_tier()) as kernels:
        kernel = kernels.start(folder)
        kernel.client.execute(...)         # a jupyter_client BlockingKernelClient
        kernel.alive(), kernel.reason()
        kernel.kill()

Tools that start kernels by name (nbval, papermill) do so with `WarmKernels.kernel_name` when they run in
`WarmKernels.environment`: the kernelspec there names the provisioner `WarmProvisioner`, which asks the same server.
See `labkit.grading.sandbox.namespaces` for what a kernel may do, `labkit.grading.sandbox.server` for how it is made.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import select
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import Empty
from types import TracebackType
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Unicode

from labkit.errors import LabkitError
from labkit.grading.sandbox import server as kernel_server
from labkit.grading.sandbox.namespaces import NONE, Limits, Tier

PATIENCE = 60  # seconds that a start may take on a busy machine
KERNEL_NAME = "labkit-graded"
PROVISIONER = "labkit-warm"  # as pyproject.toml registers it
PRELOAD = (
    "torch", "numpy", "torch.nn.functional", "torchvision", "matplotlib.pyplot", "matplotlib_inline.backend_inline",
    "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "labkit.notebook.lab", "labkit.colorizer",
    "labkit.data", "labkit.data.toyworld", "labkit.metrics", "labkit.models", "labkit.plots",
    "labkit.experiments.published", "labkit.training.loop", "labkit.widgets", "labkit.notebook.answer",
)  # fmt: skip


class Link:
    """A connection to a kernel's keeper: starts it, says whether and why it has ended, ends it."""

    def __init__(self, server: str, place: Path):
        self.server, self.place, self.key = server, place, secrets.token_hex(16)
        self.process: int | None = None  # in whose descendants the kernel is
        self._socket: socket.socket | None = None
        self._heard = b""
        self._reason = ""

    def start(self, workdir: Path) -> None:
        """Have a kernel started, and wait until it listens.

        Raises:
            LabkitError: when it cannot be started.
        """
        self._heard, self._reason = b"", ""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(self.server)
            request = {"place": str(self.place), "workdir": str(Path(workdir).resolve()), "key": self.key}
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            said = self._hear()
        except OSError as error:
            raise LabkitError(f"no kernel for {workdir}: its server does not answer ({error})") from None
        if "ready" not in said:
            self.close()
            raise LabkitError(
                f"no kernel for {workdir}: {said.get('error') or said.get('ended') or 'it ended at once'}"
            )
        self.process = said["process"]

    def poll(self) -> str:
        """Why the kernel has ended; nothing while it runs."""
        while not self._reason and self._socket is not None and select.select([self._socket], [], [], 0)[0]:
            self._reason = self._hear().get("ended", self._reason)
        return self._reason

    def kill(self) -> None:
        """End the kernel and everything it started, and wait until that is done."""
        if self._socket is None or self.poll():
            return
        try:
            self._socket.sendall(b"end\n")
            while not self._reason:
                self._reason = self._hear().get("ended", "")
        except OSError:
            self._reason = "killed"

    def close(self) -> None:
        """Let go of the keeper, which ends the kernel, and remove what was made for it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        shutil.rmtree(self.place, ignore_errors=True)

    def _hear(self) -> dict[str, Any]:
        """The keeper's next message; when it is gone, that the kernel was killed."""
        assert self._socket is not None
        while b"\n" not in self._heard:
            try:
                part = self._socket.recv(10_000)
            except ConnectionError:
                part = b""
            if not part:
                return {"ended": self._reason or "killed"}
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\n")
        return dict(json.loads(line))

    @property
    def connection(self) -> dict[str, Any]:
        """Where the kernel's channels are, as a connection file says it."""
        ports = {f"{channel}_port": port + 1 for port, channel in enumerate(kernel_server.CHANNELS)}
        return {**ports, "transport": "ipc", "ip": str(self.place / "channel")}


class Kernel:
    """A running kernel, ready. ``client`` is a BlockingKernelClient with open channels.

    What the kernel sends is hostile too: its client's methods may raise anything for what cannot be read as a message.
    """

    def __init__(self, link: Link | OrdinaryLink):
        self._link = link
        # In one context: a client's own would wait for its sockets, perhaps forever, when Python collects both.
        # Of the class that the client asks for: jupyter_client 7, which the classic notebook needs, wants asyncio's.
        context: Any = BlockingKernelClient.class_traits()["context"]
        self.client = BlockingKernelClient(context=context.klass.instance(), **link.connection)
        self.client.session.key = link.key.encode()
        self.client.start_channels(hb=False, stdin=False)
        self._greet()

    def _greet(self) -> None:
        """Wait until the kernel answers, and until what it publishes arrives (a message may be lost at first)."""
        for _ in range(PATIENCE):
            asked = self.client.kernel_info(reply=True, timeout=PATIENCE)["parent_header"]["msg_id"]
            with suppress(Empty):
                while True:
                    message = self.client.get_iopub_msg(timeout=1)
                    idle = message["content"].get("execution_state") == "idle"
                    if idle and message["parent_header"].get("msg_id") == asked:
                        return
        raise LabkitError("the kernel started, but publishes nothing")

    def alive(self) -> bool:
        """Whether it runs."""
        return not self._link.poll()

    def reason(self) -> str:
        """Why it ended.

        "" while it runs, "killed" (by `kill`), "timeout", "memory", "processes", "output-limit" (a limit was passed),
        or "exited with status N", "exited on signal N".
        """
        return self._link.poll()

    def kill(self) -> None:
        """End it and everything it started; close the client."""
        self.client.stop_channels()
        self._link.kill()
        self._link.close()


class WarmKernels:
    """Kernels by fork from a warm server, while a ``with`` block lasts; at its end the server and all kernels end.

    Attributes:
        tier: how they are kept apart. With "none" they are ordinary kernels: cold, and without limits.
        kernel_name: of the kernelspec, valid in ``environment``.
        environment: variables for a process that starts kernels by that name.
    """

    def __init__(
        self,
        tier: Tier,
        limits: Limits = Limits(),  # noqa: B008 (it is frozen)
        preload: Sequence[str] = PRELOAD,
        show: Sequence[Path] = (),
    ):
        """Prepare; nothing starts before the block.

        Args:
            tier: one of `labkit.grading.sandbox.namespaces.tiers()`.
            limits: of each kernel.
            preload: modules that every kernel has imported; no secret may be in what they load.
            show: folders that kernels may read besides Python and labkit (data sets, say).
        """
        self.tier, self.limits, self.preload, self.show = tier, limits, tuple(preload), tuple(show)
        self.kernel_name = KERNEL_NAME
        self.environment: dict[str, str] = {}
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> WarmKernels:
        """Start the server (seconds: it imports torch).

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

    def start(self, workdir: Path) -> Kernel:
        """Start a kernel and wait until it is ready.

        Args:
            workdir: its files, notebooks excepted, are copied into the kernel's work folder (tier "limits" and "none":
                it is the work folder).

        Raises:
            LabkitError: when it cannot be started.
        """
        if self.tier.name == NONE:
            link: Link | OrdinaryLink = OrdinaryLink(self._folder / "jupyter" / "kernels")
        else:
            link = Link(self._socket, Path(tempfile.mkdtemp(prefix="k", dir=self._folder)))
        link.start(workdir)
        try:
            return Kernel(link)
        except BaseException:
            link.kill()
            raise

    def _start_server(self) -> None:
        home = self._folder / "home"
        settings = {
            "socket": self._socket,
            "tier": self.tier.name,
            "limits": asdict(self.limits),
            "preload": self.preload,
            "show": [str(Path(folder).resolve()) for folder in self.show],
        }
        # Isolated (-I): no module of the current folder, no variable of the caller's. pip install --user still counts.
        folders = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
        code = f"import site; [site.addsitedir(f) for f in {folders!r}]; "
        code += f"from {kernel_server.__name__} import main; main(input())"
        with (self._folder / "server.log").open("w") as log_file:
            self._server = subprocess.Popen(
                [sys.executable, "-I", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env=kernel_server.environment(home),
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
        spec: dict[str, Any] = {"display_name": "labkit (graded)", "language": "python"}
        if self.tier.name == NONE:
            code = f"from {kernel_server.__name__} import ordinary; ordinary()"
            spec["argv"] = [sys.executable, "-c", code, "-f", "{connection_file}"]
            own = kernel_server.environment(self._folder / "home")
            spec["env"] = {**own, "PATH": os.environ.get("PATH", ""), "PYTHONUSERBASE": site.getuserbase()}
        else:
            provisioner = {"provisioner_name": PROVISIONER, "config": {"server": self._socket}}
            spec |= {"argv": [], "interrupt_mode": "message", "metadata": {"kernel_provisioner": provisioner}}
        file = self._folder / "jupyter" / "kernels" / KERNEL_NAME / "kernel.json"
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


class OrdinaryLink:
    """What `Link` is, for an ordinary kernel (tier "none")."""

    def __init__(self, kernels: Path):
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import KernelManager

        specs = KernelSpecManager(kernel_dirs=[str(kernels)])
        self._manager: Any = KernelManager(kernel_name=KERNEL_NAME, kernel_spec_manager=specs)
        self.key = self._manager.session.key.decode()
        self._killed = False

    def start(self, workdir: Path) -> None:
        self._manager.start_kernel(cwd=str(workdir))

    def poll(self) -> str:
        if self._manager.is_alive():
            return ""
        return "killed" if self._killed else f"exited with status {self._manager.provisioner.process.returncode}"

    def kill(self) -> None:
        self._killed = self._killed or not self.poll()
        self._manager.shutdown_kernel(now=True)

    def close(self) -> None:
        pass

    @property
    def connection(self) -> dict[str, Any]:
        return dict(self._manager.get_connection_info(session=True))


class WarmProvisioner(KernelProvisionerBase):
    """Starts kernels for jupyter_client by asking the server that the kernelspec names."""

    server = Unicode(help="path of the server's socket").tag(config=True)

    def __init__(self, **traits: Any):
        super().__init__(**traits)
        self._link: Link | None = None

    @property
    def has_process(self) -> bool:
        return self._link is not None

    def reason(self) -> str:
        """Why the kernel ended, as `Kernel.reason` says it."""
        return self._link.poll() if self._link is not None else ""

    def processor_time(self) -> float:
        """Seconds that the kernel, with all that it started, has computed."""
        process = self._link.process if self._link is not None else None
        return 0.0 if process is None else kernel_server.processor_time(process)

    async def pre_launch(self, **options: Any) -> dict[str, Any]:
        """Tell the manager where the channels will be; after a restart, where they were."""
        if self._link is None:
            self._link = Link(self.server, Path(tempfile.mkdtemp(prefix="k", dir=Path(self.server).parent)))
        manager: Any = self.parent
        for name, value in self._link.connection.items():
            setattr(manager, name, value)
        manager.session.key = self._link.key.encode()
        self.connection_info = manager.get_connection_info()
        return dict(await super().pre_launch(cmd=[], **options))

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        assert self._link is not None
        await asyncio.to_thread(self._link.start, Path(options.get("cwd") or "."))
        return self.connection_info

    async def poll(self) -> int | None:
        return 1 if self._link is None or self._link.poll() else None

    async def wait(self) -> int | None:
        while await self.poll() is None:
            await asyncio.sleep(0.02)
        return 1

    async def send_signal(self, signum: int) -> None:
        """Signals that end a kernel do; an interrupt comes as a message (interrupt_mode)."""
        if signum in (signal.SIGTERM, signal.SIGKILL):
            await self.kill()

    async def kill(self, restart: bool = False) -> None:
        if self._link is not None:
            await asyncio.to_thread(self._link.kill)

    async def terminate(self, restart: bool = False) -> None:
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        if self._link is not None and not restart:
            self._link.close()
            self._link = None
