"""Losses between pictures and words for what went wrong with them, by CLIP's ``softmax(logit_scale * cos)``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from training.captions import HAZE_KINDS, Claim


def contrastive_loss(logits: Tensor, claims: Sequence[Claim], labels: Tensor, kinds: Tensor) -> Tensor:
    """Multi-positive contrastive loss, both directions; pairs that are neither true nor false are left out.

    Args:
        logits: (pictures, captions).
        claims: what the captions say.
        labels: (pictures, concepts) in [0,1].
        kinds: (pictures,) index into HAZE_KINDS, -1 without haze.
    """
    true = torch.ones_like(logits, dtype=torch.bool)
    false = torch.zeros_like(true)
    for j, claim in enumerate(claims):
        for i in claim.present:
            true[:, j] &= labels[:, i] >= 0.5
            false[:, j] |= labels[:, i] < 0.1
        for i in claim.absent:
            true[:, j] &= labels[:, i] < 0.1
            false[:, j] |= labels[:, i] >= 0.5
        if claim.kind:
            true[:, j] &= kind_fits([claim.kind], kinds)[:, 0]
    logits = logits.masked_fill(~(true | false), -1e4)
    total = logits.new_zeros(())
    for scores, target in ((logits, true), (logits.T, true.T)):
        weight = target.float() / target.sum(1, keepdim=True).clamp_min(1)
        rows = target.any(1)
        total = total - 0.5 * (weight * scores.log_softmax(1)).sum(1)[rows].mean()
    return total


def pair_loss(
    picture: Tensor, positive: Tensor, negative: Tensor, scale: Tensor, label: Tensor, fits: Tensor
) -> Tensor:
    """Cross-entropy of every positive text against every negative one.

    Args:
        picture: (N,D) normalised.
        positive: (P,D) texts that say the degradation is there.
        negative: (Q,D) texts that say it is not.
        scale: logit scale.
        label: (N,) in [0,1].
        fits: (N,P) which positive texts can be judged on which picture.
    """
    logits = scale * ((picture @ positive.T)[:, :, None] - (picture @ negative.T)[:, None, :])
    target = label[:, None, None].expand_as(logits)
    # Absence is far commoner than presence: weigh both ends the same.
    balance = torch.where(
        label > 0.5, 0.5 / (label > 0.5).float().mean().clamp_min(0.02), 0.5 / (label <= 0.5).float().mean()
    )
    weight = (fits.float() * balance[:, None])[:, :, None]
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * weight).mean() / weight.mean()


def dense_loss(
    patches: Tensor, positive: Tensor, negative: Tensor, scale: Tensor, target: Tensor, fits: Tensor
) -> Tensor:
    """Divergence of the patches' haze probability from the true ``1 - t``, over all pairs of texts.

    Args:
        patches: (N,L,D) normalised.
        positive: (P,D) haze texts.
        negative: (Q,D) clear texts.
        scale: logit scale.
        target: (N,L) mean ``1 - t`` of each patch.
        fits: (N,P), see ``pair_loss``.
    """
    logits = scale * ((patches @ positive.T)[..., :, None] - (patches @ negative.T)[..., None, :])
    goal = target[:, :, None, None].expand_as(logits)
    weight = fits.float()[:, None, :, None]
    loss = F.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    clamped = target.clamp(1e-4, 1 - 1e-4)
    entropy = -(clamped * clamped.log() + (1 - clamped) * (1 - clamped).log())
    return ((loss - entropy[:, :, None, None]) * weight).mean() / weight.mean()


def order_loss(score: Tensor, target: Tensor, least: float = 0.015) -> Tensor:
    """One minus the correlation of patch scores with the true density inside each picture.

    Args:
        score: (N,L) haze logits of patches, any scale.
        target: (N,L) true ``1 - t``.
        least: pictures whose density deviates less than this are left out.
    """
    chosen = target.std(1) > least
    if not chosen.any():
        return score.sum() * 0.0
    a, b = (v[chosen] - v[chosen].mean(1, keepdim=True) for v in (score, target))
    return 1 - F.cosine_similarity(a, b, dim=1).mean()


def tile_loss(score: Tensor, target: Tensor, scene: Tensor) -> Tensor:
    """One minus the correlation of tiles' scores with their mean density, both less their scene's mean.

    Args:
        score: (N,) haze logits of pictures, any scale.
        target: (N,) their mean ``1 - t``.
        scene: (N,) which scene a tile is of, -1 for pictures that are no tiles.
    """
    chosen = scene >= 0
    if not chosen.any():
        return score.sum() * 0.0
    member = F.one_hot(scene[chosen]).float()
    mean = member / member.sum(0)
    a, b = (v[chosen] - member @ (mean.T @ v[chosen]) for v in (score, target))
    return 1 - F.cosine_similarity(a, b, dim=0)


def kind_fits(said: Sequence[str], kinds: Tensor) -> Tensor:
    """(N,P): words without a kind fit every picture, words with one fit clear pictures and those of that kind.

    Fog and haze are one thing in different strength: "foggy" fits both.
    """
    fits = torch.ones(len(kinds), len(said), dtype=torch.bool, device=kinds.device)
    for j, kind in enumerate(said):
        if kind:
            allowed = {"fog": (0, 1)}.get(kind, (HAZE_KINDS.index(kind),))
            fits[:, j] = kinds < 0
            for index in allowed:
                fits[:, j] |= kinds == index
    return fits
