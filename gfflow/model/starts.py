"""The starts that a configuration can name. A new one is a class here: its options and the weights that it draws."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gfflow.errors import InvalidInput
from gfflow.registry import POSITIVE, Entry, Limit, Registry, one_of, option

if TYPE_CHECKING:
    from gfflow.model.neurons import Neurons  # torch is imported only when a start is drawn

NORMALIZATIONS = ("width", "width_dim", "none")
FINITE = Limit("a finite number", math.isfinite)
INTEGER = Limit("an integer", lambda v: True)


@dataclass(frozen=True)
class StartOptions(Entry):
    """How the weights start, chosen by its name; all starts have a scale."""

    group: ClassVar[str] = "init"
    isotropic: ClassVar[bool] = False  # independent neurons, every direction of w and both signs of a equally likely

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

    def size(self, start: Neurons) -> float:
        """lambda of the weights drawn: what the statements call small, and the prediction's unit of size."""
        from gfflow.model.initialization import initialization_scale

        return initialization_scale(self.scale, self.normalization, *start.w.shape)


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

    isotropic: ClassVar[bool] = True

    def draw(self, width: int, d: int, scale: float, seed: int) -> Neurons:
        from gfflow.model.initialization import draw_start

        return draw_start(width, d, scale, seed, balanced=True)


@STARTS.register("unbalanced")
@dataclass(frozen=True)
class Unbalanced(StartOptions):
    """w_j = lambda g_j with g_j standard normal, and a_j = lambda times a standard normal (end of Section 3.2)."""

    isotropic: ClassVar[bool] = True

    def draw(self, width: int, d: int, scale: float, seed: int) -> Neurons:
        from gfflow.model.initialization import draw_start

        return draw_start(width, d, scale, seed, balanced=False)


@STARTS.register("dominated")
@dataclass(frozen=True)
class Dominated(StartOptions):
    """Every entry of w_j uniform in [-lambda, lambda], a_j = +-lambda sqrt(d): |a_j| >= ||w_j|| (the code of arXiv
    2401.10791)."""

    def draw(self, width: int, d: int, scale: float, seed: int) -> Neurons:
        from gfflow.model.initialization import draw_dominated

        return draw_dominated(width, d, scale, seed)


@STARTS.register("antisymmetric")
@dataclass(frozen=True)
class Antisymmetric(StartOptions):
    """Output zero: the second half of the neurons repeats w of the first, with -a."""

    half: str = option("balanced", "how the first half is drawn", one_of(("balanced", "unbalanced", "dominated")))

    def draw(self, width: int, d: int, scale: float, seed: int) -> Neurons:
        from gfflow.model.initialization import mirrored

        if width % 2:
            raise InvalidInput("network.width", width, "an even number with init=antisymmetric")
        return mirrored(STARTS[self.half]().draw(width // 2, d, scale, seed))


@STARTS.register("gaussian")
@dataclass(frozen=True)
class Gaussian(StartOptions):
    """a_j ~ N(0, beta_1^2), w_j ~ N(0, beta_2^2 I), and the output divided by alpha (arXiv 2007.07497).

    The same function, and the same flow, belongs to a_j / sqrt(alpha) and w_j / sqrt(alpha) with the output as it is
    here: those are drawn, and a time t here is a time alpha t there. So only kappa = beta_1 beta_2 / alpha and
    kappa' = beta_1 / beta_2 count; where both exponents are given they are m^-gamma and m^-gamma_prime, and alpha,
    beta_1 and beta_2 are not used.
    """

    isotropic: ClassVar[bool] = True

    scale: float = option(1.0, "a factor on all weights", POSITIVE)
    normalization: str = option("none", "the factor by the width, as for the other starts", one_of(NORMALIZATIONS))
    beta_1: float = option(1.0, "deviation of the a_j", POSITIVE)
    beta_2: float = option(1.0, "deviation of the entries of w_j", POSITIVE)
    alpha: float = option(1.0, "what the output is divided by", POSITIVE)
    gamma: float | None = option(None, "beta_1 beta_2 / alpha = m^-gamma; null: as given", FINITE)
    gamma_prime: float | None = option(None, "beta_1 / beta_2 = m^-gamma_prime; null: as given", FINITE)

    def __post_init__(self) -> None:
        super().__post_init__()
        for one, other in (("gamma", "gamma_prime"), ("gamma_prime", "gamma")):
            if getattr(self, one) is None and getattr(self, other) is not None:
                raise InvalidInput(f"init.{one}", None, f"a number, where init.{other} is one: both or none")

    def deviations(self, width: int) -> tuple[float, float]:
        """Those of the a_j and of the entries of w_j as drawn, at scale 1."""
        if self.gamma is None or self.gamma_prime is None:
            return self.beta_1 / math.sqrt(self.alpha), self.beta_2 / math.sqrt(self.alpha)
        return width ** (-(self.gamma + self.gamma_prime) / 2), width ** (-(self.gamma - self.gamma_prime) / 2)

    def draw(self, width: int, d: int, scale: float, seed: int) -> Neurons:
        from gfflow.model.initialization import draw_gaussian

        output, hidden = (scale * deviation for deviation in self.deviations(width))
        return draw_gaussian(width, d, output, hidden, seed)

    def size(self, start: Neurons) -> float:
        return super().size(start) * self.deviations(len(start.a))[1]


@STARTS.register("file")
@dataclass(frozen=True)
class File(StartOptions):
    """Weights from a file: .npz with w (m, d) and a (m,), a run's folder, or .pt with w and a in a dictionary.

    scale is a factor on them, and normalization that of the other starts; lambda is the deviation that a normal start
    of the same norm would have. A .pt is read without running any code that it may hold.
    """

    scale: float = option(1.0, "a factor on all weights", POSITIVE)
    normalization: str = option("none", "the factor by the width, as for the other starts", one_of(NORMALIZATIONS))
    path: str | None = option(None, "the file, or a run's folder", Limit("a path", lambda v: True), needed=True)
    frame: int = option(-1, "of a run's recorded frames, from 0 on; -1 is the last", INTEGER, "frames")

    def draw(self, width: int, d: int, scale: float, seed: int) -> Neurons:
        from gfflow.model.files import read_weights
        from gfflow.model.neurons import Neurons

        if not self.path:
            allowed = "the path of a file or of a run's folder: this start needs one"
            raise InvalidInput("init.path", self.path or "", allowed)
        w, a = read_weights(self.path, self.frame)
        if len(a) != width:
            raise InvalidInput("network.width", width, f"{len(a)}, as many neurons as in {self.path}")
        if w.shape[1] != d:
            raise InvalidInput(
                "init.path", self.path, f"weights of {d} inputs, as the data has; these have {w.shape[1]}"
            )
        return Neurons(scale * w, scale * a)

    def size(self, start: Neurons) -> float:
        return deviation(start)


@dataclass(frozen=True)
class Given(StartOptions):
    """Weights that were given to `train` as an object: known by their digest alone, so not registered."""

    name: ClassVar[str] = "given"

    sha256: str = option("", "the digest of the weights")

    def draw(self, width: int, d: int, scale: float, seed: int) -> Neurons:
        raise InvalidInput("init", "weights given from Python", "the same ones, given to `train` again")

    def size(self, start: Neurons) -> float:
        return deviation(start)


def deviation(start: Neurons) -> float:
    """The deviation that entries of w_j ~ N(0, lambda^2 I) of the same norm in all would have: a lambda for weights
    of any origin."""
    m, d = start.w.shape
    largest = float(start.norms.max())
    return largest * math.sqrt(float((start.norms / largest).square().sum()) / (m * d))
