"""Hydra's launchers of parallel jobs, joblib's and submitit's, made to outlive their jobs: one that is killed from
outside is one failed job, listed like any other, and the others go on."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict

from gfflow.commands import slurm
from gfflow.commands.failures import UNEXPECTED
from gfflow.commands.jobs import Ended, record, recorded
from gfflow.commands.session import Session
from gfflow.commands.sweep import note_failure
from gfflow.errors import InvalidInput
from gfflow.training.signals import first_received

PATIENCE = 5.0  # seconds in which what a job wrote last must be seen here, on a network file system too


def outlive_jobs() -> None:
    """Gives the launchers that are installed the `launch` of this module (Hydra takes no launcher from elsewhere)."""
    ours = {"JoblibLauncher": _launch_workers, "SlurmLauncher": _launch_submitted, "LocalLauncher": _launch_submitted}
    for launcher in Plugins.instance().discover(Launcher):
        if launcher.__module__.startswith("hydra_plugins.") and launcher.__name__ in ours:
            launcher.launch = ours[launcher.__name__]  # type: ignore[attr-defined]


class JobFailed(Exception):
    """Ends the process of a submitted job that failed, so that the scheduler sees it too."""


class SubmittedJob:
    """What submitit pickles and calls: a job by Hydra's launcher, which ends its process with status 1 where the job
    failed."""

    def __init__(self, launcher: Any) -> None:
        self.launcher = launcher

    def __call__(self, overrides: Sequence[str], job_dir_key: str, number: int, *others: Any) -> Any:
        returned = self.launcher(overrides, job_dir_key, number, *others)
        for ended in recorded(_folder_of_sweep(self.launcher)):
            if ended.number == number and ended.status:
                raise JobFailed(ended.failure)
        return returned

    def checkpoint(self, *arguments: Any) -> Any:
        """What runs when the scheduler starts the job again: the same, which then goes on from its checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)


