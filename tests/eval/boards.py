"""Made-up score rows for the tests of ranking and exports."""

import math

import numpy as np

from eval import protocol
from eval.rows import ScoreRow, to_frame

HASH = protocol.get("dehaze-rgb").hash


def row(image, method, metric, value=None, **fields):
    """One row; a text in place of a value is an error."""
    error = value if isinstance(value, str) else None
    number = None if error else float(value)
    return ScoreRow(
        image=image,
        method=method,
        metric=metric,
        value=number,
        error=error,
        **{
            "protocol": "dehaze-rgb",
            "protocol_hash": HASH,
            "input_sha256": f"in-{image}",
            "reference_sha256": f"ref-{image}",
            "code_version": "0.1.0",
        }
        | fields,
    )


def frame(scores, metric="psnr", **fields):
    """Rows from {method: list of values}; image names are 00, 01, ..."""
    return to_frame(
        row(f"{i:02d}", method, metric, value, **fields)
        for method, values in scores.items()
        for i, value in enumerate(values)
        if value is not None
    )


def realistic(n=40, seed=0):
    """Four methods on n images: three metrics, a clear winner, a tied pair, two failures, one infinite PSNR."""
    rng = np.random.default_rng(seed)
    scene = rng.normal(0, 2, n)
    levels = {
        "input": (16, 0.70, 4.6),
        "dark-channel": (20, 0.85, 3.9),
        "net-a": (25, 0.92, 3.5),
        "net-b": (25, 0.92, 3.5),
    }
    rows = []
    for method, (psnr, ssim, niqe) in levels.items():
        for i in range(n):
            name = f"{i:04d}"
            seen = {"height": 460, "width": 620, "device": "cpu"}
            if method == "dark-channel" and i in (3, 7):
                rows.append(row(name, method, "", "The file is cut off.", **seen))
                continue
            value = math.inf if (method, i) == ("net-a", 5) else psnr + scene[i] + rng.normal(0, 1)
            rows.append(row(name, method, "psnr", value, **seen))
            rows.append(row(name, method, "ssim", min(1.0, ssim + 0.01 * scene[i] + rng.normal(0, 0.02)), **seen))
            rows.append(row(name, method, "niqe", niqe + rng.gamma(2, 0.2), variant="niqe-live@1a2b3c4d", **seen))
    return to_frame(rows)
