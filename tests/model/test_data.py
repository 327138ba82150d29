"""Training sets: the paper's own data, CSV files, and what is refused."""

import math
import re
from pathlib import Path

import pytest
import torch

from gfflow.errors import InvalidInput
from gfflow.model.data import TrainingSet, five_points, gaussian_teacher, orthogonal_pair, orthonormal
from gfflow.model.files import from_csv


def test_orthogonal_pair_is_figure_2() -> None:
    data = orthogonal_pair()
    assert data.x.tolist() == [[-0.5, 1.0], [2.0, 1.0]]
    assert data.y.tolist() == [-1.0, 1.0]
    assert data.orthogonality_defect == 0
    assert data.one_dimensional


def test_five_points_have_a_bias_coordinate_and_are_not_orthogonal() -> None:
    data = five_points()
    assert (data.n, data.d) == (5, 2)
    assert data.one_dimensional
    x, y = data.x[:, 0].tolist(), data.y.tolist()
    assert list(zip(x, y, strict=True)) == [(-1.5, 0.7), (-1.0, -0.3), (0.0, -0.3), (0.25, 0.4), (2.0, 0.2)]
    # the largest cosine, pair by pair: of (0, 1) and (0.25, 1)
    cosines = [
        abs(1 + a * b) / math.hypot(1, a) / math.hypot(1, b)
        for i, a in enumerate(x)
        for j, b in enumerate(x)
        if i < j
    ]
    assert data.orthogonality_defect == pytest.approx(max(cosines), rel=1e-14)


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("extra", [0, 3])
def test_orthonormal_inputs_lie_on_the_axes(n: int, extra: int) -> None:
    labels = [(-1.0) ** k * (k + 1) for k in range(n)]
    data = orthonormal(labels, d=n + extra)
    assert torch.equal(data.x, torch.eye(n, n + extra).double())
    assert data.y.tolist() == labels
    assert data.orthogonality_defect == 0
    assert orthonormal(labels).d == n


def test_norms_scale_the_axes_exactly() -> None:
    norms = [1.0, 0.7, 1.3]
    data = orthonormal([1.0, -1.0, 2.0], d=4, norms=norms)
    assert torch.equal(data.gram, torch.diag(torch.tensor(norms, dtype=torch.float64) ** 2))
    assert data.norms.tolist() == norms