def _launch_submitted(self: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
    """In place of BaseSubmititLauncher.launch: hands the jobs to submitit and waits for all of them."""
    sweep = _folder_of_sweep(self)
    sweep.mkdir(parents=True, exist_ok=True)
    numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
    state = Singleton.get_state()
    arguments = [
        (list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}", state)
        for number, overrides in zip(numbers, job_overrides, strict=True)
    ]
    jobs = dict(zip(numbers, _submit(self, arguments), strict=True))
    submitted = Session.current.submitted if Session.current is not None else set()
    submitted |= {job.job_id for job in jobs.values()}
    if Session.current is not None and self._EXECUTOR == "slurm":
        Session.current.cancel = "scancel"
    returned: dict[int, JobReturn] = {}
    for number, last in _ends(jobs, sweep):
        submitted.discard(jobs[number].job_id)
        overrides = job_overrides[number - initial_job_idx]
        if not jobs[number].paths.result_pickle.exists():
            _note_killed(self, number, overrides, f"ended from outside, {last}; its log: {jobs[number].paths.stderr}")
        returned[number] = _returned(jobs[number], overrides)
        if self.config.fail_fast and any(ended.status for ended in recorded(sweep)):
            for other in jobs.values():
                if other.job_id in submitted:
                    other.cancel(check=False)
            submitted.clear()
            raise SystemExit(max(ended.status for ended in recorded(sweep)))
    return [returned[number] for number in numbers]


def _submit(launcher: Any, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """submitit's jobs; raises InvalidInput where the scheduler is not there, or refuses them."""
    import submitit
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

    kind, given = launcher._EXECUTOR, dict(launcher.params)
    if kind == "slurm" and shutil.which("sbatch") is None:
        raise InvalidInput("hydra/launcher", "submitit_slurm", "joblib, submitit_local, or this beside sbatch")
    folder, retries = given.pop("submitit_folder"), given.pop("max_num_timeout", None)
    if given["name"] == launcher.config.hydra.job.name:  # nobody has chosen another
        given["name"] = f"gfflow-{launcher.config.hydra.runtime.choices.experiment}-{_folder_of_sweep(launcher).name}"
    more = {} if retries is None else {f"{kind}_max_num_timeout": retries}
    executor = submitit.AutoExecutor(cluster=kind, folder=folder, **more)
    common = BaseQueueConf.__dataclass_fields__
    executor.update_parameters(**{key if key in common else f"{kind}_{key}": value for key, value in given.items()})
    try:
        with sessions_of_their_own():
            found: list[Any] = executor.map_array(SubmittedJob(launcher), *zip(*arguments, strict=True))
    except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
        lines = str(error).strip().splitlines()
        reason = next((line.strip() for line in lines if line.startswith("sbatch: error")), lines[-1])
        raise InvalidInput("hydra.launcher", f"options that were refused ({reason})", "your cluster's") from None
    return found


@contextmanager
def sessions_of_their_own() -> Iterator[None]:
    """Within it submitit starts the processes of local jobs, which are to outlive the sweep, in sessions of their
    own, for Ctrl-C in a terminal goes to all processes of the session that it belongs to."""
    from submitit.local import local

    usual = vars(local)["subprocess"]
    setattr(local, "subprocess", SimpleNamespace(Popen=partial(subprocess.Popen, start_new_session=True)))  # noqa: B010
    try:
        yield
    finally:
        setattr(local, "subprocess", usual)  # noqa: B010


def _ends(jobs: dict[int, Any], sweep: Path) -> Iterator[tuple[int, str]]:
    """The numbers of the jobs as they end, each with its last known state."""
    waiting = dict(jobs)
    suspects: dict[int, float] = {}  # that have ended without a result, and when that was seen
    began = asked = time.monotonic()
    state: dict[str, str] = {}
    while waiting:
        time.sleep(0.2 if time.monotonic() - began < 20 else 1.0)
        now = time.monotonic()
        if now - asked > min(30.0, max(2.0, (now - began) / 10)):
            asked, state = now, _states(waiting)
        written = {ended.number for ended in recorded(sweep)}
        for number, job in list(waiting.items()):
            told = state.get(job.job_id, "RUNNING")
            if not job.paths.result_pickle.exists():
                if not (number in written or slurm.has_ended(told)):
                    suspects.pop(number, None)
                    continue
                if now - suspects.setdefault(number, now) < PATIENCE:
                    continue
            del waiting[number]
            yield number, told


def _states(jobs: dict[int, Any]) -> dict[str, str]:
    """The states of submitit's jobs by their ids, of SLURM's by squeue, of local ones by their processes."""
    if any(type(job).__name__ == "SlurmJob" for job in jobs.values()):
        return slurm.states(job.job_id for job in jobs.values())
    return {job.job_id: "KILLED" if job.done() else "RUNNING" for job in jobs.values()}


def _returned(job: Any, overrides: Sequence[str]) -> JobReturn:
    """What a submitted job returned; for one that failed a return without a value, which optuna's sweeper counts as a
    failed trial."""
    from submitit.core.utils import pickle_load

    with suppress(OSError, EOFError):
        outcome, result = pickle_load(job.paths.result_pickle)
        if outcome == "success":
            returned: JobReturn = result
            return returned
    return _nothing(overrides)


def _launch_workers(self: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
    """In place of JoblibLauncher.launch: joblib's worker processes, each an executor of its own, so that it is known
    which job one that dies has taken with it (joblib's pool ends all workers then)."""
    from hydra_plugins.hydra_joblib_launcher._core import execute_job
    from joblib import effective_n_jobs
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if (workers_asked := self.joblib.get("n_jobs", -1)) == 0:
        raise InvalidInput("hydra.launcher.n_jobs", 0, "how many jobs run at once; -1: one on each core")
    setup_globals()
    _folder_of_sweep(self).mkdir(parents=True, exist_ok=True)
    state, returned = Singleton.get_state(), dict[int, JobReturn]()
    coming = iter(range(len(job_overrides)))
    running: dict[Future[JobReturn], tuple[int, Any]] = {}

    def begin(workers: Any) -> None:
        index = next(coming, None)
        if index is None:
            workers.shutdown(wait=False)
            return
        job = (initial_job_idx + index, job_overrides[index], self.hydra_context, self.config, self.task_function)
        running[workers.submit(execute_job, *job, state)] = index, workers

    try:
        for _ in range(min(effective_n_jobs(workers_asked), len(job_overrides))):
            begin(ProcessPoolExecutor(max_workers=1))
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                index, workers = running.pop(future)
                overrides = job_overrides[index]
                try:
                    returned[index] = future.result()
                except (TerminatedWorkerError, SystemExit) as error:
                    if (reason := _how_killed(error)) is None:
                        raise
                    _note_killed(self, initial_job_idx + index, overrides, reason)
                    returned[index] = _nothing(overrides)
                    workers.shutdown(wait=False)
                    workers = ProcessPoolExecutor(max_workers=1)
                begin(workers)
    except BaseException:
        for _, workers in running.values():
            workers.shutdown(wait=True, kill_workers=True)
        raise
    return [returned[index] for index in range(len(job_overrides))]


def _how_killed(error: BaseException) -> str | None:
    """Why a worker's job did not come to its end; None for what ends the sweep: a signal to the sweep itself, or a
    failed job under fail_fast."""
    if first_received() is not None:
        return None
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 0
        return f"its process was ended from outside by {signal.Signals(code - 128).name}" if code > 128 else None
    found = re.search(r"\{(SIG\w+|EXIT)\((-?\d+)\)", str(error))
    return f"its process was ended from outside by {found[1]}" if found else "its process was ended from outside"


def _note_killed(launcher: Any, number: int, overrides: Sequence[str], reason: str) -> None:
    """The record of a job that could not leave one itself, and the note in its folder, unless it had all written."""
    sweep, folder = _folder_of_sweep(launcher), _folder_of_job(launcher, number, overrides)
    if any(ended.number == number for ended in recorded(sweep)):
        return
    if (folder / "summary.json").exists():
        record(sweep, Ended(number, str(folder), list(overrides), 0.0))
        return
    message = f"{reason}; the same command with resume=true goes on with it"
    note_failure(folder, overrides, message, UNEXPECTED)
    record(sweep, Ended(number, str(folder), list(overrides), 0.0, UNEXPECTED, message))


def _folder_of_sweep(launcher: Any) -> Path:
    return Path(str(launcher.config.hydra.sweep.dir))


def _folder_of_job(launcher: Any, number: int, overrides: Sequence[str]) -> Path:
    """The folder that Hydra gives the job."""
    config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
    with open_dict(config.hydra.job):
        config.hydra.job.num = number
        config.hydra.job.id = str(number)
    hydra_config = HydraConfig.instance()
    before = hydra_config.cfg
    try:
        hydra_config.set_config(config)
        return Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
    finally:
        hydra_config.cfg = before


def _nothing(overrides: Sequence[str]) -> JobReturn:
    made = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    made._return_value = None
    return made
