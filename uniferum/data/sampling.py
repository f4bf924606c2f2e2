"""The training table: balanced negatives, organ tasks, LUNA16 nodules (paper 3.3, "Creating training data").

Only the training split is resampled, with draws that depend on the seed and on names, never on the order of rows;
the 12 labels that INSPECT shares with CT-RATE serve evaluation only (paper 3.4.3) and make no training row.
"""

from pydantic import Field

from uniferum.config import Section


class SamplingConfig(Section):
    """How training rows are drawn from the known labels and masks."""

    balance: bool = Field(True, description="draw as many negatives as a task has positives (paper 3.3)")
    organ_share: float = Field(0.10, ge=0, description="organ tasks as a share of a cohort's training rows (paper 3.3)")
    luna_factor: int = Field(10, ge=0, description="how often each LUNA16 scan's nodule task is repeated (paper 3.3)")
