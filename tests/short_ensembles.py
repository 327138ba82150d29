"""Settings of runs short enough for tests that train many members."""

from typing import Any

SHORT: dict[str, Any] = {
    "network": {"width": 20},
    "init": {"scale": 1e-2},
    "schedule": {"ratio": 1.3, "linear": 9, "frames": 12},
    "figures": False,
    "verbose": False,
}
