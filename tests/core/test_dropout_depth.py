"""Dropout through depth: the layers of a hand-made loop, closed forms, and what compounds."""

import numpy as np
import pytest

from core.activations import ACTIVATIONS
from core.dropout import DROPOUT_MODES, draw_mask
from core.dropout_depth import (
    corrected_variance,
    depth_theory,
    homogeneous,
    input_signal,
    keeping_variance,
    layer_weights,
    log_scatter,
    networks_for,
    propagate_dropout,
)
from core.streams import stream

RELU = ACTIVATIONS["ReLU"]
MODES = tuple(DROPOUT_MODES)
# Factor in training and in evaluation, and whether each of them masks, written down by hand for p_drop = p.
BY_HAND = {
    "No dropout": (lambda p: 1, lambda p: 1, False, False),
    "Inverted": (lambda p: 1 / (1 - p), lambda p: 1, True, False),
    "Classic": (lambda p: 1, lambda p: 1 - p, True, False),
    "No scaling": (lambda p: 1, lambda p: 1, True, False),
    "Scaled twice": (lambda p: 1 / (1 - p), lambda p: 1 - p, True, False),
    "Forgot eval()": (lambda p: 1 / (1 - p), lambda p: 1 / (1 - p), True, True),
}


@pytest.fixture(scope="module")
def wide():
    return {
        p: propagate_dropout(RELU, p=p, depth=4, width=128, networks=12, inputs=4, seed=5)
        for p in (0.2, 0.5, 0.9)
    }


@pytest.mark.parametrize("mode", MODES)
def test_the_layers_are_those_of_a_loop(mode):
    p, width, depth, var = 0.4, 6, 3, 1.7
    run = propagate_dropout(
        ACTIVATIONS["tanh"], p=p, depth=depth, width=width, networks=2, inputs=3, weight_variance=var, seed=9
    )
    scales, masked = BY_HAND[mode][:2], BY_HAND[mode][2:]
    for place, (scale, masks, found) in enumerate(
        zip(scales, masked, (run.train, run.evaluation), strict=True)
    ):
        h = input_signal(2, 3, width, 9)
        for l in range(depth):
            y = np.tanh(h) * scale(p)
            if masks:
                y = y * draw_mask(y.shape, p, stream(9, 2 + place, l))
            np.testing.assert_allclose(found.mean[MODES.index(mode), :, l], y.mean(axis=(1, 2)))
            np.testing.assert_allclose(found.second[MODES.index(mode), :, l], (y**2).mean(axis=(1, 2)))
            h = np.sqrt(var) * y @ layer_weights(2, width, 9, l)


def test_theory_for_relu_is_a_product():
    p, depth = 0.3, 7
    layers = np.arange(1, depth + 1)
    train, evaluation = depth_theory(RELU, p=p, depth=depth, weight_variance=2.0)
    for k, mode in enumerate(MODES):
        for found, scale, masks in zip(
            (train, evaluation), BY_HAND[mode][:2], BY_HAND[mode][2:], strict=True
        ):
            kept = 1 - p if masks else 1.0
            factor = scale(p) ** 2 * kept
            np.testing.assert_allclose(found.second[k], 0.5 * factor**layers, rtol=1e-12)
            mean = scale(p) * kept * np.sqrt(factor ** (layers - 1) / (2 * np.pi))
            np.testing.assert_allclose(found.mean[k], mean, rtol=1e-12)
    np.testing.assert_allclose(train.second[MODES.index("Inverted")], 0.5 / 0.7**layers)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_measured_moments_agree_with_theory(wide, mode, p):
    run, theory, k = wide[p], depth_theory(RELU, p=p, depth=4, weight_variance=2.0), MODES.index(mode)
    for found, exact in zip((run.train, run.evaluation), theory, strict=True):
        for field in ("mean", "second"):
            of = getattr(found, field)[k]
            error = of.std(axis=0, ddof=1) / np.sqrt(run.networks)
            # A mean over networks of finite width lies a little below: the mean goes with the root of the second moment.
            slack = 0.25 * getattr(exact, field)[k] if p == 0.9 else 0.03 * getattr(exact, field)[k]
            assert np.all(np.abs(of.mean(axis=0) - getattr(exact, field)[k]) < 4 * error + slack), field


