"""Signs the result of a job before it is delivered, as the operator has decided."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from lipsync_core.errors import OptionError, SigningError
from lipsync_core.movie_signer import MovieSigner, audio_input, provenance_of, statement_of, video_input
from lipsync_core.provenance.credential import SigningCredential, open_credential
from lipsync_core.provenance.verification import verification_of
from lipsync_core.report import Provenance
from lipsync_core.workspace import Workspace
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.settings import Settings
from tasks.rendering import RenderPass, keep
from tasks.stage_log import StageMeter


@dataclass(frozen=True, slots=True)
class Signing:
    """What signs the results of this host, and whether a result that is not signed may be delivered."""

    credential: SigningCredential
    is_required: bool


def open_signing(request: LipSyncRequest, settings: Settings) -> Signing | None:
    """What signs the result of `request`; None where it shall not be signed.

    Raises:
        OptionError: it shall not be, and this service signs all results.
        SigningSetupError: the certificate or the key cannot be used.
    """
    is_required = settings.provenance == "required"
    if not request.provenance:
        if is_required:
            raise OptionError("provenance is off, and this service signs all results", "leave it on")
        return None
    return Signing(open_credential(settings.signing, Workspace.default().signing_folder), is_required)


def sign_result(render: RenderPass, request: LipSyncRequest, signing: Signing, meter: StageMeter) -> Provenance:
    """Sign the finished movie, unless an earlier attempt has; an error is told, and the movie is as it was.

    Raises:
        SigningError: it was not signed, and this service delivers no such result. The movie is kept for another try.
            Or it was altered since an earlier attempt has signed it: it is kept no longer, and another makes it anew.
    """
    known = verification_of(render.output) if render.is_kept else None
    if known is not None and known.state == "altered":
        render.job.files.discard(render.kept_url)  # neither delivered nor signed: nobody knows who has altered it
        raise SigningError("the movie was altered while it was kept", "run the job again: it is rendered anew")
    if known is not None and known.state != "none":
        meter.was_cached = True
        return provenance_of(known)
    video, audio = render.inputs.video, render.inputs.audio
    signer = MovieSigner(
        signing.credential,
        _name(request.output),
        (
            video_input(video.path, _name(request.video), video.sha256()),
            audio_input(audio.path, _name(request.audio), audio.sha256),
        ),
        statement_of(render.plan, render.parts),
        meter.clock,
    )
    signer(render.output)
    meter.items, meter.note = 1, signer.told.account
    if signer.told.error is not None and signing.is_required:
        keep(render)
        raise SigningError(signer.told.error.message, "the movie is kept: run the job again to sign it")
    return signer.told


def _name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name
