"""What a restorer costs: parameters, multiply-accumulates, time, memory; with the machine they were measured on.

A speed without its machine means nothing, so the device's name is a field of the record and a column of every table.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import StoreError

if TYPE_CHECKING:
    import torch

    from restorers.base import Restorer

HEIGHT, WIDTH = 460, 620
"""The picture everything is measured on: the size of RESIDE's indoor test pictures."""

_UNCOUNTED = ("grid_sampler", "_fft_", "cdist", "linalg", "cumsum", "_cdist", "histc")
"""Operators of torch's own that multiply and add but that the counter gives no number for."""


@dataclass(frozen=True)
class Efficiency:
    """What one method costs on one machine.

    Attributes:
        parameters: Learnable numbers; 0 for methods without weights.
        gmacs: 10^9 multiply-accumulates of convolutions, matrix products and attention for one picture, as executed
            (half of torch's FLOP count); None where the work happens outside torch.
        seconds_per_mpix: Median seconds per million input pixels.
        peak_mib: Memory the forward pass needed beyond what was there before it (rows have the whole of it); None where
            the system cannot tell.
        device: Name of the processor or accelerator, with the number of threads used on a CPU.
        height: Rows of the picture measured on.
        width: Columns of the picture measured on.
        notes: What the numbers leave out.
        weights_sha256: Hash of the weights measured with; "" without weights.
    """

    parameters: int
    gmacs: float | None
    seconds_per_mpix: float
    peak_mib: float | None
    device: str
    height: int = HEIGHT
    width: int = WIDTH
    notes: tuple[str, ...] = ()
    weights_sha256: str = ""


BUILT_IN = Path(__file__).parents[1] / "assets" / "costs.json"
"""What the built-in methods were measured to cost, by ``python -m eval costs --output assets/costs.json``."""


@lru_cache(maxsize=1)
def built_in() -> dict[str, Efficiency]:
    """Costs of the built-in methods. Parameters and GMACs hold everywhere, times and memory for the machine named."""
    return load(BUILT_IN)


def measure(
    restorer: Restorer, *, device: str = "cpu", height: int = HEIGHT, width: int = WIDTH, repeats: int = 3
) -> Efficiency:
    """Measure a restorer on a picture of noise, untiled.

    One pass counts operations and warms up, `repeats` passes are timed (median), the first of them is watched for
    memory. The picture's content does not change what a network does; it may change how long a classical method
    iterates.

    Args:
        restorer: In evaluation mode; it is moved to `device`.
        device: "cpu" or "cuda".
        height: Rows of the picture.
        width: Columns of the picture.
        repeats: Timed passes.
    """
    import torch

    restorer = restorer.to(device)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, height, width, generator=generator).to(device)
    with torch.no_grad():
        macs, notes = count_macs(restorer, x)
        times, peaks = [], []
        for index in range(repeats):
            probe = _Memory(device) if index == 0 else None
            _wait(device)
            start = time.perf_counter()
            restorer(x)
            _wait(device)
            times.append(time.perf_counter() - start)
            if probe:
                peaks.append(probe.needed_mib())
    if peaks[0] is None:
        notes = (*notes, "peak memory: this system does not tell")
    return Efficiency(
        parameters=sum(parameter.numel() for parameter in restorer.parameters()),
        gmacs=macs / 1e9 if macs else None,
        seconds_per_mpix=statistics.median(times) / (height * width / 1e6),
        peak_mib=peaks[0],
        device=device_name(device),
        height=height,
        width=width,
        notes=notes,
        weights_sha256=getattr(restorer, "weights_sha256", None) or "",  # any network can be measured
    )


def count_macs(module: torch.nn.Module, x: torch.Tensor) -> tuple[int, tuple[str, ...]]:
    """Multiply-accumulates of one forward pass, and which operators were met that the count leaves out.

    Convolutions (also transposed and deformable), matrix products and attention are counted; additions,
    activations and normalisations are not, as everywhere in the field. Parts whose work no counter sees say so by an
    attribute ``uncounted``.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    seen: set[str] = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.add(str(func._overloadpacket))
            return func(*args, **(kwargs or {}))

    counter = FlopCounterMode(display=False, custom_mapping=_custom_counts())
    with Watch(), counter, torch.no_grad():
        module(x)
    counted = {str(packet) for packet in counter.flop_registry}
    left = sorted(name for name in seen - counted if not name.startswith("aten.") or any(u in name for u in _UNCOUNTED))
    left = [name for name in left if not name.startswith(("prim.", "prims.", "profiler."))]
    left += sorted({part.uncounted for part in module.modules() if isinstance(getattr(part, "uncounted", None), str)})
    total = counter.get_total_flops() // 2
    notes = () if total else ("its arithmetic happens outside torch's counted operators",)
    return total, (*notes, *([f"not counted: {', '.join(left)}"] if left else ()))


def device_name(device: str) -> str:
    """A processor's or accelerator's name as a reader knows it."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(device))
    threads = torch.get_num_threads()
    return f"{processor_name()}, {threads} thread{'s' if threads > 1 else ''}"


def processor_name() -> str:
    """The processor's model, as exactly as the system tells."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return name
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)


def save(costs: Mapping[str, Efficiency], path: str | Path) -> None:
    """Write method -> cost as JSON."""
    text = json.dumps({name: asdict(cost) for name, cost in costs.items()}, indent=2, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def _check_numbers(cost: Efficiency) -> None:
    for name in ("parameters", "gmacs", "seconds_per_mpix", "peak_mib"):
        value = getattr(cost, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{name} is {value!r}")


def load(path: str | Path) -> dict[str, Efficiency]:
    """Read what `save` wrote.

    Raises:
        StoreError: It is not such a file.
    """
    known = {field.name for field in fields(Efficiency)}
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        found = {
            str(name): Efficiency(**{k: tuple(v) if k == "notes" else v for k, v in record.items() if k in known})
            for name, record in content.items()
        }
        for cost in found.values():
            _check_numbers(cost)
        return found
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path} is not a file of measured costs ({error}); make one with 'python -m eval costs'."
        ) from error


def _custom_counts() -> dict[Any, Any]:
    """Counts torch does not bring: torchvision's deformable convolution costs what a plain one of its size does."""
    import torch

    try:
        import torchvision.ops  # noqa: F401 - registers the operator
    except ImportError:
        return {}

    def deformable(x: Any, weight: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
        batch, outputs, rows, columns = out_shape
        _, inputs, tall, wide = weight
        return 2 * batch * outputs * rows * columns * inputs * tall * wide

    return {torch.ops.torchvision.deform_conv2d: deformable}


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


class _Memory:
    """Memory needed since construction, beyond what was held then."""

    def __init__(self, device: str) -> None:
        import torch

        from restorers.device import peak_mib, reset_peak

        self._device = torch.device(device)
        if self._device.type != "cuda":
            _return_free_memory()
        reset_peak(self._device)
        self._before = peak_mib(self._device)  # just reset, the peak is what is held

    def needed_mib(self) -> float | None:
        """None where no peak can be reset, so that none is this one's."""
        from restorers.device import peak_mib

        if self._device.type != "cuda" and not os.access("/proc/self/clear_refs", os.W_OK):
            return None
        return max(0.0, peak_mib(self._device) - self._before)


def _return_free_memory() -> None:
    """Hand what earlier work freed back to the system; else a pass could reuse it and seem to need nothing."""
    with contextlib.suppress(OSError, AttributeError):  # not glibc: the peak is then a lower bound
        ctypes.CDLL(None).malloc_trim(0)