@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_rotation_keeps_the_gram_matrix_and_the_orientation(d: int) -> None:
    norms = [1.0 + k for k in range(d)]
    data = orthonormal([1.0] * d, norms=norms, rotation=7)
    expected = torch.diag(torch.tensor(norms, dtype=torch.float64) ** 2)
    assert torch.allclose(data.gram, expected, rtol=0, atol=1e-13)  # products of sizes up to 64
    q = data.x / data.norms[:, None]
    assert float(torch.linalg.det(q)) == pytest.approx(1, abs=1e-13)
    assert torch.equal(data.x, orthonormal([1.0] * d, norms=norms, rotation=7).x)
    if d > 1:
        assert not torch.allclose(data.x, orthonormal([1.0] * d, norms=norms, rotation=8).x)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"labels": []}, "data.labels"),
        ({"labels": [1.0, 0.0]}, "data.labels"),
        ({"labels": [1.0, math.nan]}, "data.labels"),
        ({"labels": [1.0, math.inf]}, "data.labels"),
        ({"labels": [1.0, 2.0], "d": 1}, "data.d"),
        ({"labels": [1.0, 2.0], "norms": [1.0]}, "data.norms"),
        ({"labels": [1.0, 2.0], "norms": [1.0, 0.0]}, "data.norms"),
        ({"labels": [1.0, 2.0], "norms": [1.0, -1.0]}, "data.norms"),
        ({"labels": [1.0, 2.0], "norms": [1.0, math.inf]}, "data.norms"),
    ],
)
def test_orthonormal_refuses_by_name(arguments: dict, key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        orthonormal(**arguments)
    assert caught.value.key == key


def literal_teacher(n: int, d: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The paper's recipe with torch's global generator, which is put back afterwards."""
    before = torch.get_rng_state()
    try:
        torch.manual_seed(seed)
        hidden = torch.nn.Linear(d, width, bias=False)
        torch.nn.init.normal_(hidden.weight, 0.0, 1 / math.sqrt(width * d))
        output = torch.nn.Linear(width, 1, bias=False)
        torch.nn.init.normal_(output.weight, 0.0, 1 / math.sqrt(width))
        x = torch.randn(n, d)
        with torch.no_grad():
            return x, torch.nn.Sequential(hidden, torch.nn.ReLU(), output)(x).squeeze(1)
    finally:
        torch.set_rng_state(before)


@pytest.mark.filterwarnings("ignore:data labels")  # a small teacher can be off on a sample
@pytest.mark.parametrize(("n", "d", "width", "seed"), [(75, 150, 6, 4), (1, 1, 1, 0), (9, 33, 2, 11)])
def test_gaussian_teacher_is_the_literal_recipe(n: int, d: int, width: int, seed: int) -> None:
    x, y = literal_teacher(n, d, width, seed)
    data = gaussian_teacher(n, d, width, seed)
    assert torch.equal(data.x, x.double())
    # the labels are sums of float32 products, and a matrix product may add them in another order
    assert torch.allclose(data.y, y.double(), rtol=0, atol=1e-6)


def test_gaussian_teacher_by_default_is_figure_6_s_data() -> None:
    data = gaussian_teacher()
    positive, negative = data.y > 0, data.y < 0
    # numbers of four digits, computed from the paper's published code
    assert float((data.y[positive] @ data.x[positive] / 75).norm()) == pytest.approx(0.3262, abs=5e-5)
    assert float((data.y[negative] @ data.x[negative] / 75).norm()) == pytest.approx(0.2834, abs=5e-5)


@pytest.mark.filterwarnings("ignore:data labels")
def test_gaussian_teacher_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    gaussian_teacher(3, 2, 2, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("key", "arguments"), [("data.n", (0, 2, 2)), ("data.d", (2, 0, 2))])
def test_gaussian_teacher_refuses_by_name(key: str, arguments: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        gaussian_teacher(*arguments)
    assert caught.value.key == key


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "samples.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_csv_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    data = from_csv(write(tmp_path, " x2, y ,x1\n2,3,1\n\n-2.5e-3,-0.1,1e-2\n"))
    assert data.x.tolist() == [[1.0, 2.0], [1e-2, -2.5e-3]]
    assert data.y.tolist() == [3.0, -0.1]


def test_csv_with_more_than_nine_columns(tmp_path: Path) -> None:
    header = ",".join(f"x{i}" for i in range(1, 13)) + ",y"
    data = from_csv(write(tmp_path, header + "\n" + ",".join(str(i) for i in range(1, 14)) + "\n"))
    assert data.x.tolist() == [[float(i) for i in range(1, 13)]]
    assert data.y.tolist() == [13.0]


def test_csv_bias_is_a_last_coordinate_equal_to_one(tmp_path: Path) -> None:
    data = from_csv(write(tmp_path, "x1,y\n0,1\n-2,-1\n"), bias=True)
    assert data.x.tolist() == [[0.0, 1.0], [-2.0, 1.0]]
    assert data.one_dimensional


def test_csv_keeps_every_digit(tmp_path: Path) -> None:
    value = 0.1 + 2**-54 * 3
    data = from_csv(write(tmp_path, f"x1,y\n{value!r},{-value!r}\n"))
    assert data.x.item() == value
    assert data.y.item() == -value


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    """With a byte order mark and Windows line ends."""
    data = from_csv(write(tmp_path, "x1,y\r\n1,2\r\n", encoding="utf-8-sig"))
    assert (data.x.item(), data.y.item()) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "columns"),
        ("x1,x2\n1,2\n", "columns"),
        ("y\n1\n", "columns"),
        ("x1,x3,y\n1,2,3\n", "columns"),
        ("x1,x1,y\n1,2,3\n", "columns"),
        ("x1,y,z\n1,2,3\n", "columns"),
        ("1,2\n3,4\n", "columns"),
        ("x1,y\n", "no samples"),
        ("x1,y\n1,2\n1,two\n", "line 3"),
        ("x1,y\n1\n", "line 2"),
        ("x1,y\n1,\n", "line 2"),
        ("x1,y\n1,5,2\n", "line 2"),  # a decimal comma is not an entry to be dropped
    ],
)
def test_bad_csv_is_told_in_one_line(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        from_csv(write(tmp_path, text))
    assert caught.value.key == "data.path"
    assert "\n" not in str(caught.value)


def test_csv_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"x1,y\n\xff\xfe,2\n")
    for path in (tmp_path / "missing.csv", tmp_path, tmp_path / "binary.csv"):
        with pytest.raises(InvalidInput, match="readable CSV file"):
            from_csv(path)


@pytest.mark.parametrize("names", ["x1,y", "# x1,y", "# made by hand\n\n#made, twice\nx1,y"])
def test_csv_comments_are_skipped_and_may_hold_the_names(names: str, tmp_path: Path) -> None:
    data = from_csv(write(tmp_path, f"{names}\n1,2\n# between\n 3 ,-4.e0\n  #,\n+.5,1E-3\n"))
    assert data.x.tolist() == [[1.0], [3.0], [0.5]] and data.y.tolist() == [2.0, -4.0, 1e-3]
    with pytest.raises(InvalidInput, match="'two' in line 3, column y, of"):
        from_csv(write(tmp_path, "# of\nx1,y\n1,two\n"))


@pytest.mark.parametrize("cell", ["1_0", "", "two", "0x10", "1 2", "\u0661", "1e", "--1"])
def test_csv_cells_that_are_no_numbers_are_named(cell: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=re.escape(f"{cell!r} in line 2, column x2, of ")):
        from_csv(write(tmp_path, f"x1,x2,y\n1,{cell},3\n"))


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_csv_entries_that_are_not_finite_are_refused(bad: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        from_csv(write(tmp_path, f"x1,y\n{bad},1\n"))
    with pytest.raises(InvalidInput, match="finite"):
        from_csv(write(tmp_path, f"x1,y\n1,{bad}\n"))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.zeros(0, 2), torch.zeros(0)),
        (torch.zeros(2, 0), torch.zeros(2)),
        (torch.ones(2), torch.ones(2)),
        (torch.ones(2, 3), torch.ones(3)),
        (torch.ones(2, 3), torch.ones(2, 1)),
        (torch.tensor([[1.0, math.nan]]), torch.ones(1)),
        (torch.ones(1, 2), torch.tensor([math.inf])),
        (torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.ones(2)),
    ],
)
def test_training_set_that_cannot_be_used_is_refused(x: torch.Tensor, y: torch.Tensor) -> None:
    with pytest.raises(InvalidInput, match="data"):
        TrainingSet(x, y)


def test_zero_label_only_warns() -> None:
    with pytest.warns(UserWarning, match=r"y\[1\] = 0"):
        TrainingSet(torch.eye(2), torch.tensor([1.0, 0.0]))


def test_everything_is_float64() -> None:
    data = TrainingSet(torch.ones(2, 3, dtype=torch.float32), torch.ones(2, dtype=torch.int64))
    assert data.x.dtype == data.y.dtype == data.gram.dtype == torch.float64


@pytest.mark.parametrize(("x", "expected"), [([[2.0, 1.0]], True), ([[1.0, 2.0]], False), ([[2.0, 1.0, 1.0]], False)])
def test_one_dimensional_means_a_number_and_a_bias(x: list, expected: bool) -> None:
    assert TrainingSet(torch.tensor(x), torch.ones(1)).one_dimensional is expected
