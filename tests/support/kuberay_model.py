"""A model of KubeRay's API (ray.io/v1) with the fields that the generated resources use; it refuses any other."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: str


class Quantity(Strict):
    limits: dict[str, str]
    requests: dict[str, str]


class EnvironmentVariable(Strict):
    name: str
    value: str


class VolumeMount(Strict):
    name: str
    mountPath: str


class Port(Strict):
    containerPort: int
    name: str


class Container(Strict):
    name: str
    image: str
    env: list[EnvironmentVariable]
    resources: Quantity
    volumeMounts: list[VolumeMount]
    ports: list[Port] = []


class Volume(Strict):
    name: str
    persistentVolumeClaim: dict[str, str] | None = None
    emptyDir: dict[str, str] | None = None


class SecurityContext(Strict):
    fsGroup: int
    fsGroupChangePolicy: Literal["OnRootMismatch", "Always"]


class PodSpec(Strict):
    securityContext: SecurityContext
    containers: list[Container]
    volumes: list[Volume]


class PodTemplate(Strict):
    spec: PodSpec


class HeadGroupSpec(Strict):
    rayStartParams: dict[str, str]
    template: PodTemplate


class WorkerGroupSpec(Strict):
    groupName: str
    replicas: int
    minReplicas: int
    maxReplicas: int
    rayStartParams: dict[str, str]
    template: PodTemplate


class AuthOptions(Strict):
    mode: Literal["disabled", "token"]


class RayClusterSpec(Strict):
    rayVersion: str
    authOptions: AuthOptions
    headGroupSpec: HeadGroupSpec
    workerGroupSpecs: list[WorkerGroupSpec]


class RayCluster(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: RayClusterSpec


class RayJobSpec(Strict):
    entrypoint: str
    entrypointNumCpus: float | int
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: int
    activeDeadlineSeconds: int
    backoffLimit: int
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]
    rayClusterSpec: RayClusterSpec


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: RayJobSpec


def model_of(kind: Any) -> type[Strict]:
    return {"RayCluster": RayCluster, "RayJob": RayJob}[kind]
