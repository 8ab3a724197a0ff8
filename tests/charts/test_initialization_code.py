"""The programs of the Initialization page run, give the numbers of its figure, and hold nothing that they do not use."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from charts.initialization_code import programs
from charts.topic import Code
from core.activations import ACTIVATIONS
from core.initializers import DATA_DEPENDENT, FAMILIES, INITIALIZERS, Initializer
from core.propagation import Propagation, propagate
from tests.golden import initialization_code as source

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "initialization_code.npz")
SMALL = {"depth": 8, "width": 16, "batch": 3, "networks": 2, "seed": 5}

EVERY = (*INITIALIZERS.values(), *DATA_DEPENDENT.values())
TAPER = [40, 31, 25, 16, 12, 9, 21, 30, 33]

entries = pytest.mark.parametrize("entry", EVERY, ids=lambda entry: entry.name)
cases = pytest.mark.parametrize("case", source.CASES)


def both(schemes, activation="ReLU", knobs=None, **sizes) -> tuple[str, str]:
    written = programs(schemes, activation, knobs, **{**SMALL, **sizes})
    return written[0].text, written[1].text


def run(program: str) -> dict:
    scope: dict = {"__name__": "__main__"}
    exec(compile(program, "program", "exec"), scope)
    return scope


def expected(schemes, activation="ReLU", knobs=None, **sizes) -> Propagation:
    sizes = {**SMALL, **sizes}
    seeds = sizes.pop("networks")
    return propagate(
        ACTIVATIONS[activation], schemes, **sizes, seeds=seeds, knobs=knobs, weight_gradients=False
    )


def agrees(found: dict, exact: Propagation, names: list[str]) -> None:
    assert list(found["signal"]) == list(found["gradient"]) == names
    for part, wanted in (("signal", exact.signal_rms), ("gradient", exact.gradient_rms)):
        got = np.stack(list(found[part].values()))
        # Constant weights cancel positive against negative gradients: what is left of a sum is its rounding.
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-13 * wanted.max(axis=-1).min())


def test_two_programs() -> None:
    written = programs((INITIALIZERS["He normal"],), "ReLU", **SMALL)
    assert all(isinstance(p, Code) for p in written)
    assert [p.title for p in written] == ["NumPy", "PyTorch"]


@entries
@pytest.mark.parametrize(("activation", "sigma_b"), [("ReLU", 0.0), ("ReLU", 0.3), ("identity", 0.0)])
def test_the_numpy_program_gives_the_numbers_of_the_figure(
    entry: Initializer, activation: str, sigma_b: float, capsys
) -> None:
    """A scheme of a family that no snippet draws is a KeyError here."""
    found = run(both((entry,), activation, sigma_b=sigma_b)[0])
    agrees(found, expected((entry,), activation, sigma_b=sigma_b), [entry.name])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{entry.name}: ")
    assert [int(line.split()[0]) for line in lines[1:]] == [0, 1, 4, 8]


@entries
@pytest.mark.parametrize("sigma_b", [0.0, 0.3])
def test_the_numpy_program_where_widths_and_scale_of_the_input_differ(
    entry: Initializer, sigma_b: float
) -> None:
    sizes = {"width": TAPER, "input_scale": 2.5, "sigma_b": sigma_b}
    agrees(run(both((entry,), **sizes)[0]), expected((entry,), **sizes), [entry.name])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_numpy_program_follows_every_activation(activation: str) -> None:
    """The knobs at their low ends and at their high ends, three layers: no chaos that enlarges rounding."""
    schemes = tuple(INITIALIZERS[name] for name in ("LeCun normal", "He uniform"))
    for end in ("default", "low", "high"):
        knobs = {knob.name: getattr(knob, end) for knob in ACTIVATIONS[activation].knobs}
        found = run(both(schemes, activation, knobs, sigma_b=0.1, depth=3)[0])
        agrees(found, expected(schemes, activation, knobs, sigma_b=0.1, depth=3), [s.name for s in schemes])


@pytest.mark.parametrize(
    "sizes",
    [
        {"depth": 1, "width": 16, "batch": 1, "networks": 1, "seed": 0},
        {"depth": 50, "width": 64, "batch": 4, "networks": 2, "seed": 0},
        {"depth": 100, "width": 32, "batch": 2, "networks": 1, "seed": 9999},
    ],
)
def test_the_numpy_program_at_other_sizes(sizes: dict[str, int]) -> None:
    """With N(0, 0.01²) at depth 100 the squares of a signal leave float64; the rms does not."""
    names = ["N(0, 1)", "He normal", "Glorot uniform", "N(0, 0.01²)"]
    schemes = tuple(INITIALIZERS[name] for name in names)
    agrees(run(both(schemes, **sizes)[0]), expected(schemes, **sizes), names)


def test_more_layers_and_networks_extend_a_run() -> None:
    scheme = (INITIALIZERS["He normal"],)
    short, long = (run(both(scheme, depth=d, networks=n)[0]) for d, n in ((3, 1), (7, 3)))
    np.testing.assert_array_equal(
        short["signal"]["He normal"][0], long["signal"]["He normal"][0, : short["depth"] + 1]
    )


def test_a_gain_is_written_as_it_is_set() -> None:
    schemes = (INITIALIZERS["custom"].at(gain=1.37),)
    agrees(run(both(schemes, "tanh")[0]), expected(schemes, "tanh"), ["custom"])


def test_standard_deviations_are_written_by_fans() -> None:
    wanted = {
        "He normal": "np.sqrt(2 / m)",
        "He normal (fan_out)": "np.sqrt(2 / n)",
        "LeCun uniform": "np.sqrt(1 / m)",
        "Glorot truncated": "np.sqrt(2 / (m + n))",
        "PyTorch Linear": "np.sqrt(1 / (3 * m))",
        "orthogonal": "np.sqrt(1 / max(m, n))",
        "N(0, 1)": "1.0",
        "N(0, 0.01²)": "0.01",
        "zeros": "0.0",
    }
    program = both(tuple(INITIALIZERS[name] for name in wanted))[0]
    for name, std in wanted.items():
        family = INITIALIZERS[name].family.replace(" ", "_")
        assert f'    "{name}": ({family}, lambda m, n: {std}),' in program
    gained = both((INITIALIZERS["custom"].at(gain=1.37),))[0]
    assert '"custom": (normal, lambda m, n: 1.37 / np.sqrt(m)),' in gained


@pytest.mark.parametrize("gain", [0.05, 0.3, 1 / 3, 1.7, 10.0])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.99])
def test_knobs_of_a_scheme_reach_the_program(gain: float, sparsity: float) -> None:
    schemes = (INITIALIZERS["sparse"].at(sparsity=sparsity, gain=gain), INITIALIZERS["custom"].at(gain=gain))
    agrees(run(both(schemes)[0]), expected(schemes), ["sparse", "custom"])
    fixed = (INITIALIZERS["constant"].at(value=-0.07), INITIALIZERS["fixed spread"].at(std=gain))
    agrees(run(both(fixed, "leaky ReLU")[0]), expected(fixed, "leaky ReLU"), ["constant", "fixed spread"])


@pytest.mark.filterwarnings("ignore:overflow")
def test_an_overflow_ends_in_numbers_that_are_not_finite() -> None:
    found = run(both((INITIALIZERS["N(0, 1)"],), "squared ReLU", depth=14)[0])["signal"]["N(0, 1)"]
    exact = expected((INITIALIZERS["N(0, 1)"],), "squared ReLU", depth=14).signal_rms[0]
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(exact))
    assert not np.isfinite(found[:, -1]).any()


def test_the_numpy_program_runs_as_a_file(tmp_path: Path) -> None:
    """All schemes at once, with warnings as errors; the table holds the rms over all networks."""
    file = tmp_path / "program.py"
    file.write_text(both(EVERY, "GELU", depth=4)[0], encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[::5]] == [entry.name for entry in EVERY]
    exact = expected(EVERY, "GELU", depth=4)
    for k in range(len(EVERY)):
        table = np.array([line.split() for line in lines[5 * k + 1 : 5 * k + 5]], dtype=float)
        np.testing.assert_array_equal(table[:, 0], [0, 1, 2, 4])
        for column, rms in ((1, exact.signal_rms), (2, exact.gradient_rms)):
            pooled = np.sqrt(np.mean(rms[k] ** 2, axis=0))[[0, 1, 2, 4]]
            np.testing.assert_allclose(table[:, column], pooled, rtol=1e-8, atol=1e-15)


def test_every_family_has_a_snippet() -> None:
    program = both(EVERY)[0]
    functions = {node.name for node in ast.walk(ast.parse(program)) if isinstance(node, ast.FunctionDef)}
    assert {family.replace(" ", "_") for family in FAMILIES} <= functions


@cases
def test_the_pytorch_program_is_the_one_that_was_run(case: str) -> None:
    """If this fails, the program has changed: run ``python -m tests.golden.make initialization_code`` with PyTorch."""
    assert str(GOLDEN[f"{case}; digest"]) == source.digest(source.text(case))


@cases
def test_the_pytorch_program_gives_the_numbers_of_the_figure(case: str) -> None:
    schemes, activation, knobs, sizes = source.CASES[case]
    names = [scheme.name for scheme in schemes]
    found = {
        part: dict(zip(names, GOLDEN[f"{case}; {part}"], strict=True)) for part in ("signal", "gradient")
    }
    agrees(found, expected(schemes, activation, knobs, **sizes), names)


def test_the_golden_cases_cover_the_registry() -> None:
    assert source.CASES["all"].schemes == source.CASES["tapered"].schemes == EVERY
    assert set(GOLDEN.files) == {f"{c}; {p}" for c in source.CASES for p in ("digest", "signal", "gradient")}


@pytest.mark.parametrize("name", [entry.name for entry in EVERY])
@pytest.mark.parametrize("activation", ["ReLU", "leaky ReLU", "GELU"])
@pytest.mark.parametrize("sigma_b", [0.0, 0.5])
def test_only_what_is_used_is_written(name: str, activation: str, sigma_b: float) -> None:
    """Every import, function, argument and other name that a program sets is read somewhere in it."""
    entry = next(entry for entry in EVERY if entry.name == name)
    for program in both((entry,), activation, sigma_b=sigma_b, input_scale=1 + sigma_b):
        nodes = list(ast.walk(ast.parse(program)))
        aliases = {a.asname or a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
        assigned = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        assert aliases | defined | assigned <= read
        for function in (n for n in nodes if isinstance(n, ast.FunctionDef)):
            inner = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
            # A matrix that is not random needs no generator; every family is called with one.
            spared = {"rng"} if entry.family in ("constant", "identity") else set()
            assert {a.arg for a in function.args.args} - inner <= spared
        assert ("sigma_b" in program) == ("input_scale" in program) == (sigma_b != 0)
        assert ("mean + std" in program) == (name == "constant")
        assert ("if fit:" in program) == (name == "LSUV")


def test_lines_are_short() -> None:
    for activation in ACTIVATIONS:
        for program in both(EVERY, activation, sigma_b=0.1, input_scale=0.1, width=TAPER * 11):
            assert max(len(line) for line in program.splitlines()) <= 100


def test_without_schemes_the_programs_do_nothing(capsys) -> None:
    scope = run(both(())[0])
    assert scope["signal"] == scope["gradient"] == {}
    assert capsys.readouterr().out == ""
    ast.parse(both(())[1])


def test_what_cannot_be_written_is_refused() -> None:
    he = INITIALIZERS["He normal"]
    with pytest.raises(KeyError):
        programs((he,), '"; import os', **SMALL)
    with pytest.raises(ValueError, match="leaky ReLU has no knob alpha"):
        programs((he,), "leaky ReLU", {"alpha": 1.0}, **SMALL)
    with pytest.raises(ValueError, match="two have one name"):
        programs((he, he), "ReLU", **SMALL)
    with pytest.raises(ValueError, match="x: its standard deviation"):
        programs((Initializer("x", lambda m, n: m**-0.3, "normal", "", ""),), "ReLU", **SMALL)
    with pytest.raises(KeyError, match="other"):
        programs((Initializer("x", he.std, "other", "", ""),), "ReLU", **SMALL)
