"""Download CT-RATE from the Hugging Face hub, completely or as a consistent subset.

The hub's client is used: the token comes from its usual place (``hf auth login`` or ``HF_TOKEN``), ``HF_ENDPOINT`` and
``HF_HUB_OFFLINE`` are respected. All files are from one commit. An interrupted connection is resumed within a file, an
interrupted command with the first incomplete file.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Self

from uniferum.data.cohorts.ct_rate import NAME, CtRateConfig, listed_volumes
from uniferum.data.cohorts.tables import drawn_first, rows
from uniferum.data.fetch.download import matches
from uniferum.data.fetch.hub_errors import REPEAT, Ends, one_line, worded
from uniferum.data.fetch.plan import FetchPlan, RemoteFile, has_size
from uniferum.data.fetch.sources import HubSource
from uniferum.errors import StateError, UniferumError

HELD_OUT_SHARE = 4
"""In a limited training set, one of so many volumes is from a patient whom the cohort holds out for selection."""

LISTED_ONE_BY_ONE = 200
"""Maximum number of volumes whose folders are listed singly; otherwise the whole tree, 1,000 entries per request."""

FAILED_IN_A_ROW = 5
"""Number of consecutive failed files that stops the fetch."""


@dataclass
class Fetched:
    """Result of a download.

    Attributes:
        downloaded: number of downloaded files.
        kept: number of files that existed.
        failed: path and reason of each failed file.
    """

    downloaded: int = 0
    kept: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


class Hub:
    """One dataset repository at one commit."""

    def __init__(self, source: HubSource, revision: str = "main") -> None:
        """Get the repository's commit from the hub.

        Raises:
            UniferumError: there is no connection, no such repository, or no access to it.
        """
        from huggingface_hub import HfApi

        self.source = source
        self.api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="uniferum")
        with worded(source):
            info = self.api.dataset_info(source.repo, revision=None if revision == "main" else revision)
        self.revision = info.sha or revision

    def plan(self, dataset: str, splits: tuple[str, ...], limit: int | None) -> FetchPlan:
        """List the tables, volumes and masks of splits. Tables are downloaded to a temporary folder and read.

        Args:
            dataset: name of the cohort.
            splits: ``train``, ``valid``.
            limit: maximum number of volumes of each split.

        Raises:
            UniferumError: no access, or a table is missing or unreadable.
        """
        tables = [file for folder in self.source.tables for file in self._list_files(folder)]
        if not any(file.path == self.source.labels.format(split=splits[0]) for file in tables):
            absent = self.source.labels.format(split=splits[0])
            raise StateError(f"{self.source.repo} does not have the table {absent}", cure=f"See {self.source.page}")
        files, notes, volumes = list(tables), [], 0
        with tempfile.TemporaryDirectory(prefix="uniferum-") as temporary:
            for split in splits:
                known = {file.path for file in tables}
                requested, note = self._names(split, limit, known, Path(temporary))
                volumes_and_masks = self._volumes(split, requested)
                files += volumes_and_masks[0] + volumes_and_masks[1]
                volumes += len(volumes_and_masks[0])
                notes += [note, *_absent(split, requested, *volumes_and_masks)]
        return FetchPlan(dataset, self.revision, splits, limit, tuple(files), volumes, 0, tuple(notes))

    def download(
        self,
        plan: FetchPlan,
        out: Path,
        *,
        parallel: int = 4,
        heard: Callable[[int], None] | None = None,
        heard_file: Callable[[], None] | None = None,
    ) -> Fetched:
        """Download the plan's files into ``out``, several in parallel.

        Args:
            plan: see :meth:`plan`.
            out: folder of the dataset.
            parallel: number of parallel downloads.
            heard: called with numbers of bytes as they arrive.
            heard_file: called with each completed file.

        Raises:
            UniferumError: access is refused, or several consecutive files fail.
        """
        from huggingface_hub.utils import logging

        logging.set_verbosity_error()  # each resumed connection would print over the progress bar
        stop, fetched, in_a_row = Event(), Fetched(), 0
        pool = ThreadPoolExecutor(parallel, thread_name_prefix="fetch")
        try:
            running = {pool.submit(self._one, file, out, stop, heard): file for file in plan.files}
            for future in as_completed(running):
                in_a_row = 0 if _count(future, running.pop(future), fetched) else in_a_row + 1
                if in_a_row >= FAILED_IN_A_ROW:
                    path, reason = fetched.failed[-1]
                    statement = (
                        f"{FAILED_IN_A_ROW} files in a row failed, the last one is {path} ({reason.rstrip('.')})"
                    )
                    raise StateError(statement, cure=f"Check the connection. {REPEAT}")
                if heard_file is not None:
                    heard_file()
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        return fetched

    def _one(self, file: RemoteFile, out: Path, stop: Event, heard: Callable[[int], None] | None) -> bool:
        """Download one file if necessary; return whether it was."""
        if stop.is_set():
            raise InterruptedError("stopped")
        progress = _FileProgress(file.size, heard)
        target = out / file.path
        if has_size(target, file.size) and (_known_to_client(out, file.path) or matches(target, file.checksum)):
            progress.rest()
            return False
        for again in (target.exists(), True):
            self._get(file.path, out, force=again, meter=_meter(progress, stop))
            if has_size(target, file.size) and matches(target, file.checksum):
                progress.rest()
                return True
        target.unlink(missing_ok=True)
        raise StateError(f"{file.path} differs from the size and checksum that the hub states", cure=REPEAT)

    def _get(self, path: str, out: Path, *, force: bool = False, meter: Any = None) -> None:
        with worded(self.source):
            self.api.hf_hub_download(
                self.source.repo,
                path,
                repo_type="dataset",
                revision=self.revision,
                local_dir=out,
                force_download=force,
                tqdm_class=meter or _meter(_FileProgress(0, None), Event()),
            )

    def _list_files(self, folder: str, *, recursive: bool = False) -> list[RemoteFile]:
        """Files of a folder of the repository; empty if there is no such folder."""
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import HfHubHTTPError

        listed = []
        with worded(self.source):
            try:
                for entry in self.api.list_repo_tree(
                    self.source.repo, folder, recursive=recursive, revision=self.revision, repo_type="dataset"
                ):
                    if isinstance(entry, RepoFile):
                        checksum = f"sha256:{entry.lfs.sha256}" if entry.lfs else ""
                        listed.append(RemoteFile(entry.path, entry.size, checksum, entry.path))
            except HfHubHTTPError as error:
                if error.response.status_code == 404:  # the repository exists, because it was requested before
                    return []
                raise
        return sorted(listed, key=lambda file: file.path)

    def _names(self, split: str, limit: int | None, known: set[str], temporary: Path) -> tuple[list[str], str]:
        """Names of the volumes to fetch, and a note on them."""
        table, listed = self.source.labels.format(split=split), self.source.not_chest.format(split=split)
        self._get(table, temporary)
        excluded: frozenset[str] = frozenset()
        if listed in known:
            self._get(listed, temporary)
            excluded = listed_volumes(temporary / listed)
        names = [row["VolumeName"] for row in rows(temporary / table, ("VolumeName",))]
        usable = [name for name in dict.fromkeys(names) if NAME.fullmatch(name) and name not in excluded]
        left = f"{len(set(names) & excluded)} non-chest volumes are excluded" if listed in known else f"no {listed}"
        if limit is None or limit >= len(usable):
            return usable, f"{split}: {len(usable)} volumes ({left})"
        chosen, held = _subset(usable, limit, hold_out=split == "train")
        held_out_note = f", {held} of them from patients held out for selection" if held else ""
        return chosen, f"{split}: {len(chosen)} of {len(usable)} volumes{held_out_note} ({left})"

    def _volumes(self, split: str, requested: list[str]) -> tuple[list[RemoteFile], list[RemoteFile]]:
        """Volumes and masks of the requested names that the repository has."""
        file_lists = []
        for folder in (self.source.volumes.format(split=split), self.source.masks.format(split=split)):
            if len(requested) > LISTED_ONE_BY_ONE:
                listed = self._list_files(folder, recursive=True)
            else:
                studies = dict.fromkeys(_study(name) for name in requested)
                listed = [file for study in studies for file in self._list_files(f"{folder}/{study}")]
            names = set(requested)
            file_lists.append([file for file in listed if file.path.rsplit("/", 1)[-1] in names])
        return file_lists[0], file_lists[1]


def _subset(names: list[str], limit: int, *, hold_out: bool) -> tuple[list[str], int]:
    """The first volumes of the table; for training, including patients whom the cohort holds out.

    The cohort draws these patients from the whole table (``validation_patients``, ``validation_seed``), so the first
    volumes alone would give no validation split.
    """
    if not hold_out:
        return names[:limit], 0
    settings = CtRateConfig.model_fields
    count, seed = settings["validation_patients"].default, settings["validation_seed"].default
    patients = drawn_first((_patient(name) for name in names), count, seed)
    share = max(limit > 1, limit // HELD_OUT_SHARE)
    held = [name for name in names if _patient(name) in patients][:share]
    others = [name for name in names if _patient(name) not in patients][: limit - len(held)]
    chosen = {*held, *others}
    chosen |= set([name for name in names if name not in chosen][: limit - len(chosen)])
    return [name for name in names if name in chosen], sum(_patient(name) in patients for name in chosen)


def _patient(name: str) -> str:
    match = NAME.fullmatch(name)
    assert match is not None, "only volume names"
    return match["patient"]


def _study(name: str) -> str:
    match = NAME.fullmatch(name)
    assert match is not None, "only volume names"
    return f"{match['patient']}/{match['study']}"


def _absent(split: str, requested: list[str], volumes: list[RemoteFile], masks: list[RemoteFile]) -> Iterator[str]:
    """Notes on volumes and masks that the table has but not the repository."""
    for what, files in (("volumes", volumes), ("masks", masks)):
        existing = {file.path.rsplit("/", 1)[-1] for file in files}
        gone = [name for name in requested if name not in existing]
        if gone:
            yield f"{split}: {len(gone)} {what} are not in the repository, e.g. {gone[0]}"


def _count(future: Future[bool], file: RemoteFile, fetched: Fetched) -> bool:
    """Count a file's outcome; false if it failed. Refused access stops everything."""
    try:
        new = future.result()
    except Ends:
        raise
    except (UniferumError, OSError) as error:
        fetched.failed.append((file.path, one_line(error)))
        return False
    fetched.downloaded += new
    fetched.kept += not new
    return True


