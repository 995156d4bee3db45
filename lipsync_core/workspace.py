"""The folders of models and cached face tracks on this machine."""

from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from lipsync_core.provenance.settings import SigningSettings


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders that outlive a job, each made when first needed; and who signs the movies made here."""

    models: Path
    cache: Path
    signing: SigningSettings = field(default_factory=SigningSettings)

    @property
    def signing_folder(self) -> Path:
        """Of the self-made certificate."""
        return self.models.parent / "signing"

    @classmethod
    def default(cls) -> "Workspace":
        """The standard folders of this platform for the user."""
        return cls(
            models=platformdirs.user_data_path("lipsync", appauthor=False) / "models",
            cache=platformdirs.user_cache_path("lipsync", appauthor=False),
        )

    @classmethod
    def below(cls, root: Path) -> "Workspace":
        """Everything under one folder."""
        return cls(models=root / "models", cache=root / "cache")
