"""The border between tensors and the NumPy arrays that classical methods work on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def enhance_planes(method: Callable[[np.ndarray], np.ndarray], x: Tensor) -> Tensor:
    """Run a method for single pictures, float32 (3, H, W) to (3, sH, sW), over a batch of tensors.

    Pictures are handled one by one, so a picture's result does not depend on its neighbours in the batch. The
    result comes back on the device and in the type of the input.
    """
    pictures = x.detach().to("cpu", torch.float32).contiguous().numpy()
    results = [torch.from_numpy(np.ascontiguousarray(method(picture), dtype=np.float32)) for picture in pictures]
    return torch.stack(results).to(x.device, x.dtype)
