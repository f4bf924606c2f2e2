"""Generate a Grafana dashboard of the gauges that Ray exports to Prometheus.

Ray adds ``ray_`` to every name of :mod:`orchestration.gauges`. The data source is a dashboard variable, so the
file works with any Prometheus.
"""

from typing import Any

from orchestration.gauges import METRIC, PROGRESS, STATE

EXPORTED = "ray_"
HEIGHT, WIDTH = 8, 12  # of a panel, in Grafana's grid of 24 columns
SOURCE = {"type": "prometheus", "uid": "${source}"}
UNITS = {"uniferum_step": "short", "uniferum_volumes_per_second": "ops", METRIC: "percentunit"}


def dashboard(name: str) -> dict[str, Any]:
    """Make the dashboard: numbers of cells by state, then one panel per gauge with a line per cell.

    Args:
        name: name of the cluster, for the title.
    """
    panels = [
        _panel("cells by state", f"sum by (state) ({EXPORTED}{STATE})", "{{state}}", kind="stat"),
        *(
            _panel(gauge.removeprefix("uniferum_").replace("_", " "), _of_cells(gauge), "{{cell}}", UNITS.get(gauge))
            for gauge in PROGRESS
        ),
    ]
    for index, panel in enumerate(panels):
        position = {"x": WIDTH * (index % 2), "y": HEIGHT * (index // 2), "w": WIDTH, "h": HEIGHT}
        panel.update(id=index + 1, gridPos=position)
    return {
        "uid": f"{name}-grid",
        "title": f"{name}: cells of a grid",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "10s",
        "templating": {"list": [_source_variable(), _cell_variable()]},
        "panels": panels,
    }


def _of_cells(gauge: str) -> str:
    return f'max by (cell) ({EXPORTED}{gauge}{{cell=~"$cell"}})'


def _panel(title: str, query: str, legend: str, unit: str | None = None, kind: str = "timeseries") -> dict[str, Any]:
    target = {"refId": "A", "expr": query, "legendFormat": legend, "datasource": SOURCE}
    defaults = {"unit": unit} if unit else {}
    return {
        "title": title,
        "type": kind,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [target],
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _cell_variable() -> dict[str, Any]:
    return {
        "name": "cell",
        "type": "query",
        "datasource": SOURCE,
        "query": f"label_values({EXPORTED}{PROGRESS[0]}, cell)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
    }
