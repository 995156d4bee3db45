"""Signs a job's movie once it is finished, and tells how that went."""

from dataclasses import dataclass, field
from pathlib import Path

from lipsync_core.catalogue import RenderingParts
from lipsync_core.clip_plan import ClipPlan
from lipsync_core.clock import StageClock
from lipsync_core.errors import SigningError
from lipsync_core.memory import give_free_memory_back
from lipsync_core.movie import enhancer_name
from lipsync_core.provenance.credential import SigningCredential
from lipsync_core.provenance.ingredients import Input
from lipsync_core.provenance.self_made import is_self_made
from lipsync_core.provenance.signing import sign_movie
from lipsync_core.provenance.statement import AUDIO, VIDEO, Statement
from lipsync_core.provenance.verification import Verification
from lipsync_core.report import Provenance


@dataclass(slots=True)
class MovieSigner:
    """Signs a finished file in place; an error is kept in `told`, and the file is left as it was."""

    credential: SigningCredential
    title: str  # of the movie: a name without folders
    inputs: tuple[Input, ...]
    statement: Statement
    clock: StageClock
    told: Provenance = field(default_factory=Provenance)

    def __call__(self, path: Path) -> None:
        """Sign the movie at `path`."""
        with self.clock.stage("sign"):
            give_free_memory_back()  # of decoder and encoder: a part of what signing takes
            try:
                signed = sign_movie(path, self.title, self.statement, self.inputs, self.credential)
            except SigningError as error:
                self.told = Provenance(error=error)
            else:
                self.told = Provenance(signed.subject, signed.is_self_made, signed.source)


def provenance_of(signed: Verification) -> Provenance:
    """How a movie says how it was made that an earlier attempt has signed."""
    states = [each.state for each in signed.sources if each.relationship == "parentOf"]
    return Provenance(signed.signer, is_self_made(signed.signer), next(iter(states), "none"))


def video_input(path: Path, title: str, sha256: str) -> Input:
    """The video, whose pictures a movie changes."""
    return Input(path, title, sha256, VIDEO, "parentOf")


def audio_input(path: Path, title: str, sha256: str) -> Input:
    """The sound that a movie carries."""
    return Input(path, title, sha256, AUDIO, "componentOf")


def statement_of(plan: ClipPlan, parts: RenderingParts) -> Statement:
    """How the movie of `plan` was made."""
    identity, enhancer = parts.identity, parts.enhancer
    return Statement(
        model=identity.label,
        model_licence=identity.licence,
        model_sha256=identity.weights_sha256,
        enhancer=enhancer_name(enhancer) if enhancer else None,
        frames=plan.counts.total,
        synced=plan.counts.synced,
    )
