"""SLURM as a job and as a person that waits for jobs sees it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

QUEUED = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "PREEMPTED")
LASTING = (*QUEUED, "CONFIGURING", "RUNNING", "RESIZING", "SUSPENDED", "STOPPED", "SIGNALING", "COMPLETING")
GONE = "no longer known to SLURM"


def restarted() -> bool:
    """Whether SLURM has started the job that this process belongs to anew: after preemption, its time limit, the loss
    of a node, or `scontrol requeue`."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0


def states(jobs: Iterable[str]) -> dict[str, str]:
    """The states of jobs (also of those of arrays, 12_0, 12_1, ...) by squeue, which needs no accounting; GONE for
    those that it does not know. Nothing of any job while the controller does not answer."""
    wanted = list(jobs)
    numbers = ",".join(sorted({job.partition("_")[0] for job in wanted}))
    asked = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", f"--jobs={numbers}"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    if answer.returncode and "Invalid job id" not in answer.stderr:
        return {}
    known = dict(line.strip().split("|", 1) for line in answer.stdout.splitlines() if "|" in line)
    return {job: known.get(job, GONE) for job in wanted}


def has_ended(state: str) -> bool:
    """Whether a job in this state will never run again."""
    return state not in LASTING
