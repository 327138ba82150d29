"""Sweeps written by hand: what a report reads, without any training."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

D_PLUS, D_MINUS = 1.25, 0.5  # not the paper's: nothing in a report may know those
STEP_SIZE = 0.01
Writer = Callable[..., Path]


def logistic(time: np.ndarray, rate: float, scale: float, limit: float) -> np.ndarray:
    """The sharp mass curve with K = 1 (Section 5): half the limit at (-ln scale + ln(limit) / 2) / rate."""
    return limit / (1 + limit / scale**2 * np.exp(-2 * rate * time))


@pytest.fixture
def write_job(tmp_path: Path) -> Writer:
    """Writes one job's folder: overrides, a metrics.csv of logistic masses, and a summary."""

    def write(
        number: int,
        overrides: dict[str, str],
        scale: float = 1e-3,
        final: dict | None = None,
        steps: np.ndarray | None = None,
        summary: bool = True,
    ) -> Path:
        folder = tmp_path / "sweep" / str(number)
        (folder / ".hydra").mkdir(parents=True)
        lines = [f"- {key}={value}\n" for key, value in overrides.items()]
        (folder / ".hydra" / "overrides.yaml").write_text("".join(lines))
        (folder / ".hydra" / "config.yaml").write_text("seed: 0\n")
        step = np.arange(0, 4001, 10) if steps is None else steps
        time = STEP_SIZE * step
        columns = {
            "step": step,
            "time": time,
            "loss": np.exp(-time) + 1e-9,
            "mass/u_plus": logistic(time, D_PLUS, scale, 0.5),
            "saddle/distance": 1 + time,
        }
        rows = [",".join(columns)] + [
            ",".join([str(int(row[0])), *(repr(float(v)) for v in row[1:])])
            for row in zip(*columns.values(), strict=True)
        ]
        (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
        if summary:
            content = {
                "experiment": "made up",
                "seed": int(overrides.get("seed", 0)),
                "theory": {"orthogonal": True, "lambda": scale, "d_plus_norm": D_PLUS, "d_minus_norm": D_MINUS},
                "final": {"loss": 1e-9, "norm_gap": None, **(final or {})},
            }
            (folder / "summary.json").write_text(json.dumps(content))
        return folder

    return write
