"""The workers of the pools, which start runs quickly and let them end in order."""
