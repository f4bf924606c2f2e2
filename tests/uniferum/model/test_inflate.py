"""Inflated 3D weights, compared with 2D convolutions one by one, with real ImageNet weights."""

import pytest
import timm
import torch
from skimage import data
from torch import Tensor, nn
from torch.nn import functional as F

from uniferum.errors import UniferumError
from uniferum.model.config import EncoderConfig
from uniferum.model.encoder import build_encoder
from uniferum.model.inflate import image_weights, inflate, inflate_state, one_channel
from uniferum.model.speed.depthwise import SameConv3d

LITE0 = EncoderConfig(name="tf_efficientnet_lite0", weights="offline")
ESPRESSO, EGYPTIAN_CAT = 967, 285


@pytest.fixture(scope="module")
def flat() -> nn.Module:
    """The 2D network of timm network with the package's ImageNet weights."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state, _ = image_weights(LITE0, list(network.state_dict()), None)
    network.load_state_dict(state)
    return network.eval()


def _image(name: str) -> Tensor:
    """A photograph as input of the network: 1 x 3 x 224 x 224, normalised by mean and deviation 0.5."""
    pixels = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float() / 255
    side = min(pixels.shape[2:])
    top, left = (pixels.shape[2] - side) // 2, (pixels.shape[3] - side) // 2
    square = pixels[:, :, top : top + side, left : left + side]
    return (F.interpolate(square, (224, 224), mode="bicubic", antialias=True) - 0.5) / 0.5


@pytest.mark.parametrize(("photograph", "expected"), [("coffee", ESPRESSO), ("chelsea", EGYPTIAN_CAT)])
def test_the_renamed_image_weights_recognise_photographs(flat: nn.Module, photograph: str, expected: int) -> None:
    with torch.no_grad():
        assert int(flat(_image(photograph)).argmax()) == expected


def test_every_inflated_convolution_answers_as_in_2d_on_an_image_repeated_along_depth(flat: nn.Module) -> None:
    encoder = build_encoder(LITE0)
    volumetric = {name: part for name, part in encoder.named_modules() if isinstance(part, SameConv3d)}
    planar = {name: part for name, part in flat.named_modules() if isinstance(part, nn.Conv2d)}
    assert volumetric.keys() == planar.keys()
    assert len(planar) == 49
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, conv in volumetric.items():
            image = torch.randn(1, conv.in_channels, 9, 12, generator=generator)
            answer = conv(image[..., None].expand(-1, -1, -1, -1, 16))
            wanted = planar[name](image.expand(-1, 3, -1, -1) if name == "conv_stem" else image)
            kernel, stride = conv.kernel_size[0], conv.stride[0]
            edge = -(-(kernel // 2) // stride) + (stride - 1)
            interior = answer[..., edge : answer.shape[-1] - edge]
            assert interior.shape[-1] >= 4
            torch.testing.assert_close(interior, wanted[..., None].expand_as(interior), atol=2e-4, rtol=1e-4)


def test_undivided_kernels_answer_depth_times_as_much() -> None:
    kernel = torch.randn(4, 2, 5, 5)
    torch.testing.assert_close(inflate(kernel, divide_by_depth=False), 5 * inflate(kernel))


def test_the_one_channel_kernel_answers_a_grey_image_as_the_three_channel_kernel_does() -> None:
    kernel, grey = torch.randn(8, 3, 3, 3), torch.randn(2, 1, 10, 10)
    torch.testing.assert_close(F.conv2d(grey, one_channel(kernel)), F.conv2d(grey.expand(-1, 3, -1, -1), kernel))


def test_the_whole_network_differs_from_2d_by_the_zero_padding_along_depth_alone(flat: nn.Module) -> None:
    """The difference is largest at the ends of the depth; ``benchmarks/inflation.py`` prints it."""
    encoder = build_encoder(EncoderConfig(name="tf_efficientnet_lite0", weights="offline", stride=8)).eval()
    grey = _image("coffee").mean(1, keepdim=True)[..., 64:160, 64:160]
    with torch.no_grad():
        wanted = flat.blocks[:3](flat.bn1(flat.conv_stem(grey.expand(-1, 3, -1, -1))))  # pyright: ignore
        answer = encoder(grey[..., None].expand(-1, -1, -1, -1, 64))
    error = (answer - wanted[..., None]).flatten(0, 3).square().mean(0).sqrt() / wanted.square().mean().sqrt()
    assert error.argmin() in (3, 4)
    assert error.min() < 0.02
    assert error[0] > 3 * error.min()


def test_a_shape_that_does_not_fit_is_named_on_both_sides() -> None:
    with pytest.raises(
        UniferumError, match=r"file.pth: conv.weight \(\(8, 3, 3, 3\)\) must inflate to .*\(4, 1, 3, 3, 3\)"
    ):
        inflate_state(
            {"conv.weight": torch.zeros(8, 3, 3, 3)},
            {"conv.weight": torch.zeros(4, 1, 3, 3, 3)},
            divide_by_depth=True,
            source="file.pth",
        )


def test_a_missing_tensor_is_named() -> None:
    with pytest.raises(UniferumError, match=r"file.pth: bn1.bias must be there"):
        inflate_state({}, {"bn1.bias": torch.zeros(4)}, divide_by_depth=True, source="file.pth")


def test_offline_weights_of_an_unknown_network_are_refused() -> None:
    with pytest.raises(UniferumError, match="tf_efficientnet_lite0"):
        build_encoder(EncoderConfig(name="tf_efficientnet_b0", weights="offline"))
