"""How far a whole inflated network is from the 2D one, slice by slice, and how well it still recognises a photograph.

    python benchmarks/inflation.py [--depth 256] [--side 224]

On a photograph repeated along depth every inflated convolution answers as in 2D (the tests hold it); whole networks
differ by the zero padding along depth. Real ImageNet weights of EfficientNet-lite0, from the package.
"""

import argparse

import timm
import torch
from skimage import data
from torch.nn import functional as F

from uniferum.model.config import EncoderConfig
from uniferum.model.encoder import build_encoder
from uniferum.model.inflate import image_weights


@torch.no_grad()
def main() -> None:
    """Print one line a slice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=256, help="slices of the repeated photograph")
    parser.add_argument("--side", type=int, default=224, help="pixels of its sides")
    chosen = parser.parse_args()
    flat = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    config = EncoderConfig(name="tf_efficientnet_lite0", weights="offline")
    state, source = image_weights(config, list(flat.state_dict()), None)
    flat.load_state_dict(state)
    flat.eval()
    print("weights:", source)
    photograph = torch.from_numpy(data.coffee()).permute(2, 0, 1)[None].float() / 255
    image = (F.interpolate(photograph[:, :, :, 100:500], (chosen.side, chosen.side), mode="bicubic") - 0.5) / 0.5
    grey = image.mean(1, keepdim=True)
    tops = [int(flat(x.expand(1, 3, -1, -1)).argmax()) for x in (image, grey)]
    print("2D top-1, colour and grey (967 is espresso):", *tops)
    wanted = flat.forward_features(grey.expand(-1, 3, -1, -1))
    encoder = build_encoder(config).eval()
    answer = encoder(grey[..., None].expand(-1, -1, -1, -1, chosen.depth))
    for index in range(answer.shape[-1]):
        one = answer[..., index]
        error = (one - wanted).square().mean().sqrt() / wanted.square().mean().sqrt()
        top = int(flat.forward_head(one).argmax())
        print(f"slice {index} of {answer.shape[-1]}: relative difference {error:.3f}, top-1 {top}")


if __name__ == "__main__":
    main()
