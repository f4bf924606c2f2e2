"""Generate the file of Ray's cluster launcher (`ray up`) for machines with SSH access."""

from typing import Any

from orchestration.infra.settings import InfraSettings


def launcher(settings: InfraSettings) -> dict[str, Any]:
    """Make the launcher file for Ray's `local` provider; each machine has a checkout and the software of the image."""
    start = f"cd {settings.project} && .venv/bin/ray start"
    stop = f"{settings.project}/.venv/bin/ray stop"
    workers = list(settings.launcher.worker_ips)
    return {
        "cluster_name": settings.name,
        "max_workers": len(workers),
        "idle_timeout_minutes": 15,
        "provider": {"type": "local", "head_ip": settings.launcher.head_ip, "worker_ips": workers},
        "auth": {"ssh_user": settings.launcher.ssh_user},
        "file_mounts": {"~/.ray/auth_token": "~/.ray/auth_token"},
        "setup_commands": [f"cd {settings.project} && make install"],
        "head_start_ray_commands": [
            stop,
            f"{start} --head --port=6379 --autoscaling-config=~/ray_bootstrap_config.yaml --dashboard-host=127.0.0.1",
        ],
        "worker_start_ray_commands": [stop, f'{start} --address="$RAY_HEAD_IP:6379"'],
    }
