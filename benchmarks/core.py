"""How long the experiments take beside PyTorch, and how that grows: layers of networks, and paths of optimizers.

    python -m benchmarks.core [--seeds N] [--rounds N] [--only layers|optimizers]

The layers: six schemes with ReLU, 50 layers of 256 units, a batch of 128, forward and backward with the gradients of
all weights, in float64. All draws are common random numbers: six schemes of one family share one draw of their
weights, here and in PyTorch. The two take turns, so that both meet the same machine, and the ratio is that of their
medians; times are those of this run and mean nothing elsewhere. PyTorch is used where it is installed.

The optimizers: every entry that ``torch.optim`` has too, on Rosenbrock's function from one start, against a loop of
``optimizer.step()`` with autograd; 16,384 starts at once, as a basin map has them; a grid of learning rates in one
run against one run a rate; and how time grows with starts and steps.
"""

import argparse
import importlib
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from core.activations import ACTIVATIONS
from core.basins import basins
from core.descent import SurfaceProblem, descend
from core.initializers import INITIALIZERS
from core.optimizers import OPTIMIZERS
from core.propagation import propagate, propagate_theory
from core.streams import stream
from core.surfaces import SURFACES

SCHEMES = [
    INITIALIZERS[name]
    for name in (
        "N(0, 1)",
        "He normal",
        "Glorot normal",
        "LeCun normal",
        "He normal (fan_out)",
        "N(0, 0.01²)",
    )
]
DEPTH, WIDTH, BATCH, SEEDS = 50, 256, 128, 10
LIMIT = 20.0  # seconds for one side of the comparison
RELU = ACTIVATIONS["ReLU"]


def ours(
    depth: int = DEPTH, width: int = WIDTH, batch: int = BATCH, seeds: int = SEEDS, first: int = 0
) -> Any:
    """Run ``propagate`` network by network, as a page does."""
    parts = [
        propagate(RELU, SCHEMES, depth=depth, width=width, batch=batch, seeds=1, seed=0, first=n)
        for n in range(first, first + seeds)
    ]
    return np.concatenate([p.weight_gradient_rms for p in parts if p.weight_gradient_rms is not None], axis=1)


def theirs(torch: Any, seeds: int, first: int = 0) -> Any:
    """Do the same work in PyTorch: the same draws by its own generator, one graph a scheme, autograd."""
    found = []
    for n in range(first, first + seeds):
        torch.manual_seed(n)
        x, top = (torch.randn(BATCH, WIDTH, dtype=torch.float64) for _ in range(2))
        units = [torch.randn(WIDTH, WIDTH, dtype=torch.float64) for _ in range(DEPTH)]
        for scheme in SCHEMES:
            std = scheme.std(WIDTH, WIDTH)
            weights = [(std * unit).requires_grad_() for unit in units]
            signals = [x.clone().requires_grad_()]
            for weight in weights:
                signals.append(torch.relu(signals[-1]) @ weight)
            for h in signals:
                h.retain_grad()
            signals[-1].backward(top)
            with torch.no_grad():
                for values in (signals, [h.grad for h in signals], [w.grad for w in weights]):
                    found.append([float(v.square().mean().sqrt()) for v in values])
    return found


