"""The starts that a configuration can name. A new one is a class here: its options and the weights that it draws."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gfflow.errors import InvalidInput
from gfflow.registry import POSITIVE, Entry, Registry, one_of, option

if TYPE_CHECKING:
    from gfflow.model.neurons import Neurons  # torch is imported only when a start is drawn

NORMALIZATIONS = ("width", "width_dim", "none")


@dataclass(frozen=True)
class StartOptions(Entry):
    """How the weights start, chosen by its name; all starts have a scale."""

    group: ClassVar[str] = "init"

    scale: float = option(1e-6, "the size of the start, before the normalization", POSITIVE)
    normalization: str = option(
        "width",
        "lambda = scale / sqrt(m) with width, scale / sqrt(m d) with width_dim, scale with none",
        one_of(NORMALIZATIONS),
    )

    @abstractmethod
    def draw(self, width: int, d: int, scale: float, seed: int) -> Neurons:
        """`width` neurons in R^d at lambda = `scale`, a function of the seed; raises InvalidInput where there are
        none for these options."""


class _Starts(Registry[StartOptions]):
    """The registry of starts; `balanced`, true or false, is another way to name two of them."""

    def of(self, values: Mapping[str, Any]) -> StartOptions:
        if isinstance(values, Mapping) and "balanced" in values:
            balanced = values["balanced"]
            values = {key: value for key, value in values.items() if key != "balanced"}
            if balanced is not None:
                if not isinstance(balanced, bool) or values.get("name", "balanced") not in ("balanced", "unbalanced"):
                    raise InvalidInput("init.balanced", balanced, "null; or true or false, with no other start named")
                values["name"] = "balanced" if balanced else "unbalanced"
        return super().of(values)

    def defaults(self, name: str) -> dict[str, Any]:
        return {**super().defaults(name), "balanced": None}


STARTS: Registry[StartOptions] = _Starts(
    "init", "init.balanced=true and init.balanced=false are short for init=balanced and init=unbalanced."
)


@STARTS.register("balanced")
@dataclass(frozen=True)
class Balanced(StartOptions):
    """w_j = lambda g_j with g_j standard normal, and a_j = +-||w_j|| (Eq. 4)."""

    def draw(self, width: int, d: int, scale: float, seed: int) -> Neurons:
        from gfflow.model.initialization import draw_start

        return draw_start(width, d, scale, seed, balanced=True)


@STARTS.register("unbalanced")
@dataclass(frozen=True)
class Unbalanced(StartOptions):
    """w_j = lambda g_j with g_j standard normal, and a_j = lambda times a standard normal (end of Section 3.2)."""

    def draw(self, width: int, d: int, scale: float, seed: int) -> Neurons:
        from gfflow.model.initialization import draw_start

        return draw_start(width, d, scale, seed, balanced=False)
