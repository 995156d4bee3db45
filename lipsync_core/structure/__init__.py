"""Looks at a file's own account of itself before FFmpeg believes it: `check.check_structure`."""
