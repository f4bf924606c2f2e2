"""The finished cells of an ablation with two axes and three seeds."""

from pathlib import Path

from tests.support.written_cells import write_cell

RATES = ("5e-5", "1e-4", "3e-4")
FREEZE = ("true", "false")


def write_ablation(
    root: Path, *, seeds: int = 3, without: tuple[str, ...] = (), half_way: tuple[str, ...] = (), mix: str = "CTRATE"
) -> None:
    """Write a cell for each learning rate, each choice of frozen text and each seed; better with a higher rate.

    Args:
        root: the folder of the grid.
        seeds: number of seeds.
        without: ``RATE FREEZE SEED`` of cells that do not exist.
        half_way: those of cells without a result.
        mix: what the cells are trained on.
    """
    for at, rate in enumerate(RATES):
        for freeze in FREEZE:
            for seed in range(seeds):
                name = f"{rate} {freeze} {seed}"
                if name not in without:
                    frozen = freeze == "true"
                    write_cell(
                        root,
                        mix,
                        seed=seed,
                        strength=0.5 + 0.4 * at + 0.2 * frozen,
                        noise=at + 10 * seed,
                        draws=2,
                        done=name not in half_way,
                        text={"freeze": frozen},
                        axes={"lr": rate, "freeze": freeze},
                        sections={"optim": {"lr": float(rate)}, "training": {"steps": 40, "batch": 8}},
                    )
