"""The sync score: whether a mouth in pictures does what a sound asks for. Pure functions, and a meter of frames."""
