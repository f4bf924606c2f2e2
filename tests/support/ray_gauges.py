"""Reads what Ray exports for Prometheus, while a grid runs."""

import re
import threading
import urllib.request
from types import TracebackType
from typing import Self


class GaugeScraper:
    """Keeps the last value of every gauge of this project by name and labels, between its start and its end."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def of_cell(self, name: str) -> dict[tuple[str, str], float]:
        """The gauges of one cell."""
        return {key: value for key, value in self.values.items() if f'cell="{name}"' in key[1]}

    def _run(self) -> None:
        while not self._ended.wait(0.5):
            for line in _exported().splitlines():
                match = re.match(r"ray_(uniferum_\w+)\{(.*)\} (\S+)$", line)
                if match:
                    self.values[(match[1], match[2])] = float(match[3])


def _exported() -> str:
    """The pages of all nodes' agents; an agent has no authentication and listens on this machine's own address."""
    import ray

    pages = []
    for node in ray.nodes():
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(address, timeout=10) as answer:
            pages.append(answer.read().decode())
    return "\n".join(pages)