def seconds(work: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
    """Return how long one call takes."""
    begin = time.perf_counter()
    work(*args, **kwargs)
    return time.perf_counter() - begin


def growth(rounds: int) -> None:
    """Print what twice the depth, width, number of networks or batch costs, as a ratio to the smaller run."""
    small = {"depth": 25, "width": 128, "batch": 32, "seeds": 2}
    print(
        f"growth from depth {small['depth']}, width {small['width']}, batch {small['batch']}, {small['seeds']} networks:"
    )
    for name in ("depth", "width", "seeds", "batch"):
        double = {**small, name: 2 * small[name]}
        low, high = [], []
        for k in range(rounds + 1):
            low.append(seconds(ours, **small, first=100 * k))
            high.append(seconds(ours, **double, first=100 * k))
        ratio = statistics.median(high[1:]) / statistics.median(low[1:])
        print(f"  {name:6s} × 2: time × {ratio:.2f}")


def default_view(rounds: int) -> None:
    """Print the time of the default view: five schemes, depth 50, width 64, batch 4, ten networks."""
    kw = {"depth": 50, "width": 64, "batch": 4}

    def measure(seed: int) -> Any:
        return propagate(RELU, SCHEMES[:5], **kw, seeds=10, seed=seed, weight_gradients=False)

    def draw(seed: int) -> Any:
        return [stream(seed, n, l).standard_normal((64, 64)) for n in range(10) for l in range(1, 51)]

    times = range(1, 4 * rounds + 1)
    measure(0)
    fresh = statistics.median(seconds(measure, seed) for seed in times)
    draws = statistics.median(seconds(draw, seed) for seed in times)
    warm = statistics.median(seconds(measure, times[-1]) for _ in times)
    theory = statistics.median(seconds(propagate_theory, RELU, SCHEMES[:5], **kw) for _ in times)
    print(
        f"default view: {1e3 * fresh:.0f} ms with fresh draws, of which the draws are {1e3 * draws:.0f} ms; "
        f"{1e3 * warm:.0f} ms with kept ones; theory {1e3 * theory:.0f} ms"
    )


def compare(seeds: int, rounds: int) -> None:
    """Print the time of the work, and its ratio to PyTorch's where that is installed."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        torch = None
    one = min(seconds(ours, seeds=1, first=n) for n in range(2))  # the first call also sets up its libraries
    rounds = max(1, min(rounds, int(LIMIT / one)))  # fewer on a slow or busy machine
    drawn = max(1, min(seeds, int(LIMIT / (one * rounds))))
    if torch is not None:
        threads = min(os.cpu_count() or 1, torch.get_num_threads())
        torch.set_num_threads(threads)
        theirs(torch, 1)  # the first call sets autograd up
    mine, others = [], []
    for k in range(rounds):
        mine.append(seconds(ours, seeds=drawn, first=drawn * k))
        if torch is not None:
            others.append(seconds(theirs, torch, drawn, first=drawn * k))
    fewer = "" if drawn == seeds else f" ({drawn} of {seeds} networks drawn, to stay brief)"
    print(
        f"{len(SCHEMES)} schemes, depth {DEPTH}, width {WIDTH}, batch {BATCH}, {drawn} networks, float64, forward and "
        f"backward{fewer}: {statistics.median(mine):.2f} s, {statistics.median(mine) / drawn:.2f} s a network"
    )
    if torch is None:
        print("PyTorch is not installed here: no comparison")
        return
    ratio = statistics.median(mine) / statistics.median(others)
    print(
        f"PyTorch {torch.__version__} with autograd, {threads} threads: {statistics.median(others):.2f} s; ratio {ratio:.2f}"
    )


STEPS, STARTS_ACROSS, MAP_STEPS = 500, 128, 300
ROSENBROCK = SURFACES["Rosenbrock"]
SMALL_RATE = 1e-4  # no run diverges: all do the same work


def our_paths(steps: int = STEPS) -> Any:
    """Run every optimizer that PyTorch has from one start, every step kept."""
    problem, start = SurfaceProblem(ROSENBROCK), np.array(ROSENBROCK.starts[0])
    return [
        descend(problem, entry.build(lr=SMALL_RATE), start, steps).path
        for entry in OPTIMIZERS.values()
        if entry.torch
    ]


def their_paths(torch: Any, steps: int = STEPS) -> Any:
    """Do the same with ``torch.optim`` and autograd, through the line that each entry states."""
    found = []
    for entry in OPTIMIZERS.values():
        if not entry.torch:
            continue
        w = torch.tensor(ROSENBROCK.starts[0], dtype=torch.float64, requires_grad=True)
        knobs = {knob.name: knob.default for knob in entry.knobs} | {"lr": SMALL_RATE}
        optimizer = eval(
            entry.torch, {"torch": torch, "params": [w], **knobs}
        )  # our own line, from the registry
        for _ in range(steps):
            optimizer.zero_grad()
            ((1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2).backward()
            optimizer.step()
        found.append(w.detach().numpy())
    return found


def our_map(across: int = STARTS_ACROSS, steps: int = MAP_STEPS, name: str = "Adam") -> Any:
    """Run a square of starts at once, as the basin map does."""
    surface = SURFACES["Himmelblau"]
    rule = OPTIMIZERS[name].build(lr=0.05)
    return basins(SurfaceProblem(surface), rule, surface.window, across, steps, surface.minima)


def optimizers(rounds: int) -> None:
    """Print paths and maps beside loops of PyTorch, and how they grow."""
    count = sum(bool(entry.torch) for entry in OPTIMIZERS.values())
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        torch = None
    our_paths(20), our_map(16, 20)
    mine, theirs_, maps = [], [], []
    for _ in range(rounds):
        mine.append(seconds(our_paths))
        maps.append(seconds(our_map))
        if torch is not None:
            theirs_.append(seconds(their_paths, torch))
    one, picture = statistics.median(mine), statistics.median(maps)
    print(f"{count} optimizers × {STEPS} steps from one start: {1e3 * one:.0f} ms")
    print(
        f"{STARTS_ACROSS**2:,} starts × {MAP_STEPS} steps of Adam, with minima and steps taken: {picture:.2f} s"
    )
    if torch is None:
        print("PyTorch is not installed here: no comparison")
    else:
        loop = statistics.median(theirs_)
        each = loop / (count * STEPS)
        print(
            f"PyTorch {torch.__version__}, torch.optim with autograd: {loop:.2f} s; {loop / one:.1f} times as long; "
            f"per start and step the map is {each / (picture / (STARTS_ACROSS**2 * MAP_STEPS)):,.0f} times faster"
        )
    problem, start = SurfaceProblem(ROSENBROCK), np.array(ROSENBROCK.starts[0])
    rates = np.geomspace(1e-6, SMALL_RATE, 31)
    build = OPTIMIZERS["Adam"].build
    grid = [
        seconds(lambda: descend(problem, build(lr=rates), np.tile(start, (31, 1)), STEPS))
        for _ in range(rounds)
    ]
    loop_ = [
        seconds(lambda: [descend(problem, build(lr=float(r)), start, STEPS) for r in rates])
        for _ in range(rounds)
    ]
    print(
        f"31 learning rates in one run: {statistics.median(loop_) / statistics.median(grid):.1f} times faster than one by one"
    )
    for label, small, double in (
        ("starts", {"across": 90}, {"across": 127}),
        ("steps", {"steps": 150}, {"steps": 300}),
    ):
        low = statistics.median(seconds(our_map, **small) for _ in range(rounds))
        high = statistics.median(seconds(our_map, **double) for _ in range(rounds))
        print(f"  {label} × 2: time × {high / low:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"networks (default {SEEDS})")
    parser.add_argument("--rounds", type=int, default=3, help="repeats of every measurement (default 3)")
    parser.add_argument("--only", choices=("layers", "optimizers"), help="one of the two parts")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, NumPy {np.__version__}")
    if options.only != "optimizers":
        compare(options.seeds, options.rounds)
        growth(options.rounds)
        default_view(options.rounds)
    if options.only != "layers":
        optimizers(options.rounds)


if __name__ == "__main__":
    main()
