"""Random streams: one place never feels how many others there are."""

import itertools

import numpy as np
import pytest

from core.activations import ACTIVATIONS
from core.batch_stream import stream_batches
from core.initializers import INITIALIZERS
from core.propagation import propagate
from core.streams import stream, streams

PLACES = [(), (0,), (1,), (2,), (0, 1), (1, 0), (1, 1), (7, 3, 1), (1000,)]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_always_draws_the_same(place):
    first, second = stream(3, *place), stream(3, *place)
    for other in PLACES:
        stream(3, *other).standard_normal(100)
    np.testing.assert_array_equal(first.standard_normal(50), second.standard_normal(50))


def test_every_place_and_every_seed_draws_something_else():
    starts = {}
    for seed, place in itertools.product((0, 1, 2, 9999), PLACES):
        starts[seed, place] = tuple(stream(seed, *place).integers(0, 2**63, 4))
    assert len(set(starts.values())) == len(starts)


def test_draws_of_two_places_are_uncorrelated():
    count = 4096
    draws = np.stack([stream(0, place).standard_normal(count) for place in range(24)])
    correlation = np.corrcoef(draws)[np.triu_indices(24, 1)]
    # 276 pairs of independent draws: the largest of their correlations stays below five standard deviations.
    assert np.max(np.abs(correlation)) < 5 / np.sqrt(count)
    assert np.std(correlation) == pytest.approx(1 / np.sqrt(count), rel=0.2)
    assert np.mean(draws) == pytest.approx(0, abs=5 / np.sqrt(draws.size))


def test_neighboring_seeds_are_uncorrelated():
    count = 4096
    draws = np.stack([stream(seed, 1).standard_normal(count) for seed in range(24)])
    correlation = np.corrcoef(draws)[np.triu_indices(24, 1)]
    assert np.max(np.abs(correlation)) < 5 / np.sqrt(count)


def test_the_global_generator_is_neither_read_nor_moved():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 - that it stays untouched is the point
    stream(0, 1).standard_normal(10)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize(("seed", "place"), [(-1, ()), (0, (-1,))])
def test_negative_numbers_are_refused(seed, place):
    with pytest.raises(ValueError, match=r"non-negative|>= 0|negative"):
        stream(seed, *place)
    with pytest.raises(ValueError, match="non-negative"):
        streams(seed, [place] * 30)


@pytest.mark.parametrize("seed", [0, 9999, 2**32 - 1, 2**32, 2**70 + 3, 2**128 - 1, 2**200])
@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("length", range(4))
def test_many_streams_begin_as_each_alone(seed, count, length):
    """NumPy's own ``SeedSequence`` says what the words must be."""
    dice = np.random.default_rng(length)
    places = [tuple(int(n) for n in dice.integers(0, 2 ** (8 * (k % 5)), length)) for k in range(count)]
    for place, generator in zip(places, streams(seed, places), strict=True):
        assert generator.bit_generator.state == stream(seed, *place).bit_generator.state


def test_streams_of_long_numbers_and_of_no_place():
    assert streams(1, []) == []
    places = [(k, 2**32 + k) for k in range(30)]
    for place, generator in zip(places, streams(1, places), strict=True):
        assert generator.bit_generator.state == stream(1, *place).bit_generator.state
    with pytest.raises(ValueError, match="one length"):
        streams(1, [(1,), (1, 2)])


def test_a_deeper_network_extends_a_shallower_one():
    def run(depth, seeds):
        return propagate(
            ACTIVATIONS["tanh"],
            [INITIALIZERS["He normal"]],
            depth=depth,
            width=20,
            batch=3,
            seeds=seeds,
            seed=5,
        )

    short, long = run(6, 2), run(11, 3)
    np.testing.assert_array_equal(long.signal_rms[:, :2, :7], short.signal_rms)


def test_a_longer_stream_of_batches_extends_a_shorter_one():
    short, long = stream_batches(steps=20, seed=4), stream_batches(steps=35, seed=4)
    np.testing.assert_array_equal(long.batch_mean[:20], short.batch_mean)
    np.testing.assert_array_equal(long.running_var[:21], short.running_var)
    assert not np.array_equal(stream_batches(steps=20, seed=5).batch_mean, short.batch_mean)
