"""The configuration: types, limits, hints, and everything that derives from the registries."""

from __future__ import annotations

import ast
import copy
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

import gfflow
from gfflow import reference
from gfflow.commands.train import store_presets
from gfflow.config import RunConfig, presets
from gfflow.errors import InvalidInput
from gfflow.model.data import TrainingSet, gaussian_teacher, orthonormal
from gfflow.model.data_sets import DATA_SETS, DataOptions
from gfflow.model.initialization import initialization_scale
from gfflow.model.options import ACTIVATIONS, LOSSES
from gfflow.model.starts import STARTS
from gfflow.registry import Limit, Registry, at_least, option
from gfflow.run import build
from gfflow.solvers import SGD, Flow, Fused
from gfflow.solvers.options import SOLVERS, all_classes, solver_class
from gfflow.training.schedule import Schedule

ROOT = Path(__file__).parents[1]
CHOSEN = {"data": DATA_SETS, "init": STARTS, "solver": SOLVERS}


def nested(key: str, value: Any) -> dict[str, Any]:
    """{'a': {'b': value}} of 'a.b'."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def composed(*overrides: str) -> RunConfig:
    """The configuration that the command line would give."""
    with initialize_config_dir(str(reference.CONF), version_base="1.3"):
        config = compose("config", ["name=run", *overrides])
    return RunConfig.of(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


def line_of(values: dict[str, Any]) -> str:
    with pytest.raises(InvalidInput) as caught:
        RunConfig.of(values)
    return str(caught.value)


WRONG = [
    ("network.width", 2.5, "an integer of at least 1"),
    ("network.width", True, "an integer of at least 1"),
    ("network.width", "60", "an integer of at least 1"),
    ("network.width", None, "an integer of at least 1"),
    ("network.width", 0, "an integer of at least 1"),
    ("network.activation", "tanh", "one of relu"),
    ("network.relu_derivative_at_zero", 1.5, "a number between 0 and 1"),
    ("loss", "absolute", "one of square"),
    ("init.scale", 0.0, "a positive finite number"),
    ("init.scale", float("nan"), "a positive finite number"),
    ("init.normalization", "sideways", "one of width, width_dim, none"),
    ("init.name", "perhaps", "one of balanced, unbalanced"),
    ("init.balanced", "perhaps", "null; or true or false"),
    ("solver.name", "fusd", f"one of {', '.join(SOLVERS)}; did you mean fused?"),
    ("solver.lr", 1e-101, "a number between 1e-100 and 1e100"),
    ("solver.rtol", 0.2, "a number between 1e-13 and 0.1"),
    ("solver.method", "euler", "one of auto, runge_kutta, splitting"),
    ("solver.batch_size", 0, "null or an integer of at least 1"),
    ("solver.stop_loss", -1.0, "null or a positive finite number"),
    ("schedule.ratio", 1.0, "null or a number from 1.001 on"),
    ("schedule.frames", 1, "an integer of at least 2"),
    ("callbacks.masses", 1, "true or false"),
    ("callbacks.checkpoint_seconds", 0.0, "a positive finite number"),
    ("trainer.accelerator", "abacus", "one of cpu, gpu, cuda, auto"),
    ("precision", "float16", "one of float64, float32"),
    ("seed", 2**63, "an integer from 0 to 2^63 - 1"),
    ("seed", -1, "an integer from 0 to 2^63 - 1"),
    ("figures", "yes", "true or false"),
    ("optimized_metric", 3, "a word"),
    ("data", 3, "keys and their values"),
    ("network", [1], "keys and their values"),
]


@pytest.mark.parametrize(("key", "value", "allowed"), WRONG)
def test_what_is_wrong_is_said_in_one_line_with_key_value_and_what_is_allowed(key, value, allowed):
    line = line_of(nested(key, value))
    shown = "'60'" if value == "60" else value  # a word that reads like a number is told from one
    assert line.startswith(f"{key}: received {shown}; allowed: ") and "\n" not in line
    assert allowed in line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 2**63 - 1),
        ("solver.lr", 1e100),
        ("solver.rtol", 1e-13),
        ("solver.rtol", 0.1),
        ("network.relu_derivative_at_zero", 1.0),
        ("schedule.ratio", 1.001),
        ("schedule.ratio", None),
        ("solver.stop_loss", None),
    ],
)
def test_the_ends_of_a_range_belong_to_it(key, value):
    found: Any = RunConfig.of(nested(key, value))
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("sed", "seed"),
        ("solver.itertions", "iterations"),
        ("callbacks.mass", "masses"),
        ("init.scal", "scale"),
        ("schedule.lienar", "linear"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_one(key, nearest):
    assert f"no such key; did you mean {nearest}?" in line_of(nested(key, 1))


def test_options_belong_to_their_data():
    assert "data.labels: received [1.0]; allowed: no such key; none" in line_of({"data": {"labels": [1.0]}})
    assert "did you mean labels?" in line_of({"data": {"name": "orthonormal", "lables": [1.0]}})


def test_numpy_and_torch_scalars_are_numbers():
    config = RunConfig.of(
        {
            "seed": np.int64(1),
            "network": {"width": np.int32(7)},
            "init": {"scale": np.float64(1e-3)},
            "solver": {"lr": torch.tensor(1e-3, dtype=torch.float64), "stop_loss": np.float32(0.5)},
            "data": {"name": "orthonormal", "labels": np.array([1.0, -2.0]), "d": np.uint8(3)},
            "figures": np.bool_(False),
        }
    )
    plain = {
        "seed": 1,
        "network": {"width": 7},
        "init": {"scale": 1e-3},
        "solver": {"lr": 1e-3, "stop_loss": 0.5},
        "data": {"name": "orthonormal", "labels": [1.0, -2.0], "d": 3},
        "figures": False,
    }
    assert config == RunConfig.of(plain)
    assert type(config.seed) is int and type(config.init.scale) is float and config.figures is False
    assert "an integer" in line_of({"seed": np.float64(0.5)}) and "true or false" in line_of({"figures": np.int64(1)})


def test_a_number_too_large_for_a_float_is_infinite():
    assert "allowed: a positive finite number" in line_of({"init": {"scale": 10**400}})
    assert "allowed: a number between" in line_of({"solver": {"lr": -(10**400)}})


def test_a_configuration_comes_back_from_its_plain_values():
    data = {"name": "orthonormal", "labels": [1, -1]}
    config = RunConfig.of({"data": data, "init": {"name": "unbalanced"}, "solver": {"name": "flow"}})
    values = config.to_dict()
    assert RunConfig.of(values) == config
    assert values["data"] == {**data, "d": None, "norms": None, "rotation": None}
    assert values["init"] == {"name": "unbalanced", "scale": 1e-6, "normalization": "width"}


@pytest.mark.parametrize(("balanced", "name"), [(True, "balanced"), (False, "unbalanced"), (None, "balanced")])
def test_balanced_is_another_way_to_name_the_start(balanced, name):
    assert RunConfig.of({"init": {"balanced": balanced}}) == RunConfig.of({"init": {"name": name}})
    word = {None: "null"}.get(balanced, str(balanced).lower())
    assert composed(f"init.balanced={word}").init.name == name
    assert composed(f"init={name}").init.name == name


def test_the_start_drawn_is_the_one_named():
    for name, balanced in (("balanced", True), ("unbalanced", False)):
        start = build(RunConfig.of({"init": {"name": name, "scale": 1.0}})).start
        # rounding of the norms is 1e-16 of them; independent normal numbers agree to 1% in few neurons only
        assert torch.allclose(start.a.abs(), start.norms, rtol=1e-15 if balanced else 1e-2, atol=0) is balanced


TOGETHER = [
    ({"verify": True, "callbacks": {"trajectory": False}}, "verify"),
    ({"callbacks": {"flow": True}, "solver": {"name": "flow"}}, "callbacks.flow"),
    ({"callbacks": {"flow": True}, "network": {"relu_derivative_at_zero": 0.5}}, "callbacks.flow"),
    ({"solver": {"name": "fused", "batch_size": 1}}, "solver.batch_size"),
    ({"solver": {"name": "flow", "batch_size": 1}}, "solver.batch_size"),
    ({"data": {"name": "orthonormal", "labels": [1.0, 2.0], "d": 1}}, "data.d"),
    ({"data": {"name": "orthonormal", "labels": [1.0, 2.0], "norms": [1.0]}}, "data.norms"),
]


@pytest.mark.parametrize(("values", "key"), TOGETHER)
def test_keys_that_do_not_go_together_are_refused_by_the_configuration(values, key):
    assert line_of(values).startswith(f"{key}: received ")


def test_batches_go_with_the_solvers_that_have_them():
    for name in ("auto", "sgd"):
        assert RunConfig.of({"solver": {"name": name, "batch_size": 1}}).solver.chosen() is SGD


def test_the_command_line_has_the_defaults_of_python():
    assert composed() == RunConfig()


def test_the_written_configuration_has_the_keys_of_the_options_and_no_others():
    written = OmegaConf.load(reference.CONF / "config.yaml")
    groups = {entry.split(" ")[-1] for item in written.defaults if item != "_self_" for entry in item}
    keys = {key for key in written if key not in ("defaults", "hydra")}
    assert groups - {"experiment", "hydra/job_logging", "hydra/hydra_logging"} == set(presets())
    assert keys | set(presets()) == set(RunConfig().to_dict())


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, registry in CHOSEN.items() for name in registry]
)
def test_everything_registered_is_reached_by_its_name(group, name):
    more = ["data.path=mine.csv"] if name == "csv" else []
    asked = getattr(composed(f"{group}={name}", *more), group)
    assert type(asked) is CHOSEN[group][name] and asked.name == name
    assert type(getattr(RunConfig.of({group: {"name": name}}), group)) is CHOSEN[group][name]


@pytest.mark.parametrize("name", [name for name in DATA_SETS if name not in ("csv", "file")])
def test_every_data_set_is_made_with_its_defaults(name):
    assert isinstance(RunConfig.of({"data": {"name": name}}).make_data(), TrainingSet)


def test_every_solver_says_its_own_name_and_is_made_with_its_options():
    assert {cls.name for cls in all_classes()} == set(SOLVERS) - {"auto"}
    assert all(solver_class(cls.name) is cls for cls in all_classes())
    flow = SOLVERS.of({"name": "flow", "lr": 0.5, "rtol": 1e-3, "method": "runge_kutta"}).make()
    assert isinstance(flow, Flow) and (flow.lr, flow.rtol, flow.method) == (0.5, 1e-3, "runge_kutta")
    sgd = SOLVERS.of({"name": "sgd", "batch_size": 2}).make(seed=3)
    assert isinstance(sgd, SGD) and sgd.batch_size == 2
    assert [cls for cls in all_classes() if not cls.is_descent] == [Flow]


@pytest.mark.parametrize("registry", [ACTIVATIONS, LOSSES], ids=lambda registry: registry.group)
def test_activations_and_losses_are_made_by_their_names(registry):
    for name in registry:
        config = RunConfig.of(nested(registry.group, name))
        experiment = build(config)
        assert experiment.training_set.loss.name == config.loss
        assert experiment.start.activation == config.network.make_activation()


LIMITS = [
    ("init.scale", -1.0, lambda v: initialization_scale(v, "width", 3, 2)),
    ("init.normalization", "odd", lambda v: initialization_scale(1.0, v, 3, 2)),
    ("network.width", 0, lambda v: initialization_scale(1.0, "width", v, 2)),
    ("schedule.ratio", 1.0, lambda v: Schedule.of(10, v)),
    ("schedule.linear", -1, lambda v: Schedule.of(10, 2.0, v)),
    ("solver.iterations", 0, lambda v: Schedule.of(v)),
    ("solver.lr", 0.0, lambda v: Fused(v)),
    ("solver.batch_size", 0, lambda v: SGD(0.1, v)),
    ("solver.rtol", 1.0, lambda v: Flow(0.1, v)),
    ("solver.method", "euler", lambda v: Flow(0.1, 1e-6, v)),
]


@pytest.mark.parametrize(("key", "value", "make"), LIMITS, ids=[case[0] for case in LIMITS])
def test_from_python_the_limits_are_those_of_the_configuration(key, value, make):
    with pytest.raises(InvalidInput) as caught:
        make(value)
    assert str(caught.value) == line_of(nested(key, value))


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (lambda: orthonormal([1.0, 0.0]), {"name": "orthonormal", "labels": [1.0, 0.0]}),
        (lambda: orthonormal([1.0], norms=[-1.0]), {"name": "orthonormal", "labels": [1.0], "norms": [-1.0]}),
        (lambda: gaussian_teacher(d=0), {"name": "gaussian_teacher", "d": 0}),
        (lambda: gaussian_teacher(seed=2**64), {"name": "gaussian_teacher", "seed": 2**64}),
    ],
)
def test_data_made_from_python_has_the_limits_of_the_configuration(make, values):
    with pytest.raises(InvalidInput) as caught:
        make()
    assert str(caught.value) == line_of({"data": values})


def test_help_explains_every_key_with_default_meaning_and_what_is_allowed():
    text = " ".join(reference.as_help().split())
    for group in reference.groups():
        for name, description in group.choices.items():
            assert f"{group.name}={name}" in text or f"{name} (default)" in text or f", {name}" in text
            assert " ".join(description.split()) in text
        for key in group.keys:
            start = text.index(f"{key.name}={key.default} ")
            assert f"Allowed: {key.allowed}." in text[start:] and key.meaning in text and key.unit in text
            assert len(key.meaning.split()) >= 2 or key.name in ("data.path", "network.activation")


def test_help_names_every_key_that_the_command_line_has():
    text = reference.as_help()
    for group, choices in presets().items():
        for values in choices.values():
            for key in values:
                assert f"{group}.{key}" in text
    for key in RunConfig().to_dict():
        assert f"\n  {key}=" in text or key in presets()


def test_the_defaults_in_the_help_are_those_of_the_options():
    for group in reference.groups():
        for key in group.keys:
            only = re.match(rf"{group.name}=(\w+): ", key.meaning)
            values: Any = RunConfig.of({group.name: {"name": only[1]}} if only else {}).to_dict()
            for part in key.name.split("."):
                values = values[part]
            assert reference.value(values) == key.default


def test_the_reference_in_conf_is_up_to_date():
    written = (reference.CONF / "README.md").read_text(encoding="utf-8")
    assert written == reference.as_markdown(), "run python -m gfflow.reference > conf/README.md"


@pytest.mark.parametrize("argument", ["--help", "-h", "--version"])
def test_help_and_version_are_quick_and_say_whose_they_are(argument, tmp_path):
    probe = (
        "import sys; from gfflow.commands.train import command; "
        f"sys.argv[1:] = ['{argument}']; command(); "
        "heavy = {'torch', 'lightning', 'tensorboard', 'numba', 'matplotlib', 'scipy', 'numpy'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert out.stdout.startswith("gfflow") and "powered by Hydra" not in out.stdout
    assert out.stdout.splitlines()[-1] == "[]" and list(tmp_path.iterdir()) == []
    if argument == "--version":
        assert out.stdout.splitlines()[0] == f"gfflow {gfflow.__version__}"


def test_help_ends_quietly_where_nobody_reads_on(tmp_path):
    command = f"{sys.executable} {ROOT / 'scripts' / 'train.py'} --help | head -1"
    out = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert out.stderr == "" and out.stdout.startswith("gfflow predicts")


def test_the_version_is_that_of_the_project():
    assert f'version = "{gfflow.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_a_new_data_set_is_one_class(monkeypatch, tmp_path):
    """Registered, it is chosen, checked, explained, made, and known to the command line."""
    monkeypatch.setattr(DATA_SETS, "entries", dict(DATA_SETS.entries))
    monkeypatch.setattr(ConfigStore.instance(), "repo", copy.deepcopy(ConfigStore.instance().repo))

    @DATA_SETS.register("fan")
    @dataclass(frozen=True)
    class Fan(DataOptions):
        """Unit inputs at equal angles."""

        rays: int = option(4, "how many of them", at_least(3), "samples")

        def make(self) -> TrainingSet:
            angles = torch.arange(self.rays, dtype=torch.float64)
            return TrainingSet(torch.stack([angles.cos(), angles.sin()], dim=1), angles.cos())

    store_presets()
    assert composed("data=fan", "data.rays=5").make_data().n == 5
    assert line_of({"data": {"name": "fan", "rays": 2}}) == "data.rays: received 2; allowed: an integer of at least 3"
    assert ", fan" in line_of({"data": {"name": "nothing"}})
    for text in (reference.as_help(), reference.as_markdown()):
        assert "fan" in text and "Unit inputs at equal angles." in text and "data.rays" in text
    assert presets()["data"]["fan"] == {"name": "fan", "rays": 4}


def test_what_cannot_be_explained_cannot_be_registered():
    registry: Registry[DataOptions] = Registry("data")
    with pytest.raises(TypeError, match="a docstring"):

        @registry.register("bare")
        @dataclass(frozen=True)
        class Bare(DataOptions):
            pass

    with pytest.raises(TypeError, match="without a meaning: n"):

        @registry.register("silent")
        @dataclass(frozen=True)
        class Silent(DataOptions):
            """A set."""

            n: int = 3

    with pytest.raises(ValueError, match="registered already"):
        DATA_SETS.register("csv")(DATA_SETS["csv"])


def test_a_default_outside_its_limit_is_found_when_it_is_made():
    @dataclass(frozen=True)
    class Odd(DataOptions):
        """A set."""

        n: int = option(0, "how many", Limit("at least 1", lambda v: v >= 1))

        def make(self) -> TrainingSet:
            raise AssertionError

    with pytest.raises(InvalidInput, match=r"data\.n: received 0"):
        Odd()


def test_no_code_asks_a_solver_for_its_name():
    """What a solver can do are attributes of its class; a comparison with its name would miss the next one."""
    names = set(SOLVERS) - {"auto"}  # that word has other uses
    for path in sorted((ROOT / "gfflow").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                words = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
                assert not words & names, f"{path}:{node.lineno}"
