"""Prepare a cohort into a store with many processes: a local pool, or Ray on any number of nodes.

Files:

    backends   run chunks of scans in this process, in a pool of processes, or on Ray
    cohort     prepare every scan of a cohort, then write the tables of the store
    plan       plan a preparation: scans that are left, and the disk space they need
    summary    summary of a preparation: counts, failures, quality flags
"""

from orchestration.prepare.backends import connect_ray
from orchestration.prepare.cohort import prepare_cohort
from orchestration.prepare.plan import plan_preparation
from orchestration.prepare.summary import PreparationSummary

__all__ = ["PreparationSummary", "connect_ray", "plan_preparation", "prepare_cohort"]
