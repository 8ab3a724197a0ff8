"""Kept draws: whoever asks, in whatever order, gets what the stream of the place gives, within a bound of bytes."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core import draws
from core.draws import Draws
from core.initializers import FAMILIES, FIXED, SEQUENTIAL
from core.streams import stream

OPTIONS = {"sparse": (0.5,)}
DRAWS = [(family, OPTIONS.get(family, ())) for family in FAMILIES]


def store(most=10_000_000, each=100_000):
    return Draws(most=most, each=each)


def expected(draw, seed, networks, place, fan_in, fan_out):
    family, options = draw
    return np.stack([FAMILIES[family](fan_in, fan_out, stream(seed, n, *place), *options) for n in networks])


def requests(count, seed):
    """Draw spans of networks and stacks of layers as visitors ask for them: more, fewer, wider, a later part."""
    dice = random.Random(seed)
    for _ in range(count):
        start = dice.choice((0, 0, 0, 2, 5))
        fans = [(dice.choice((1, 3, 6)), dice.choice((2, 5, 6))) for _ in range(dice.randint(1, 9))]
        wanted = [((l,), m, n) for l, (m, n) in enumerate(fans, start=1)]
        yield dice.choice((0, 7)), range(start, start + dice.randint(1, 6)), wanted


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw[0])
@pytest.mark.parametrize("kept", [(10_000_000, 100_000), (10_000_000, 700), (70_000, 100_000)])
def test_any_order_of_requests_gives_the_streams_themselves(draw, kept, monkeypatch):
    monkeypatch.setattr(draws, "_LEAST", 1)
    kept_draws = store(*kept)
    for seed, networks, wanted in requests(25, seed=3):
        for (place, m, n), got in zip(wanted, kept_draws.draw(draw, seed, networks, wanted), strict=True):
            np.testing.assert_array_equal(got, expected(draw, seed, networks, place, m, n))
            assert not got.flags.writeable


@pytest.mark.parametrize("family", SEQUENTIAL)
def test_a_smaller_matrix_is_the_beginning_of_a_larger_one(family):
    large = FAMILIES[family](9, 8, stream(5, 1))
    np.testing.assert_array_equal(FAMILIES[family](4, 3, stream(5, 1)).ravel(), large.ravel()[:12])


@pytest.mark.parametrize("family", sorted(FIXED))
def test_nothing_is_random_in_what_is_shared(family):
    np.testing.assert_array_equal(FAMILIES[family](4, 3, stream(5, 1)), FAMILIES[family](4, 3, stream(6, 2)))


def layers(depth, fan=6):
    return [((l,), fan, fan) for l in range(1, depth + 1)]


@pytest.mark.parametrize("draw", [draw for draw in DRAWS if draw[0] not in FIXED], ids=lambda draw: draw[0])
def test_what_is_kept_is_not_drawn_again(draw):
    kept = store()
    kept.draw(draw, 0, range(4), layers(10))
    before = kept.misses
    kept.draw(draw, 0, range(4), layers(7))
    kept.draw(draw, 0, range(3), layers(10))
    if draw[0] in SEQUENTIAL:
        kept.draw(draw, 0, range(4), layers(10, fan=5))
    assert kept.misses == before
    kept.draw(draw, 0, range(4), layers(12))
    assert kept.misses == before + 2
    kept.draw(draw, 1, range(4), layers(10))
    assert kept.misses == before + 12


def test_further_networks_are_joined_to_those_that_are_kept(monkeypatch):
    asked = []
    begin = draws.streams
    monkeypatch.setattr(
        draws, "streams", lambda seed, places: begin(seed, asked.append(list(places)) or asked[-1])
    )
    kept = store()
    for networks in (range(2), range(5), range(5, 7), range(9, 10)):
        kept.draw(draws.NORMAL, 0, networks, [((1,), 3, 3)])
    assert asked == [[(0, 1), (1, 1)], [(2, 1), (3, 1), (4, 1)], [(5, 1), (6, 1)], [(9, 1)]]
    assert [len(rows) for rows in kept.kept()] == [7]


def test_a_flood_of_seeds_stays_within_the_bytes():
    kept = store(most=50 * draws._LEAST, each=20_000)
    for seed in range(40):
        kept.draw(draws.NORMAL, seed, range(4), layers(20))
        assert kept.bytes == len(kept.kept()) * draws._LEAST <= 50 * draws._LEAST
    assert len(kept.kept()) == 50
    kept.draw(draws.NORMAL, 0, range(20), layers(3, fan=20))  # too large to be kept
    assert max(rows.nbytes for rows in kept.kept()) <= 20_000
    kept.clear()
    assert kept.bytes == len(kept.kept()) == 0


def test_visitors_who_take_turns_do_not_put_each_other_out():
    """Three stacks where two fit: the longest unused first would find nothing at any time."""
    kept = store(most=64 * draws._LEAST)
    for _ in range(20):
        for seed in range(3):
            kept.draw(draws.NORMAL, seed, range(2), layers(30))
    assert kept.hits > 0.4 * (kept.hits + kept.misses)


def test_threads_share_a_store():
    kept = store(most=40 * draws._LEAST)

    def ask(k):
        seed, networks = k % 3, range(1 + k % 5)
        got = kept.draw(draws.NORMAL, seed, networks, layers(20))
        return [
            np.array_equal(each, expected(draws.NORMAL, seed, networks, (l,), 6, 6))
            for l, each in enumerate(got, start=1)
        ]

    with ThreadPoolExecutor(8) as pool:
        assert all(all(same) for same in pool.map(ask, range(60)))
    assert kept.bytes == len(kept.kept()) * draws._LEAST <= 40 * draws._LEAST