def _known_to_client(out: Path, path: str) -> bool:
    """Whether the hub's client has finished this file in this folder: it writes its metadata last."""
    return (out / ".cache" / "huggingface" / "download" / f"{path}.metadata").is_file()


class _FileProgress:
    """Counts the bytes of one file for the progress bar, at most its size even if parts are fetched twice."""

    def __init__(self, size: int, heard: Callable[[int], None] | None) -> None:
        self.left, self.heard = size, heard

    def more(self, count: float) -> None:
        step = min(max(0, int(count)), self.left)
        self.left -= step
        if step and self.heard is not None:
            self.heard(step)

    def rest(self) -> None:
        self.more(self.left)


def _meter(progress: _FileProgress, stop: Event) -> Any:
    """Progress bar class for the hub's client: it counts, draws nothing, and stops the download on request."""

    class Meter:
        n: float = 0

        def __init__(self, *_: object, total: float | None = None, **__: object) -> None:
            self.total = total

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def update(self, n: float | None = 1) -> None:
            if stop.is_set():
                raise InterruptedError("stopped")
            progress.more(n or 0)

        def update_transfer(self, n: float | None = 1) -> None:
            """Ignore transferred bytes: written bytes are counted instead."""

        def close(self) -> None:
            """Nothing is drawn."""

        refresh = set_postfix_str = set_transfer_postfix_str = lambda self, *_, **__: None

    return Meter
