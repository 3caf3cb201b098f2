"""Structure-aware smoothing: flatten texture, keep the edges of a reference plane.

The weighted least squares problem of LIME (Guo, Li, Ling, "LIME: Low-Light Image Enhancement via Illumination Map
Estimation", IEEE TIP 26(2), 2017), with the weights of its strategy III, solved not as one
large sparse system but by alternating one-dimensional solves along rows and columns (Min et al., "Fast Global Image
Smoothing Based on Weighted Least Squares", IEEE TIP 23(12), 2014): a tridiagonal system a line, exact, linear time.
"""

from __future__ import annotations

import cv2
import numpy as np


def texture_weights(plane: np.ndarray, sigma: float = 2.0, epsilon: float = 1e-3) -> tuple[np.ndarray, np.ndarray]:
    """How strongly neighbours should agree: small across structure, large within texture and flat areas.

    Gradients that keep their sign over a window are structure, those that alternate cancel and are texture.

    Args:
        plane: Float32 (H, W) in [0, 1].
        sigma: Standard deviation of the Gaussian window in pixels.
        epsilon: Gradients below it count as none.

    Returns:
        Weights between horizontal neighbours (H, W - 1) and between vertical neighbours (H - 1, W), positive.
    """
    weights = []
    for gradient in (np.diff(plane, axis=1), np.diff(plane, axis=0)):
        size = 2 * round(2.5 * sigma) + 1
        coherent = np.abs(cv2.GaussianBlur(gradient, (size, size), sigma, borderType=cv2.BORDER_REFLECT))
        weights.append(1 / ((coherent + epsilon) * (np.abs(gradient) + epsilon)))
    return weights[0], weights[1]


def smooth(
    plane: np.ndarray, strength: float, sigma: float = 2.0, epsilon: float = 1e-3, rounds: int = 3
) -> np.ndarray:
    """Smooth a plane along its own structure.

    Args:
        plane: Float32 (H, W) in [0, 1].
        strength: Weight of smoothness against fidelity (alpha in LIME, lambda in the one-dimensional solver).
        sigma: See :func:`texture_weights`.
        epsilon: See :func:`texture_weights`.
        rounds: Passes over rows and columns, each with a quarter of the strength of the one before, as Min et al.
            schedule them.

    Returns:
        Float32 (H, W), between the smallest and the largest value of ``plane``.
    """
    across, down = (strength * weight for weight in texture_weights(plane, sigma, epsilon))
    result = plane
    for turn in range(rounds):
        share = 1.5 * 4.0 ** (rounds - turn - 1) / (4.0**rounds - 1)
        result = _solve_lines(result.T, (share * across).T).T
        result = _solve_lines(result, share * down)
    return np.ascontiguousarray(result, dtype=np.float32)


def _solve_lines(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Minimise |u - values|^2 + sum of weights (u_i - u_{i+1})^2 along the first axis, for all columns at once.

    The Thomas algorithm: the matrix is diagonally dominant, so no pivoting is needed.
    """
    values, weights = (np.ascontiguousarray(array, dtype=np.float64) for array in (values, weights))
    length = values.shape[0]
    diagonal = np.ones_like(values)
    diagonal[:-1] += weights
    diagonal[1:] += weights
    upper = np.empty_like(weights)
    solution = np.empty_like(values)
    upper[0] = -weights[0] / diagonal[0]
    solution[0] = values[0] / diagonal[0]
    for i in range(1, length):
        pivot = 1 / (diagonal[i] + weights[i - 1] * upper[i - 1])
        if i < length - 1:
            upper[i] = -weights[i] * pivot
        solution[i] = (values[i] + weights[i - 1] * solution[i - 1]) * pivot
    for i in range(length - 2, -1, -1):
        solution[i] -= upper[i] * solution[i + 1]
    return solution
