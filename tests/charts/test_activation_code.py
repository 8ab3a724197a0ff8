"""The programs run, give the page's numbers, and hold nothing that they do not use."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from charts.activation_code import programs
from charts.topic import Code
from core.activations import ACTIVATIONS, Activation
from tests.golden import activation_code as source

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "activation_code.npz")
GRID = np.round(np.arange(-6, 6.025, 0.05), 10)

# What PyTorch rounds: softplus is linear for βz > 20, which moves value and slope by up to e^(−20); in float32 are
# the 1/6 of hard sigmoid's slope, and the α of CELU's, which moves it by up to 2^(−24)·max u·e^(−u).
ROUNDED = {
    ("softplus", "value"): 2.1e-9,
    ("softplus", "slope"): 2.1e-9,
    ("hard sigmoid", "slope"): 5e-9,
    ("CELU", "slope"): 2.2e-8,
}

entries = pytest.mark.parametrize("entry", ACTIVATIONS.values(), ids=lambda a: a.name)
cases = pytest.mark.parametrize("case", source.CASES)


def texts(names, settings=None, weight: float = 1.0, grid: np.ndarray = GRID) -> dict[str, str]:
    return {p.title: p.text for p in programs(names, settings or {}, weight, grid)}


def both(names, settings=None, weight: float = 1.0) -> tuple[str, str]:
    written = texts(names, settings, weight)
    return written["NumPy"], written["PyTorch"]


def run(program: str) -> dict:
    scope: dict = {"__name__": "__main__"}
    exec(compile(program, "program", "exec"), scope)
    return scope


def knob_settings(entry: Activation) -> list[dict[str, float]]:
    """Defaults, all knobs at their low ends, and all at their high ends."""
    ends = [{knob.name: getattr(knob, end) for knob in entry.knobs} for end in ("low", "high")]
    return [{}, *ends] if entry.knobs else [{}]


def error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.max(np.abs(found - exact) / np.maximum(1, np.abs(exact))))


def test_two_programs() -> None:
    written = programs(("ReLU",), {}, 1.0, GRID)
    assert all(isinstance(p, Code) for p in written)
    assert [p.title for p in written] == ["NumPy", "PyTorch"]


@entries
@pytest.mark.parametrize("weight", [0.1, 1.0, 2.5, 10.0])
def test_the_numpy_program_gives_the_numbers_of_the_page(entry: Activation, weight: float, capsys) -> None:
    for knobs in knob_settings(entry):
        scope = run(texts((entry.name,), {entry.name: knobs}, weight)["NumPy"])
        np.testing.assert_array_equal(scope["z"], GRID)
        assert error(scope["value"][entry.name], entry.f(weight * GRID, **knobs)) <= 1e-12
        assert error(scope["slope"][entry.name], weight * entry.df(weight * GRID, **knobs)) <= 1e-12
        assert set(scope["value"]) == set(scope["slope"]) == {entry.name}
        assert capsys.readouterr().out.count("\n") == 6


def test_the_numpy_program_runs_as_a_file(tmp_path: Path) -> None:
    """All 28 at once, with warnings as errors; the table names each and lists five points of it."""
    file = tmp_path / "program.py"
    file.write_text(texts(tuple(ACTIVATIONS), {}, 2.5)["NumPy"], encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[::6]] == list(ACTIVATIONS)
    table = {
        name: [line.split() for line in lines[6 * i + 1 : 6 * i + 6]] for i, name in enumerate(ACTIVATIONS)
    }
    for name, entry in ACTIVATIONS.items():
        z = np.array([float(row[0]) for row in table[name]])
        np.testing.assert_array_equal(z, [-3, -1, 0, 1, 3])
        np.testing.assert_allclose([float(r[1]) for r in table[name]], entry.f(2.5 * z), rtol=0, atol=6e-11)
        np.testing.assert_allclose(
            [float(r[2]) for r in table[name]], 2.5 * entry.df(2.5 * z), rtol=0, atol=6e-11
        )


@cases
def test_the_pytorch_program_is_the_one_that_was_run(case: str) -> None:
    """If this fails, the program has changed: run ``python -m tests.golden.make activation_code`` with PyTorch."""
    assert str(GOLDEN[f"{case}; digest"]) == source.digest(source.text(case))


@cases
def test_the_pytorch_program_gives_the_numbers_of_the_page(case: str) -> None:
    names, settings, weight = source.CASES[case]
    z = GRID[:: source.STRIDE]
    shape = (len(names), len(z))
    assert GOLDEN[f"{case}; value"].shape == GOLDEN[f"{case}; slope"].shape == shape
    for i, name in enumerate(names):
        entry, knobs = ACTIVATIONS[name], settings.get(name, {})
        exact = {"value": entry.f(weight * z, **knobs), "slope": weight * entry.df(weight * z, **knobs)}
        for part, values in exact.items():
            tolerance = ROUNDED.get((name, part), 0) * max(weight, 1) + 1e-12
            assert error(GOLDEN[f"{case}; {part}"][i], values) <= tolerance, (name, part)


def test_no_exception_is_made_for_nothing() -> None:
    z = GRID[:: source.STRIDE]
    for name, part in ROUNDED:
        worst = 0.0
        for case, (names, settings, weight) in source.CASES.items():
            if name in names:
                entry, knobs = ACTIVATIONS[name], settings.get(name, {})
                exact = {
                    "value": entry.f(weight * z, **knobs),
                    "slope": weight * entry.df(weight * z, **knobs),
                }
                worst = max(worst, error(GOLDEN[f"{case}; {part}"][names.index(name)], exact[part]))
        assert worst > 1e-12, (name, part)


def test_the_golden_cases_cover_the_registry_and_its_settings() -> None:
    assert set(source.CASES["all"][0]) == set(ACTIVATIONS)
    assert {weight for _, _, weight in source.CASES.values()} >= {0.1, 1.0, 2.5, 10.0}
    np.testing.assert_array_equal(source.GRID, GRID)
    expected = {f"{case}; {part}" for case in source.CASES for part in ("digest", "value", "slope")}
    assert set(GOLDEN.files) == expected | {"approximate=tanh"}


def test_the_tanh_form_is_pytorchs_at_the_default_constant() -> None:
    z, entry = GRID[:: source.STRIDE], ACTIVATIONS["GELU (tanh)"]
    value, slope = GOLDEN["approximate=tanh"]
    assert error(entry.f(z), value) <= 1e-14
    assert error(entry.df(z), slope) <= 1e-14
    assert error(entry.f(z, cubic=0.044175), value) > 1e-4


@entries
def test_only_what_is_used_is_written(entry: Activation) -> None:
    """Every import, every argument and every other name that a program sets is read somewhere in it."""
    for knobs in knob_settings(entry):
        for weight in (1.0, 2.5):
            for program in both((entry.name,), {entry.name: knobs}, weight):
                tree = ast.parse(program)
                nodes = list(ast.walk(tree))
                imported = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
                aliases = {a.asname or a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
                defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
                assigned = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
                read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
                assert imported <= {"math", "numpy", "torch"}
                assert aliases | defined | assigned - {"f", "df"} <= read
                for function in (n for n in nodes if isinstance(n, ast.FunctionDef)):
                    inner = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
                    assert {a.arg for a in function.args.args} <= inner
                assert ("erf" in read) == (entry.name == "GELU" and "numpy" in imported)


def test_a_weight_of_1_leaves_no_trace() -> None:
    for program in both(("sigmoid", "leaky ReLU")):
        assert "w *" not in program
        assert "1.0 *" not in program
        assert "w =" not in program
    for program in both(("sigmoid",), {}, 4.0):
        assert "w = 4.0" in program


def test_settings_become_keyword_defaults() -> None:
    for program in both(("leaky ReLU", "ELU"), {"leaky ReLU": {"slope": np.float64(0.2)}}):
        assert "def leaky_relu(z, slope=0.2):" in program
        assert "def elu(z, alpha=1.0):" in program
        assert "float64(" not in program


def test_identifiers_are_distinct() -> None:
    for program in both(tuple(ACTIVATIONS)):
        names = [n.name for n in ast.walk(ast.parse(program)) if isinstance(n, ast.FunctionDef)]
        assert len(names) == len(set(names))
        assert "hard_sigmoid_onnx" in names


@pytest.mark.parametrize("entry", [a for a in ACTIVATIONS.values() if a.convention], ids=lambda a: a.name)
def test_where_pytorch_differs_stands_in_a_comment(entry: Activation) -> None:
    program = texts((entry.name,))["PyTorch"]
    comments = [
        line.strip().removeprefix("# ") for line in program.splitlines() if line.strip().startswith("#")
    ]
    assert " ".join(comments) == entry.convention


def test_lines_are_short() -> None:
    for knobs in ({}, {name: knob_settings(entry)[-1] for name, entry in ACTIVATIONS.items()}):
        for program in both(tuple(ACTIVATIONS), knobs, 2.5):
            assert max(len(line) for line in program.splitlines()) <= 100


def test_without_functions_the_program_still_runs(capsys) -> None:
    scope = run(texts(())["NumPy"])
    assert scope["value"] == scope["slope"] == {}
    assert capsys.readouterr().out == ""
    ast.parse(texts(())["PyTorch"])


@pytest.mark.parametrize("grid", [np.arange(-4, 5) / 2, np.arange(0, 11) / 10, np.arange(-3.0, 4.0)])
def test_other_grids(grid: np.ndarray) -> None:
    scope = run(texts(("tanh",), grid=grid)["NumPy"])
    np.testing.assert_array_equal(scope["z"], grid)


@pytest.mark.parametrize(
    "grid", [np.array([]), np.array([1.0, 1.0]), np.linspace(0, 1, 12) ** 2, np.array([0.03, 0.05])]
)
def test_a_grid_that_cannot_be_written_is_refused(grid: np.ndarray) -> None:
    with pytest.raises(ValueError, match="grid: needs neighboring multiples"):
        texts(("tanh",), grid=grid)


def test_names_and_knobs_come_from_the_registry() -> None:
    with pytest.raises(KeyError):
        texts(('"); import os',))
    with pytest.raises(ValueError, match="leaky ReLU has no knob alpha"):
        texts(("leaky ReLU",), {"leaky ReLU": {"alpha": 1.0}})
    with pytest.raises(ValueError):
        texts(("leaky ReLU",), {"leaky ReLU": {"slope": "__import__('os')"}})
