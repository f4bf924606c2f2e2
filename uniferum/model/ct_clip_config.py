"""Config section of CT-CLIP (Hamamci et al. 2024); the defaults are the published sizes. It loads no torch.

Sources: "code" is the published code (github.com/ibrahimethemhamamci/CT-CLIP), "paper" is arXiv:2403.17834.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from uniferum.config import Section

CXR_BERT = "microsoft/BiomedVLP-CXR-BERT-specialized"
"""The published text encoder (paper; code: run_train.py), for ``model.text.name``."""

Way = Literal["vocabfine", "classfine", "zero_shot", "contrastive"]
Orientation = Literal["LPS", "RAS", "LAS", "RPS"]


class CtClipInput(Section):
    """The grid and the intensities that CT-ViT reads; volumes are resampled to it from the run's own grid."""

    spacing_mm: tuple[float, float, float] | None = (0.75, 0.75, 1.5)
    """Voxel size along x, y, z (code: data_preprocess); ``null``: the grid of the run's ``geometry`` as it is."""
    shape: tuple[int, int, int] = (480, 480, 240)
    """Voxels along x, y, z after the centred crop or padding (code: data_inference_nii.py); unused where
    ``spacing_mm`` is null."""
    orientation: Literal["LPS", "RAS", "LAS", "RPS"] = "LPS"
    """Direction of the axes x, y, z: the published code keeps the order of CT-RATE's files, which are LPS."""
    hu: tuple[float, float] = (-1000.0, 1000.0)
    """Limits to which HU are clipped (code: data_inference_nii.py)."""
    divide_by: float = Field(default=1000.0, gt=0)
    """HU are divided by this after clipping (code: data_inference_nii.py)."""
    pad: float = -1.0
    """Value outside the scan, after the division (code: data_inference_nii.py)."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.hu[0] >= self.hu[1]:
            raise ValueError(f"have hu as a lower and a higher limit, not {list(self.hu)}")
        if min(self.shape) < 1 or min(self.spacing_mm or (1.0,)) <= 0:
            raise ValueError("have a positive shape and a positive spacing_mm")
        return self


class CtVitConfig(Section):
    """The volume encoder CT-ViT (code: run_train.py)."""

    width: int = Field(default=512, ge=1)
    patch: int = Field(default=20, ge=1)
    """Rows and columns of a patch."""
    patch_slices: int = Field(default=10, ge=1)
    """Slices of a patch."""
    spatial_layers: int = Field(default=4, ge=1)
    temporal_layers: int = Field(default=4, ge=1)
    heads: int = Field(default=8, ge=1)
    head_width: int = Field(default=32, ge=1)
    codes: int = Field(default=8192, ge=1)
    """Size of the codebook."""
    codebook_decay: float = Field(default=0.8, ge=0, le=1)
    """Weight of the old codes in their moving average, while the encoder is trained (default of the quantiser's library
    that the code uses)."""


class CtClipConfig(Section):
    """CT-CLIP: how it is used, what it starts from, its input and its sizes."""

    way: Way = "vocabfine"
    """``contrastive``: trained on pairs of volume and report; ``zero_shot``: no training, prompt pairs; ``vocabfine``:
    prompt pairs, fine-tuned; ``classfine``: a linear head on the frozen encoder."""
    checkpoint: str | None = None
    """Weights to start from: a published checkpoint, or ``model.safetensors`` of a run with the same sizes; ``null``:
    random weights, with the text encoder's pretrained ones."""
    checkpoint_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """If given, another file at that path is refused. A run's fingerprint
    has the content of the file either way."""
    input: CtClipInput = CtClipInput()
    vit: CtVitConfig = CtVitConfig()
    latent: int = Field(default=512, ge=1)
    """Width of the space in which volumes and texts are compared."""
    present: str = "{label} is present."
    absent: str = "{label} is not present."
    """The pair of prompts of a label; ``{label}`` is its name as in the column of its label file (code:
    zero_shot.py)."""
    freeze_encoder: bool = True
    """``classfine`` only: train the head alone (code: ct_lipro_train.py)."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """``classfine`` only: dropout before the head (code: ct_lipro_train.py)."""

    @model_validator(mode="after")
    def _prompts_name_the_label(self) -> Self:
        for key, text in (("present", self.present), ("absent", self.absent)):
            if text.count("{label}") != 1:
                raise ValueError(f"have {{label}} once in {key}, not {text!r}")
        if self.present == self.absent:
            raise ValueError("have different texts for present and absent")
        if self.checkpoint is None and self.checkpoint_sha256 is not None:
            raise ValueError("have a checkpoint for its checkpoint_sha256")
        return self
