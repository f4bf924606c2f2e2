"""Public datasets and their download sources, read from ``sources.yaml`` and validated."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from uniferum.config import Section, load_yaml
from uniferum.errors import UniferumError, near_miss

FILE = Path(__file__).with_name("sources.yaml")


class Known(Section):
    """Properties of every dataset.

    Attributes:
        title: title in one line.
        config: the cohort's YAML file in this project.
        page: web page of the dataset's owners.
        access: requirements for access to the data.
        licence: licence as stated by the owners.
        raw_gb: size on disk in GB, downloaded and unpacked.
        confirmed: whether ``raw_gb`` and ``licence`` were found on a page of the owners.
        scans: number of volumes that the cohort reads.
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
    """A dataset repository on the Hugging Face hub; ``{split}`` is replaced by a name in ``splits``."""

    kind: Literal["hub"]
    repo: str
    tables: tuple[str, ...]
    labels: str
    not_chest: str
    volumes: str
    masks: str
    splits: tuple[str, ...]


class ZenodoSource(Known):
    """Records on Zenodo: tables, and either single volumes or archives of them.

    Attributes:
        records: ids of the records.
        tables: patterns of file names that are always fetched.
        volumes: patterns of the volumes, if each is a file.
        splits: split to the prefix of its volumes' names.
        archives: pattern of the archives.
        members: patterns, separated by commas, of the members to unpack.
        scans_an_archive: usable scans per archive, to compute how many archives a limit needs.
        unpacked: ratio of unpacked bytes to bytes of the archive.
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
    """A dataset that requires manual steps, in order; ``{page}`` and ``{out}`` are filled in."""

    kind: Literal["person"]
    folder: str
    needed: tuple[str, ...]
    steps: tuple[str, ...]
    splits: dict[str, str] = Field(default_factory=dict)


Source = HubSource | ZenodoSource | PersonSource
_PARSER: TypeAdapter[dict[str, Source]] = TypeAdapter(dict[str, Annotated[Source, Field(discriminator="kind")]])


@cache
def sources() -> dict[str, Source]:
    """All datasets by their cohort's name."""
    return _PARSER.validate_python(load_yaml(FILE))


def source_of(name: str) -> Source:
    """Dataset with a name, in upper or lower case.

    Raises:
        UniferumError: there is no such dataset.
    """
    source = sources().get(name.upper().replace("-", ""))
    if source is None:
        raise UniferumError("dataset", name, must="be a known one", cure=near_miss(name.upper(), sources()))
    return source


def chosen_splits(source: Source, name: str, split: str | None) -> tuple[str, ...]:
    """Splits to fetch: the requested one, or all.

    Raises:
        UniferumError: the dataset has no such split.
    """
    known = tuple(source.splits)
    if split is None:
        return known
    if split not in known:
        cure = near_miss(split, known) if known else f"{name} has no splits: remove --split"
        raise UniferumError("--split", split, must=f"be a split of {name}", cure=cure)
    return (split,)
