"""What this machine holds: cores, and how many jobs side by side."""

from __future__ import annotations

import os

JOB_BYTES = 2e9  # memory that a lab or a training with the quick profile may need


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_share(jobs: int) -> dict[str, str]:
    """Return the variable that gives each of several jobs its fraction of the cores, unless the user has set it."""
    if jobs < 2 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, cores() // jobs))}


def jobs_held() -> int:
    """Return how many jobs of the quick profile run side by side here, by cores and free memory."""
    import psutil  # here: it comes with the course's extra

    return max(1, min(cores(), int(psutil.virtual_memory().available // JOB_BYTES)))
