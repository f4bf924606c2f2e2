"""A Grafana dashboard over the gauges of a running grid, as Ray's own Prometheus endpoint exports them.

Ray puts ``ray_`` before every name (:mod:`orchestration.infra.gauges`). The panels ask for the data source by a
variable, so that the file can be imported beside any Prometheus.
"""

from typing import Any

from orchestration.infra.gauges import METRIC, PROGRESS, STATE

EXPORTED = "ray_"
HEIGHT, WIDTH = 8, 12  # in Grafana's grid of 24 columns
SOURCE = {"type": "prometheus", "uid": "${source}"}
UNITS = {"uniferum_step": "short", "uniferum_volumes_per_second": "ops", METRIC: "percentunit"}


def dashboard(name: str) -> dict[str, Any]:
    """Counts of cells by state, then one panel a gauge with a line a cell.

    Args:
        name: of the infra config, for the title.
    """
    panels = [
        _panel("cells by state", f"sum by (state) ({EXPORTED}{STATE})", "{{state}}", kind="stat"),
        *(
            _panel(gauge.removeprefix("uniferum_").replace("_", " "), _of_cells(gauge), "{{cell}}", UNITS.get(gauge))
            for gauge in PROGRESS
        ),
    ]
    for place, panel in enumerate(panels):
        where = {"x": WIDTH * (place % 2), "y": HEIGHT * (place // 2), "w": WIDTH, "h": HEIGHT}
        panel.update(id=place + 1, gridPos=where)
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
