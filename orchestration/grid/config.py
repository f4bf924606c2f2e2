"""Schema of a grid file.

What runs (models, text encoders, training mixes, seeds, and the axes of the file) is a product of axes; where it runs
(root, stores, resources, policy, tracking) has its own sections, which are in no fingerprint.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from orchestration.grid.axes import NAME, Axis
from orchestration.grid.folds import GridFolds
from orchestration.grid.paths import path_from, place_paths, relative_paths
from orchestration.grid.resources import Resources
from uniferum.config import Section, fingerprint, load_yaml, merge, override, parse
from uniferum.errors import near_miss
from uniferum.systems import SYSTEMS, UNIFERUM

Over = Literal["seeds", "folds"]
"""What the members of an ensemble vary."""


class Policy(Section):
    """What happens when cells fail; in no fingerprint."""

    retries: int = Field(
        default=3, ge=0, description="retries of a cell after infrastructure failures; user errors are not retried"
    )
    backoff_s: float = Field(default=5, ge=0, description="seconds before the first retry; doubled for each other")
    backoff_max_s: float = Field(default=300, ge=0)
    timeout_s: float | None = Field(default=None, gt=0, description="longest duration of a cell")
    stall_s: float = Field(default=1800, gt=0, description="time without a step after which a cell is retried")
    breaker: int = Field(default=3, ge=0, description="so many cells in a row failing alike pause the grid; 0: never")
    breaker_wait_s: float = Field(
        default=3600, ge=0, description="how long a grid paused by the breaker waits for `grid resume` before it ends"
    )
    free_gib: float = Field(default=2, ge=0, description="free space that the root needs before a cell starts")


class Tracking(Section):
    """The MLflow server; in no fingerprint."""

    enabled: bool = True
    uri: str | None = Field(default=None, description="none: MLFLOW_TRACKING_URI, else a local server of the grid")
    wait_s: float = Field(default=300, ge=0, description="longest wait for the last uploads after the last cell")


class CellGroup(Section):
    """One model, one text encoder, several training mixes and values of axes."""

    name: str | None = Field(default=None, pattern=NAME, description="name of its cell, instead of one made of axes")
    model: str = Field(default=UNIFERUM, description="a system of uniferum/systems.py")
    text_encoder: str | None = None
    train_on: tuple[str, ...] = Field(min_length=1, description="mixes, e.g. CTRATE+INSPECT+SEG")
    evaluate_on: tuple[str, ...] | None = None
    vary: tuple[str, ...] = Field(default=(), description="axes whose values are combined, each with each")
    zip: tuple[str, ...] = Field(default=(), description="axes whose values are taken in pairs, first with first")
    folds: GridFolds | None = Field(default=None, description="of these cells, instead of the grid's")
    priority: int = Field(default=0, description="higher runs earlier")
    set: dict[str, Any] = Field(default_factory=dict, description="RunConfig keys of this group")

    @field_validator("model")
    @classmethod
    def _registered(cls, model: str) -> str:
        if model not in SYSTEMS:
            raise ValueError(f"be a known system, not '{model}'; {near_miss(model, SYSTEMS)}")
        return model

    @field_validator("train_on", "vary", "zip", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class Override(Section):
    """RunConfig keys for matching cells.

    ``when`` maps model, text_encoder, train_on, seed or an axis to a value or a list.
    """

    when: dict[str, Any]
    set: dict[str, Any]


class EnsembleConfig(Section):
    """A row of the report that averages the logits of cells, case by case; nothing is trained."""

    name: str = Field(pattern=NAME, description="name of the row")
    of: str | None = Field(
        default=None, description="a cell, without the part of its name that over varies: its members are averaged"
    )
    over: tuple[Over, ...] = Field(default=(), description="seeds, folds, or both: what the members of `of` vary")
    cells: tuple[str, ...] = Field(default=(), description="instead of `of`: names or patterns, e.g. uniferum-*")

    @field_validator("over", "cells", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _members_are_named(self) -> Self:
        if (self.of is None) == (not self.cells) or (self.of is None) != (not self.over):
            raise ValueError("have of with over (seeds, folds), or cells")
        return self


class GridConfig(Section):
    """A grid file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    root: Path
    stores: dict[str, Path | str]
    base: Path | None = Field(
        default=None, description="file of RunConfig keys below defaults, relative to the grid file"
    )
    defaults: dict[str, Any] = Field(default_factory=dict)
    text_encoders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    evaluate_on: tuple[str, ...]
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    folds: GridFolds | None = Field(
        default=None, description="one cell for each fold: a count, or {count: 5, seed: 0, nested: false}"
    )
    axes: dict[str, Axis] = Field(default_factory=dict, description="keys to vary, with their values")
    cells: tuple[CellGroup, ...] = Field(min_length=1)
    exclude: tuple[dict[str, Any], ...] = Field(
        default=(), description="cells that are left out: conditions like those of overrides"
    )
    overrides: tuple[Override, ...] = ()
    ensembles: tuple[EnsembleConfig, ...] = Field(
        default=(), description="rows of the report that average the logits of seeds, folds or any cells"
    )
    resources: Resources = Resources()
    policy: Policy = Policy()
    tracking: Tracking = Tracking()
    ledger: str | None = Field(
        default=None, description="postgresql:// address of the ledger; none: a SQLite file in the root"
    )
    margins: dict[str, float] = Field(
        default_factory=dict,
        description="largest difference from the paper's value that reproduces it: by metric, 'COHORT group' or both",
    )
    synthetic: bool = Field(default=False, description="the data are phantoms: no result is compared with the paper")
    other_recipes: tuple[Path, ...] = Field(
        default=(), description="grid files of the same cells with other recipes; the plan shows their hours too"
    )
    comparable: dict[str, str] = Field(
        default_factory=dict,
        description="cohort: why its results compare although its split or labels are not the paper's",
    )

    @field_validator("stores")
    @classmethod
    def _folders_or_urls(cls, stores: dict[str, Path | str]) -> dict[str, Path | str]:
        return {name: str(store) if "://" in str(store) else Path(store) for name, store in stores.items()}

    @model_validator(mode="after")
    def _reasons_for_cohorts(self) -> Self:
        for cohort, reason in self.comparable.items():
            if cohort not in self.stores:
                raise ValueError(
                    f"name cohorts of stores in comparable, not '{cohort}'; {near_miss(cohort, self.stores)}"
                )
            if not reason.strip():
                raise ValueError(f"give a reason in comparable for {cohort}: it is printed with every verdict on it")
        return self

    @field_validator("ledger")
    @classmethod
    def _server_without_password(cls, ledger: str | None) -> str | None:
        if ledger is None:
            return None
        address = urlsplit(ledger)
        if address.scheme != "postgresql" or not address.hostname or not address.path.strip("/"):
            raise ValueError("look like postgresql://USER@HOST:PORT/DATABASE")
        if address.password is not None or "password" in address.query:
            raise ValueError("hold no password, since grid files travel and are shown; PGPASSWORD or ~/.pgpass has it")
        return ledger

    @property
    def ledger_address(self) -> Path | str:
        """Path of the SQLite file, or URL of the PostgreSQL database."""
        return self.ledger or self.root / "ledger.sqlite"

    @property
    def ledger_scope(self) -> str:
        """PostgreSQL schema of the ledger; each root has its own, because each root has one driver."""
        return f"{self.name[:40]}-{fingerprint(str(self.root.resolve()), length=8)}"

    @property
    def store_addresses(self) -> dict[str, str]:
        """Address of each store, valid in any process: an absolute path or a URL."""
        return {n: store if isinstance(store, str) else str(store.resolve()) for n, store in self.stores.items()}

    @property
    def cells_folder(self) -> Path:
        """The folder with one sub-folder per cell."""
        return self.root / "cells"


def load_grid(path: Path | str, overrides: Iterable[str] = ()) -> GridConfig:
    """Load a grid file and its ``base`` file.

    Paths of the file are relative to its folder, those of ``overrides`` to the working directory.

    Raises:
        UniferumError: a file is missing, a key is unknown or given twice, or a value is not allowed.
    """
    path = Path(path)
    settings = list(overrides)
    keys = place_paths(path, override(load_yaml(path), settings), settings)
    grid = parse(GridConfig, keys, source=str(path))
    if grid.base is None:
        return grid
    base = place_paths(grid.base, load_yaml(grid.base))
    return grid.replace(base=None, defaults=merge(base, grid.defaults))


def paths_from(checkout: Path, file: Path) -> tuple[Path, dict[str, Path | str]]:
    """Load a grid file; return its root and stores, relative to a checkout where the file has relative paths.

    Raises:
        UniferumError: the file is wrong.
    """
    grid = load_grid(file)
    relative = {key: path_from(checkout, file, path) for key, path in relative_paths(load_yaml(file)).items()}
    stores = {name: relative.get(f"stores.{name}", store) for name, store in grid.stores.items()}
    return relative.get("root", grid.root), stores
