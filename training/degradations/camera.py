"""What optics, sensors, weather and files do besides haze and darkness: blur, noise, rain streaks, JPEG, tone.

Pictures are (N,3,H,W) float32 in [0,1]; every draw comes from the generator given.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from images import GREY_WEIGHTS
from training.degradations.haze import sample_uniform


def grey_of(picture: Tensor) -> Tensor:
    """(N,3,H,W) to its grey (N,1,H,W)."""
    return (picture * picture.new_tensor(GREY_WEIGHTS).view(1, 3, 1, 1)).sum(1, keepdim=True)


def filter_each(picture: Tensor, kernels: Tensor) -> Tensor:
    """Correlate picture i with kernel i (N,k,k), k odd, borders mirrored."""
    count, channels, height, width = picture.shape
    half = kernels.shape[-1] // 2
    padded = F.pad(picture, (half, half, half, half), mode="reflect")
    weight = kernels.repeat_interleave(channels, 0)[:, None]
    return F.conv2d(padded.reshape(1, count * channels, *padded.shape[-2:]), weight, groups=count * channels).reshape(
        count, channels, height, width
    )


def gaussian_kernels(sigma: Tensor, size: int) -> Tensor:
    """Isotropic Gaussian kernels (N,size,size) of standard deviation ``sigma`` (N,) pixels, summing to one."""
    axis = torch.arange(size, dtype=torch.float32) - size // 2
    line = torch.exp(-0.5 * (axis[None] / sigma[:, None]) ** 2)
    kernel = line[:, :, None] * line[:, None, :]
    return kernel / kernel.sum((1, 2), keepdim=True)


def motion_kernels(length: Tensor, angle: Tensor, size: int, *, width: float = 0.6) -> Tensor:
    """Straight-line motion kernels (N,size,size): ``length`` pixels along ``angle`` radians, soft edges."""
    axis = torch.arange(size, dtype=torch.float32) - size // 2
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along, across = columns * cosine + rows * sine, -columns * sine + rows * cosine
    beyond = (along.abs() - length[:, None, None] / 2).clamp_min(0)
    kernel = torch.exp(-0.5 * (across / width) ** 2 - 0.5 * (beyond / width) ** 2)
    return kernel / kernel.sum((1, 2), keepdim=True)


def gaussian_noise(picture: Tensor, sigma: Tensor | float, generator: torch.Generator) -> Tensor:
    """Add white Gaussian noise of deviation ``sigma`` (of 1.0) and clip."""
    return (picture + sigma * torch.randn(picture.shape, generator=generator)).clamp(0, 1)


def rain(picture: Tensor, density: Tensor, length: Tensor, angle: Tensor, generator: torch.Generator) -> Tensor:
    """Bright streaks: sparse impulses smeared by a motion kernel and added, as in the usual linear rain model.

    Args:
        picture: (N,3,H,W).
        density: (N,) share of pixels where a drop starts, about 0.005 to 0.04.
        length: (N,) streak length in pixels.
        angle: (N,) radians from horizontal; about pi/2 for falling rain.
        generator: source of randomness.
    """
    count, _, height, width = picture.shape
    drops = torch.rand(count, 1, height, width, generator=generator) < density[:, None, None, None]
    size = min(31, 2 * ((min(height, width) - 1) // 2) - 1)
    kernels = motion_kernels(length, angle, size)
    streaks = filter_each(drops.float(), kernels / kernels.amax((1, 2), keepdim=True))
    return (picture + 0.55 * streaks.clamp(0, 1)).clamp(0, 1)


def jpeg(picture: Tensor, quality: list[int]) -> Tensor:
    """Encode and decode picture i as JPEG of ``quality[i]`` (1 to 100)."""
    decoded = []
    pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for array, level in zip(pixels, quality, strict=True):
        _, data = cv2.imencode(".jpg", array[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, int(level)))
        decoded.append(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).float() / 255


def tone(
    picture: Tensor,
    *,
    gamma: Tensor | float = 1.0,
    gain: Tensor | float = 1.0,
    saturation: Tensor | float = 1.0,
    lift: Tensor | float = 0.0,
) -> Tensor:
    """The variety of ordinary cameras, which is no degradation: tone curve, gain per channel, saturation, black level.

    Args:
        picture: (N,3,H,W).
        gamma: exponent.
        gain: factor, (N,1,1,1) or (N,3,1,1) for white balance.
        saturation: 0 is grey, 1 leaves colours alone.
        lift: black level as a share of white, at most about 0.06.
    """
    toned = (picture.clamp(0, 1) ** gamma * gain).clamp(0, 1)
    grey = grey_of(toned)
    return (lift + (1 - lift) * (grey + saturation * (toned - grey))).clamp(0, 1)


def everyday_tone(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Another camera's tone for every picture (N,3,H,W): tone curve, white balance, saturation, black level."""

    def draw(low: float, high: float) -> Tensor:
        return sample_uniform(len(picture), low, high, generator)

    white_balance = 1 + 0.08 * (2 * torch.rand(len(picture), 3, 1, 1, generator=generator) - 1)
    return tone(
        picture,
        gamma=torch.exp(draw(-0.45, 0.4)),
        gain=draw(0.8, 1.12) * white_balance,
        saturation=torch.where(draw(0, 1) < 0.1, draw(0.0, 0.3), draw(0.5, 1.25)),
        lift=torch.where(draw(0, 1) < 0.3, draw(0.0, 0.06), draw(0.0, 0.0)),
    )


def exchanged_colours(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (N,3,H,W) whose channels change places and whose colours are up to 2.5 times as strong.

    Rooms are grey and brown. Under grey airlight the channels are equals, so a room in other and stronger colours is as
    good a scene, and keeps a network from seeing its first saturated orange when it is used.
    """
    places = torch.stack([torch.randperm(3, generator=generator) for _ in picture])
    exchanged = torch.gather(picture, 1, places[:, :, None, None].expand_as(picture))
    return tone(exchanged, saturation=sample_uniform(len(picture), 0.9, 2.5, generator))


def sample_faint(count: int, generator: torch.Generator) -> Tensor:
    """Noise that every camera has, 0 to 2.5 of 255; (count,1,1,1)."""
    return torch.rand(count, 1, 1, 1, generator=generator) * (2.5 / 255)
