"""The parts of MLflow's client that the uploader uses, without a server."""

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Server:
    """The parts of MLflow's client that the uploader uses, with a server that can be down."""

    def __init__(self) -> None:
        self.down = False
        self.dies_after: int | None = None
        self.runs: list[SimpleNamespace] = []
        self.metrics: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.rows: dict[str, dict[tuple[int, int, float], None]] = defaultdict(dict)
        self.calls = 0
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.files: list[str] = []
        self.status: list[str] = []
        self.largest = 0

    def latest(self, key: str) -> float:
        """The value that MLflow shows: the newest row of the last step."""
        return max(self.rows[key])[2]

    def _answer(self) -> None:
        self.calls += 1
        if self.dies_after is not None:
            self.dies_after -= 1
            self.down = self.dies_after < 0
        if self.down:
            raise ConnectionError("no server")

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        self._answer()
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, experiments: list[str], text: str, max_results: int) -> list[SimpleNamespace]:
        self._answer()
        return [run for run in self.runs if all(f"`{k}` = '{v}'" in text for k, v in [run.mark])][:max_results]

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> SimpleNamespace:
        self._answer()
        key = "uniferum.cell" if "uniferum.cell" in tags else "uniferum.kind"
        run = SimpleNamespace(info=SimpleNamespace(run_id=f"r{len(self.runs)}"), mark=(key, tags[key]), tags=tags)
        self.runs.append(run)
        return run

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        self._answer()
        self.largest = max(self.largest, len(metrics))
        for metric in metrics:
            self.metrics[metric.key].append((metric.step, metric.value))
            self.rows[metric.key][metric.step, metric.timestamp, metric.value] = None
        self.params.update({param.key: param.value for param in params})
        self.tags.update({tag.key: tag.value for tag in tags})

    def log_artifact(self, run_id: str, path: str) -> None:
        self._answer()
        self.files.append(Path(path).name)

    def set_terminated(self, run_id: str, status: str) -> None:
        self._answer()
        self.status.append(status)
