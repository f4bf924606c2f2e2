"""One validation of k prompts a volume on one core: one volume and one prompt an item against one encoding a volume.

    python benchmarks/validation.py [--k 18 58] [--peer-items 3] [--hidden 768] [--no-input] [--json FILE]

The peer is built from the paper's description: every (volume, prompt) pair is an item of its own, so the prepared 1 mm
volume is read, padded, cropped and resized, and encoded, once a prompt, by PyTorch's own layers as they stand. Ours is
:func:`uniferum.evaluation.predict.predict`: it reads the stored training level and encodes it once, then reads all
prompts. Same weights on both sides; the answers are compared. A peer's item costs the same whatever its prompt, so a
few items are timed and multiplied by k. Times are CPU seconds of this one thread.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np
import torch
from input import GEOMETRY, Peer, assembly, augmented_by_monai, item, prepared_scan

from uniferum.data.loading.augmentation import IDENTITY
from uniferum.data.loading.batch import Batch
from uniferum.data.vocabulary import Vocabulary
from uniferum.evaluation.predict import predict
from uniferum.model.base import Model
from uniferum.model.config import EncoderConfig, ModelConfig, TextConfig
from uniferum.model.registry import build_model


def paper_model(hidden: int) -> Model:
    """The paper's model with random weights: b0, 4 layers of ``hidden`` (PubMedBERT: 768; GatorTron: 1024)."""
    text = TextConfig(name="tiny", layers=4, hidden=hidden, heads=hidden // 64)
    config = ModelConfig(encoder=EncoderConfig(weights="none"), text=text)
    return build_model(config, GEOMETRY, ("any",), seed=0).eval().requires_grad_(False)


def batch_of(volume: torch.Tensor, prompts: list[str]) -> Batch:
    """All prompts of one volume."""
    rows = len(prompts)
    return Batch(
        volume=volume,
        row_volume=torch.zeros(rows, dtype=torch.int64),
        prompts=prompts,
        labels=["any"] * rows,
        label_target=torch.full((rows,), torch.nan),
        seg_rows=torch.zeros(0, dtype=torch.int64),
        seg_target=torch.zeros(0, 160, 64),
        task_ids=[str(row) for row in range(rows)],
        volume_ids=["CTRATE/phantom"],
    )


def main() -> None:
    """Time both and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, nargs="+", default=[18, 58])
    parser.add_argument("--peer-items", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--no-input", action="store_true", help="leave reading and resizing out on both sides")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "uniferum-input-benchmark")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    cohort = prepared_scan(given.work)
    peer, ours = Peer(cohort.store.read("phantom", "full"), given.work), assembly(cohort)
    model = paper_model(given.hidden)
    prompts = [label.prompt for label in Vocabulary.load().labels.values()][: max(given.k)]
    stored = item(ours, IDENTITY).volume.clone()

    def peers_item(prompt: str) -> float:
        volume = stored if given.no_input else torch.from_numpy(np.asarray(augmented_by_monai(peer.read(), IDENTITY)))
        one = batch_of(volume.reshape(1, 1, *GEOMETRY.model_shape), [prompt])
        # Where gradients are on, as in training, the model takes none of the shorter ways of prediction.
        output = model.read(model.encode(one.volume), one.row_volume, one.prompts, one.labels, one.seg_rows)
        return output.class_logit.item()

    def all_of_ours(asked: list[str]) -> list[float]:
        volume = stored if given.no_input else item(ours, IDENTITY).volume
        return predict(model, [batch_of(volume, asked)])["score"].tolist()

    peers_item(prompts[0])
    started = time.process_time()
    theirs = [peers_item(prompt) for prompt in prompts[: given.peer_items]]
    a_prompt = (time.process_time() - started) / given.peer_items
    found = {"peer_seconds_a_prompt": a_prompt}
    print(f"peer: {a_prompt:.2f} s an item (volume and prompt)")
    for k in given.k:
        started = time.process_time()
        answers = all_of_ours(prompts[:k])
        seconds = time.process_time() - started
        ratio = k * a_prompt / seconds
        found |= {f"ours_seconds_{k}": seconds, f"ratio_{k}": ratio, f"ratio_over_k_{k}": ratio / k}
        print(f"k = {k}: peer {k * a_prompt:.1f} s, ours {seconds:.2f} s: {ratio:.1f} x = {ratio / k:.2f} k")
        difference = max(abs(a - b) for a, b in zip(answers, theirs, strict=False))
        print(f"        largest difference of a logit: {difference:.1e}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