def test_wrong_scaling_compounds_in_every_network_exactly(wide):
    for p, run in wide.items():
        ratio = run.evaluation.second / run.train.second
        layers = np.arange(1, 5)
        right = ratio[MODES.index("Inverted")]
        np.testing.assert_allclose(ratio[MODES.index("Classic")], right, rtol=1e-10)
        np.testing.assert_allclose(
            ratio[MODES.index("No scaling")], right / (1 - p) ** (2 * layers), rtol=1e-10
        )
        np.testing.assert_allclose(
            ratio[MODES.index("Scaled twice")], right * (1 - p) ** (2 * layers), rtol=1e-10
        )


@pytest.mark.parametrize("name", ["ReLU", "leaky ReLU", "identity"])
def test_smaller_weights_restore_the_second_moment(name):
    activation, p = ACTIVATIONS[name], 0.6
    train, _ = depth_theory(activation, p=p, depth=30, weight_variance=corrected_variance(activation, p))
    np.testing.assert_allclose(
        train.second[MODES.index("Inverted")], train.second[MODES.index("Inverted"), 0], rtol=1e-11
    )
    assert corrected_variance(RELU, p) == pytest.approx(2 * (1 - p))


def test_gains_and_homogeneity():
    assert keeping_variance(RELU) == pytest.approx(2)
    assert keeping_variance(ACTIVATIONS["leaky ReLU"]) == pytest.approx(2 / (1 + 0.01**2))
    assert {name for name in ("ReLU", "leaky ReLU", "identity", "tanh", "SELU") if homogeneous(ACTIVATIONS[name])} == {
        "ReLU", "leaky ReLU", "identity",
    }  # fmt: skip


def test_depth_extends_and_p_zero_is_the_identity():
    short, long = (propagate_dropout(RELU, p=0.3, depth=d, width=16, networks=2) for d in (2, 5))
    np.testing.assert_allclose(long.train.second[..., :2], short.train.second)
    none = propagate_dropout(RELU, p=0.0, depth=3, width=16, networks=2)
    for part in (none.train, none.evaluation):
        np.testing.assert_array_equal(part.second, np.broadcast_to(none.train.second[:1], part.second.shape))


def test_everything_dropped_is_zero_and_overflow_shows():
    run = propagate_dropout(RELU, p=1.0, depth=2, width=16, networks=1)
    train, _ = depth_theory(RELU, p=1.0, depth=2, weight_variance=2.0)
    for k, mode in enumerate(MODES):
        assert (run.train.second[k] == 0).all() == DROPOUT_MODES[mode].masks_in_training
    np.testing.assert_allclose(train.second[:, 0], run.train.second[:, 0, 0] > 0, atol=0.5)
    grown, _ = depth_theory(RELU, p=1 - 1e-9, depth=50, weight_variance=2.0)
    row = grown.second[MODES.index("Inverted")]
    assert np.isnan(row[-1])
    assert np.isfinite(row[:30]).all()


def test_one_network_scatters_as_predicted():
    depth, width, p = 2, 128, 0.5
    run = propagate_dropout(RELU, p=p, depth=depth, width=width, networks=400, inputs=1, modes=("Inverted",))
    predicted = log_scatter(RELU, p=p, depth=depth, width=width)
    assert predicted == pytest.approx(np.sqrt(depth * (6 / (1 - p) - 1) / width))
    assert np.log(run.train.second[0, :, -1]).std() == pytest.approx(predicted, rel=0.12)


def test_networks_depend_on_the_width_alone_and_bad_arguments_are_named():
    assert [networks_for(n) for n in (16, 128, 512)] == [64, 8, 1]
    for wrong in ({"p": 1.2}, {"depth": 0}, {"width": 0}, {"weight_variance": -1.0}, {"modes": ("other",)}):
        with pytest.raises(ValueError, match=next(iter(wrong)).removesuffix("s")[:4]):
            propagate_dropout(RELU, **{"width": 4, "depth": 1, **wrong})
    with pytest.raises(ValueError, match="p_drop"):
        log_scatter(RELU, p=1.0, depth=1, width=1)
