"""Number of a model's parameters, beside the published number where there is one."""

from dataclasses import dataclass

from torch import nn

from uniferum.systems import system_of


@dataclass(frozen=True)
class PublishedNumber:
    """A published number of parameters, with its source."""

    parameters: int
    source: str


PUBLISHED = {
    "ct_clip": PublishedNumber(440_000_000, 'arXiv:2512.00597, abstract: "the model\'s 440 M parameters"'),
}
"""By ``model.kind``. The authors of CT-Net and of INSPECT print no number that was read; their sizes give it."""


def count_parameters(module: nn.Module) -> int:
    """Count the parameters of a module, trained or frozen."""
    return sum(parameter.numel() for parameter in module.parameters())


def parameters_by_part(model: nn.Module) -> dict[str, int]:
    """Count the parameters of each part of a model, by the part's name; parts without parameters are left out."""
    counts = {name: count_parameters(part) for name, part in model.named_children()}
    return {name: count for name, count in counts.items() if count}


def parameters_line(kind: str, model: nn.Module) -> str:
    """Say how many parameters a model has, beside the published number.

    Args:
        kind: ``model.kind``.
        model: the model.
    """
    parts = ", ".join(f"{name} {_millions(count)}" for name, count in parameters_by_part(model).items())
    published = PUBLISHED.get(kind)
    beside = f"published: {_millions(published.parameters)}, {published.source}" if published else "none published"
    return f"{system_of(kind).title}: {_millions(count_parameters(model))} million parameters ({parts}; {beside})"


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f}" if count < 1e8 else f"{count / 1e6:.1f}"
