"""Plan a preparation: scans that are left, and the disk space they need."""

from dataclasses import dataclass
from pathlib import Path

from uniferum.data.cohorts.base import Cohort
from uniferum.data.fetch.plan import gb
from uniferum.data.needs import level_bytes
from uniferum.data.prepare_cohort import card_of
from uniferum.errors import StateError
from uniferum.preprocessing.pipeline import PreparationConfig
from uniferum.preprocessing.store.filesystem import location_of
from uniferum.preprocessing.store.store import Store


@dataclass(frozen=True)
class PreparationPlan:
    """What a preparation would do: scans of the cohort, and scans that are in the store already."""

    total: int
    existing: int
    config: PreparationConfig

    def sentence(self) -> str:
        """Describe the plan in one sentence for the terminal."""
        new = self.total - self.existing
        size = new * scan_bytes(self.config)
        start = f"{self.total} scans, {self.existing} of them in the store already; about {gb(size)} to write"
        if self.config.levels != ("train",):
            return f"{start} (levels: {', '.join(self.config.levels)})"
        full = new * level_bytes(self.config.geometry, "full")
        return (
            f"{start}: stores the training level only, which is what grids read; --set levels=[train,full] adds the "
            f"full level, about {gb(full)} more"
        )


def plan_preparation(cohort: Cohort, out: str | Path, config: PreparationConfig) -> PreparationPlan:
    """Compare a cohort with a store that may not exist yet; writes nothing.

    Raises:
        UniferumError: the store has another cohort or another config.
    """
    if location_of(out).exists("store.json"):
        Store.create(out, card_of(cohort), config)  # opens the existing store and compares cohort and config
    total = sum(1 for _ in cohort.scans())
    existing = sum(name.endswith(".ufs") for name in location_of(out).names("scans"))
    return PreparationPlan(total, min(existing, total), config)


def check_space(store: Store, total: int) -> None:
    """Refuse a preparation that does not fit on the disk.

    Raises:
        StateError: the free space is less than the remaining scans need.
    """
    missing = max(0, total - len(store.scan_files()))
    needed = missing * scan_bytes(store.config)
    free = store.free_bytes()
    if free is not None and needed > free:
        more = "" if store.config.levels == ("train",) else ", or keep the training level alone: --set levels=[train]"
        statement = f"{store.url} has {free / 1e9:.0f} GB free; {missing} scans need about {needed / 1e9:.0f} GB"
        raise StateError(statement, cure=f"Give a larger disk{more}.")


def scan_bytes(config: PreparationConfig) -> int:
    """Size of one prepared scan in the store, at most."""
    return sum(level_bytes(config.geometry, level) for level in config.levels)
