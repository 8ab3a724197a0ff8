"""Generated data: points of the plane in two classes that no straight line separates.

Point i belongs to class i mod 2, so the classes are balanced to ±1 in every prefix too. The noise is Gaussian,
added to each coordinate, and drawn last and whatever its size: with the same generator, more noise moves every
point further along its own direction.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """One set: where the points of its two classes lie, without noise.

    ``place(share, label, rng)`` → (n, 2): the points of classes ``label`` (n,), at the ``share`` (n,) of the
    way along the curve of their class, a number between 0 and 1.
    """

    name: str
    place: Callable[[Array, Labels, np.random.Generator], Array]
    formula: str  # LaTeX; s is the share, from 0 to 1, and k the class, 0 or 1
    about: str
    source: str

    def draw(self, n: int, noise: float, rng: np.random.Generator) -> tuple[Array, Labels]:
        """Draw n points (n, 2), roughly within [−1.5, 1.5]², and their labels (n,), 0 or 1 by turns.

        Args:
            n: number of points, 1 or more.
            noise: standard deviation of what is added to each coordinate, 0 or more.
            rng: the source of all randomness.

        Raises:
            ValueError: n or noise is out of range.
        """
        if n < 1 or n != int(n):
            raise ValueError(f"n = {n}: needs a whole number from 1")
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise = {noise}: needs a finite number from 0")
        index = np.arange(n)
        label = index % 2
        members = np.where(label == 0, (n + 1) // 2, n // 2)
        share = (index // 2 + 0.5) / members
        return self.place(share, label, rng) + noise * rng.standard_normal((n, 2)), label


def _polar(radius: Array, angle: Array) -> Array:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


_TURNS = 1.25


def _spiral(share: Array, label: Labels, rng: np.random.Generator) -> Array:
    return _polar(0.15 + 1.2 * share, math.pi * (2 * _TURNS * share + label))


def _moons(share: Array, label: Labels, rng: np.random.Generator) -> Array:
    # One arc turned by 180° about the origin is the other.
    arc: Array = _polar(np.ones_like(share), math.pi * share) - (0.5, 0.25)
    turned: Array = np.where(label == 0, 1.0, -1.0)[:, None] * arc
    return turned


def _xor(share: Array, label: Labels, rng: np.random.Generator) -> Array:
    right = np.where(np.arange(len(share)) // 2 % 2 == 0, 1.0, -1.0)
    signs = np.stack([right, np.where(label == 0, right, -right)], axis=-1)
    return signs * rng.uniform(0.1, 1.4, signs.shape)


def _circles(share: Array, label: Labels, rng: np.random.Generator) -> Array:
    return _polar(np.where(label == 0, 1.2, 0.5), 2 * math.pi * share)


_ENTRIES = (
    Dataset(
        "spiral",
        _spiral,
        formula=(r"r\,(\cos\theta,\ \sin\theta), \quad r = 0.15 + 1.2\,s, \quad \theta = 2.5\,\pi s + \pi k"),
        about="Two arms of one and a quarter turns around each other.",
        source="Lang & Witbrock 1988, Learning to tell two spirals apart (with three turns)",
    ),
    Dataset(
        "moons",
        _moons,
        formula=(
            r"\begin{cases} (\cos\pi s - \tfrac12,\ \sin\pi s - \tfrac14) & k = 0 \\"
            r" (\tfrac12 - \cos\pi s,\ \tfrac14 - \sin\pi s) & k = 1 \end{cases}"
        ),
        about="Two half circles of radius 1, each reaching into the other.",
        source="scikit-learn’s make_moons, moved by (−0.5, −0.25) to the center",
    ),
    Dataset(
        "xor",
        _xor,
        formula=(
            r"(\pm u,\ \pm v), \quad u, v \sim \mathcal U(0.1,\ 1.4), \quad"
            r" k = [x > 0] \oplus [y > 0]"
        ),
        about="Four squares; the class is whether the signs of x and y differ.",
        source="Minsky & Papert 1969, Perceptrons (the four corners)",
    ),
    Dataset(
        "circles",
        _circles,
        formula=r"r\,(\cos 2\pi s,\ \sin 2\pi s), \quad r = 1.2 \text{ for } k = 0, \quad 0.5 \text{ for } k = 1",
        about="A circle of radius 0.5 inside one of radius 1.2.",
        source="scikit-learn’s make_circles, with other radii",
    ),
)

DATASETS: dict[str, Dataset] = {entry.name: entry for entry in _ENTRIES}
