"""Signs a finished movie: XMP, then content credentials over its bytes, but for those that C2PA leaves out."""

import io
import secrets
from dataclasses import dataclass
from pathlib import Path

import c2pa

from lipsync_core.errors import SigningError
from lipsync_core.provenance.context import context, media_type, signer
from lipsync_core.provenance.credential import SigningCredential
from lipsync_core.provenance.ingredients import Input, SourceState, bare_ingredient, ingredient_of
from lipsync_core.provenance.statement import Statement, manifest_of
from lipsync_core.provenance.xmp import add_xmp
from lipsync_core.shown_text import with_shown_urls

_REMEDY = (
    "the movie is whole, and says in its comment what it is; look at certificate, key and time stamp server, "
    "and run the job again for a signed one"
)


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed, and by whom."""

    subject: str  # of the certificate
    is_self_made: bool
    source: SourceState  # of the video's own credentials


def sign_movie(
    path: Path, title: str, statement: Statement, inputs: tuple[Input, ...], credential: SigningCredential
) -> Signed:
    """Sign the finished movie at `path`, in place: on any error the file is as it was.

    `inputs` are the video, then the sound.

    Raises:
        SigningError: it cannot be signed, or no time stamp is to be had.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    plain = path.stat().st_size
    try:
        kind = media_type(path) or "video/mp4"
        builder = c2pa.Builder(manifest_of(statement, title, kind), context(movie_bytes=plain))
        states = [_add(builder, each) for each in inputs]
        add_xmp(path)
        with path.open("rb") as movie, unfinished.open("w+b") as signed:
            builder.sign(_signer(credential), kind, movie, signed)
        unfinished.replace(path)
    except (c2pa.C2paError, OSError) as exc:
        with path.open("r+b") as movie:
            movie.truncate(plain)
        # Without the library's error as the cause: its text may repeat the user and the password of an address.
        cause = exc if isinstance(exc, OSError) else None
        raise SigningError(f"{title} could not be signed: {_reason(exc)}", _REMEDY) from cause
    finally:
        unfinished.unlink(missing_ok=True)
    return Signed(credential.subject, credential.is_self_made, states[0])


def _add(builder: c2pa.Builder, given: Input) -> SourceState:
    ingredient = ingredient_of(given.path, given.title, given.sha256, given.label, given.relationship)
    if ingredient.archive:
        builder.add_ingredient_from_archive(io.BytesIO(ingredient.archive))
    else:
        builder.add_ingredient(bare_ingredient(given), "application/octet-stream", io.BytesIO(b""))
    return ingredient.state


def _signer(credential: SigningCredential) -> c2pa.Signer:
    return signer(credential.sign, credential.algorithm, credential.chain_pem, credential.timestamp_url)


def _reason(exc: Exception) -> str:
    return with_shown_urls(" ".join(str(exc).split())) or type(exc).__name__
