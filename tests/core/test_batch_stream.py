"""The stream of batches against its closed forms, by Monte Carlo within 4 standard errors."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from core.batch_stream import (
    DRIFTS,
    SOURCES,
    Changes,
    _gamma_ratio_square,
    _squares,
    cycle_response,
    place_probe,
    probe_distribution,
    running_moments,
    stream_batches,
    stream_batches_theory,
)
from core.normalization import BATCHNORM_CONVENTIONS, RunningStats, normalize, normalize_batch
from core.streams import stream

SEEDS = 400


def arrays(result):
    fields = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    return {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}


def test_defaults():
    run = stream_batches()
    lengths = {name: len(value) for name, value in arrays(run).items()}
    of_batches = {"batch_mean", "batch_var", "train_output", "undefined"}
    assert lengths == {name: 60 if name in of_batches else 61 for name in lengths}
    assert run.eval_output[0] == pytest.approx(8, abs=5e-5)
    np.testing.assert_array_equal(run.true_output, 1.0)
    assert run.eval_output[5] > run.eval_output[20] > 1
    assert abs(run.eval_output[60] - 1) < 0.4
    assert run.first_nonfinite is None
    assert not run.undefined.any()


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
def test_replayed_with_the_layer_itself(convention):
    """The same batches through the two public functions of the layer give the same series."""
    run = stream_batches(
        steps=7, batch_size=5, convention=convention, gamma=2, beta=-1, shift=3, shift_step=4
    )
    rule = BATCHNORM_CONVENTIONS[convention]
    running, probe = RunningStats.start(1), np.array([[8.0]])
    for t in range(1, 8):
        batch = (5 if t <= 4 else 8) + 3 * stream(0, t).standard_normal((5, 1))
        _, running = normalize_batch(batch, 2, -1, running, convention=convention)
        assert run.batch_mean[t - 1] == pytest.approx(batch.mean(), rel=1e-12)
        assert run.batch_var[t - 1] == pytest.approx(batch.var(), rel=1e-12)
        assert run.running_mean[t] == pytest.approx(running.mean[0], rel=1e-12)
        assert run.running_var[t] == pytest.approx(running.var[0], rel=1e-12)
        evaluated = normalize(probe, 2, -1, running, eps=rule.eps)[0, 0]
        assert run.eval_output[t] == pytest.approx(evaluated, rel=1e-12)
        trained = 2 * (8 - batch.mean()) / math.sqrt(batch.var() + rule.eps) - 1
        assert run.train_output[t - 1] == pytest.approx(trained, rel=1e-12)


def test_probe_inside_its_batch():
    run, without = (stream_batches(steps=5, batch_size=6, in_batch=flag) for flag in (True, False))
    for t in range(1, 6):
        batch = 5 + 3 * stream(0, t).standard_normal((6, 1))
        batch[-1] = 8
        y, _ = normalize_batch(batch, 1, 0, RunningStats.start(1))
        assert run.train_output[t - 1] == pytest.approx(y[-1, 0], rel=1e-12)
    for name in set(arrays(run)) - {"train_output"}:
        np.testing.assert_array_equal(getattr(run, name), getattr(without, name))
    alone = stream_batches(steps=5, batch_size=1, beta=0.5, in_batch=True)
    np.testing.assert_array_equal(alone.train_output, 0.5)


def test_probe_feeds_no_statistics():
    near, far = (stream_batches(probe=probe) for probe in (8.0, 1e6))
    for name in ("batch_mean", "batch_var", "running_mean", "running_var"):
        np.testing.assert_array_equal(getattr(near, name), getattr(far, name))


@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
def test_more_steps_extend(convention):
    settings = {"convention": convention, "shift": 3, "shift_step": 10}
    short, long = (arrays(stream_batches(steps=steps, **settings)) for steps in (20, 35))
    for name, values in short.items():
        np.testing.assert_array_equal(values, long[name][: len(values)])


def test_more_placements_extend():
    np.testing.assert_array_equal(place_probe(count=20), place_probe(count=50)[:20])


def test_seeds_differ_and_repeat():
    np.testing.assert_array_equal(stream_batches(seed=3).batch_mean, stream_batches(seed=3).batch_mean)
    assert (stream_batches(seed=3).batch_mean != stream_batches(seed=4).batch_mean).all()


def test_units_do_not_matter():
    """μ and σ move the same draws: in units of σ the batches stay."""
    a, b = stream_batches(mu=0, sigma=1), stream_batches(mu=-40, sigma=7)
    np.testing.assert_allclose(a.batch_mean, (b.batch_mean + 40) / 7, atol=1e-13)
    np.testing.assert_allclose(a.batch_var, b.batch_var / 49, rtol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"momentum": 0.5},
        {"momentum": None},
        {"convention": "Keras", "momentum": 0.9},
        {"convention": "ONNX", "batch_size": 3},
        {"convention": "paper", "shift": 3, "shift_step": 9},
        {"shift": 3, "shift_step": 9, "batch_size": 4},
        {"batch_size": 1, "momentum": 0.3},
        {"batch_size": 1, "convention": "ONNX"},
        {"running_mean": -20, "running_var": 50, "batch_size": 2},
        {"drift": "scale", "factor": 2, "shift_step": 9, "source": "two classes, shuffled", "batch_size": 4},
        {
            "drift": "cycle",
            "amplitude": 4,
            "period": 9,
            "shift_step": 5,
            "source": "two classes, sorted",
            "block": 4,
        },
        {
            "drift": "outlier",
            "outlier": 3,
            "outlier_step": 9,
            "source": "two classes, shuffled",
            "batch_size": 3,
        },
        {"drift": "outlier", "outlier": -2, "outlier_step": 9, "momentum": None, "batch_size": 2},
    ],
    ids=str,
)
def test_running_statistics_against_theory(settings):
    settings = {"steps": 14, **settings}
    runs = [stream_batches(seed=seed, **settings) for seed in range(SEEDS)]
    theory = stream_batches_theory(**settings)
    for name in ("running_mean", "running_var"):
        samples = np.stack([getattr(run, name) for run in runs])
        expected, std = getattr(theory, name), getattr(theory, f"{name}_std")
        assert expected.shape == std.shape == (15,)
        np.testing.assert_array_less(np.abs(samples.mean(0) - expected), 4 * std / math.sqrt(SEEDS) + 1e-9)
        # the standard error of a variance from the samples' own fourth moment
        squares = (samples - expected) ** 2
        error = squares.std(0) / math.sqrt(SEEDS)
        np.testing.assert_array_less(np.abs(squares.mean(0) - std**2), 4 * error + 1e-9)


@pytest.mark.parametrize("weight", [0.0, 0.01, 0.1, 0.9, 1.0, None])
@pytest.mark.parametrize("jump", [0, 1, 7, 30])
def test_running_moments_are_the_geometric_sums(weight, jump):
    """A target that jumps once from 1.5 to −0.5: powers of 1−a instead of the recursion."""
    t = np.arange(31)
    before, after = np.minimum(t, jump), np.maximum(t - jump, 0)
    if weight is None:
        expected = np.where(t == 0, 4.0, (1.5 * before - 0.5 * after) / np.maximum(t, 1))
        spread = np.where(t == 0, 0.0, 0.6 / np.sqrt(np.maximum(t, 1)))
    else:
        keep = 1 - weight
        reached = keep**before * 4.0 + (1 - keep**before) * 1.5
        expected = keep**after * reached - (1 - keep**after) * 0.5
        spread = 0.6 * np.sqrt(weight / (2 - weight) * (1 - keep ** (2 * t)))
    got = running_moments(weight, 4.0, np.where(t[1:] > jump, -0.5, 1.5), np.full(30, 0.6))
    np.testing.assert_allclose(got[0], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(got[1], spread, rtol=1e-12)


def test_running_moments_by_hand():
    mean, std = running_moments(0.1, 0, np.full(1000, 5.0), np.ones(1000))
    np.testing.assert_allclose(mean[:3], [0, 0.5, 0.95])
    assert std[-1] == pytest.approx(math.sqrt(0.1 / 1.9))
    with pytest.raises(ValueError, match="weight = 2"):
        running_moments(2, 0, np.ones(3), np.ones(3))


def test_drift_scenario():
    """Ten batches after a shift by one σ the running mean has 0.9¹⁰ = .349 of the way left."""
    theory = stream_batches_theory(steps=120, shift=3, shift_step=60)
    assert theory.running_mean[60] == pytest.approx(5, abs=0.01)
    assert (8 - theory.running_mean[70]) / 3 == pytest.approx(0.9**10, abs=0.002)
    assert theory.eval_output[70] == pytest.approx(0.349, abs=0.002)
    run = stream_batches(steps=120, shift=3, shift_step=60)
    np.testing.assert_array_equal(run.true_mean, [5.0] * 61 + [8.0] * 60)
    assert run.batch_mean[60:].mean() - run.batch_mean[:60].mean() == pytest.approx(
        3, abs=4 * 3 / math.sqrt(240)
    )


# Sources and drifts

CHANGES = {"shift": 2.0, "factor": 3.0, "amplitude": 1.5, "period": 8.0, "outlier": 50.0}


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_has_the_mean_and_variance_it_is_given(source):
    """Over both classes mean μ, variance σ², and the excess kurtosis that the theory takes."""
    origin = SOURCES[source]
    assert origin.name == source
    means, variances = np.array([(p.mean, p.std**2) for p in origin.parts]).T
    assert means.mean() == pytest.approx(0, abs=1e-15)
    assert variances.mean() + means.var() == pytest.approx(1)
    for part in origin.parts:
        z = part.draw(np.random.default_rng(5), 400_000)
        assert abs(z.mean()) < 4 / math.sqrt(len(z))
        assert abs((z**2).mean() - 1) < 4 * (z**2).std() / math.sqrt(len(z))
        if source != "heavy tails":  # their eighth moment is infinite: see the quadrature below
            assert (z**4).mean() - 3 == pytest.approx(part.excess, abs=4 * (z**4).std() / math.sqrt(len(z)))
        assert part.normal == (part.excess == 0)


def test_the_heavy_tails_are_student_s_by_quadrature():
    (part,) = SOURCES["heavy tails"].parts
    x = np.sinh(np.linspace(-12, 12, 200_001))  # t₅ has density ∝ (1 + x²/5)⁻³
    weight = (1 + x * x / 5) ** -3 * np.gradient(x)
    weight /= weight.sum()
    variance = float(weight @ x**2)
    assert float(weight @ x**4) / variance**2 - 3 == pytest.approx(part.excess, rel=1e-3)
    # The share beyond 3 standard deviations, against the same density.
    z = part.draw(np.random.default_rng(6), 400_000)
    share = float(weight[np.abs(x) > 3 * math.sqrt(variance)].sum())
    assert np.mean(np.abs(z) > 3) == pytest.approx(share, abs=4 * math.sqrt(share / len(z)))


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_extends_and_starts_as_its_parts_say(source):
    settings = {"source": source, "block": 3, "steps": 9}
    small, large = stream_batches(batch_size=1, **settings), stream_batches(batch_size=5, **settings)
    for t in (1, 3, 4, 6, 7):
        part = SOURCES[source].part(t, 3)
        values = 5 + 3 * (part.mean + part.std * part.draw(stream(0, t), 5))
        assert large.batch_mean[t - 1] == pytest.approx(values.mean(), rel=1e-12)
        assert large.batch_var[t - 1] == pytest.approx(values.var(), rel=1e-12)
        assert small.batch_mean[t - 1] == pytest.approx(values[0], rel=1e-12)
    np.testing.assert_array_equal(
        stream_batches(batch_size=5, source=source, block=3, steps=4).batch_mean, large.batch_mean[:4]
    )


def test_sorted_classes_take_turns():
    run = stream_batches(source="two classes, sorted", block=2, steps=8, batch_size=4000)
    np.testing.assert_allclose(run.batch_mean, np.array([2.6, 2.6, 7.4, 7.4] * 2), atol=0.15)
    np.testing.assert_allclose(run.batch_var, 1.8**2, rtol=0.1)
    np.testing.assert_array_equal(run.true_mean, 5)
    np.testing.assert_array_equal(run.true_var, 9)
    # One batch of each in turn: the running mean stays near μ, the running variance misses what is between them.
    theory = stream_batches_theory(source="two classes, sorted", block=1, steps=400)
    assert theory.running_var[-1] == pytest.approx(1.8**2)
    assert theory.running_mean[-1] == pytest.approx(5 + 2.4 * 0.1 / 1.9)


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_moves_only_what_it_says(drift):
    kind = DRIFTS[drift]
    assert set(kind.settings) <= set(Changes._fields)
    arguments = {"drift": drift, "steps": 20, "shift_step": 6, "outlier_step": 7, **CHANGES}
    run, still = stream_batches(**arguments), stream_batches(steps=20)
    with_others_changed = stream_batches(
        **{name: value for name, value in arguments.items() if name in kind.settings},
        drift=drift,
        steps=20,
    )
    for name, values in arrays(run).items():
        np.testing.assert_array_equal(values, getattr(with_others_changed, name))
        early = 6 if len(values) == 20 else 7
        np.testing.assert_array_equal(values[:early], getattr(still, name)[:early])
    assert (drift == "none") == np.array_equal(run.batch_mean, still.batch_mean)
    assert bool(kind.told(Changes(**CHANGES))) == (drift != "none")


def test_drifts_by_hand():
    def run(**settings):
        return stream_batches(steps=12, batch_size=6, shift_step=4, outlier_step=5, **CHANGES, **settings)

    still = stream_batches(steps=12, batch_size=6)
    after = np.arange(1, 13) > 4
    scaled = run(drift="scale")
    np.testing.assert_allclose(scaled.batch_var, still.batch_var * np.where(after, 9, 1), rtol=1e-12)
    np.testing.assert_allclose(scaled.true_var[1:], np.where(after, 81, 9))
    np.testing.assert_allclose(scaled.true_output[1:], np.where(after, 1 / 3, 1))
    cycle = run(drift="cycle")
    np.testing.assert_allclose(
        cycle.batch_mean - still.batch_mean,
        [0, 0, 0, 0, *(1.5 * np.array([math.sqrt(0.5), 1, math.sqrt(0.5), 0, -math.sqrt(0.5), -1, -math.sqrt(0.5), 0]))],
        atol=1e-12,
    )  # fmt: skip
    struck = run(drift="outlier")
    batch = 5 + 3 * stream(0, 5).standard_normal(6)
    batch[0] = 5 + 50 * 3
    assert struck.batch_mean[4] == pytest.approx(batch.mean())
    assert struck.batch_var[4] == pytest.approx(batch.var())
    others = np.arange(12) != 4
    np.testing.assert_array_equal(struck.batch_mean[others], still.batch_mean[others])
    np.testing.assert_array_equal(struck.true_mean, 5)


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("outlier", [None, 2.5])
def test_the_sum_of_squares_by_enumeration(size, outlier):
    """All batches of a two-point feature, excess kurtosis −2, against the general formula."""
    fixed = [] if outlier is None else [outlier]
    sums = [
        np.sum((x - np.mean(x)) ** 2)
        for signs in itertools.product((-1.0, 1.0), repeat=size - len(fixed))
        for x in [np.array([*fixed, *signs])]
    ]
    away = np.array([np.nan if outlier is None else outlier])
    expected, variance = _squares(size, np.ones(1), np.array([-2.0]), away)
    assert expected[0] == pytest.approx(np.mean(sums))
    assert variance[0] == pytest.approx(np.var(sums), abs=1e-12)


@pytest.mark.parametrize("weight", [0.02, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("period", [3, 30, 200])
def test_a_swing_is_damped_and_late(weight, period):
    t = np.arange(1, 4 * period + int(30 / weight))
    omega = 2 * np.pi / period
    mean, _ = running_moments(weight, 0.0, np.sin(omega * t), np.zeros(len(t)))
    gain, lag = cycle_response(weight, period)
    late = slice(-2 * period, None)
    np.testing.assert_allclose(mean[1:][late], gain * np.sin(omega * (t[late] - lag)), atol=1e-9)


@pytest.mark.parametrize(("weight", "period"), [(0.0, 30), (1.1, 30), (0.1, 2), (0.1, math.inf)])
def test_no_response_is_defined(weight, period):
    with pytest.raises(ValueError, match="needs a"):
        cycle_response(weight, period)


@pytest.mark.parametrize("in_batch", [True, False])
def test_the_probe_among_sorted_classes(in_batch):
    arguments = {"source": "two classes, sorted", "batch_size": 12, "in_batch": in_batch}
    placed = place_probe(count=4000, seed=2, **arguments)
    exact = probe_distribution(**arguments)
    assert abs(placed.mean() - exact.mean) < 4 * exact.std / math.sqrt(len(placed))
    assert placed.std() == pytest.approx(exact.std, rel=0.05)
    assert placed[::2].mean() > 1 > placed[1::2].mean()  # the lower class first, one after the other


@pytest.mark.parametrize("source", [name for name, s in SOURCES.items() if not s.parts[0].normal])
def test_no_distribution_of_the_probe_is_made_up(source):
    assert all(math.isnan(value) for value in probe_distribution(source=source))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("convention", BATCHNORM_CONVENTIONS)
def test_one_value_a_batch_whatever_it_is_drawn_from(source, convention):
    arguments = {
        "source": source, "convention": convention, "batch_size": 1, "steps": 5, "mu": 1e8, "running_var": 0.0,
        "drift": "outlier", "outlier": 50.0, "outlier_step": 2,
    }  # fmt: skip
    run, theory = stream_batches(in_batch=True, **arguments), stream_batches_theory(**arguments)
    assert run.first_nonfinite is None
    np.testing.assert_array_equal(run.train_output, 0)
    np.testing.assert_array_equal(run.running_var, theory.running_var)
    assert run.undefined.all() == BATCHNORM_CONVENTIONS[convention].unbiased
    assert run.batch_mean[1] == 1e8 + 150
    assert theory.running_mean_std[1] > 0


@pytest.mark.parametrize("batch_size", [6, 8, 32, 256])
@pytest.mark.parametrize("probe", [5.0, 8.0, -4.0])
def test_probe_distribution(batch_size, probe):
    count = 4000
    outputs = place_probe(batch_size=batch_size, probe=probe, count=count, gamma=2, beta=1, eps=0, seed=11)
    mean, std = probe_distribution(batch_size=batch_size, probe=probe, gamma=2, beta=1)
    assert abs(outputs.mean() - mean) < 4 * std / math.sqrt(count)
    squares = (outputs - mean) ** 2
    if batch_size > 6:  # below, the fourth moment is infinite or nearly so
        assert abs(squares.mean() - std**2) < 4 * squares.std() / math.sqrt(count)


@pytest.mark.parametrize(("batch_size", "delta"), [(4, 0.0), (5, 1.0), (8, 1.0), (12, -2.5), (300, 1.0)])
def test_probe_distribution_by_quadrature(batch_size, delta):
    """Mean and variance as integrals over s² = σ²·w/N, w chi-squared with N−1 degrees of freedom."""
    n, half = batch_size, (batch_size - 1) / 2
    u = np.linspace(math.log(1e-12), math.log(1e4), 400_001)  # w = eᵘ
    density = np.exp(half * u - np.exp(u) / 2 - math.lgamma(half) - half * math.log(2)) * (u[1] - u[0])
    assert density.sum() == pytest.approx(1, abs=1e-5)
    first = np.sum(density * np.sqrt(n / np.exp(u)))
    second = np.sum(density * n / np.exp(u))
    mean, std = probe_distribution(mu=0, sigma=1, probe=delta, batch_size=n)
    assert mean == pytest.approx(delta * first, rel=1e-5)
    assert std**2 == pytest.approx((delta**2 + 1 / n) * second - (delta * first) ** 2, rel=2e-5)


def test_probe_distribution_limits():
    assert probe_distribution().mean == pytest.approx(1.2036, abs=1e-4)
    assert probe_distribution().std == pytest.approx(0.5927, abs=1e-4)
    for n in (10**4, 10**6, 10**9):
        mean, std = probe_distribution(batch_size=n)
        assert (mean - 1) * n == pytest.approx(1.25, rel=1e-3)
        assert std == pytest.approx(math.sqrt(1.5 / n), rel=10 / n)
    for n in (1, 2):
        assert all(math.isnan(value) for value in probe_distribution(batch_size=n))
    assert probe_distribution(batch_size=3) == pytest.approx((math.sqrt(1.5 * math.pi), math.inf))


@pytest.mark.parametrize("in_batch", [False, True])
@pytest.mark.parametrize("ratio", [0.01, 1.0, 100.0])
def test_probe_distribution_with_epsilon(ratio, in_batch):
    """ε = ratio·σ² against batches drawn value by value, for one to many values and far samples."""
    rng, count = np.random.default_rng(4), 20_000
    for n, delta in ((1, 1.0), (2, -1.0), (2, 25.0), (3, 0.0), (4, 1.0), (8, -2.5), (40, 1.0)):
        batches = rng.standard_normal((count, n))
        if in_batch:
            batches[:, -1] = delta
        outputs = 1 - 2 * (delta - batches.mean(axis=1)) / np.sqrt(batches.var(axis=1) + ratio)
        shared = {
            "mu": 5.0,
            "sigma": 3.0,
            "probe": 5 + 3 * delta,
            "gamma": -2.0,
            "beta": 1.0,
            "batch_size": n,
        }
        mean, std = probe_distribution(eps=9 * ratio, in_batch=in_batch, **shared)
        assert abs(outputs.mean() - mean) <= 4 * std / math.sqrt(count) + 1e-12
        squares = (outputs - mean) ** 2
        assert abs(squares.mean() - std**2) <= 4 * squares.std() / math.sqrt(count) + 1e-12


@pytest.mark.parametrize("in_batch", [False, True])
@pytest.mark.parametrize("probe", [5.0, 8.0, -20.0])
def test_a_vanishing_epsilon_leaves_the_closed_forms(probe, in_batch):
    for n in (2, 3, 4, 8, 512) if in_batch else (4, 8, 512, 10**6):
        arguments = {"batch_size": n, "probe": probe, "gamma": -2.0, "beta": 1.0, "in_batch": in_batch}
        limit, near = probe_distribution(**arguments), probe_distribution(eps=1e-15, **arguments)
        assert near.mean == pytest.approx(limit.mean, rel=1e-9)
        assert near.std == pytest.approx(limit.std, rel=1e-7, abs=1e-8)
    # What ε → 0 gave before ε was an argument.
    before = (1.007880081096438, 0.4140787230477358) if in_batch else (1.2036044449018801, 0.5927363159217065)
    assert probe_distribution(in_batch=in_batch) == before


def test_epsilon_keeps_tiny_batches_finite():
    assert probe_distribution(batch_size=1, eps=9e-4) == pytest.approx((100.0, 100.0))
    wide, wider = (probe_distribution(batch_size=3, eps=eps).std for eps in (1e-6, 1e-12))
    assert 1 < wide < wider < 10
    with pytest.raises(ValueError, match="eps = -1"):
        probe_distribution(eps=-1.0)


@pytest.mark.parametrize("x", [0.5, 3.0, 48.5, 49.0, 49.5, 50.0, 1e4])
def test_gamma_ratio_keeps_its_recurrence(x):
    """Γ(x+1) = x·Γ(x), also across the change of formula at 50."""
    assert _gamma_ratio_square(x + 1) == pytest.approx(
        _gamma_ratio_square(x) * ((x + 0.5) / x) ** 2, rel=1e-12
    )


def test_95_percent_of_batch_means_lie_within_their_band():
    run, theory = stream_batches(steps=4000, batch_size=16), stream_batches_theory(steps=4000, batch_size=16)
    np.testing.assert_allclose(theory.batch_mean_std, 3 / 4, rtol=1e-15)
    inside = np.mean(np.abs(run.batch_mean - 5) < 1.96 * theory.batch_mean_std[1:])
    assert abs(inside - 0.95) < 4 * math.sqrt(0.05 * 0.95 / 4000)


def test_batch_size_one_is_reported():
    run = stream_batches(batch_size=1, steps=6, running_var=2)
    assert run.undefined.all()
    np.testing.assert_array_equal(run.running_var, 2)
    np.testing.assert_array_equal(run.batch_var, 0)
    assert run.first_nonfinite is None
    assert not stream_batches(batch_size=1, steps=6, convention="ONNX").undefined.any()


def test_overflow_is_reported_with_its_step():
    run = stream_batches(sigma=1e200, steps=4)
    assert run.first_nonfinite == 1
    assert stream_batches(batch_size=1, eps=0, steps=4).first_nonfinite == 1  # the probe over a spread of 0


def test_no_steps():
    run = stream_batches(steps=0)
    assert run.train_output.shape == run.undefined.shape == (0,)
    assert run.eval_output.shape == run.true_output.shape == (1,)
    assert stream_batches_theory(steps=0).running_mean.shape == (1,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0.0}, "sigma = 0.0"),
        ({"sigma": math.nan}, "sigma = nan"),
        ({"mu": math.inf}, "mu = inf"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": 2.5}, "batch_size = 2.5"),
        ({"steps": -1}, "steps = -1"),
        ({"shift_step": -1}, "shift_step = -1"),
        ({"running_var": -1.0}, "running var = -1"),
        ({"momentum": 2.0, "steps": 0}, "momentum = 2.0"),
        ({"convention": "Caffe"}, "convention = Caffe"),
        ({"eps": -1.0}, "eps = -1.0"),
        ({"drift": "leap"}, "drift = leap: needs one of none, shift"),
        ({"source": "Cauchy"}, "source = Cauchy: needs one of normal"),
        ({"block": 0}, "block = 0"),
        ({"factor": 0.0}, "factor = 0.0"),
        ({"period": 0.0}, "period = 0.0"),
        ({"amplitude": math.nan}, "amplitude = nan"),
        ({"outlier": math.inf}, "outlier = inf"),
        ({"outlier_step": 0}, "outlier_step = 0"),
    ],
)
def test_bad_arguments(change, message):
    for experiment in (stream_batches, stream_batches_theory):
        with pytest.raises(ValueError, match=message):
            experiment(**change)


def test_misspelt_keyword():
    with pytest.raises(TypeError):
        stream_batches(batchsize=4)


@pytest.mark.parametrize("probe", [-4.0, 5.0, 8.0, 50.0])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 32])
def test_the_probe_inside_its_batch_is_distributed_as_integrated(size: int, probe: float) -> None:
    exact = probe_distribution(batch_size=size, probe=probe, in_batch=True)
    placed = place_probe(batch_size=size, probe=probe, eps=1e-300, count=1500, in_batch=True, seed=3)
    error = placed.std() / np.sqrt(len(placed))
    assert abs(placed.mean() - exact.mean) <= 4 * error + 1e-12
    fourth = np.mean((placed - placed.mean()) ** 4)
    variance_error = np.sqrt(max(fourth - placed.var() ** 2, 0.0) / len(placed))
    assert abs(placed.var() - exact.std**2) <= 4 * variance_error + 1e-9
    assert np.all(
        np.abs(placed) <= np.sqrt(size - 1) * (1 + 1e-6)
    )  # two values that nearly agree lose digits


def test_the_probe_inside_its_batch_scales_and_has_its_limits() -> None:
    plain = probe_distribution(batch_size=8, in_batch=True)
    scaled = probe_distribution(batch_size=8, gamma=-2.0, beta=3.0, in_batch=True)
    assert scaled.mean == pytest.approx(3 - 2 * plain.mean, rel=1e-14)
    assert scaled.std == pytest.approx(2 * plain.std, rel=1e-14)
    assert probe_distribution(batch_size=8, probe=5.0, in_batch=True).mean == 0.0
    pair = probe_distribution(batch_size=2, in_batch=True)
    assert pair.mean == pytest.approx(math.erf(1 / math.sqrt(2)), rel=1e-15)
    assert pair.mean**2 + pair.std**2 == pytest.approx(1.0, rel=1e-14)
    wide = probe_distribution(batch_size=100_000, in_batch=True)
    assert wide.mean == pytest.approx(1.0, abs=1e-4)
    assert wide.std * np.sqrt(100_000) == pytest.approx(np.sqrt(1.5), rel=1e-4)
    # For three values the output is known in closed form through r = t/√1: integrate its density by brute force.
    z = np.linspace(-9, 9, 2001)
    y = np.linspace(-9, 9, 2001)
    weight = np.exp(-0.5 * z[:, None] ** 2 - 0.5 * y[None, :] ** 2)
    a, b = z[:, None], y[None, :]
    mean, var = (a + b + 1.0) / 3, (a**2 + b**2 + 1.0) / 3 - ((a + b + 1.0) / 3) ** 2
    output = (1.0 - mean) / np.sqrt(var)
    brute = float((weight * output).sum() / weight.sum())
    assert probe_distribution(batch_size=3, in_batch=True).mean == pytest.approx(brute, abs=2e-4)
