"""What the notes say about optimizers: every row is there and measured, and the numbers behind the texts are right."""

import math

import numpy as np
import pytest

from charts import optimizers_notes as measured
from charts.notes import notes
from charts.optimizers_notes import MEASURES
from core.averages import INGREDIENTS
from core.escape import WELLS
from core.regression import linear_samples


def ids(text: str) -> list[str]:
    return text.split()


CLAIMS = ids(
    "S6 S16 S99 S100 S105 S109 S148 S149 S150 S151 S152 S153 S154 S155 S156 S157 S158 S214 S260 S309 S310 S311 S312 S313 S314"
)
ERRATA = ids("E44 E45 E47 E67 E68 E69 E70 E71 E72 E110 E161 E162 E163")
QUESTIONS = {"Q12", "Q15", "Q16", "Q43"}


def test_every_row_of_the_notes_is_there_and_measured() -> None:
    found = notes("optimizers")
    assert [entry.id for entry in found.claims] == CLAIMS
    assert [entry.id for entry in found.errata] == ERRATA
    assert {entry.id for entry in found.questions} >= QUESTIONS
    assert list(MEASURES) == [*CLAIMS, *ERRATA]


# Surfaces


def test_the_first_step_off_the_cliff() -> None:
    """With E = exp(−x/4) the loss is 8(1 − E)² + ½y²E; here at (−6, 3), rate 0.5."""
    found, wall = measured.clipped(), math.exp(1.5)
    gx, gy = 4 * wall * (1 - wall) - 9 * wall / 8, 3 * wall
    assert found.norm == pytest.approx(math.hypot(gx, gy))
    assert found.first == pytest.approx((-6 - 0.5 * gx, -6 - 0.5 * gx / found.norm, -5.5), rel=1e-6)
    assert found.turned == pytest.approx(math.degrees(math.atan2(-gx, gy)) - 45)
    assert found.final[0] > 7.9  # the plateau is 8 high
    assert max(found.final[1:]) < 1e-12


def test_steps_across_the_plateau() -> None:
    x, y, height = 16.0, 3.0, []
    for _ in range(200):
        wall = math.exp(-x / 4)
        height.append(8 * (1 - wall) ** 2 + y * y * wall / 2)
        x, y = x - 0.5 * (4 * wall * (1 - wall) - y * y * wall / 8), y - 0.5 * y * wall
    half, end = (next(t for t, f in enumerate(height) if f <= s * height[0]) for s in (0.5, 0.01))
    found = measured.plateau("GD")
    assert (found.half, found.end) == (half, end)
    assert measured.plateau("Adam").end < half / 4


def test_steps_off_a_saddle() -> None:
    found = measured.leaving()
    assert found.theory == math.ceil(math.log(1e6) / math.log(1.2))  # y grows by 1 + 2·0.1
    assert found.steps[0] == found.theory
    assert max(found.steps[2:]) < 10


def test_surfaces_without_a_bend_down() -> None:
    convex = {
        *("Quadratic bowl", "Elongated valley", "Booth", "Matyas"),
        *("Linear regression", "Logistic regression", "AMSGrad's example"),
    }
    found = measured.convexity()
    assert found.by_hessian == found.by_chords == convex


def test_curvature_along_and_between_the_axes() -> None:
    """The two-weight net has the Hessian ((2y², 4xy − 2), (4xy − 2, 2x²))."""
    center = -2 + 4 * (np.arange(32) + 0.5) / 32
    x, y = np.meshgrid(center, center)
    lowest = x * x + y * y - np.hypot(x * x - y * y, 4 * x * y - 2)
    found = measured.axes("Two-weight net")
    assert found.along == pytest.approx(2 * (1 / 16) ** 2)
    assert found.lowest == pytest.approx(lowest.min())
    assert found.share == np.mean(lowest < 0)
    cross, low = measured.mixed()
    assert cross == pytest.approx((0.08 - 4) * math.sin(math.pi / 6) * math.cos(math.pi / 6))
    assert low == pytest.approx(0.08)


