"""Time one PNG at 2× beside the bare renderer on the same specification: ``python -m benchmarks.export``.

Both run warm and in turns. "Ours" rounds the data, writes the specification, sets title and caption around the
drawing and makes the file; "bare" gives vl-convert the finished specification, which holds the same words. The
target is a ratio of at most 1.2.
"""

import json
import time
from collections.abc import Callable
from statistics import median

import vl_convert

from charts.export import SIZES, render, specification
from charts.topics import TOPICS

ROUNDS = 9


def timed(work: Callable[[], object]) -> float:
    """Return the milliseconds that some work takes."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    print(f"Median of {ROUNDS} rounds in turns, milliseconds.\n")
    print(f"{'figure':26} {'size':6} {'ours':>7} {'bare':>7} {'ratio':>6}")
    ratios = []
    for topic in TOPICS.values():
        figure = topic.view(topic.defaults()).figure
        for size in SIZES:
            spec = json.dumps(specification(figure, size))

            def ours(figure=figure, size=size) -> bytes:
                return render(figure, "png", size=size, scale=2)

            def bare(spec=spec) -> bytes:
                return bytes(vl_convert.vegalite_to_png(spec, scale=2))

            ours(), bare()
            rounds = [(timed(ours), timed(bare)) for _ in range(ROUNDS)]
            mine, theirs = (median(times) for times in zip(*rounds, strict=True))
            ratios.append(mine / theirs)
            print(f"{figure.name:26} {size:6} {mine:7.0f} {theirs:7.0f} {mine / theirs:6.2f}")
    print(f"\nMedian ratio {median(ratios):.2f}, largest {max(ratios):.2f}; target at most 1.2.")


if __name__ == "__main__":
    main()
