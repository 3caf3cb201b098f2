"""Plausible depth for photographs that have none.

Haze on a photograph needs a distance for every pixel. Real outdoor scenes share a few traits: the ground recedes
towards a horizon, the sky is farthest, things have constant distance inside and jumps at their outlines. A random
field with those traits, its edges aligned to the photograph by a guided filter, is no true depth, but haze laid on it
has the statistics that matter: it thickens upwards and with distance, and changes at object borders.
"""

from __future__ import annotations

import cv2
import numpy as np

from guided_filter import guided_filter


def sky_likelihood(pixels: np.ndarray) -> np.ndarray:
    """How much each pixel looks like sky: bright, smooth, blue or grey, and connected to the top edge.

    Args:
        pixels: (H,W,3) uint8 RGB.

    Returns:
        float32 (H,W) in [0,1].
    """
    picture = pixels.astype(np.float32) / 255
    grey = picture.mean(2)
    smooth = np.abs(cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 1.5), cv2.CV_32F, ksize=3))
    smooth = cv2.blur(smooth, (9, 9))
    candidate = (smooth < 0.03) & (grey > 0.45) & (picture[..., 2] > picture[..., 0] - 0.12)
    candidate = cv2.morphologyEx(candidate.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, labels = cv2.connectedComponents(candidate)
    top = np.unique(labels[:3])
    sky = np.isin(labels, top[top > 0]) & (candidate > 0)
    return np.clip(guided_filter(picture, sky.astype(np.float32), 8, 1e-3), 0, 1)


def photograph_depth(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one depth field for a photograph.

    Args:
        pixels: (H,W,3) uint8 RGB.
        rng: source of randomness.

    Returns:
        float32 (H,W) in [0,1], 1 the farthest; sky, where it is found, is far.
    """
    height, width = pixels.shape[:2]
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    horizon = rng.uniform(-0.1, 0.6)
    # Perspective of a ground plane: distance falls as 1 / (row below the horizon).
    ground = 1 / (1 + rng.uniform(2, 8) * np.clip(rows - horizon, 0, None))
    field = np.broadcast_to(ground, (height, width)).astype(np.float32)
    bumps = np.zeros((height, width), np.float32)
    for cells, weight in ((2, 1.0), (4, 0.6), (8, 0.35)):
        lattice = rng.random((cells + 1, round(cells * width / height) + 1), dtype=np.float32)
        bumps += weight * cv2.resize(lattice, (width, height), interpolation=cv2.INTER_CUBIC)
    bumps = (bumps - bumps.min()) / (np.ptp(bumps) + 1e-6)
    mix = rng.choice([0.15, 0.35, 0.7, 1.0], p=[0.3, 0.35, 0.2, 0.15])
    field = (1 - mix) * field + mix * bumps
    if rng.random() < 0.35:
        # Things standing on the ground have one distance: quantise the field into layers before the edge alignment.
        levels = int(rng.integers(3, 7))
        field = np.round(field * levels) / levels
    picture = pixels.astype(np.float32) / 255
    field = guided_filter(picture, field, int(max(4, height * rng.uniform(0.03, 0.12))), 10 ** rng.uniform(-3.5, -2))
    field = np.clip(field, 0, None)
    field = field / max(float(field.max()), 1e-6)
    sky = sky_likelihood(pixels)
    return np.clip(field + sky * (1 - field), 0.02, 1).astype(np.float32)
