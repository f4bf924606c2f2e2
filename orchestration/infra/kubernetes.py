"""Generate KubeRay's RayCluster and RayJob (ray.io/v1) as plain data for YAML.

Field names follow KubeRay's API reference; `tests/support/kuberay_model.py` refuses any other name.
"""

import shlex
from collections.abc import Sequence
from typing import Any

from orchestration.infra.settings import InfraSettings

HEAD_CPUS, HEAD_MEMORY_GIB = 4, 16
USER_ID = 1000
"""User of the image (not root), and group of the mounted storage."""


def ray_cluster(settings: InfraSettings) -> dict[str, Any]:
    """Make a RayCluster that stays up; `uniferum grid submit` starts grids on it."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": settings.name},
        "spec": _cluster_spec(settings),
    }


def ray_job(settings: InfraSettings, overrides: Sequence[str]) -> dict[str, Any]:
    """Make a RayJob: one grid on its own cluster. A retry starts a new cluster and continues from the records.

    Args:
        settings: the cluster.
        overrides: overrides of the grid file, each ``key=value``.
    """
    command = ["uniferum", "grid", "run", f"{settings.project}/{settings.grid}", "--address", "auto", "--yes"]
    command += [word for override in overrides for word in ("--set", override)]
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": f"{settings.name}-grid"},
        "spec": {
            "entrypoint": shlex.join(command),
            "entrypointNumCpus": 0,  # otherwise Ray places the driver on a worker and takes CPUs from a cell
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,
            "activeDeadlineSeconds": settings.hours * 3600,
            "backoffLimit": 3,
            "submissionMode": "K8sJobMode",
            "rayClusterSpec": _cluster_spec(settings),
        },
    }


def _cluster_spec(settings: InfraSettings) -> dict[str, Any]:
    machine = settings.machine
    return {
        "rayVersion": settings.ray_version,
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0"},
            "template": _pod(settings, "ray-head", HEAD_CPUS, HEAD_MEMORY_GIB, gpus=0, ports=True),
        },
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": machine.nodes,
                "minReplicas": machine.nodes,
                "maxReplicas": machine.nodes,
                "rayStartParams": {},
                "template": _pod(settings, "ray-worker", machine.cpus, machine.memory_gib, gpus=machine.gpus),
            }
        ],
    }


def _pod(
    settings: InfraSettings, name: str, cpus: int, memory_gib: int, *, gpus: int, ports: bool = False
) -> dict[str, Any]:
    amount: dict[str, Any] = {"cpu": str(cpus), "memory": f"{memory_gib}Gi"}
    if gpus:
        amount["nvidia.com/gpu"] = str(gpus)
    container: dict[str, Any] = {
        "name": name,
        "image": settings.image,
        "env": _environment(settings),
        "resources": {"limits": amount, "requests": dict(amount)},
        "volumeMounts": [
            {"name": "storage", "mountPath": settings.storage},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }
    if ports:
        container["ports"] = [
            {"containerPort": 6379, "name": "gcs-server"},
            {"containerPort": 8265, "name": "dashboard"},
        ]
    shared = {"medium": "Memory", "sizeLimit": f"{settings.machine.shared_memory_gib}Gi"}
    return {
        "spec": {
            # OnRootMismatch: otherwise every pod changes the group of every file of the stores.
            "securityContext": {"fsGroup": USER_ID, "fsGroupChangePolicy": "OnRootMismatch"},
            "containers": [container],
            "volumes": [
                {"name": "storage", "persistentVolumeClaim": {"claimName": settings.storage_claim}},
                {"name": "shared-memory", "emptyDir": shared},
            ],
        }
    }


def _environment(settings: InfraSettings) -> list[dict[str, str]]:
    pairs = {"HF_HOME": f"{settings.storage}/huggingface"}
    if settings.tracking_uri:
        pairs["MLFLOW_TRACKING_URI"] = settings.tracking_uri
    return [{"name": name, "value": value} for name, value in pairs.items()]
