"""The Triton kernels equal the plain loop, forward and backward, in Triton's interpreter where there is no GPU.

The interpreter is chosen when Triton is imported, so the kernels run in a process of their own.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CODE = """
import torch
from restorers.blocks import scan_triton
from restorers.blocks.selective_scan import scan_sequences
device = "cuda" if torch.cuda.is_available() else "cpu"
scan_triton.CHUNK, scan_triton.CHANNELS = 4, 4
torch.manual_seed(0)
for dtype, groups, sequences, length, channels, scale in (
    (torch.float64, 2, 2, 11, 6, 1.0),   # ends inside a chunk and inside a block
    (torch.float64, 1, 1, 8, 4, 1.0),    # ends with both
    (torch.float32, 1, 1, 9, 2, 300.0),  # fades to nothing: no infinities
):
    u = torch.randn(sequences, length, channels, dtype=dtype, device=device)
    delta = torch.rand_like(u)
    a = -scale * torch.rand(groups, 2, channels, dtype=dtype, device=device)
    b, c = torch.randn(2, sequences, length, 2, dtype=dtype, device=device).unbind(0)
    inputs = [t.requires_grad_() for t in (u, delta, a, b, c)]
    results = []
    for scan in (scan_triton.triton_scan, lambda *t: scan_sequences(*t, "loop")):
        y, last = scan(*inputs)
        results.append((y, last, *torch.autograd.grad(y.square().sum(), inputs)))
    for ours, wanted in zip(*results):
        assert torch.isfinite(ours).all()
        torch.testing.assert_close(ours, wanted, atol=1e-4 if dtype == torch.float32 else 1e-9, rtol=1e-4)
print("equal")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_triton_equals_the_loop():
    import torch

    environment = os.environ | ({} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"})
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, cwd=Path(__file__).parents[3], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "equal"
