"""Paths and names on the command line: taken as they are typed, printed as they can be pasted."""

import io
import os
import shlex
import subprocess
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.table import Table

from gfflow.commands.words import as_typed, command_of, override
from gfflow.printing import SpellingConsole, shell_word, spelt

ODD = [
    "a", "a b", "a=b", "a,b", "x['#", "it's", "back\\", "back\\'q", "große/ü", "a{b}", "end\\\\", "$HOME", "a;b",
    "1e-3", "[1,2]", 'a"b', "tab\tx", "(x)", "*", "a:b", "-x", "a~b", "日本/x", "\\'",
]  # fmt: skip


def read(argument: str):
    """By Hydra's own grammar, as the independent reader."""
    return OverridesParser.create().parse_override(argument).value()


@pytest.mark.parametrize("value", ODD)
def test_what_is_printed_can_be_pasted(value):
    (word,) = shlex.split(override("resume", value))
    assert word.startswith("resume=") and str(read(word)) == value


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("value", ODD)
def test_what_is_printed_can_be_pasted_from_any_encoding(value, encoding, monkeypatch):
    """The shell itself is the reader; letters that the terminal lacks are printed by their bytes."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    printed = f"{override('resume', value)} {shell_word(value)}"
    printed.encode(encoding)  # raises where a letter is lacking
    told = subprocess.run(["bash", "-c", f"printf '%s\\n' {printed}"], capture_output=True, check=True).stdout
    resumed, alone = os.fsdecode(told).splitlines()
    assert str(read(resumed)) == value == alone


@pytest.mark.parametrize("value", [value for value in ODD if value[:1] not in "'\""])
def test_a_path_that_is_there_is_taken_as_it_is_typed(value, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / value).mkdir(parents=True)
    for key in ("data.path", "resume", "hydra.run.dir"):
        (made,) = as_typed([f"{key}={value}"])
        assert read(made) == value


def test_what_hydra_reads_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "my home"))
    given = ["-m", "seed=0,1", "data.path=a.csv,b.csv", "resume=true", "data.labels=[1,2]", "hydra.run.dir=x/${name}"]
    assert as_typed(given) == given
    assert read(as_typed(["data.path=~/x.csv"])[0]) == str(tmp_path / "my home" / "x.csv")
    assert read(as_typed(["name=größe, zwei"])[0]) == "größe, zwei"
    assert as_typed(["solver.lr=a b{"]) == ["solver.lr=a b{"]  # no text: Hydra says what is wrong with it


def test_a_folder_of_runs_is_one_folder_in_a_sweep_too():
    given = ["-m", "seed=0,1", "hydra.sweep.dir=my sweep, [1]"]
    assert read(as_typed(given)[2]) == "my sweep, [1]" and as_typed(given)[:2] == given[:2]


def test_a_run_that_goes_on_needs_no_other_folder(monkeypatch, tmp_path):
    """Hydra makes the folder of hydra.run.dir, by default below the one where the command was typed, which may be
    read-only: of a run that goes on it is its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a, [b]" / ".hydra").mkdir(parents=True)
    (tmp_path / "a, [b]" / ".hydra" / "config.yaml").write_text("")
    (resumed, added) = as_typed(["resume=a, [b]"])
    assert read(resumed) == read(added) == "a, [b]" and added.startswith("hydra.run.dir=")
    (tmp_path / "empty").mkdir()
    for others in (["resume=empty"], ["resume=nowhere"], ["resume=auto"], ["-m", "resume=true"], ["seed=1"]):
        assert as_typed(others) == others


@pytest.mark.parametrize(
    ("called", "said"),
    [
        ("scripts/train.py", "python scripts/report.py"),
        ("/my place/scripts/train.py", "python '/my place/scripts/report.py'"),
        ("/env/bin/gfflow-train", "gfflow-report"),
        ("/env/gfflow/__main__.py", "python -m gfflow report"),
    ],
)
def test_a_command_is_named_as_this_one_was_called(called, said, monkeypatch):
    monkeypatch.setattr(sys, "argv", [called])
    assert command_of("report") == said


def test_letters_that_an_encoding_lacks_are_spelt_before_a_table_is_laid_out():
    """So that its columns stay where they are; letters without a name stay apart from each other."""
    assert spelt("½ Σ ≤ é", "latin-1") == "½ sum <= é" and spelt("aé日", "ascii") == "a\\xe9\\u65e5"
    content = io.BytesIO()
    console = SpellingConsole(file=io.TextIOWrapper(content, "ascii"), width=40)
    table = Table("says", "bound")
    table.add_row("½||θ||² ≤ λ", "[red]≤ 1[/]")
    console.print(table)
    console.file.flush()
    lines = content.getvalue().decode("ascii").splitlines()
    assert any("1/2||theta||^2 <= lambda | <= 1" in line for line in lines) and len(set(map(len, lines))) == 1
