"""How stored volumes become batches, as settings; apart from the code that needs torch, so that a plan can be made
without it.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from uniferum.config import Section


class DataConfig(Section):
    """How stored volumes become batches."""

    # Keys that say how fast, not what: they change no number of any batch and belong in no fingerprint.
    RESOURCE_KEYS: ClassVar[frozenset[str]] = frozenset({"loader_workers", "prefetch", "cache_gib"})

    level: Literal["train", "full"] = Field(
        "train", description="resample from the stored training level, or from 1 mm"
    )
    tasks_per_volume: int = Field(default=4, ge=1, description="rows of one volume that share one encoding of it")
    resample: Literal["host", "device"] = Field(default="host", description="where the augmentation's resampling runs")
    loader_workers: int = Field(
        default=0, ge=0, description="threads that prepare volumes ahead; 0 prepares them in line"
    )
    prefetch: int = Field(
        default=2, ge=1, description="steps (evaluation: batches) prepared ahead where there are threads"
    )
    cache_gib: float = Field(
        default=1.0, ge=0, description="keep decoded volumes in memory where all of them fit in this"
    )

    def identity(self) -> dict[str, Any]:
        """The keys that change what a training sees, for a fingerprint."""
        return self.model_dump(exclude=set(self.RESOURCE_KEYS))
