"""Write the golden values: ``python -m tests.golden.make``, with PyTorch installed (2.13.0 was used).

Every module beside this one has ``golden()``, which returns named arrays: inputs, and what PyTorch makes of them
in float64; a few are of Keras or optax instead, and say so. They are stored as ``tests/golden/<module>.npz``; the
tests read those files and need none of the three.
"""

import importlib
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


def main() -> None:
    """Write all files, or those of the modules named on the command line."""
    names = sys.argv[1:] or sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "make"))
    for name in names:
        try:
            values = importlib.import_module(f"tests.golden.{name}").golden()
        except ModuleNotFoundError as missing:
            if sys.argv[1:]:
                raise
            print(f"{name}: left as it is, {missing.name} is not installed")
            continue
        target = FOLDER / f"{name}.npz"
        np.savez_compressed(target, **values)
        print(f"{target.name}: {len(values)} arrays, {target.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
