"""The programs of the BatchNorm page run, give the numbers of its figure, and hold nothing that they do not use."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charts.batchnorm_code import programs
from charts.topic import Code
from core.batch_stream import DRIFTS, SOURCES, BatchStream, stream_batches
from core.knobs import Value
from core.normalization import BATCHNORM_CONVENTIONS
from tests.golden import batchnorm_code as source

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "batchnorm_code.npz")
OWN = ("weight", "cumulative")  # values that are no argument of the stream by their own name

every_case = pytest.mark.parametrize("case", source.CASES)
frameworks = pytest.mark.parametrize("title", source.FRAMEWORKS)


def filled(**changes: Value) -> dict[str, Value]:
    return {**source.BASE, **changes}


def run(program: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(program, "program", "exec"), scope)
    return scope


def expected(values: dict[str, Value]) -> BatchStream:
    arguments: dict[str, Any] = {name: value for name, value in values.items() if name not in OWN}
    rule = BATCHNORM_CONVENTIONS[arguments["convention"]]
    momentum = None if values["cumulative"] else rule.momentum_of(float(values["weight"]))  # type: ignore[arg-type]
    return stream_batches(**arguments, momentum=momentum)


def agrees(found: dict[str, Any], values: dict[str, Value], digits: float) -> None:
    exact = expected(values)
    for part in source.PARTS:
        np.testing.assert_allclose(found[part], getattr(exact, part), rtol=digits, atol=digits, err_msg=part)


def test_three_programs() -> None:
    written = programs(filled())
    assert all(isinstance(p, Code) for p in written)
    assert [p.title for p in written] == ["NumPy", "PyTorch", "Keras"]


@pytest.mark.parametrize("origin", SOURCES)
@pytest.mark.parametrize("drift", DRIFTS)
def test_the_numpy_program_follows_every_feature(origin: str, drift: str) -> None:
    """A source or drift that no snippet draws is a KeyError here."""
    values = filled(source=origin, drift=drift)
    agrees(run(programs(values)[0].text), values, 1e-12)


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
@pytest.mark.parametrize("batch_size", [1, 2, 9])
@pytest.mark.parametrize("in_batch", [True, False])
def test_the_numpy_program_follows_every_convention(convention: str, batch_size: int, in_batch: bool) -> None:
    values = filled(
        convention=convention, batch_size=batch_size, in_batch=in_batch, gamma=-1.5, beta=0.25, weight=0.3, eps=1e-3,
        running_mean=2.0, running_var=0.0, probe=-4.5, seed=7,
    )  # fmt: skip
    agrees(run(programs(values)[0].text), values, 1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("cumulative", [True, False])
def test_the_weight_of_the_new_batch(weight: float, cumulative: bool) -> None:
    values = filled(weight=weight, cumulative=cumulative)
    program = programs(values)[0].text
    agrees(run(program), values, 1e-12)
    assert ("a = 1 / t" in program) == cumulative


def test_a_convention_without_a_cumulative_average_keeps_its_weight() -> None:
    texts = [p.text for p in programs(filled(convention="Keras", cumulative=True))]
    assert texts == [p.text for p in programs(filled(convention="Keras"))]


@pytest.mark.parametrize("steps", [1, 10, 23, 60])
def test_the_table_has_every_tenth_step(steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(programs(filled(steps=steps))[0].text)
    lines = capsys.readouterr().out.splitlines()[1:]
    shown = [int(line.split()[0]) for line in lines]
    assert shown == sorted({1, *range(10, steps + 1, 10), steps})
    wanted = [found[part][t] for part in source.PARTS[:2] for t in shown]
    wanted += [found["train_output"][t - 1] for t in shown] + [found["eval_output"][t] for t in shown]
    table = np.array([line.split()[1:] for line in lines], dtype=float)
    np.testing.assert_allclose(table.T.ravel(), wanted, atol=1e-9)


def test_the_numpy_program_runs_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(programs(filled(source="heavy tails", drift="cycle"))[0].text, encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 5


@frameworks
@every_case
def test_the_program_is_the_one_that_was_run(case: str, title: str) -> None:
    """If this fails, the program has changed: run ``python -m tests.golden.make batchnorm_code`` with PyTorch and Keras."""
    assert str(GOLDEN[f"{title}; {case}; digest"]) == source.digest(source.text(case, title))


@pytest.mark.parametrize(("title", "digits"), [("PyTorch", 1e-12), ("Keras", 3e-6)])
@every_case
def test_the_program_gave_the_numbers_of_the_figure(case: str, title: str, digits: float) -> None:
    """Keras normalizes in 32 bits, and PyTorch refuses a batch of one value."""
    values = filled(**source.CASES[case])
    if title == "PyTorch" and values["batch_size"] == 1:
        assert "Expected more than 1 value per channel when training" in str(
            GOLDEN[f"{title}; {case}; refusal"]
        )
        return
    agrees({part: GOLDEN[f"{title}; {case}; {part}"] for part in source.PARTS}, values, digits)


def test_the_golden_cases_cover_the_registries() -> None:
    made = [filled(**changes) for changes in source.CASES.values()]
    assert {v["source"] for v in made} == set(SOURCES)
    assert {v["drift"] for v in made} == set(DRIFTS)
    assert {v["convention"] for v in made} == set(BATCHNORM_CONVENTIONS)


@every_case
def test_only_what_is_used_is_written(case: str) -> None:
    """Every import, function and other name that a program sets is read somewhere in it."""
    values = filled(**source.CASES[case])
    for program in programs(values):
        nodes = list(ast.walk(ast.parse(program.text)))
        named = (
            a.asname or a.name for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
        )
        defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
        assigned = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        # The program that ends with PyTorch's refusal draws a single batch.
        spared = {"steps"} if program.title == "PyTorch" and values["batch_size"] == 1 else set()
        assert {*named, *defined, *assigned} - spared <= read
        for name in ("shift", "factor", "amplitude", "outlier", "block"):
            read_by = {*SOURCES[str(values["source"])].settings, *DRIFTS[str(values["drift"])].settings}
            assert (name in assigned) == (name in read_by)
        assert max(len(line) for line in program.text.splitlines()) <= 100


def test_what_cannot_be_written_is_refused() -> None:
    for name in ("source", "drift", "convention"):
        with pytest.raises(KeyError):
            programs(filled(**{name: '"; import os'}))
    with pytest.raises(KeyError):
        programs({name: value for name, value in source.BASE.items() if name != "eps"})
