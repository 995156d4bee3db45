"""The Python packages that are installed beside this one."""

import importlib.metadata


def is_installed(distribution: str) -> bool:
    """Whether pip has recorded the distribution (such as "onnxruntime-gpu"), whatever state its files are in."""
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
