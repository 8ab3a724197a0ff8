"""The experiments of Layerwise in NumPy: registries, simulations and their closed forms."""