def test_the_loss_of_one_weight() -> None:
    """For (σ(wx) − t)² the second derivative is 2x²(σ'² + (σ − t)σ''), for cross-entropy x²σ'; means of five samples."""
    x, t = np.array([-2.0, -1.0, 0.5, 1.0, 2.0]), np.array([0, 0, 0, 1, 1])
    s = 1 / (1 + np.exp(-np.linspace(-6, 6, 1201)[:, None] * x))
    slope = s * (1 - s)
    squared = (2 * x * x * (slope**2 + (s - t) * slope * (1 - 2 * s))).mean(axis=1)
    found = measured.bends("sigmoid")
    assert found.squared == pytest.approx(squared.min(), rel=1e-2)
    assert found.cross_entropy == pytest.approx((x * x * slope).mean(axis=1).min(), rel=0.1)
    assert measured.bends("identity").squared == pytest.approx(2 * np.mean(x * x))


# Small networks


def test_swapped_units_and_the_way_between() -> None:
    found = measured.swapped()
    assert len(found.pair) == 6
    np.testing.assert_allclose(found.loss[:, -1], found.end, rtol=1e-9)
    assert found.end < 0.01
    assert 0 < found.barrier.min() < 1 < found.barrier.max()


def test_narrow_networks_end_badly_however_deep() -> None:
    for hidden in (1, 2, 3):
        assert np.median(measured.final_losses((2,), hidden)) > 0.5
    assert np.median(measured.final_losses((16,), 1)) < 0.05
    medians = np.median(measured.final_losses(measured._WIDTHS, 2), axis=1)
    assert (np.diff(medians) < 0).all()
    assert "has 4 equal copies at width 2 and 1,625,702,400 at 8" in MEASURES["S214"]().text  # (8!)²


def test_wide_networks_move_little_and_fit() -> None:
    fast, slow = measured.lazy(0.5, 100), measured.lazy(0.25, 200)
    moved = np.median(fast.moved, axis=1)
    assert (moved[1:] < moved[:-1] / 2).all()
    assert (np.median(fast.loss, axis=1) < 0.3 * np.median(fast.start, axis=1)).all()
    np.testing.assert_allclose(fast.moved[-1], fast.moved_theory[-1], rtol=0.1)
    np.testing.assert_allclose(np.median(slow.moved, axis=1), moved, rtol=0.05)


# Batches


