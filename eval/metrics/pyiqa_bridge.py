"""pyiqa's hundred other metrics by name, behind one lazily imported door.

pyiqa is an optional package under a non-commercial licence (PolyForm-Noncommercial-1.0.0), and most of its metrics
need weights of their own; PSNR, SSIM and NIQE never come here. Every value that does carries the package's version,
its licence travels in the metric's facts, and a metric whose weights cannot be had says so instead of guessing.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import threading
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import MetricError, MetricUnavailableError, first_line
from eval.metrics.spec import MetricSpec
from images import Picture, read_picture

if TYPE_CHECKING:
    import numpy as np

    from eval.alignment import Aligned

LICENCE = "PolyForm-Noncommercial-1.0.0"

_SET_METRICS = ("fid", "fid_dinov2", "inception_score")  # compare folders, not pictures
_LOCK = threading.RLock()  # one network at a time: they share memory, and loading prints to stdout


def is_installed() -> bool:
    """Whether the package is here; does not import it."""
    return find_spec("pyiqa") is not None


def names() -> list[str]:
    """Names of the metrics of single pictures; empty where pyiqa is not installed."""
    return sorted(set(_configurations()) - set(_SET_METRICS)) if is_installed() else []


def variant() -> str:
    """What stands beside every value: ``pyiqa-0.1.16``."""
    return f"pyiqa-{metadata.version('pyiqa')}"


@lru_cache(maxsize=256)
def spec(name: str) -> MetricSpec:
    """Direction, range and licence of one of pyiqa's metrics.

    Raises:
        MetricUnavailableError: pyiqa is not installed.
        MetricError: pyiqa has no such metric of single pictures.
    """
    if not is_installed():
        raise MetricUnavailableError(f"{name} is one of pyiqa's metrics: pip install pyiqa (licence {LICENCE}).")
    if name not in names():
        raise MetricError(f"pyiqa has no metric {name!r} of single pictures.")
    facts = _configurations()[name]
    low, high = _range(str(facts.get("score_range", "")))
    said = facts.get("score_range", "")
    return MetricSpec(
        name=name,
        title=name.upper() if len(name) <= 6 else name,
        kind="full" if facts["metric_mode"] == "FR" else "none",
        better="lower" if facts.get("lower_better", False) else "higher",
        low=low,
        high=high,
        licence=LICENCE,
        cost="heavy",
        typical=f"range {said}, as pyiqa gives it" if said else "range not stated by pyiqa",
        decimals=4,
        source="pyiqa",
    )


def measure(
    name: str, output: Picture | np.ndarray | str | Path, reference: Aligned | Picture | str | Path | None = None
) -> float:
    """Score one picture with one of pyiqa's metrics, on the CPU, as a batch of one.

    Args:
        name: pyiqa's name of the metric.
        output: The picture, its pixels, or its path.
        reference: The reference, its path, or the pair as the protocol aligned it (whose output is then scored).

    Raises:
        MetricUnavailableError: pyiqa or the metric's weights are not here.
        MetricError: The metric has no value on this picture.
    """
    if hasattr(reference, "reference"):
        output, reference = reference.output, reference.reference
    facts = spec(name)
    if facts.needs_reference and reference is None:
        raise MetricError(f"{name} compares with a reference, and there is none for this picture.")
    import torch

    batches = [_batch(output)] + ([_batch(reference)] if facts.needs_reference else [])
    with _LOCK, torch.inference_mode(), contextlib.redirect_stdout(io.StringIO()):
        model = _model(name)
        try:
            value = float(model(*batches).reshape(-1)[0])
        except (ArithmeticError, AssertionError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            height, width = batches[0].shape[-2:]
            reason = first_line(error)
            raise MetricError(f"pyiqa's {name} has no value on this {width}x{height} picture: {reason}.") from error
    if math.isnan(value):
        raise MetricError(f"pyiqa's {name} gives NaN on this picture.")
    return value


@lru_cache(maxsize=1)
def _configurations() -> dict[str, dict[str, Any]]:
    """The package's table of metrics, read without running the package (whose import takes seconds)."""
    folder = Path(find_spec("pyiqa").origin).parent
    table = spec_from_file_location("_pyiqa_metrics", folder / "default_model_configs.py")
    module = module_from_spec(table)
    table.loader.exec_module(module)
    return dict(module.DEFAULT_CONFIGS)


@lru_cache(maxsize=4)
def _model(name: str) -> Any:
    """The network; pyiqa says on stdout what it downloads, which is how a missing file gets its name."""
    import torch
    from pyiqa import create_metric

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
            return create_metric(name, device=torch.device("cpu"))
    except (OSError, RuntimeError, ValueError, ImportError, KeyError) as error:
        found = re.search(r'Downloading: "([^"]+)" to (\S+)', said.getvalue())
        where = f" Put {found[1].rsplit('/', 1)[-1]} at {found[2]}." if found else ""
        reason = first_line(error)
        raise MetricUnavailableError(
            f"pyiqa's {name} cannot be loaded; its weights are not here and could not be downloaded ({reason}).{where}"
        ) from error


def _batch(source: Picture | np.ndarray | str | Path) -> Any:
    """Anything to a float32 tensor (1, 3, H, W) in [0, 1]."""
    import numpy as np
    import torch

    if isinstance(source, str | Path):
        source = read_picture(source)
    if isinstance(source, Picture):
        return source.to_tensor()
    rgb = np.repeat(source[..., None], 3, axis=2) if source.ndim == 2 else source
    return torch.from_numpy(rgb.astype(np.float32) / np.float32(255)).permute(2, 0, 1).unsqueeze(0).contiguous()


def _range(said: str) -> tuple[float, float]:
    """``"0, 1"``, ``"~0, ~100"``, ``"0, ~"``: bounds pyiqa is sure of; approximate ones are left open."""
    parts = [part.strip() for part in said.split(",")]
    if len(parts) != 2:
        return -math.inf, math.inf
    bounds = []
    for part, open_end in zip(parts, (-math.inf, math.inf), strict=True):
        try:
            bounds.append(float(part))
        except ValueError:
            bounds.append(open_end)
    return bounds[0], bounds[1]
