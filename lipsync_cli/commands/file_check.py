"""What `lipsync doctor FILE` says of a file: what `lipsync probe` reads of it, or which list or limit refuses it."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from lipsync_cli.commands.probe import described, probed
from lipsync_core.errors import LimitError, LipSyncError, OptionError


@dataclass(frozen=True, slots=True)
class FileCheck:
    """Whether a file is read here."""

    path: str
    is_read: bool
    detail: str
    code: str = ""
    remedy: str = ""
    refused_by: str = ""  # the list or the limit, with its variable

    def lines(self) -> Iterator[str]:
        """As text."""
        if self.is_read:
            yield "The file is read:"
            yield self.detail
            return
        yield f"The file is not read, {self.code}: {self.detail}"
        if self.refused_by:
            yield f"{'':8} by: {self.refused_by}"
        if self.remedy:
            yield f"{'':8} remedy: {self.remedy}"


def check_file(path: Path) -> FileCheck:
    """Read the file as `lipsync probe` does."""
    try:
        info = probed(path)
    except LipSyncError as exc:
        return FileCheck(str(path), False, exc.message, exc.code, exc.remedy, _refused_by(exc))
    return FileCheck(str(path), True, described(info))


def _refused_by(error: LipSyncError) -> str:
    from lipsync_cli.environment import rules_of_reading
    from lipsync_core.limits import limits, variable_of

    if isinstance(error, OptionError):  # of a variable, whatever the file is
        return ""
    for variable, kind in (("LIPSYNC_ALLOW_DEMUXERS", "formats"), ("LIPSYNC_ALLOW_DECODERS", "codecs")):
        if variable in str(error):
            return f"the list of {kind} that are read; {variable} adds some"
    if not isinstance(error, LimitError):
        return ""
    with rules_of_reading():
        present = limits()
    found = [
        f"{variable_of(each.name)}, here {getattr(present, each.name)}"
        for each in fields(present)
        if f"({error.code})" in each.metadata["help"]
    ]
    return "the limit " + " or ".join(found) if found else ""
