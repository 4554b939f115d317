"""Let the workers of a dask cluster do the jobs of a command: ``--cluster local`` or ``--cluster ADDRESS``.

A command cuts its work into jobs: a function that can be pickled, and its arguments. Workers do one job at a time and
return its result; this process writes all results and the ledger, as it does without a cluster. dask starts, watches
and replaces the workers; what is here is what a run of labkit asks of each of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit import artifacts
from labkit.errors import LabkitError, one_line
from labkit.ledger import environment, package_hash
from labkit.machine import cores

TRIES = 3  # a job whose worker died as often is given up
WAIT = 20  # seconds for the scheduler to answer


@dataclass(frozen=True)
class Home:
    """Hold what a worker must have in common with the process that asks it, and take over the rest.

    Attributes:
        folder: where the process stands; relative paths mean the same in a job.
        shared: what the worker must see.
        variables: LABKIT_ variables of the process.
        versions: of labkit, of its files, of Python and of the packages that decide results.
    """

    folder: str
    shared: tuple[str, ...]
    variables: dict[str, str]
    versions: dict[str, str]

    @classmethod
    def here(cls, shared: Sequence[Path], variables: Mapping[str, str]) -> Home:
        """Describe this process."""
        mine = {name: value for name, value in os.environ.items() if name.startswith("LABKIT_")} | dict(variables)
        return cls(os.getcwd(), tuple(str(path.resolve()) for path in shared), mine, _versions())

    def problem(self, threads: int) -> str:
        """Return what is wrong with this worker, which does so many jobs at a time; empty if nothing is."""
        for path in (self.folder, *self.shared):
            if not os.path.exists(path):
                return (
                    f"does not see {path}. Put the folder you start from, --out and the data on a file system that "
                    "all workers share"
                )
        for name, version in _versions().items():
            if version != (wanted := self.versions.get(name)):
                return f"has {name} {version[:12]}, expected {str(wanted)[:12]}. Install the same everywhere"
        if threads != 1:
            return f"does {threads} jobs at a time, expected 1. Start it with --nthreads 1"
        return ""

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Stand where the process stands, with its variables."""
        folder, before = os.getcwd(), dict(os.environ)
        os.chdir(self.folder)
        os.environ.update(self.variables)
        try:
            yield
        finally:
            os.chdir(folder)
            for name in self.variables:
                os.environ.pop(name, None)
                if name in before:
                    os.environ[name] = before[name]


def _versions() -> dict[str, str]:
    found = environment()
    del found["platform"]  # may differ: a kernel's version decides no result
    return found | {"labkit's files": package_hash()}


@dataclass
class Cluster:
    """Hand jobs to the workers of a cluster. Made by `connect`.

    Attributes:
        client: of dask.
        home: what workers must share.
        on_event: called with a job's key and what it tells, or with the key alone when it begins.
        begun: keys of the jobs that some worker has begun.
    """

    client: Any
    home: Home
    on_event: Callable[..., None]
    topic: str = field(default_factory=lambda: f"labkit-{secrets.token_hex(8)}")
    begun: set[str] = field(default_factory=set)

    def results(self, function: Callable[..., Any], jobs: Mapping[str, tuple[Any, ...]]) -> Iterator[tuple[str, Any]]:
        """Do all jobs; yield the key of each with its result as it ends, or with the LabkitError that it ended with.

        Args:
            function: called on a worker with a job's arguments and ``tell``, a function that takes numbers and texts.
            jobs: arguments by key.

        Raises:
            LabkitError: the scheduler is gone.
        """
        from distributed import CancelledError, KilledWorker, as_completed

        tries = dict.fromkeys(jobs, 0)
        keys: dict[Any, str] = {}
        ended = as_completed(loop=self.client.loop)

        def submit(key: str) -> None:
            tries[key] += 1
            future = self.client.submit(_do, self.home, self.topic, key, function, jobs[key], pure=False)
            keys[future] = key
            ended.add(future)

        self.client.subscribe_topic(self.topic, self._hear)
        for key in jobs:
            submit(key)
        try:
            for future in ended:
                key = keys.pop(future)
                try:
                    result = future.result()
                except LabkitError as error:
                    result = error
                except KilledWorker:
                    if key not in self.begun and tries[key] < TRIES:  # it only waited behind the one that kills
                        submit(key)
                        continue
                    result = LabkitError("each worker that tried it died; it may have run out of memory")
                except CancelledError:
                    raise LabkitError("the cluster's scheduler is gone: --resume goes on with another one") from None
                future.release()  # or it is done once more when its worker dies
                yield key, result
        finally:  # after Ctrl-C: what waits is dropped, what runs ends when it next tells something
            self.client.cancel(list(keys))

    def _hear(self, event: tuple[float, Sequence[Any]]) -> None:
        key, *told = event[1]
        self.begun.add(key)
        self.on_event(key, *told)


