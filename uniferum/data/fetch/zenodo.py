"""Download LUNA16 and RAD-ChestCT from Zenodo, whose record API lists files with sizes and MD5 checksums.

``ZENODO_ENDPOINT`` replaces https://zenodo.org (a mirror, a test). For restricted access, ``ZENODO_LINK`` holds the
link in the owners' e-mail, or ``ZENODO_TOKEN`` a personal token; both are only sent to that host and never printed.
"""

import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import requests

from uniferum.data.cohorts.tables import rows
from uniferum.data.fetch.archives import members, unpack
from uniferum.data.fetch.download import TIMEOUT_S, fetch_file
from uniferum.data.fetch.plan import FetchPlan, Record, RemoteFile, has_size
from uniferum.data.fetch.sources import ZenodoSource
from uniferum.errors import StateError

HOST = "https://zenodo.org"
CHECK_HOST = "Check ZENODO_ENDPOINT, and on zenodo.org whether the record has changed."


class Zenodo:
    """Zenodo records of one dataset."""

    def __init__(self, source: ZenodoSource) -> None:
        self.source = source
        self.host = (os.environ.get("ZENODO_ENDPOINT") or HOST).rstrip("/")
        token = os.environ.get("ZENODO_TOKEN")
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        link = parse_qs(urlsplit(os.environ.get("ZENODO_LINK", "")).query).get("token")
        self.query = {"token": link[0]} if link else {}

    def plan(self, dataset: str, out: Path, splits: tuple[str, ...], limit: int | None) -> FetchPlan:
        """List the records' files and select those to fetch.

        Args:
            dataset: name of the cohort.
            out: folder of the dataset; archives that were unpacked there are not fetched again.
            splits: splits of the volumes; empty if the dataset has none.
            limit: maximum number of scans (of each split).

        Raises:
            StateError: there is no connection, or the owners have not granted access.
        """
        listed = [file for record in self.source.records for file in self._list_files(record)]
        tables = [file for file in listed if _fits(file.path, self.source.tables)]
        if not tables:
            statement = f"{self.source.page} does not list {', '.join(self.source.tables)}"
            raise StateError(statement, cure=self._cure())
        volumes = [file for file in listed if _fits(file.path, self.source.volumes)]
        chosen, notes = _by_split(volumes, self.source.splits, splits, limit)
        archives = sorted((f for f in listed if self._is_archive(f)), key=lambda file: file.path)
        archives = archives[: None if limit is None else -(-limit // self.source.scans_an_archive)]
        due = [file for file in archives if not _unpacked(out, file)]
        if len(due) < len(archives):
            notes.append(f"{len(archives) - len(due)} archives were already unpacked and are not fetched again")
        if archives and limit is not None:
            notes.append(f"{limit} scans with an annotation are unpacked from {len(archives)} of the archives")
        others = len(listed) - len(tables) - len(volumes) - sum(map(self._is_archive, listed))
        if others:
            notes.append(f"{others} files of the record are not used by the cohort and not fetched")
        grown = int(self.source.unpacked * sum(file.size for file in due))
        files = (*tables, *chosen, *due)
        revision = ",".join(self.source.records)
        return FetchPlan(dataset, revision, splits, limit, files, len(chosen) or len(archives), grown, tuple(notes))

    def download(
        self,
        plan: FetchPlan,
        out: Path,
        record: Record,
        *,
        heard: Callable[[int], None] | None = None,
        heard_file: Callable[[], None] | None = None,
    ) -> tuple[int, int]:
        """Download the plan's files into ``out``, one after another, and unpack the archives.

        Args:
            plan: see :meth:`plan`.
            out: folder of the dataset.
            record: gets every file that the folder then contains.
            heard: called with numbers of bytes as they arrive.
            heard_file: called with each completed file.

        Returns:
            number of downloaded files, and of existing files.

        Raises:
            StateError: no access or connection, a wrong checksum, or a full disk.
        """
        new, stop, left = 0, Event(), plan.limit
        for file in plan.files:
            new += fetch_file(file, out, headers=self.headers, heard=heard, stop=stop)
            if self._is_archive(file):
                left = self._unpack(file, out, record, left)
            else:
                record.add([file])
            record.write(out)
            if heard_file is not None:
                heard_file()
        return new, len(plan.files) - new

    def _unpack(self, file: RemoteFile, out: Path, record: Record, left: int | None) -> int | None:
        """Unpack an archive, or some of its scans, and return how many scans are left; a finished one is deleted."""
        archive = out / file.path
        all_members = members(archive, self.source.members.split(","))
        chosen = all_members if left is None else _first_scans(all_members, _annotated(out), left)
        record.add(unpack(archive, chosen, out))
        if left is None:
            record.files[file.path] = {"size": 0, "checksum": file.checksum, "unpacked": True}
            archive.unlink()
            return None
        record.add([file])
        return left - len({Path(info.filename).stem for info in chosen})

    def _is_archive(self, file: RemoteFile) -> bool:
        return self.source.archives is not None and fnmatchcase(file.path, self.source.archives)

    def _list_files(self, record: str) -> Iterator[RemoteFile]:
        response = self._requested(f"{self.host}/api/records/{record}")
        for entry in response.get("files") or ():
            try:
                name, size = str(entry["key"]), int(entry["size"])
                checksum = str(entry.get("checksum") or "")
            except (KeyError, TypeError, ValueError):
                raise StateError(f"Zenodo record {record} lists a file without key or size", cure=CHECK_HOST) from None
            if "/" in name or name.startswith("."):
                raise StateError(f"Zenodo record {record} lists {name}, which is no plain file name", cure=CHECK_HOST)
            address = f"{self.host}/api/records/{record}/files/{quote(name)}/content"
            yield RemoteFile(name, size, checksum, self._with_token(self._own_address(entry, address)))

    def _own_address(self, entry: dict[str, Any], default: str) -> str:
        """Address of a file in the record, always at our host: a token must not go elsewhere."""
        links = entry.get("links") or {}
        link = urlsplit(str(links.get("content") or links.get("self") or default))
        host = urlsplit(self.host)
        return link._replace(scheme=host.scheme, netloc=host.netloc).geturl()

    def _with_token(self, address: str) -> str:
        joint = "&" if "?" in address else "?"
        return f"{address}{joint}{urlencode(self.query)}" if self.query else address

    def _requested(self, address: str) -> dict[str, Any]:
        try:
            answer = requests.get(self._with_token(address), headers=self.headers, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            cure = "Check the connection, a proxy, or ZENODO_ENDPOINT."
            raise StateError(f"No connection to {address} ({type(error).__name__})", cure=cure) from None
        if answer.status_code in (401, 403):
            statement = f"You have no access to {self.source.page} (the server answered {answer.status_code})"
            raise StateError(statement, cure=self._cure())
        if answer.status_code == 429 or answer.status_code >= 500:
            statement = f"{address} cannot be downloaded now (the server answered {answer.status_code})"
            raise StateError(statement, cure="The server has a fault: repeat the command later to continue.")
        if answer.status_code != 200:
            statement = f"{address} does not exist (the server answered {answer.status_code})"
            raise StateError(statement, cure=CHECK_HOST)
        try:
            record = answer.json()
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise StateError(f"{address} did not answer with a record in JSON", cure=CHECK_HOST)
        return record

    def _cure(self) -> str:
        if self.source.access == "open":
            return "Check on zenodo.org whether the record has moved."
        return (
            f"{_sentence(self.source.access)} Then set ZENODO_LINK to the link in their e-mail (or ZENODO_TOKEN "
            "to a token of your account) and run the same command, or download the files with a browser "
            "into the folder of --out."
        )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _by_split(
    volumes: list[RemoteFile], prefixes: dict[str, str], splits: tuple[str, ...], limit: int | None
) -> tuple[list[RemoteFile], list[str]]:
    """Volumes of the selected splits, recognised by the prefix of their names, and a note on each split."""
    chosen: list[RemoteFile] = []
    notes: list[str] = []
    for split in splits:
        in_split = [file for file in sorted(volumes, key=lambda f: f.path) if file.path.startswith(prefixes[split])]
        taken = in_split[:limit]
        chosen += taken
        notes.append(f"{split}: {len(taken)} of {len(in_split)} volumes")
    return chosen, notes


def _unpacked(out: Path, archive: RemoteFile) -> bool:
    """Whether an archive was unpacked completely, and all its files still exist."""
    record = Record.read(out)
    if record is None or not record.files.get(archive.path, {}).get("unpacked"):
        return False
    folder = archive.path.removesuffix(".zip") + "/"
    inside = {path: about for path, about in record.files.items() if path.startswith(folder)}
    return bool(inside) and all(has_size(out / path, about["size"]) for path, about in inside.items())


def _annotated(out: Path) -> frozenset[str]:
    """Series with an annotation; empty if the table does not exist yet."""
    table = out / "annotations.csv"
    return frozenset(row["seriesuid"] for row in rows(table, ("seriesuid",))) if table.is_file() else frozenset()


def _first_scans(all_members: list[Any], annotated: frozenset[str], count: int) -> list[Any]:
    """Members of the first scans with an annotation; of the first scans if there is no annotation."""
    names = dict.fromkeys(Path(info.filename).stem for info in all_members)
    candidates = [name for name in names if name in annotated] or list(names)
    taken = set(candidates[: max(0, count)])
    return [info for info in all_members if Path(info.filename).stem in taken]
