"""The client's side of a kernel: have one started, talk to it, end it.

`Kernel` is for direct use. Tools that start kernels by name (nbval, papermill) reach `WarmProvisioner` through the
kernelspec that `labkit.grading.sandbox.box.Sandbox` writes. Both ask the server of `labkit.grading.sandbox.server`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import select
import shutil
import signal
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.provisioning import KernelProvisionerFactory
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Unicode

from labkit.errors import LabkitError
from labkit.grading.sandbox.keeper import CHANNELS, processor_time

PATIENCE = 60  # seconds that a start may take on a busy machine
PROVISIONER = "labkit-warm"  # as pyproject.toml registers it


class Link:
    """A connection to a kernel's keeper: starts it, says whether and why it has ended, ends it."""

    def __init__(self, server: str, place: Path):
        """Prepare a kernel of the server that listens at ``server``, with an empty folder ``place`` of its own."""
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
        """Return why the kernel has ended; nothing while it runs."""
        while not self._reason and self._socket is not None and select.select([self._socket], [], [], 0)[0]:
            said = self._hear()
            self._reason = str(said.get("ended") or said.get("error") or "")
        return self._reason

    def kill(self) -> None:
        """End the kernel and everything it started, and wait until that is done."""
        if self._socket is None or self.poll():
            return
        try:
            self._socket.sendall(b"end\n")
            while not self._reason:
                said = self._hear()
                self._reason = str(said.get("ended") or said.get("error") or "")
        except OSError:
            self._reason = "killed"

    def close(self) -> None:
        """Let go of the keeper, which ends the kernel, and remove what was made for it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        shutil.rmtree(self.place, ignore_errors=True)

    def _hear(self) -> dict[str, Any]:
        """Return the keeper's next message; when it is gone, that the kernel was killed."""
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
        """Return where the kernel's channels are, as a connection file says it."""
        ports = {f"{channel}_port": port + 1 for port, channel in enumerate(CHANNELS)}
        return {**ports, "transport": "ipc", "ip": str(self.place / "channel")}


@dataclass(frozen=True)
class Said:
    """What came of a cell.

    Attributes:
        text: what it printed.
        error: "Name: message" of what it raised, "" if nothing.
        ended: why the kernel has ended, "" while it runs.
    """

    text: str
    error: str
    ended: str


class Kernel:
    """A running kernel, ready: `execute` and `stop` it.

    Attributes:
        client: a BlockingKernelClient with open channels. What the kernel sends is hostile too: the client's methods
            may raise anything for what cannot be read as a message.
    """

    def __init__(self, link: Link | OrdinaryLink):
        """Connect to a kernel that was started, and wait until it answers."""
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
        """Tell whether it runs."""
        return not self._link.poll()

    def reason(self) -> str:
        """Return why it ended.

        "" while it runs, "killed" (by `stop`), "timeout", "memory", "processes", "output-limit" (a limit was passed),
        or "exited with status N", "exited on signal N".
        """
        return self._link.poll()

    def execute(self, code: str, seconds: float = 60) -> Said:
        """Run a cell and wait for its end, or for the kernel's.

        Raises:
            TimeoutError: when neither comes within ``seconds``.
        """
        asked = self.client.execute(code, store_history=False)
        deadline = time.monotonic() + seconds
        text, error = "", ""
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=0.1)
            except Empty:
                if not self.alive():
                    return Said(text, error, self.reason())
                continue
            except ValueError:  # no Jupyter message
                continue
            if message["parent_header"].get("msg_id") != asked:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                text += content["text"]
            elif message["msg_type"] == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif content.get("execution_state") == "idle":
                return Said(text, error, self.reason())
        raise TimeoutError(f"no end of a cell after {seconds:g} s")

    def stop(self) -> None:
        """End it and everything it started; close the client."""
        self.client.stop_channels()
        self._link.kill()
        self._link.close()


class OrdinaryLink:
    """What `Link` is, for an ordinary kernel (tier "none")."""

    def __init__(self, kernels: Path, name: str):
        """Prepare a kernel of the kernelspec ``name`` in the folder ``kernels``."""
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import KernelManager

        specs = KernelSpecManager(kernel_dirs=[str(kernels)])
        self._manager: Any = KernelManager(kernel_name=name, kernel_spec_manager=specs)
        self.key = self._manager.session.key.decode()
        self._killed = False

    def start(self, workdir: Path) -> None:
        """Start it in ``workdir``."""
        self._manager.start_kernel(cwd=str(workdir))

    def poll(self) -> str:
        """Return why the kernel has ended; nothing while it runs."""
        if self._manager.is_alive():
            return ""
        return "killed" if self._killed else f"exited with status {self._manager.provisioner.process.returncode}"

    def kill(self) -> None:
        """End it."""
        self._killed = self._killed or not self.poll()
        self._manager.shutdown_kernel(now=True)

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    @property
    def connection(self) -> dict[str, Any]:
        """Return where the kernel's channels are, as a connection file says it."""
        return dict(self._manager.get_connection_info(session=True))


class WarmProvisioner(KernelProvisionerBase):
    """A starter of kernels for jupyter_client, which asks the server that the kernelspec names."""

    server = Unicode(help="path of the server's socket").tag(config=True)

    def __init__(self, **traits: Any):
        """Prepare, as jupyter_client asks."""
        super().__init__(**traits)
        self._link: Link | None = None

    @property
    def has_process(self) -> bool:
        """Tell whether a kernel was started, as jupyter_client asks."""
        return self._link is not None

    def reason(self) -> str:
        """Return why the kernel ended, as `Kernel.reason` says it."""
        return self._link.poll() if self._link is not None else ""

    def processor_time(self) -> float:
        """Return the seconds that the kernel, with all that it started, has computed."""
        process = self._link.process if self._link is not None else None
        return 0.0 if process is None else processor_time(process)

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
        """Start the kernel in the folder ``cwd``; there is no command to run."""
        assert self._link is not None
        await asyncio.to_thread(self._link.start, Path(options.get("cwd") or "."))
        return self.connection_info

    async def poll(self) -> int | None:
        """Return 1 if the kernel has ended, else None."""
        return 1 if self._link is None or self._link.poll() else None

    async def wait(self) -> int | None:
        """Wait for the end of the kernel."""
        while await self.poll() is None:
            await asyncio.sleep(0.02)
        return 1

    async def send_signal(self, signum: int) -> None:
        """End the kernel where the signal would; an interrupt comes as a message (interrupt_mode)."""
        if signum in (signal.SIGTERM, signal.SIGKILL):
            await self.kill()

    async def kill(self, restart: bool = False) -> None:
        """End the kernel and everything it started."""
        if self._link is not None:
            await asyncio.to_thread(self._link.kill)

    async def terminate(self, restart: bool = False) -> None:
        """End the kernel: there is no gentle way."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Remove what was made for the kernel, unless it will be restarted."""
        if self._link is not None and not restart:
            self._link.close()
            self._link = None


def register_provisioner() -> None:
    """Tell jupyter_client of `WarmProvisioner`; the installed package's metadata, which may be older, need not."""
    entry = EntryPoint(PROVISIONER, f"{__name__}:WarmProvisioner", KernelProvisionerFactory.GROUP_NAME)
    KernelProvisionerFactory.instance().provisioners[PROVISIONER] = entry
