"""A user's own augmentation (`data.transforms`): MONAI's random intensity transforms, after the fused resampling.

Each application builds its transforms anew and seeds them from the draw: the result depends on the volume, the config
and the draw alone, on threads and after a resumed training too.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from uniferum.data.settings import TransformConfig
from uniferum.errors import UniferumError


class UserTransforms:
    """The transforms of a run, in the order of the config; none leaves volumes as they are."""

    def __init__(self, configs: Sequence[TransformConfig] = ()) -> None:
        """Build each transform once, so that wrong arguments are refused before training.

        Raises:
            UniferumError: MONAI refuses the arguments of a transform.
        """
        self._kinds = [(_kind(config.name), config.arguments) for config in configs]
        for config, (kind, arguments) in zip(configs, self._kinds, strict=True):
            try:
                kind(**arguments)
            except (TypeError, ValueError, AttributeError) as error:
                where, reason = f"data.transforms: {config.name}", " ".join(str(error).split())
                must = "have arguments that MONAI takes"
                raise UniferumError(where, config.arguments, must=must, cure=reason) from None

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def __call__(self, image: Float32[torch.Tensor, "X Y Z"], seed: int) -> Float32[torch.Tensor, "X Y Z"]:
        """The transformed volume.

        Args:
            image: intensities HU / 2000 + 0.5, on any device.
            seed: of the draw (:attr:`uniferum.data.loading.augmentation.Draw.transform_seed`).
        """
        state = np.random.RandomState(seed)
        with_channel = image[None].clone()  # some of MONAI's transforms write into what they are given
        for kind, arguments in self._kinds:
            with_channel = kind(**arguments).set_random_state(state=state)(with_channel)
        return with_channel[0].as_subclass(torch.Tensor).to(image.dtype)


def _kind(name: str) -> Callable[..., Any]:
    from monai import transforms  # some seconds, which a run without own transforms does not wait

    return getattr(transforms, name)
