"""A run that goes on: its configuration as it was, and what may be given anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from gfflow.commands.words import override
from gfflow.errors import InvalidInput

SHOWN = ("verbose", "figures")
EXTENDED = ("solver.iterations", "solver.stop_loss")  # how far it goes


def configuration_of(folder: str, overrides: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    """The folder of an earlier run and its configuration, set to go on, with the overrides that it may take: those of
    SHOWN, which change what is shown of the run and nothing in it, and of EXTENDED, which let it go on for longer."""
    parser = OverridesParser.create()
    parsed = {text: parser.parse_override(text) for text in overrides}
    others = [text for text, o in parsed.items() if o.key_or_group not in ("resume", *SHOWN, *EXTENDED)]
    if others:
        allowed = f"resume=RUN_DIR alone, or with {', '.join(EXTENDED)}: the run goes on as it was configured"
        raise InvalidInput("resume", " ".join(others), allowed)
    shown = {o.key_or_group: o.value() for o in parsed.values() if o.key_or_group in SHOWN}
    further = {o.key_or_group.partition(".")[2]: o.value() for o in parsed.values() if o.key_or_group in EXTENDED}
    path = Path(folder) / ".hydra" / "config.yaml"
    try:
        values: Any = dict(OmegaConf.to_container(OmegaConf.load(path)))  # type: ignore[arg-type]
    except (OSError, TypeError, ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = f"it has no {path.name}" if isinstance(error, OSError) else str(error).splitlines()[0]
        reason = "there is no such folder" if not Path(folder).is_dir() else reason
        raise InvalidInput("resume", folder, f"null, auto, or the folder of a run ({reason})") from None
    if further:
        values["solver"] = {**values["solver"], **further}
    return Path(folder), {**values, "resume": "auto", **shown}


def how_to_go_on(folder: Path) -> str:
    """What to type to go on with the run in the folder; '' where none has begun to be written there."""
    return f"go on with {override('resume', folder)}" if (folder / ".hydra" / "config.yaml").exists() else ""
