"""Validation of the haze CLIP on scenes, photographs and paraphrases that training never saw."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from priors import dense
from priors.evaluate import auroc, spearman
from training import captions
from training.degradations import haze
from training.haze_batches import Batch, Pools, Sampler, patch_density
from training.haze_clip_model import Words, encode_text, normalise

VALIDATION_SEED = 4242
BETAS = (0.7, 1.3)


def validate(model: nn.Module, pools: Pools, words: Words) -> dict[str, float]:
    """Figures of a model: mean Spearman of the patch map, AUROCs by trained and held-out phrases.

    Args:
        model: What is measured, on the CPU, wherever it is.
        pools: The held-out pictures.
        words: Its vocabulary.
    """
    model = copy.deepcopy(model).cpu().eval()
    with torch.inference_mode():
        return {"spearman": dense_spearman(model, pools, words), **phrase_aurocs(model, mixed_pictures(pools), words)}


@cache
def mixed_pictures(pools: Pools, batches: int = 6, count: int = 40, size: int = 192) -> tuple[Batch, ...]:
    """Batches with every degradation from the held-out pools, always the same."""
    sampler = Sampler(pools, VALIDATION_SEED)
    return tuple(sampler.batch(step, count, (size, size)) for step in range(batches))


def text_features(model: nn.Module, texts: list[str], words: Words) -> Tensor:
    """(len(texts), D) normalised."""
    return encode_text(model, words(texts))


def dense_spearman(model: nn.Module, pools: Pools, words: Words) -> float:
    """Mean over scenes and betas of the rank correlation of patch haze with true ``1 - t`` (SOTS recipe, 192x256)."""
    ends = [
        F.normalize(text_features(model, bare_texts("haze", present, held_out=False), words).mean(0), dim=0)
        for present in (True, False)
    ]
    values = []
    for beta in BETAS:
        arrays = np.stack([pools.nyu[i] for i in range(len(pools.nyu))])
        pixels = torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 255
        t = haze.transmission(pixels[:, 3:], beta)
        hazy = F.interpolate(haze.scatter(pixels[:, :3], t, 1.0), (192, 256), mode="area")
        for chunk, density in zip(hazy.split(10), (1 - t).split(10), strict=True):
            patches = F.normalize(dense.encode(model.visual, normalise(chunk)).patches, dim=1)
            score = torch.einsum("ndhw,d->nhw", patches, ends[0] - ends[1]).flatten(1).numpy()
            target = patch_density(density, patches.shape[-2:]).numpy()
            values += [spearman(*maps) for maps in zip(score, target, strict=True)]
    return float(np.mean(values))


def bare_texts(concept: str, present: bool, *, held_out: bool) -> list[str]:
    """All phrases of one end, in the plainest sentence."""
    poles = captions.find(concept, present)
    return [captions.plain(phrase, adjective) for pole in poles for phrase, adjective in pole.phrases(held_out)]


def phrase_aurocs(model: nn.Module, batches: tuple[Batch, ...], words: Words) -> dict[str, float]:
    """AUROC per concept with all trained phrases, and the mean over single phrases, trained and held out.

    A single phrase stands against the mean of the trained phrases of the other end.
    """
    features = torch.cat([F.normalize(model.visual(normalise(b.pixels)), dim=-1) for b in batches]).numpy()
    labels = torch.cat([b.labels for b in batches]).numpy()
    figures: dict[str, float] = {}
    gaps: dict[str, list[float]] = {"trained": [], "held_out": []}
    haze_gaps: dict[str, list[float]] = {"trained": [], "held_out": []}
    for index, concept in enumerate(captions.CONCEPTS):
        sure = (labels[:, index] < 0.1) | (labels[:, index] >= 0.5)
        truth = labels[sure, index] >= 0.5
        seen = [text_features(model, bare_texts(concept, p, held_out=False), words).numpy() for p in (True, False)]
        means = [s.mean(0) / np.linalg.norm(s.mean(0)) for s in seen]
        figures[f"auroc_{concept}"] = auroc(features[sure] @ (means[0] - means[1]), truth)
        for name, held_out in (("trained", False), ("held_out", True)):
            for present in (True, False):
                texts = text_features(model, bare_texts(concept, present, held_out=held_out), words).numpy()
                sign = 1 if present else -1
                values = [auroc(sign * (features[sure] @ (t - means[present])), truth) for t in texts]
                gaps[name] += values
                if concept == "haze":
                    haze_gaps[name] += values
    for name in gaps:
        figures[f"phrases_{name}"] = float(np.mean(gaps[name]))
        figures[f"haze_phrases_{name}"] = float(np.mean(haze_gaps[name]))
    return figures
