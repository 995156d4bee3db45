"""The folders of models and cached face tracks on this machine."""

from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True, slots=True)
class Workspace:
    """The two folders that outlive a job; both are made when first needed."""

    models: Path
    cache: Path

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
