"""The command line: `gfflow-train [experiment=NAME] [KEY=VALUE ...] [-m]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gfflow.errors import Diverged, InvalidInput

_PACKAGE = Path(__file__).resolve().parent
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if p.is_dir())


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def _job(config: DictConfig) -> float:
    from gfflow.config import RunConfig

    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        values: Any = OmegaConf.to_container(config, resolve=True)
        settings = RunConfig.of(values)
        from gfflow.run import train  # Lightning is heavy: not before the configuration is known to be good

        return float(train(settings, folder)["final"]["loss"])
    except InvalidInput:
        _remove_configuration(folder)
        raise


def _remove_configuration(folder: Path) -> None:
    """Takes away what Hydra wrote for a run that never began, and the folders left empty by that."""
    for path in (folder / ".hydra").glob("*.yaml"):
        path.unlink()
    for empty in (folder / ".hydra", folder, *folder.parents):
        try:
            empty.rmdir()
        except OSError:
            return


def main() -> None:
    """Runs the command line; exit status 2 for bad input (one line), 3 where training diverged."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # exceptions arrive here instead of Hydra's own printing
    try:
        _job()
    except Diverged as error:
        _fail(str(error), 3)
    except (InvalidInput, HydraException, OmegaConfBaseException) as error:
        _fail(_one_line(error), 2)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if isinstance(error, InvalidInput) else "; ".join(lines)


def _fail(message: str, status: int) -> None:
    print(f"gfflow: {message}", file=sys.stderr)
    sys.exit(status)
