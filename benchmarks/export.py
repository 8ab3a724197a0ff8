"""Time one PNG at 2× beside the bare renderer on the same specification: ``python -m benchmarks.export [SIZE ...]``.

All run warm and in turns. "Ours" rounds the data, writes the specification, sets title and caption around the drawing
and makes the file; "worker" does so with the drawing left to the worker, as the app does; "bare" gives vl-convert the
finished specification, which holds the same words. The target is a ratio of at most 1.2 for both. The worker has a
lower priority: beside other work its times are those of what is left over. "Clear" is ours without a ground, which is
drawn twice and has no target.
"""

import json
import sys
import time
from collections.abc import Callable
from statistics import median

from charts.export import SIZES, render, specification
from charts.press import renderer
from charts.topics import TOPICS
from ui import files

ROUNDS = 9
WAYS = ("ours", "worker", "clear")


def timed(work: Callable[[], object]) -> float:
    """Return the milliseconds that some work takes."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def main(sizes: list[str]) -> None:
    print(f"Median of {ROUNDS} rounds in turns, milliseconds.\n")
    print(f"{'figure':26} {'size':6} {'bare':>7}" + "".join(f" {way:>7} {'ratio':>6}" for way in WAYS))
    ratios = []
    for topic in TOPICS.values():
        figure = topic.view(topic.defaults()).figure
        for size in sizes:
            spec = json.dumps(specification(figure, size=size))

            def bare(spec=spec) -> bytes:
                return bytes(renderer().vegalite_to_png(spec, scale=2))

            def ours(figure=figure, size=size) -> bytes:
                return render(figure, "png", size=size, scale=2)

            def worker(figure=figure, size=size) -> bytes:
                return files.make(figure, "png", size=size, scale=2)

            def clear(figure=figure, size=size) -> bytes:
                return render(figure, "png", size=size, scale=2, ground="transparent")

            ways = (bare, ours, worker, clear)
            for way in ways:
                way()
            rounds = [[timed(way) for way in ways] for _ in range(ROUNDS)]
            alone, *times = (median(times) for times in zip(*rounds, strict=True))
            ratios.append([each / alone for each in times])
            print(
                f"{figure.name:26} {size:6} {alone:7.0f}"
                + "".join(f" {each:7.0f} {each / alone:6.2f}" for each in times)
            )
    print("\nTarget at most 1.2 for ours and the worker.")
    for way, values in zip(WAYS, zip(*ratios, strict=True), strict=True):
        print(f"{way + ':':8} median ratio {median(values):.2f}, largest {max(values):.2f}.")


if __name__ == "__main__":
    main(sys.argv[1:] or list(SIZES))
