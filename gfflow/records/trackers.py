"""Experiment trackers beside the run's own records: Weights & Biases and MLflow, offline, by Lightning's loggers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from gfflow.errors import InvalidInput
from gfflow.records.dashboard import flattened

PROJECT = "gfflow"
WANDB_MODE = "WANDB_MODE"  # environment variable: online, offline, ...


def check_installed(wandb: bool, mlflow: bool) -> None:
    """Raises InvalidInput for a tracker that is asked for and not installed."""
    for name, asked in (("wandb", wandb), ("mlflow", mlflow)):
        if asked and find_spec(name) is None:
            raise InvalidInput(f"loggers.{name}", True, f"false, or install the extra: pip install -e '.[{name}]'")


@contextmanager
def trackers(folder: Path, config: Mapping[str, Any], wandb: bool, mlflow: bool) -> Iterator[list[Logger]]:
    """The trackers asked for, closed at the end of the block. They write into the run's folder and need no network:
    wandb into `wandb/` (send it with `wandb sync`), MLflow into the database `mlflow.db` (look at it with
    `mlflow ui --backend-store-uri sqlite:///RUN_DIR/mlflow.db`)."""
    with ExitStack() as stack:
        chosen = []
        if wandb:
            chosen.append(stack.enter_context(_wandb(folder, str(config["name"]))))
        if mlflow:
            chosen.append(stack.enter_context(_mlflow(folder, str(config["name"]))))
        yield chosen


def record_configuration(loggers: list[Logger], config: Mapping[str, Any]) -> None:
    """Hands every logger the configuration as hyperparameters, keys joined by dots."""
    for logger in loggers:
        logger.log_hyperparams(flattened(config))


@contextmanager
def _wandb(folder: Path, name: str) -> Iterator[Logger]:
    """At its end wandb's run of this process is ended, into which the next run would otherwise log, and its mode,
    which the logger sets, is what it was."""
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    before = os.environ.get(WANDB_MODE)
    logger = WandbLogger(
        project=PROJECT,
        name=name,
        version=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],  # a resumed run is the same run
        save_dir=folder,
        offline=True,
        settings=wandb.Settings(silent=True, console="off"),
    )
    try:
        yield logger
    finally:
        if wandb.run is not None:
            wandb.run.finish()
        os.environ.pop(WANDB_MODE, None)
        if before is not None:
            os.environ[WANDB_MODE] = before


@contextmanager
def _mlflow(folder: Path, name: str) -> Iterator[Logger]:
    """At its end the place to which this process sends what goes to MLflow is what it was."""
    import mlflow
    from lightning.pytorch.loggers import MLFlowLogger

    before, place = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else "", folder.resolve()
    logger = MLFlowLogger(
        experiment_name=PROJECT,
        run_name=name,
        tracking_uri=f"sqlite:///{place.as_posix()}/mlflow.db",
        artifact_location=(place / "mlflow").as_uri(),
    )
    try:
        yield logger
    finally:
        mlflow.set_tracking_uri(before)
