"""The compared systems (paper 3.2, 4): one entry each, read by model, report, grid and command line alike.

This module imports neither torch nor any other room, so a plan of many cells and a report can ask what a system is
without loading its code. A new system is one file with its builder and one entry in :data:`SYSTEMS`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from uniferum.errors import UniferumError, near_miss


@dataclass(frozen=True)
class System:
    """What the rest of the code knows of one compared system.

    Attributes:
        name: the value of ``model.kind``, of ``model`` in a grid file, and of the model in every record.
        title: the name in tables and figures.
        builder: ``module:function`` of its builder, see :data:`uniferum.model.registry.Builder`; imported on first use.
        masks: whether it predicts masks; every system predicts labels.
        text: whether it has a text encoder (``transformer``, ``reader``) and reads prompts.
        own_encoder: whether it has this project's image encoder, whose stages can be compiled or recomputed.
        section: the name of its own section in ``model``; such a system resamples its input to a grid of its own.
        trained_by_paper: whether the paper's authors trained it, so that the report compares it with their numbers.
        all_labels: whether it can train on all labels of a dataset (``sampling.labels: all``), beyond the paper's.
        shuffled: whether it is a control that trains and selects on labels that are exchanged between the scans of a
            split; the test split keeps its labels.
    """

    name: str
    title: str
    builder: str
    masks: bool = False
    text: bool = False
    own_encoder: bool = False
    section: str = ""
    all_labels: bool = False
    shuffled: bool = False
    trained_by_paper: bool = False

    @property
    def own_grid(self) -> bool:
        """Whether it resamples its input to a grid of its own, so that its builder gets the run's ``geometry``."""
        return bool(self.section)


UNIFERUM = "uniferum"
"""The paper's model: the default system, and the one that tables by text encoder are about."""

CNN = "cnn"
"""The paper's baseline."""


def _by_name(systems: Iterable[System]) -> dict[str, System]:
    return {system.name: system for system in systems}


_BASELINES = "uniferum.model.baselines"

SYSTEMS: dict[str, System] = _by_name(
    [
        System(
            UNIFERUM,
            "Uniferum",
            "uniferum.model.uniferum:build_uniferum",
            masks=True,
            text=True,
            own_encoder=True,
            trained_by_paper=True,
        ),
        System(CNN, "CNN", f"{_BASELINES}.cnn:build_cnn", own_encoder=True, trained_by_paper=True),
        System("ct_net", "CT-NET", f"{_BASELINES}.ct_net:build_ct_net", section="ct_net"),
        System("ct_clip", "CT-CLIP", f"{_BASELINES}.ct_clip.build:build_ct_clip", text=True, section="ct_clip"),
        System(
            "cnn_transformer",
            "CNN+Transformer",
            f"{_BASELINES}.cnn_transformer:build_cnn_transformer",
            section="cnn_transformer",
        ),
        System(
            "cnn_draelos",
            "CNN (Draelos)",
            f"{_BASELINES}.ct_net:build_ct_net",
            section="ct_net",
            all_labels=True,
        ),
        System("probe", "Linear probe", f"{_BASELINES}.probe:build_probe", own_encoder=True),
        System(
            "shuffled",
            "Uniferum, labels shuffled",
            "uniferum.model.uniferum:build_uniferum",
            masks=True,
            text=True,
            own_encoder=True,
            shuffled=True,
        ),
        System("prevalence", "Prevalence", f"{_BASELINES}.prevalence:build_prevalence"),
    ]
)
"""Every system by its name, in the order of the paper's tables, then the controls."""


def system_of(name: str, *, key: str = "model.kind") -> System:
    """The system of a name.

    Args:
        name: its name.
        key: the config key that holds the name, for the message.

    Raises:
        UniferumError: no system has this name.
    """
    if name not in SYSTEMS:
        raise UniferumError(key, name, must="be a known system", cure=near_miss(name, SYSTEMS))
    return SYSTEMS[name]


def predicts_masks(name: str) -> bool:
    """Whether a system of this name exists and predicts masks."""
    return name in SYSTEMS and SYSTEMS[name].masks


def reads_text(name: str) -> bool:
    """Whether a system of this name exists and has a text encoder."""
    return name in SYSTEMS and SYSTEMS[name].text


def section_of(name: str) -> str:
    """The name of a system's own section in ``model``; empty if it has none or does not exist."""
    return SYSTEMS[name].section if name in SYSTEMS else ""


def trained_by_paper(name: str) -> bool:
    """Whether the paper's authors trained this system, so that the report judges its numbers."""
    return name in SYSTEMS and SYSTEMS[name].trained_by_paper


def paper_systems() -> list[str]:
    """The systems that the paper's authors trained, in the order of their tables."""
    return [name for name, system in SYSTEMS.items() if system.trained_by_paper]
