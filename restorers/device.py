"""In which precision a restorer runs, how much memory there is, and what a run used of it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, overload

import torch

from errors import UsageError

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Names people type for precisions."""

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)

Function = TypeVar("Function", bound=Callable[..., Any])


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Precision by name.

    ``auto`` is single precision everywhere: half precisions move results by hundredths of a decibel, and on many
    CPUs they are slower as well, so they are for those who ask.

    Raises:
        UsageError: Unknown name, or half precision (fp16) on a CPU.
    """
    if name == "auto":
        return torch.float32
    if name not in DTYPES:
        raise UsageError(f"There is no precision called {name!r}; use auto, {', '.join(DTYPES)}.")
    if name == "fp16" and device.type == "cpu":
        raise UsageError("fp16 needs a GPU; use --dtype bf16 or fp32 on a CPU.")
    return DTYPES[name]


def precision(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Context in which operations that gain from it run in ``dtype``; nothing changes for float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken: of the GPU, or of main memory within the container's limit."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    free = psutil.virtual_memory().available
    for limit, used in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
    return max(free, 0)


def reset_peak(device: torch.device) -> None:
    """Start measuring peak memory afresh."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # Linux only; elsewhere the peak is that of the process's whole life
            Path("/proc/self/clear_refs").write_text("5")


def peak_mib(device: torch.device) -> float:
    """Peak memory since :func:`reset_peak`: of tensors on a GPU, of the whole process on a CPU; in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@overload
def gpu(function: Function) -> Function: ...


@overload
def gpu(function: None = None, **options: Any) -> Callable[[Function], Function]: ...


def gpu(function: Function | None = None, **options: Any) -> Function | Callable[[Function], Function]:
    """Decorator for functions that need a GPU lent by ZeroGPU; elsewhere it returns the function unchanged.

    Usable bare (``@gpu``) and with the options of ``spaces.GPU`` (``@gpu(duration=30)``). The ``spaces`` package is
    looked for only on a ZeroGPU Space, where it must be imported before CUDA is touched.
    """
    if os.environ.get("SPACES_ZERO_GPU") and importlib.util.find_spec("spaces"):
        import spaces

        return spaces.GPU(function, **options) if function is not None else spaces.GPU(**options)
    return function if function is not None else lambda wrapped: wrapped