def _do(home: Home, topic: str, key: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do a job, on a worker."""
    from distributed import get_worker

    worker = get_worker()
    task = worker.get_current_task()
    if problem := home.problem(worker.state.nthreads):  # of a worker that came later
        raise LabkitError(f"worker {worker.address} {problem}")

    def tell(*told: Any) -> None:
        if task not in worker.state.tasks or worker.state.tasks[task].state != "executing":
            raise LabkitError("nobody waits for this job any more")
        worker.log_event(topic, (key, *told))

    tell()
    with home.entered():
        return function(*arguments, tell=tell)


@contextmanager
def connect(
    address: str,
    out: Path,
    *,
    workers: int,
    shared: Sequence[Path] = (),
    variables: Mapping[str, str] | None = None,
    on_event: Callable[..., None],
    say: Callable[[str], None],
) -> Iterator[Cluster]:
    """Connect to a cluster until the block ends, and check its workers.

    Args:
        address: of a dask scheduler, as tcp://host:8786; or "local": workers are started here, and end with the block.
        out: the folder of results, which all workers must see.
        workers: how many are started here.
        shared: what else workers must see, where it is there.
        variables: for the environment of the jobs, beside the LABKIT_ variables of this process.
        on_event: see `Cluster`.
        say: prints a line.

    Raises:
        LabkitError: dask is missing, nothing answers at the address, or a worker differs from this process.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise LabkitError(
            "--cluster and several --jobs need dask: pip install 'dask[distributed]', or leave them out"
        ) from None
    import dask

    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores() // workers)))
    settings = {  # of the processes that are started here
        "distributed.scheduler.allowed-failures": TRIES - 1,
        "distributed.comm.timeouts.connect": "120s",  # a worker that gives up on a busy machine is not started again
        "distributed.comm.timeouts.tcp": "120s",
        "distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": threads,
        "distributed.nanny.pre-spawn-environ.MKL_NUM_THREADS": threads,
    }
    token = out / f".labkit-shared-{secrets.token_hex(8)}"
    with dask.config.set(settings), _removed(token):
        cluster: Any = address
        if address == "local":
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,  # none, as without a cluster
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
        else:
            _require_scheduler(address)
        with Client(cluster, set_as_default=False) as client:
            try:
                there = [path for path in shared if path.exists()]
                home = Home.here([token, *there], variables or {})
                _check_workers(client, home, say)
                yield Cluster(client, home, on_event)
            finally:
                if address == "local":
                    cluster.close()


@contextmanager
def _removed(token: Path) -> Iterator[None]:
    """Keep a file there until the block ends: who sees it, sees this very folder."""
    artifacts.write_text(token, "")
    try:
        yield
    finally:
        token.unlink(missing_ok=True)


def _require_scheduler(address: str) -> None:
    """Try the address before there is a client, which takes a minute to give up.

    Raises:
        LabkitError: nothing answers there.
    """
    from distributed.comm import connect as open_connection

    async def probe() -> None:
        await (await open_connection(address, timeout=WAIT)).close()

    try:
        with ThreadPoolExecutor(1) as aside:  # for this thread may have an event loop: a notebook's
            aside.submit(lambda: asyncio.run(probe())).result()
    except (OSError, ValueError) as error:
        raise LabkitError(f"no dask scheduler answers at {address} ({one_line(error)}): check --cluster") from None


def _check_workers(client: Any, home: Home, say: Callable[[str], None]) -> None:
    """Wait for a worker, and check those that are there; `_do` checks the ones that come later.

    Raises:
        LabkitError: one differs.
    """
    if not client.scheduler_info()["workers"]:
        say("waiting for the cluster's first worker ...")
        client.wait_for_workers(1)
    threads = {address: worker["nthreads"] for address, worker in client.scheduler_info()["workers"].items()}
    for address, count in threads.items():
        try:
            problem = client.run(home.problem, count, workers=[address])[address]
        except Exception as error:  # whatever it is, this worker cannot do a job
            problem = f"cannot run labkit ({one_line(error)}). Install the same everywhere"
        if problem:
            raise LabkitError(f"worker {address} {problem}")
