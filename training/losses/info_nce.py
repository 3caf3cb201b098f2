"""InfoNCE between corresponding positions: the two contrastive losses of CRL-SR.

Vectors are unit length, (N, M, D): M positions of a common grid in each of N pictures; negatives never leave the
picture. The paper's formulas could not be had; these are the standard ones for the pairs it describes.

Zhang, Lu, Zhan, Yu, "Blind Image Super-Resolution via Contrastive Representation Learning", arXiv 2107.00708.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.07


def bidirectional(low: Tensor, high: Tensor, *, temperature: float = TEMPERATURE) -> Tensor:
    """L_bc: position i of the low resolution finds position i of the high one among M, and the other way round.

    The sum of both directions, mean over positions and pictures. Random vectors give about ``2 ln M``; identical,
    mutually orthogonal ones ``2 ln(1 + (M - 1) exp(-1 / temperature))``.

    Args:
        low: (N, M, D) unit vectors of the degradation remover.
        high: (N, M, D) unit vectors of the detail remover, at the same positions.
        temperature: Sharpness of the softmax.
    """
    logits = low @ high.mT / temperature
    target = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[0], -1)
    return F.cross_entropy(logits.mT, target) + F.cross_entropy(logits, target)


def conditional(
    restored: Tensor,
    sharp: Tensor,
    condition: Tensor,
    *,
    temperature: float = TEMPERATURE,
    both_anchors: bool = False,
) -> Tensor:
    """L_srnce: features of the result go to those of the sharp picture and away from what the small one already said.

    ``-log exp(v_s v_h / t) / (exp(v_s v_h / t) + sum_j exp(v_s c_j / t))``, mean over positions and pictures.

    Args:
        restored: (N, M, D) unit vectors v_s of the super-resolved picture.
        sharp: (N, M, D) unit vectors v_h of the high-resolution picture.
        condition: (N, M, D) unit vectors c of the resolution-invariant features. Detached by the caller as a rule, or
            the encoder lowers the loss by moving c instead of the generator by adding detail.
        temperature: Sharpness of the softmax.
        both_anchors: Push the sharp picture's vectors from the condition too, and average.
    """
    positive = (restored * sharp).sum(-1, keepdim=True) / temperature
    anchors = (restored, sharp) if both_anchors else (restored,)
    losses = []
    for anchor in anchors:
        logits = torch.cat((positive, anchor @ condition.mT / temperature), dim=-1)
        losses.append((torch.logsumexp(logits, dim=-1) - positive.squeeze(-1)).mean())
    return torch.stack(losses).mean()


def sample_positions(maps: list[Tensor], count: int, generator: torch.Generator) -> list[Tensor]:
    """Take the vectors at the same random positions of several maps: (N, C, H, W) each to (N, M, C) each.

    Args:
        maps: Feature maps on one grid.
        count: Positions M; all of them where the grid has fewer.
        generator: Source of the draw; positions are distinct and shared by the batch.
    """
    positions = maps[0].shape[-2] * maps[0].shape[-1]
    if any(m.shape[-2:] != maps[0].shape[-2:] for m in maps):
        raise ValueError(f"expected maps on one grid, got {[tuple(m.shape) for m in maps]}")
    chosen = torch.randperm(positions, generator=generator)[: min(count, positions)].to(maps[0].device)
    return [m.flatten(2)[..., chosen].mT for m in maps]


def channels_as_vectors(maps: list[Tensor], side: int = 16) -> list[Tensor]:
    """The other reading of "M vectors": one per channel, its map pooled to ``side`` squared numbers; (N, C, side^2)."""
    return [F.adaptive_avg_pool2d(m, side).flatten(2) for m in maps]
