"""Where a run is: in one process, whatever scheduler has started that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.plugins.environments import LightningEnvironment


class OneProcess(LightningEnvironment):
    """Lightning's word for a single process. Its own choice goes by the environment's variables: in a SLURM job of
    two tasks (`--ntasks=2`) it refuses to start, in the processes of a distributed launcher it waits for the others.
    """

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def world_size(self) -> int:
        return 1

    def set_world_size(self, size: int) -> None:
        """There is one process."""

    def global_rank(self) -> int:
        return 0

    def set_global_rank(self, rank: int) -> None:
        """It is the first."""

    def local_rank(self) -> int:
        return 0

    def node_rank(self) -> int:
        return 0

    def teardown(self) -> None:
        """The environment's variables stay as they are."""


@contextmanager
def first_of_all() -> Iterator[None]:
    """Within it Lightning's loggers write. It takes the tasks of one SLURM step (`srun -n 4 ...`, a run in each) for
    parts of one training, of which the first alone writes."""
    holder: Any = rank_zero_only
    before, holder.rank = holder.rank, 0
    try:
        yield
    finally:
        holder.rank = before
