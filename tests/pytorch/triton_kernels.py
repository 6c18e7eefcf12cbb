"""Triton's kernels of failing.py: Triton reads its source from a file."""

import triton
import triton.language as tl


@triton.jit
def far(p, distance, block: tl.constexpr):
    at = tl.program_id(0) * block + tl.arange(0, block)
    tl.store(p + distance + at, 1.0)
