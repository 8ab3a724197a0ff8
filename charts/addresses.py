"""The addresses of pages: their names of today, in the order of the menu, and others that lead to them."""

from collections.abc import Mapping

PAGES = ("activations", "initialization", "batchnorm", "dropout", "optimizers")

# Former names too, so that old links live on; in small letters and with hyphens.
ALIASES: Mapping[str, str] = {
    "activation": "activations", "init": "initialization", "initialisation": "initialization",
    "batch-norm": "batchnorm", "batch-normalization": "batchnorm", "optimizer": "optimizers",
    "optimisers": "optimizers",
}  # fmt: skip


def page_of(name: str) -> str:
    """Return the page of that name in any case, or of an alias; empty if there is none."""
    plain = name.casefold().replace("_", "-")
    return plain if plain in PAGES else ALIASES.get(plain, "")
