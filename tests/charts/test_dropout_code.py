"""The programs of the Dropout page run, give the numbers of its figure, and hold nothing that they do not use."""

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charts import dropout_code
from charts.dropout_code import programs
from charts.topic import Code
from core.dropout import (
    CONTRIBUTIONS,
    DROPOUT_CONVENTIONS,
    DROPOUT_MODES,
    dropout_layer,
    dropout_moments,
    variance_error,
)
from core.knobs import Value
from tests.golden import dropout_code as source

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "dropout_code.npz")
LAYER = ("p", "inputs", "masks", "seed", "contributions")

every_case = pytest.mark.parametrize("case", source.CASES)


def filled(**changes: Value) -> dict[str, Value]:
    return {**source.BASE, **changes}


def run(program: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(program, "program", "exec"), scope)
    return scope


def expected(values: dict[str, Value]) -> dict[str, list[float]]:
    arguments: dict[str, Any] = {name: values[name] for name in LAYER}
    found = dropout_layer(**arguments)
    parts = np.stack([found.train_mean, found.train_var, found.eval_mean, found.eval_var], axis=1)
    return dict(zip(found.modes, parts.tolist(), strict=True))


def agrees(found: dict[str, Any], values: dict[str, Value]) -> None:
    exact = expected(values)
    assert list(exact) == [mode for mode in found if mode in DROPOUT_MODES]
    for mode, moments in exact.items():
        np.testing.assert_allclose(found[mode], moments, rtol=1e-12, atol=1e-12, err_msg=mode)


def test_two_programs() -> None:
    written = programs(filled())
    assert all(isinstance(p, Code) for p in written)
    assert [p.title for p in written] == ["NumPy: the main figure", "PyTorch: the main figure"]


@pytest.mark.parametrize("kind", CONTRIBUTIONS)
@pytest.mark.parametrize("inputs", [1, 2, 40])
@pytest.mark.parametrize("p", [0.0, 0.35, 1.0])
def test_the_numpy_program_gives_the_numbers_of_the_figure(kind: str, inputs: int, p: float) -> None:
    """Contributions that no snippet draws are a KeyError here."""
    values = filled(contributions=kind, inputs=inputs, p=p, masks=50, seed=11)
    agrees(run(programs(values)[0].text)["moments"], values)


@pytest.mark.parametrize("name", DROPOUT_CONVENTIONS)
def test_a_convention_writes_its_line_and_changes_nothing_else(name: str) -> None:
    rule = DROPOUT_CONVENTIONS[name]
    for plain, own in zip(programs(filled(p=0.2)), programs(filled(p=0.2, convention=name)), strict=True):
        before, after = plain.text.splitlines(), own.text.splitlines()
        changed = [line for line, old in zip(after, before, strict=True) if line != old]
        assert f"# {name}: {rule.call(0.2)}; the row {rule.mode}." in after
        assert len(changed) == (name != "PyTorch")


def test_the_numpy_program_runs_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    values = filled(masks=40, p=0.3)
    file.write_text(programs(values)[0].text, encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()[1:]
    assert [line[:14].strip() for line in lines] == list(DROPOUT_MODES)
    table = np.array([line[14:].split() for line in lines], dtype=float)
    np.testing.assert_allclose(table[:, :4], list(expected(values).values()), atol=1e-9)
    np.testing.assert_allclose(table[:, 4], table[:, 2] / table[:, 0], atol=1e-4)


@every_case
def test_the_program_is_the_one_that_was_run(case: str) -> None:
    """If this fails, the program has changed: run ``python -m tests.golden.make dropout_code`` with PyTorch."""
    assert str(GOLDEN[f"{case}; digest"]) == source.digest(source.text(case))


@every_case
def test_the_pytorch_program_gave_the_numbers_of_the_figure(case: str) -> None:
    values = filled(**source.CASES[case])
    agrees({mode: GOLDEN[f"{case}; {mode}"] for mode in DROPOUT_MODES}, values)


@every_case
def test_pytorch_s_own_dropout_is_inverted(case: str) -> None:
    """Its masks are others, so its moments are within the noise of theirs; evaluation is the whole sum."""
    values: dict[str, Any] = filled(**source.CASES[case])
    mean, var, eval_mean, eval_var = GOLDEN[f"{case}; nn.Dropout"]
    weights = dropout_layer(**{name: values[name] for name in LAYER}).contributions
    exact = dropout_moments(weights, values["p"])
    assert abs(mean - exact.train_mean) <= 4 * np.sqrt(exact.train_var / values["masks"]) + 1e-12
    error = variance_error(exact.train_var, exact.train_cumulant4, values["masks"])
    assert abs(var - exact.train_var) <= 4 * error + 1e-12
    np.testing.assert_allclose((eval_mean, eval_var), (1, 0), atol=1e-12)


def test_the_golden_cases_cover_the_registries() -> None:
    made = [filled(**changes) for changes in source.CASES.values()]
    assert {v["contributions"] for v in made} == set(CONTRIBUTIONS)
    assert {v["convention"] for v in made} == set(DROPOUT_CONVENTIONS)
    assert {0.0, 1.0} < {v["p"] for v in made}


@every_case
def test_only_what_is_used_is_written(case: str) -> None:
    """Every import, function and other name that a program sets is read somewhere in it."""
    for program in programs(filled(**source.CASES[case])):
        nodes = list(ast.walk(ast.parse(program.text)))
        named = (
            a.asname or a.name for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
        )
        defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
        assigned = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        assert {*named, *defined, *assigned} <= read
        # Nothing is divided by p_keep = 0.
        assert ("/ p_keep" in program.text.replace("1 / p_keep is", "")) == (
            filled(**source.CASES[case])["p"] != 1
        )
        assert max(len(line) for line in program.text.splitlines()) <= 100


def test_what_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError):
        programs(filled(contributions='"; import os'))
    with pytest.raises(ValueError, match="convention"):
        programs(filled(convention='"; import os'))
    with pytest.raises(KeyError):
        programs({name: value for name, value in source.BASE.items() if name != "masks"})
    odd = replace(DROPOUT_MODES["Inverted"], train_scale=lambda p: 2 - p)
    monkeypatch.setattr(dropout_code, "DROPOUT_MODES", {"odd": odd})
    with pytest.raises(ValueError, match="scale"):
        programs(filled())
