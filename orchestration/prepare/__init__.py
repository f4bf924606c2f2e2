"""Prepare a cohort into a store with many processes: a local pool, or Ray on any number of nodes."""

from orchestration.prepare.backends import connect_ray
from orchestration.prepare.cohort import prepare_cohort
from orchestration.prepare.plan import plan_preparation
from orchestration.prepare.summary import PreparationSummary

__all__ = ["PreparationSummary", "connect_ray", "plan_preparation", "prepare_cohort"]
