"""The error of a model server's client that is not here."""

from lipsync_core.errors import OptionError

#: What an import of the client raises: it is not installed, or (RuntimeError) it is, without its part for gRPC.
IMPORT_FAULTS = (ImportError, RuntimeError)


def not_installed(fault: Exception) -> OptionError:
    """The error that names the extra, for a `fault` of IMPORT_FAULTS."""
    reason = str(fault).split(".")[0] if isinstance(fault, RuntimeError) else fault
    message = f"a model server needs the extra 'model-server', missing here: {reason}"
    return OptionError(message, "run: pip install 'lipsync[model-server]'")
