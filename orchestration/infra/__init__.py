"""Generate the files that start a grid on a cluster from one small config.

Files:

    grafana      generate a Grafana dashboard of the gauges that Ray exports to Prometheus
    kubernetes   generate KubeRay's RayCluster and RayJob (ray.io/v1) as plain data for YAML
    launcher     generate the file of Ray's cluster launcher (`ray up`) for machines with SSH access
    paths        map the relative paths of a grid file to folders below `storage`
    render       generate every file of `infra/` from one config
    scripts      generate the batch scripts of SLURM and LSF, and the Dockerfile
    settings     schema of `configs/infra.yaml`, the description of a cluster
"""
