"""The programs of the Optimizers page run, give the numbers of its figure, and hold nothing that they do not use."""

import ast
import importlib.util
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charts.optimizers_base import KNOBS, METHODS, NONE, run
from charts.optimizers_code import _NUMPY_CLIPS, _TORCH_CLIPS, FACTORS, programs
from charts.optimizers_code_formula import WORDS, written
from charts.optimizers_code_rules import RULES
from charts.optimizers_code_surfaces import SURFACE_TEXTS, Text, folded, from_formula, surface_text
from charts.topic import Code
from core.expressions import FUNCTIONS, parse
from core.knobs import Value
from core.optimizers import CONVENTIONS
from core.schedules import SCHEDULES
from core.surfaces import SURFACES
from tests.golden import optimizers_code as source
from tests.golden.optimizers_code import CASES, execute, filled, points, text

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "optimizers_code.npz")

every_case = pytest.mark.parametrize("case", CASES)


def close(found: np.ndarray, exact: np.ndarray, label: str) -> None:
    """Compare to 1e-9; what overflows or has no value does so at the same step, as inf in one form and NaN in another."""
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(np.isfinite(found), finite, err_msg=label)
    np.testing.assert_allclose(found[finite], exact[finite], rtol=1e-9, atol=1e-9, err_msg=label)


def agrees(paths: np.ndarray, values: dict[str, Value]) -> None:
    """Compare points with those of the main figure."""
    exact = run(values)
    assert len(paths) == len(exact)
    for found, (label, descent) in zip(paths, exact.items(), strict=True):
        close(found, descent.path, label)


def test_nothing_is_left_out() -> None:
    """A method, surface, schedule, function or way to clip without a text would be a KeyError on the page."""
    assert list(RULES) == list(METHODS)
    assert list(SURFACE_TEXTS) == list(SURFACES)
    assert list(FACTORS) == list(SCHEDULES)
    assert set(WORDS) == set(FUNCTIONS)
    assert set(_NUMPY_CLIPS) == set(_TORCH_CLIPS) == set(KNOBS["clip"].choices)


def test_two_programs() -> None:
    made = programs(filled({}))
    assert all(isinstance(p, Code) for p in made)
    assert [p.title for p in made] == ["NumPy", "PyTorch"]


# NumPy


@every_case
def test_the_numpy_program_gives_the_numbers_of_the_figure(case: str) -> None:
    values = filled(CASES[case])
    found = execute(text(case, "NumPy"))
    exact = run(values)
    assert list(found["paths"]) == list(found["losses"]) == list(exact)
    agrees(points(found), values)
    for label, losses in found["losses"].items():
        close(np.asarray(losses), exact[label].value, label)


def test_the_cases_move_every_knob_of_every_method() -> None:
    for convention in CONVENTIONS:
        made = [filled(case) for case in CASES.values() if case.get("convention", "PyTorch") == convention]
        for name, entry in METHODS.items():
            for knob in entry.knobs:
                if knob.name != "lr":
                    assert any(
                        name in v["optimizers"] and v[source.own(name, knob.name)] != knob.default  # type: ignore[operator]
                        for v in made
                    ), (name, knob.name)
    assert {v["clip"] for v in map(filled, CASES.values())} == {NONE, "norm", "value"}


