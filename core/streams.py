"""Random streams: one generator for each (seed, place), so that a longer run extends a shorter one."""

import numpy as np


def stream(seed: int, *place: int) -> np.random.Generator:
    """Return the generator of one place: ``stream(seed, layer)`` or ``stream(seed, step)``.

    The draws at one place do not depend on how many other places exist: depth 60 begins with the same
    50 layers as depth 50. Streams of different places are independent (NumPy's ``SeedSequence``).

    Args:
        seed: non-negative integer.
        place: any number of non-negative integers.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))