def line(count: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs with a column of ones, targets and the least-squares line."""
    samples = linear_samples(count)
    inputs = np.stack([samples.x, np.ones(count)], axis=1)
    return inputs, samples.y, np.linalg.lstsq(inputs, samples.y)[0]


def test_gradients_of_single_samples() -> None:
    inputs, y, best = line()
    w = np.array([-1.5, 3.5])
    single = 2 * (inputs @ w - y)[:, None] * inputs
    full, way = single.mean(axis=0), best - w
    found = measured.aims()
    assert found.samples == 64
    assert found.uphill == np.sum(single @ full <= 0)
    assert found.away == np.sum(single @ way >= 0)
    assert math.cos(math.radians(found.angle)) == pytest.approx(
        -full @ way / np.linalg.norm(full) / np.linalg.norm(way)
    )
    epochs = measured.epochs()
    assert epochs.steps == (64, 8, 1)
    assert epochs.apart < 1e-13
    assert epochs.length == pytest.approx(np.linalg.norm(full))
    variance = ((single - full) ** 2).sum(axis=1).mean()
    assert measured._scatter(1, 8, 64) == pytest.approx(
        [math.sqrt(variance), math.sqrt(variance / 8 * 56 / 63), 0]
    )


def test_errors_of_batches_are_those_of_theory() -> None:
    found = measured.errors()
    np.testing.assert_allclose(found.rms[0, :-1], found.rms_theory[0, :-1], rtol=0.1)


@pytest.mark.parametrize("count", [64, 512])
def test_gradients_that_the_full_batch_takes(count: int) -> None:
    """On a quadratic the excess after t steps is Σ ½λ(1 − lr·λ)²ᵗu²."""
    inputs, _, best = line(count)
    values, vectors = np.linalg.eigh(2 * inputs.T @ inputs / count)
    u = vectors.T @ (np.array([-1.5, 3.5]) - best)
    excess = [0.5 * np.sum(values * ((1 - 0.1 * values) ** t * u) ** 2) for t in range(200)]
    steps = next(t for t, e in enumerate(excess) if e <= 0.01 * excess[0])
    assert measured.cost(count, count, 0.1, seeds=1, steps=100) == steps * count
    assert measured.cost(count, count, 0.1, seeds=1, steps=steps - 1) == math.inf
    assert measured.cost(count, 8, 0.1, steps=150) < steps * count / 4


def test_larger_batches_hover_lower() -> None:
    assert 0 < 4 * measured.hovers(8) < measured.hovers(1)


def test_batches_are_random_and_whole() -> None:
    found = measured.drawn()
    assert found.visits == {1}
    assert found.shared < 8
    assert found.apart_full == 0 < found.apart


# Wells


def test_starts_beyond_the_pass_end_in_the_shallow_well() -> None:
    starts = -3.5 + 7 * (np.arange(401) + 0.5) / 401
    assert measured.shallow_share() == np.mean(starts > 0.5)
    assert measured.global_share("Two wells", 0.0) == 14 / 24  # columns of starts with x < ½
    assert measured.global_share("Styblinski–Tang", 0.0) == 0.25
    assert measured.global_share("Two wells", 0.0) < measured.global_share("Two wells", 0.95) < 1
    assert measured.reached_line() == 1


def test_chances_of_noisy_runs() -> None:
    found, out, back = measured.escaped(), measured.carried(False), measured.carried(True)
    error = np.sqrt(out.deep * (1 - out.deep) / found.runs)
    assert (np.abs(found.deep / found.runs - out.deep) <= 4 * error).all()
    assert np.argmax(out.deep) not in (0, len(out.deep) - 1)  # some noise helps most
    assert (back.shallow[1:5] < out.deep[1:5]).all()


def test_momenta_that_pass_and_stay() -> None:
    mu = np.arange(100) / 100
    x, v, beyond = np.full(100, 3.0), np.zeros(100), np.zeros(100, bool)
    for _ in range(3000):
        v = mu * v + 0.3 * (x - 2) * (x + 2) * (x - 0.5)
        x = x - 0.1 * v
        beyond |= x < 0.5
    found = measured.rolled()
    np.testing.assert_array_equal(found.deep, x < 0.5)
    np.testing.assert_array_equal(found.passed, beyond)
    assert found.settled.all()
    assert WELLS.surface.starts[0][0] == 3
    deep = mu[x < 0.5]
    assert f"from {deep.min():.2f} to {deep.max():.2f}; with 0.99, the largest tried, it comes back" in (
        MEASURES["S310"]().text
    )


# Momentum, averages, Adam


def test_moves_with_momentum_by_hand() -> None:
    found = measured.heavy()
    assert max(found.triangle, found.notes, found.weighted) < 1e-13
    # λ = 0.08 and 4, lr 0.05, from (−5, −2): v₁ = g₀, v₂ = 0.9·g₀ + g₁.
    first = 0.05 * np.array([0.4, 8.0])
    second = 0.9 * first - 0.05 * np.array([0.08, 4]) * (np.array([-5.0, -2]) + first)
    np.testing.assert_allclose(found.moves[:2], [first, second], rtol=1e-12)


def test_memory_of_squares() -> None:
    found = measured.squares()
    assert found.apart < 1e-12
    assert found.recent == pytest.approx((1 - 0.9**10, 1 - 0.99**10))


def test_averages_of_noise() -> None:
    assert measured.recursion().apart < 1e-13
    found = measured.scatter(19)
    for got, exact in ((found.raw[-1], math.sqrt(0.1 / 1.9)), (found.simple[-1], math.sqrt(1 / 19))):
        assert got == pytest.approx(exact, rel=4 / math.sqrt(2 * 2000))


def test_the_misplaced_bracket() -> None:
    assert f"at −{80 * (1 - 0.9**20):.1f} after 20 days and tends to −80" in MEASURES["E67"]().text


def test_lengths_of_adam_s_steps() -> None:
    exact = [(1 - 0.9**t) / math.sqrt(1 - 0.999**t) for t in (1, 10, 1000)]
    assert measured.step_lengths("both") == pytest.approx(exact)
    assert exact == pytest.approx([3.16, 6.53, 1.26], abs=5e-3)
    assert measured.step_lengths("both, corrected") == pytest.approx([1, 1, 1])
    own = [sum(0.9**k / math.sqrt(1 - 0.999 ** (t - k)) for k in range(t)) for t in (1, 10, 1000)]
    assert measured.step_lengths("RMSProp with momentum") == pytest.approx(own)


def test_losses_by_ingredients() -> None:
    found = measured.ablation()
    assert set(found) == set(INGREDIENTS)
    left = [0.5 * lam * ((1 - 0.45 * lam) ** 60 * u) ** 2 for lam, u in ((0.08, -5), (4, -2))]
    assert found["GD"] == pytest.approx(sum(left))
