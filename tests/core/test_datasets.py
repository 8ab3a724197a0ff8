import numpy as np
import pytest

from core.datasets import DATASETS

every_set = pytest.mark.parametrize("name", DATASETS)


def rng(seed=0):
    return np.random.default_rng(seed)


@every_set
@pytest.mark.parametrize("n", [1, 2, 3, 64, 101])
def test_shapes_and_balance_in_every_prefix(name, n):
    points, label = DATASETS[name].draw(n, 0.1, rng())
    assert points.shape == (n, 2)
    assert points.dtype == np.float64
    assert label.shape == (n,)
    assert label.dtype == np.int64
    ones = np.cumsum(label)
    assert set(np.unique(label)) <= {0, 1}
    assert np.all(np.abs(2 * ones - np.arange(1, n + 1)) <= 1)


@every_set
def test_the_window_holds_the_shape(name):
    points, _ = DATASETS[name].draw(999, 0.0, rng())
    assert np.max(np.abs(points)) <= 1.5
    assert np.max(np.abs(points)) > 1.0


def classes(name, n=200):
    points, label = DATASETS[name].draw(n, 0.0, rng())
    return points[label == 0], points[label == 1]


def test_moons_lie_on_two_half_circles():
    upper, lower = classes("moons")
    np.testing.assert_allclose(np.hypot(*(upper - (-0.5, -0.25)).T), 1, rtol=1e-14)
    np.testing.assert_allclose(np.hypot(*(lower - (0.5, 0.25)).T), 1, rtol=1e-14)
    assert np.all(upper[:, 1] >= -0.25)
    assert np.all(lower[:, 1] <= 0.25)


def test_circles_lie_on_two_circles():
    outer, inner = classes("circles")
    np.testing.assert_allclose(np.hypot(*outer.T), 1.2, rtol=1e-14)
    np.testing.assert_allclose(np.hypot(*inner.T), 0.5, rtol=1e-14)
    np.testing.assert_allclose(outer.mean(axis=0), 0, atol=1e-14)


def test_xor_is_the_sign_of_the_product():
    same, different = classes("xor")
    assert np.all(same.prod(axis=1) > 0)
    assert np.all(different.prod(axis=1) < 0)
    assert np.min(np.abs(np.concatenate([same, different]))) >= 0.1
    for points in (same, different):
        assert np.sum(points[:, 0] > 0) == 50


def test_spiral_winds_one_and_a_quarter_turns_and_the_arms_are_opposite():
    first, second = classes("spiral")
    np.testing.assert_allclose(second, -first, atol=1e-15)
    radius = np.hypot(*first.T)
    angle = np.unwrap(np.arctan2(first[:, 1], first[:, 0]))
    slope = np.diff(angle) / np.diff(radius)
    np.testing.assert_allclose(slope, 2.5 * np.pi / 1.2, rtol=1e-10)
    assert angle[-1] - angle[0] == pytest.approx(2.5 * np.pi * 99 / 100)
    assert radius[0] == pytest.approx(0.15 + 1.2 / 200)


@every_set
def test_no_line_separates_the_classes(name):
    points, label = DATASETS[name].draw(200, 0.0, rng())
    angles = np.linspace(0, np.pi, 180, endpoint=False)
    along = points @ np.stack([np.cos(angles), np.sin(angles)])
    order = np.argsort(along, axis=0)
    # Errors of the best threshold in each direction, either side being class 1.
    ones_left = np.cumsum(label[order], axis=0)
    zeros_left = np.arange(1, 201)[:, None] - ones_left
    errors = ones_left + (100 - zeros_left)
    assert np.minimum(errors, 200 - errors).min() > 10


@every_set
def test_noise_is_gaussian_with_the_deviation_asked_for_and_moves_along_one_direction(name):
    n = 4000
    clean, label = DATASETS[name].draw(n, 0.0, rng(3))
    little, same = DATASETS[name].draw(n, 0.1, rng(3))
    much, _ = DATASETS[name].draw(n, 0.3, rng(3))
    np.testing.assert_array_equal(label, same)
    assert np.std(little - clean) == pytest.approx(0.1, rel=4 / np.sqrt(4 * n))
    assert np.mean(little - clean) == pytest.approx(0, abs=4 * 0.1 / np.sqrt(2 * n))
    np.testing.assert_allclose(much - clean, 3 * (little - clean), atol=1e-13)


@every_set
def test_the_generator_decides(name):
    first, again, other = (DATASETS[name].draw(20, 0.1, rng(seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.max(np.abs(first - other)) > 0.01


@every_set
@pytest.mark.parametrize(
    ("n", "noise"), [(0, 0.1), (-3, 0.1), (2.5, 0.1), (5, -0.1), (5, np.inf), (5, np.nan)]
)
def test_arguments_out_of_range(name, n, noise):
    with pytest.raises(ValueError, match=r"^(n|noise) = .* needs"):
        DATASETS[name].draw(n, noise, rng())


@every_set
def test_the_key_is_the_name(name):
    entry = DATASETS[name]
    assert entry.name == name
    assert entry.formula
    assert entry.about
    assert entry.source
