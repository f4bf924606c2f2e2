"""The public datasets and where each is had: ``sources.yaml``, read and checked."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from uniferum.config import Section, load_yaml
from uniferum.errors import UniferumError, near_miss

FILE = Path(__file__).with_name("sources.yaml")


class Known(Section):
    """What is said of every dataset.

    Attributes:
        title: one line.
        config: the cohort's YAML file in this project.
        page: the owners' page.
        access: what it takes to get the data.
        licence: as the owners state it.
        raw_gb: size on disk in GB as downloaded and unpacked.
        confirmed: whether ``raw_gb`` and ``licence`` were seen on an owner's page.
        scans: volumes that the cohort reads.
    """

    title: str
    config: str
    page: str
    access: str
    licence: str
    raw_gb: float
    confirmed: bool
    scans: int


class HubSource(Known):
    """A dataset repository of the Hugging Face hub; ``{split}`` stands for a name of ``splits``."""

    kind: Literal["hub"]
    repo: str
    tables: tuple[str, ...]
    labels: str
    not_chest: str
    volumes: str
    masks: str
    splits: tuple[str, ...]


class ZenodoSource(Known):
    """Records of Zenodo: tables and either single volumes or archives of them.

    Attributes:
        records: numbers of the records.
        tables: patterns of file names that are always fetched.
        volumes: patterns of the volumes, where each is a file.
        splits: split to the beginning of its volumes' names.
        archives: pattern of the archives.
        members: patterns, with commas between them, of what is unpacked.
        scans_an_archive: usable scans an archive, to say how many archives a limit needs.
        unpacked: bytes unpacked a byte of an archive.
    """

    kind: Literal["zenodo"]
    records: tuple[str, ...]
    tables: tuple[str, ...]
    volumes: tuple[str, ...] = ()
    splits: dict[str, str] = Field(default_factory=dict)
    archives: str | None = None
    members: str = ""
    scans_an_archive: int = Field(default=1, ge=1)
    unpacked: float = 1.0


class PersonSource(Known):
    """A dataset that only a person may get: the steps, in order; ``{page}`` and ``{out}`` are filled in."""

    kind: Literal["person"]
    folder: str
    needed: tuple[str, ...]
    steps: tuple[str, ...]
    splits: dict[str, str] = Field(default_factory=dict)


Source = HubSource | ZenodoSource | PersonSource
_PARSER: TypeAdapter[dict[str, Source]] = TypeAdapter(dict[str, Annotated[Source, Field(discriminator="kind")]])


@cache
def sources() -> dict[str, Source]:
    """Every dataset by its cohort's name."""
    return _PARSER.validate_python(load_yaml(FILE))


def source_of(name: str) -> Source:
    """A dataset by its name, in any case.

    Raises:
        UniferumError: there is none of that name.
    """
    found = sources().get(name.upper().replace("-", ""))
    if found is None:
        raise UniferumError("dataset", name, must="be a known one", cure=near_miss(name.upper(), sources()))
    return found


def chosen_splits(source: Source, name: str, split: str | None) -> tuple[str, ...]:
    """The splits to fetch: the one that is asked for, or all.

    Raises:
        UniferumError: the dataset has no such split.
    """
    known = tuple(source.splits)
    if split is None:
        return known
    if split not in known:
        cure = near_miss(split, known) if known else f"{name} has no splits of its own: leave --split out"
        raise UniferumError("--split", split, must=f"be a split of {name}", cure=cure)
    return (split,)
