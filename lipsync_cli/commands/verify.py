"""`lipsync verify`: reads what a movie says of itself, and whether it is still as it was signed."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lipsync_cli.environment import rules_of_reading
from lipsync_cli.failures import write_stdout
from lipsync_cli.values import LocalFile
from lipsync_core.errors import AlteredError, InputError, InputMissingError, NotAFileError, OptionError, UnsignedError
from lipsync_core.shown_text import printable

if TYPE_CHECKING:
    from lipsync_core.provenance.verification import Action, Source, Verification

SCHEMA = "lipsync.verify/1"
_MOST_CHARS = 1000  # of a line of text; JSON has all
_STATES = {
    "none": "no content credentials",
    "altered": "ALTERED since it was signed",
    "intact": "as it was signed; the signer is not among those that are trusted here",
    "trusted": "as it was signed, by a signer that is trusted here",
}


@click.command()
@click.argument("file", type=LocalFile())
@click.option(
    "--trust",
    type=LocalFile(OptionError),
    metavar="FILE.pem",
    help="Certificates of authorities: a signer that one of them has issued is trusted.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def verify(file: Path, trust: Path | None, as_json: bool) -> None:
    """Say who has signed FILE, how it was made, and whether a byte was altered since."""
    from lipsync_core.isolation.room import reading_room

    with rules_of_reading(), reading_room("probes"):
        from lipsync_core.provenance.trust import authorities_of
        from lipsync_core.provenance.verification import verification_of

        trusted_pem = authorities_of(trust) if trust else ""
        comment = _comment(file)
        found = verification_of(file, trusted_pem)
    write_stdout(json.dumps(_fields(found, comment), indent=2) if as_json else _described(found, comment))
    if found.state == "none":
        raise UnsignedError(f"{file} carries no content credentials", "ask its maker for the file as it was delivered")
    if found.state == "altered":
        raise AlteredError(f"{file} is not as it was signed", "ask its maker for the file as it was delivered")


def _comment(file: Path) -> str | None:
    """The file's comment; None also where FFmpeg does not read it, as may be after it was altered."""
    from lipsync_core.media.comment import comment_of

    try:
        return comment_of(file)
    except (InputMissingError, NotAFileError):
        raise
    except InputError:
        return None


def _described(found: "Verification", comment: str | None) -> str:
    lines = [f"state    {_STATES[found.state]}"]
    lines += [f"         {code}: {text}" for code, text in found.problems]
    if found.state != "none":
        lines += [
            f"signer   {found.signer or 'unknown'}",
            f"signed   {found.signed_at or 'at a time that no time stamp server has confirmed'}",
            f"by       {found.generator or 'unknown'}",
            *(f"action   {_action_line(each)}" for each in found.actions),
            *(f"source   {_source_line(each)}" for each in found.sources),
            *([f"beside   {found.uncovered_bytes} bytes that no signature covers"] if found.uncovered_bytes else ()),
        ]
    lines.append(f"xmp      {found.xmp_source_type or 'names no kind of source'}")
    lines.append(f"comment  {comment or 'none'}")
    return "\n".join(printable(line, _MOST_CHARS) for line in lines)  # each field is a stranger's


def _action_line(action: "Action") -> str:
    kind = action.digital_source_type.rpartition("/")[2]
    told = ", ".join(f"{name} {value}" for name, value in sorted(action.parameters))
    return "; ".join(part for part in (action.name, action.when, action.agent, kind, action.description, told) if part)


def _source_line(source: "Source") -> str:
    states = {"none": "no credentials of its own", "valid": "its own credentials are valid"}
    state = states.get(source.state, "ALTERED since it was signed itself")
    return "; ".join(part for part in (source.relationship, source.title, source.instance_id, state) if part)


def _fields(found: "Verification", comment: str | None) -> dict[str, Any]:
    fields = asdict(found)
    fields["problems"] = [{"code": code, "explanation": text} for code, text in found.problems]
    for each in fields["actions"]:
        each["parameters"] = dict(each["parameters"])
    return {"schema": SCHEMA, **fields, "comment": comment}
