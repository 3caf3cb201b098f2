"""A convolution that whitens its input patches (network deconvolution).

Ye et al., "Network Deconvolution", ICLR 2020. The released AECR-Net applies it to the picture before anything else;
its paper does not mention it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WhiteningConv2d(nn.Conv2d):
    """Convolution whose patches are centred and multiplied by the inverse square root of their covariance.

    While training the statistics are the batch's, sampled at every third position, and running averages are kept;
    afterwards the running averages are used. Both fold into the kernel, so the cost is that of the convolution.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        side: Kernel size, odd.
        momentum: Share of a new batch in the running averages.
        epsilon: Added to the covariance's diagonal.
        iterations: Of Newton and Schulz's inverse square root.
    """

    running_mean: Tensor
    running_whitening: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int = 3,
        *,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        iterations: int = 5,
    ) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2)
        self.momentum, self.epsilon, self.iterations = momentum, epsilon, iterations
        features = inputs * side * side
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_whitening", torch.eye(features))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            mean, whitening = (
                self._batch_statistics(x) if self.training else (self.running_mean, self.running_whitening)
            )
            weight = self.weight.flatten(1) @ whitening
            bias = self.bias - weight @ mean
            return F.conv2d(x, weight.view_as(self.weight), bias, padding=self.padding)

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        patches = F.unfold(x, self.kernel_size, padding=self.padding, stride=3).transpose(1, 2).flatten(0, 1)
        mean = patches.mean(0)
        centred = patches - mean
        covariance = centred.T @ centred / len(centred) + self.epsilon * torch.eye(len(mean), device=x.device)
        whitening = inverse_square_root(covariance, self.iterations)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_whitening.lerp_(whitening, self.momentum)
        return mean, whitening


def inverse_square_root(matrix: Tensor, iterations: int) -> Tensor:
    """Newton and Schulz's iteration for ``matrix ** -0.5``, started from the matrix over its Frobenius norm.

    It converges for symmetric positive definite matrices; few iterations leave the smallest eigenvalues damped,
    which regularises the whitening.
    """
    norm = matrix.norm()
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    y, z = matrix / norm, identity
    for _ in range(iterations):
        t = 1.5 * identity - 0.5 * (z @ y)
        y, z = y @ t, t @ z
    return z / norm.sqrt()
