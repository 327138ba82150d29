"""What is written of a run once its training has ended."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.loggers.logger import Logger

from gfflow.config import RunConfig
from gfflow.ensemble import Ensemble
from gfflow.experiment import Experiment
from gfflow.records.dashboard import image_tag, write_closing, write_figure, write_image
from gfflow.records.folder import ERROR_FILE
from gfflow.records.loggers import EventLogger, MetricsTable
from gfflow.records.members import Members
from gfflow.records.run import Run
from gfflow.records.summary import Summary, write_summary
from gfflow.statements.output import as_markdown, write
from gfflow.statements.verdicts import Report, verify


def log_statistics(ensemble: Ensemble, table: MetricsTable, events: EventLogger, loggers: list[Logger]) -> None:
    """The statistics over members, into events of their own, which a resumed run writes anew."""
    events.save()
    for step, row in ensemble.curves.items():
        for logger in (table, events, *loggers):
            logger.log_metrics(row, step)
    table.save()
    events.save()


def write_ending(
    config: RunConfig,
    experiment: Experiment,
    folder: Path,
    summary: Summary,
    table: MetricsTable,
    events: EventLogger,
) -> Report | None:
    """Closing table, figures and verification, and summary.json as the last; returns the verification, if any."""
    members = Members.read(folder) if summary.ensemble is not None else None
    run = Run(folder, summary.config, table.columns(), summary.to_dict())
    write_closing(events.experiment, summary, experiment.notes, run.metrics, members)
    if config.figures:
        _draw(run, events)
    report = _verify(run, events) if config.verify else None
    events.close()
    write_summary(folder / "summary.json", summary)
    (folder / ERROR_FILE).unlink(missing_ok=True)  # of an earlier try
    return report


def _draw(run: Run, events: EventLogger) -> None:
    """The run's main figures, as files and as images in TensorBoard."""
    from gfflow.figures import draw_main, states_of_training  # matplotlib is imported only when it is needed

    for path in draw_main(run):
        if path.suffix == ".png":
            write_image(events.experiment, image_tag(path.stem), path.read_bytes(), int(run.metrics["step"][-1]))
    for step, figure in states_of_training(run) if run.members is None else ():
        write_figure(events.experiment, "state of training", figure, step)


def _verify(run: Run, events: EventLogger) -> Report:
    """Every statement of the paper judged on the run, into verification.json and TensorBoard."""
    report = verify(run)
    write(report, run.folder)
    events.experiment.add_text("verification", as_markdown(report), int(run.metrics["step"][-1]))
    return report