@pytest.mark.parametrize(("surface", "steps"), [("Styblinski–Tang", 23), ("Saddle", 10), ("Saddle", 1)])
def test_the_table_has_every_tenth_step(surface: str, steps: int, tmp_path: Path) -> None:
    """As a file, alone; f − f* where there is an f*, otherwise f."""
    file = tmp_path / "program.py"
    values = filled({"surface": surface, "steps": steps, "optimizers": ("GD", "Adam")})
    file.write_text(programs(values)[0].text, encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    title, head, *lines = done.stdout.splitlines()
    assert title == ("f - f*" if surface == "Styblinski–Tang" else "f")
    assert head.split() == ["step", "GD", "Adam"]
    table = np.array([line.split() for line in lines], dtype=float)
    shown = sorted({*range(0, steps + 1, 10), steps})
    assert table[:, 0].tolist() == shown
    lowest = SURFACES[surface].infimum or 0.0
    wanted = [[descent.value[t] - lowest for descent in run(values).values()] for t in shown]
    np.testing.assert_allclose(table[:, 1:], wanted, rtol=1e-6, atol=1e-9)


# PyTorch


@every_case
def test_the_program_is_the_one_that_was_run(case: str) -> None:
    """If this fails, the program has changed: run ``python -m tests.golden.make optimizers_code`` with PyTorch."""
    assert str(GOLDEN[f"{case}; digest"]) == source.digest(text(case))


@every_case
def test_the_pytorch_program_gave_the_numbers_of_the_figure(case: str) -> None:
    agrees(GOLDEN[f"{case}; paths"], filled(CASES[case]))


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
@every_case
def test_the_pytorch_program_runs(case: str) -> None:
    agrees(points(execute(text(case))), filled(CASES[case]))


def by_hand(values: dict[str, Value]) -> set[str]:
    """Return the labels of the methods that the PyTorch program writes itself."""
    lines = programs(values)[1].text.splitlines()
    return {line.split('"')[1] for line in lines if re.match(r'    ".*": lambda params: ByHand', line)}


def test_torch_optim_is_used_where_it_has_the_formula() -> None:
    """With PyTorch's formulas these are the entries with a line; a setting that the line lacks is written out."""
    names = tuple(METHODS)
    for some in (names[:8], names[8:16], names[16:]):
        assert by_hand(filled({"optimizers": some})) == {n for n in some if not METHODS[n].torch}
    for given in ({"adam_bias_correction": False}, {"adam_eps": 0.0}, {"convention": "Keras"}):
        assert by_hand(filled({"optimizers": ("Adam", "GD"), **given})) == {"Adam"}
    # Keras' decay is apart from the gradient, but only where there is any.
    keras = filled({"optimizers": ("AdaDelta",), "convention": "Keras"})
    assert by_hand(keras) == set()
    assert by_hand({**keras, "adadelta_weight_decay": 0.1}) == {"AdaDelta"}


def test_a_line_of_torch_optim_says_what_differs_from_pytorch() -> None:
    values = filled({
        "optimizers": ("GD", "Momentum", "Nesterov", "Adam", "AMSGrad", "L-BFGS"), "adam_beta1": 0.0, "gd_lr": 1e-5,
    })  # fmt: skip
    program = programs(values)[1].text
    for line in (
        '"GD": lambda params: torch.optim.SGD(params, lr=1e-5),',
        '"Momentum": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9),',
        '"Nesterov": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9, nesterov=True),',
        '"Adam": lambda params: torch.optim.Adam(params, lr=0.3, betas=(0.0, 0.999)),',
        '"AMSGrad": lambda params: torch.optim.Adam(params, lr=0.3, amsgrad=True),',
        "history_size=10",
    ):
        assert line in program


# Both


@every_case
def test_only_what_is_used_is_written(case: str) -> None:
    """Every import, function and other name that a program sets is read somewhere in it; no line is too long."""
    for title in ("NumPy", "PyTorch"):
        program = text(case, title)
        nodes = list(ast.walk(ast.parse(program)))
        named = (a.asname or a.name for n in nodes if isinstance(n, ast.Import) for a in n.names)
        functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        methods = {
            m.name
            for n in functions
            if isinstance(n, ast.ClassDef)
            for m in n.body
            if isinstance(m, ast.FunctionDef)
        }
        assigned = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        assert {*named, *(n.name for n in functions), *assigned} - methods - {"_"} <= read
        assert max(map(len, program.splitlines())) <= 100
        # Settings of a rule: each is read, and no other is handed over.
        for update in functions:
            if isinstance(update, ast.FunctionDef) and [a.arg for a in update.args.args][1:4] == [
                "g",
                "state",
                "t",
            ]:
                inner = {
                    n.id for n in ast.walk(update) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
                }
                assert {a.arg for a in update.args.args[4:]} <= inner


def test_a_second_run_has_a_function_of_its_own_only_for_another_formula() -> None:
    assert text("twin", "NumPy").count("def adam") == 1
    assert text("another twin", "NumPy").count("def adam") == 2


def test_what_is_off_is_not_written() -> None:
    """The default program has no weight decay, noise, clipping, schedule or Hessian; each comes with its knob."""
    for given, word in (
        ({"adam_weight_decay": 0.1}, "weight_decay"),
        ({"noise": 0.1}, "rng"),
        ({"clip": "norm"}, "most"),
        ({"schedule": "step"}, "schedule"),
        ({"optimizers": ("Newton",)}, "hessian"),
    ):
        for before, after in zip(programs(filled({})), programs(filled(given)), strict=True):
            assert word not in before.text
            assert word in after.text


@pytest.mark.parametrize("name", ["surface", "convention", "schedule", "twin", "clip"])
def test_what_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        programs({**filled({}), name: '"; import os'})


def test_a_formula_is_parsed_not_pasted() -> None:
    with pytest.raises(ValueError, match="not part of a formula"):
        programs({**filled({}), "surface": source.OWN, "formula": "__import__('os')"})
    with pytest.raises(ValueError):
        from_formula("x; y")


# Surfaces and formulas


def functions(text: Text, doc: str = "A surface.") -> dict[str, Any]:
    """Run a surface's text and return its functions."""
    parts = ["import math", "import numpy as np", *text.setup, *text.numpy_functions(doc, "Its slope.", True)]
    scope: dict[str, Any] = {}
    exec("\n".join(parts), scope)
    return scope


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_s_text_is_the_surface(name: str) -> None:
    """At random points, at its starts and at its stationary points, cusps included."""
    surface = SURFACES[name]
    low_x, high_x, low_y, high_y = surface.window
    some = np.random.default_rng(0).uniform((low_x, low_y), (high_x, high_y), (12, 2))
    listed = [point.point for point in surface.stationary[:9]]
    knobs: list[dict[str, float]] = [{knob.name: float(knob.default) for knob in surface.knobs}]  # type: ignore[arg-type]
    knobs += [{**knobs[0], "theta": 30.0}, {**knobs[0], "kappa": 1.0, "theta": 90.0}] if surface.knobs else []
    for settings in knobs:
        scope = functions(surface_text(name, settings))
        for t, w in enumerate([*some, *np.array(surface.starts), *np.array(listed).reshape(-1, 2)], 1):
            slope = surface.online(w, t) if surface.online else surface.grad(w, **settings)
            found = scope["gradient"](w, t) if surface.online else scope["gradient"](w)
            close = {"rtol": 1e-12, "atol": 1e-12}
            np.testing.assert_allclose(scope["f"](w), surface.f(w, **settings), **close)
            np.testing.assert_allclose(found, slope, rtol=1e-11, atol=1e-11)
            np.testing.assert_allclose(
                scope["hessian"](w), surface.hessian(w, **settings), rtol=1e-10, atol=1e-10
            )


def test_the_samples_are_those_of_the_surfaces() -> None:
    for name, surface in SURFACES.items():
        if surface.samples is not None:
            scope = functions(surface_text(name, {}))
            np.testing.assert_array_equal(scope["inputs"], surface.samples.x)
            np.testing.assert_array_equal(scope["targets"], surface.samples.y)


_ARGUMENTS = {"hypot": "x, y^2 - 2", "max": "x, y, x*y, 1", "min": "x, 0.3, y"}
_EVERYWHERE = tuple(f"{name}({_ARGUMENTS.get(name, '0.3x*y - 0.2')})" for name in FUNCTIONS)


@pytest.mark.parametrize(
    "formula",
    [
        *_EVERYWHERE, *source.FORMULAS, "0", "x", "-x + 2y", "2x^3*y^2/(x*y - 9) - -y^-2", "(x + 1)^(y + 2)", "x^pi - e^x",
        "x^(1/3)", "(-8)^(1/3) + x", "y*(1/0)", "x^0 + y^1 + 0*x", "1e300*x*1e300", "x - (y - (x - y^2)^3)",
        "-(x - y)*-(x + y)/-3", "2^-x^2", "(x^2)^3 + (x^-2)^2", "max(log(x), y)", "exp(-(x^2 + y^2))*sin(3x)", "10^400",
    ],
)  # fmt: skip
def test_a_formula_s_text_is_the_formula(formula: str) -> None:
    """With its slopes and second derivatives, where it has a value and where it has none."""
    exact, made = parse(formula), from_formula(formula)
    scope = functions(made)
    for w in np.random.default_rng(1).uniform(-2, 2, (12, 2)):
        with np.errstate(all="ignore"):
            f, slope, bend = (np.asarray(scope[name](w), float) for name in ("f", "gradient", "hessian"))
        np.testing.assert_allclose(f, exact.f(w), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(slope, exact.grad(w), rtol=1e-10, atol=1e-10)
        if not np.isnan(f):
            np.testing.assert_allclose(bend, exact.hessian(w), rtol=1e-9, atol=1e-9)


def test_derivatives_are_written_as_by_hand() -> None:
    assert written("x^4 + y^4 - 4xy").slopes == ("4 * x**3 - 4 * y", "4 * y**3 - 4 * x")
    assert written("(1 - x*y)^2").slopes == ("-2 * (1 - x * y) * y", "-2 * (1 - x * y) * x")
    assert written("x^3 - 3x*y^2").bends == ("6 * x", "-6 * y", "-6 * x")
    assert written("10cos(2pi*x)").slopes == ("-20 * np.pi * np.sin(2 * np.pi * x)", "0")


def test_a_long_slope_is_taken_by_differences() -> None:
    formula = "*".join(["(1 + sin(x*y)^2)"] * 8)
    made = from_formula(formula)
    assert "differences" in made.gradient[0]
    w, exact = np.array([0.4, 0.7]), parse(formula)
    scope = functions(made)
    np.testing.assert_allclose(scope["gradient"](w), exact.grad(w), rtol=1e-6)
    np.testing.assert_allclose(scope["hessian"](w), exact.hessian(w), rtol=1e-3)


@pytest.mark.parametrize(
    "statement",
    [
        "return " + " + ".join(f"{i} * long_name_{i}" for i in range(12)),
        f"return call(first, [{', '.join(str(10**9 + i) for i in range(12))}], second={math.pi})",
        "return np.array([" + ", ".join(["1 + " * 12 + "x"] * 2) + "])",
    ],
)
def test_a_folded_line_is_short_and_means_the_same(statement: str) -> None:
    text = folded(statement, 4)
    assert max(map(len, text.splitlines())) <= 100
    assert len(text.splitlines()) > 2
    inside = [f"def f():\n    {part}" for part in (statement, text)]
    assert ast.dump(ast.parse(inside[0])) == ast.dump(ast.parse(inside[1]))
