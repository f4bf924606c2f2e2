"""Schema of `configs/infra.yaml`, the description of a cluster from which the files of `infra/` are generated."""

import re
from pathlib import PurePosixPath

import ray
from pydantic import Field, field_validator

from uniferum.config import Section

DNS_LABEL = r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?"
PLAIN = r"[A-Za-z0-9_.:/@=-]+"


class SlurmSettings(Section):
    """Site-specific options of SLURM and LSF; empty ones are left out."""

    partition: str = ""
    account: str = ""
    queue: str = ""

    @field_validator("partition", "account", "queue")
    @classmethod
    def _plain(cls, value: str) -> str:
        return _must_be_plain(value) if value else value


class MachineSettings(Section):
    """One worker node."""

    nodes: int = Field(default=2, ge=1, le=4096)
    cpus: int = Field(default=16, ge=1)
    gpus: int = Field(default=1, ge=0)
    memory_gib: int = Field(default=96, ge=4)
    shared_memory_gib: int = Field(default=16, ge=1)
    gpu_type: str = ""


class LauncherSettings(Section):
    """Machines with SSH access, for `ray up`."""

    head_ip: str = "192.0.2.10"
    worker_ips: tuple[str, ...] = ("192.0.2.11", "192.0.2.12")
    ssh_user: str = "ubuntu"


class InfraSettings(Section):
    """A cluster and the grid that runs on it.

    ``project`` is the checkout and ``storage`` the folder of records and stores; both are absolute paths, the same on
    every node. On Kubernetes ``storage_claim`` is mounted at ``storage``. ``grid`` is a file of the checkout; its
    relative ``root`` and ``stores`` are folders below ``storage``.
    """

    name: str = "uniferum"
    image: str = "uniferum:0.1.0"
    grid: str = "configs/paper_grid.yaml"
    project: str = "/opt/uniferum"
    storage: str = "/mnt/uniferum"
    storage_claim: str = "uniferum-storage"
    tracking_uri: str = ""
    hours: int = Field(default=48, ge=1)
    machine: MachineSettings = MachineSettings()
    slurm: SlurmSettings = SlurmSettings()
    launcher: LauncherSettings = LauncherSettings()
    ray_version: str = ray.__version__

    @field_validator("name", "storage_claim")
    @classmethod
    def _dns(cls, value: str) -> str:
        if not re.fullmatch(DNS_LABEL, value):
            raise ValueError("be a DNS label: lower-case letters, digits and '-', at most 40 characters")
        return value

    @field_validator("image")
    @classmethod
    def _word(cls, value: str) -> str:
        return _must_be_plain(value)

    @field_validator("grid")
    @classmethod
    def _inside(cls, value: str) -> str:
        if PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts:
            raise ValueError("be a file of the checkout, relative to it")
        return _must_be_plain(value)

    @field_validator("tracking_uri")
    @classmethod
    def _uri(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[A-Za-z0-9.:/_-]+", value):
            raise ValueError("be empty or an http(s) address without a user name or password")
        return value

    @field_validator("project", "storage")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts:
            raise ValueError("be an absolute path, the same on every node")
        return _must_be_plain(value)


def _must_be_plain(value: str) -> str:
    if not re.fullmatch(PLAIN, value):
        raise ValueError("hold letters, digits and ._:/@=- only, so that a shell cannot misread it")
    return value
