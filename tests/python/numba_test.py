"""Numba's kernels on a remote device: compiled here to PTX, loaded through libcuda.so.1."""
import math
import unittest

import numpy as np
from numba import cuda, float32, int32, vectorize
from numba.cuda.random import create_xoroshiro128p_states, xoroshiro128p_uniform_float32

TILE = 8


@cuda.jit
def add(a, b, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = a[i] + b[i]


@cuda.jit
def multiply(a, b, out):
    """Square matrices whose size is a multiple of TILE, through shared memory."""
    left = cuda.shared.array((TILE, TILE), float32)
    right = cuda.shared.array((TILE, TILE), float32)
    x, y = cuda.grid(2)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0)
    for tile in range(a.shape[1] // TILE):
        left[tx, ty] = a[x, tile * TILE + ty]
        right[tx, ty] = b[tile * TILE + tx, y]
        cuda.syncthreads()
        for k in range(TILE):
            total += left[tx, k] * right[k, ty]
        cuda.syncthreads()
    out[x, y] = total


@cuda.jit
def histogram(values, counts):
    for i in range(cuda.grid(1), values.size, cuda.gridsize(1)):
        cuda.atomic.add(counts, values[i], 1)


@cuda.jit
def warp_sums(values, out):
    value = values[cuda.grid(1)]
    for offset in (16, 8, 4, 2, 1):
        value += cuda.shfl_down_sync(0xffffffff, value, offset)
    if cuda.laneid == 0:
        out[cuda.grid(1) // 32] = value


@cuda.jit
def mathematics(x, out):
    i = cuda.grid(1)
    if i < x.size:
        out[i] = math.sin(x[i]) * math.exp(-x[i]) + math.sqrt(x[i]) + math.log1p(x[i])


@cuda.jit
def dynamic_shared(out):
    room = cuda.shared.array(0, int32)
    i = cuda.threadIdx.x
    room[i] = i * i
    cuda.syncthreads()
    out[i] = room[cuda.blockDim.x - 1 - i]


@cuda.jit
def estimate_pi(states, tries, out):
    i = cuda.grid(1)
    inside = 0
    for _ in range(tries):
        x = xoroshiro128p_uniform_float32(states, i)
        y = xoroshiro128p_uniform_float32(states, i)
        if x * x + y * y <= 1:
            inside += 1
    out[i] = 4.0 * inside / tries


@vectorize(["float64(float64, float64)"], target="cuda")
def hypotenuse(a, b):
    return math.sqrt(a * a + b * b)


@cuda.reduce
def largest(a, b):
    return max(a, b)


class Kernels(unittest.TestCase):
    def setUp(self):
        self.random = np.random.default_rng(1)

    def test_device(self):
        self.assertEqual(len(cuda.gpus), 1)
        self.assertEqual(cuda.get_current_device().name, "Farlane Software Device")
        self.assertEqual(cuda.get_current_device().uuid,
                         "GPU-fa71a2e0-50f7-4de1-9ce0-000000000001")

    def test_add(self):
        a = self.random.random(10007, dtype=np.float32)
        out = np.zeros_like(a)
        add[79, 128](a, 2 * a, out)
        np.testing.assert_array_equal(out, a + 2 * a)

    def test_shared_memory(self):
        a = self.random.random((32, 32), dtype=np.float32)
        b = self.random.random((32, 32), dtype=np.float32)
        out = cuda.device_array((32, 32), np.float32)
        multiply[(4, 4), (TILE, TILE)](cuda.to_device(a), cuda.to_device(b), out)
        np.testing.assert_allclose(out.copy_to_host(), a @ b, rtol=1e-5)

    def test_dynamic_shared_memory(self):
        out = np.zeros(64, np.int32)
        dynamic_shared[1, 64, 0, 64 * 4](out)
        np.testing.assert_array_equal(out, np.arange(63, -1, -1) ** 2)

    def test_atomics(self):
        values = self.random.integers(0, 10, 5000).astype(np.int32)
        counts = np.zeros(10, np.int32)
        histogram[8, 64](values, counts)
        np.testing.assert_array_equal(counts, np.bincount(values, minlength=10))

    def test_warps(self):
        values = np.arange(256, dtype=np.int32)
        out = np.zeros(8, np.int32)
        warp_sums[2, 128](values, out)
        np.testing.assert_array_equal(out, values.reshape(8, 32).sum(axis=1))

    def test_mathematics(self):
        x = self.random.random(1000)
        out = np.zeros_like(x)
        mathematics[8, 128](x, out)
        np.testing.assert_allclose(out, np.sin(x) * np.exp(-x) + np.sqrt(x) + np.log1p(x),
                                   rtol=1e-12)

    def test_random_numbers(self):
        states = create_xoroshiro128p_states(64, seed=1)
        out = np.zeros(64, np.float32)
        estimate_pi[1, 64](states, 200, out)
        self.assertAlmostEqual(out.mean(), math.pi, delta=0.1)
        self.assertGreater(len(set(out)), 10)

    def test_vectorize_and_reduce(self):
        a = self.random.random(500)
        np.testing.assert_allclose(hypotenuse(a, 2 * a), np.hypot(a, 2 * a), rtol=1e-14)
        self.assertEqual(largest(a), a.max())

    def test_streams_and_events(self):
        a = self.random.random(4096, dtype=np.float32)
        first, second = cuda.stream(), cuda.stream()
        start, end = cuda.event(), cuda.event()
        start.record(first)
        there = cuda.to_device(a, stream=first)
        out = cuda.device_array_like(there)
        add[32, 128, first](there, there, out)
        end.record(first)
        end.wait(second)
        again = cuda.device_array_like(there)
        add[32, 128, second](out, there, again)
        back = again.copy_to_host(stream=second)
        second.synchronize()
        np.testing.assert_array_equal(back, (a + a) + a)
        self.assertGreaterEqual(cuda.event_elapsed_time(start, end), 0)

    def test_pinned_memory(self):
        pinned = cuda.pinned_array(1000, np.float32)
        pinned[:] = np.arange(1000)
        out = cuda.device_array(1000, np.float32)
        there = cuda.to_device(pinned)
        add[8, 128](there, there, out)
        np.testing.assert_array_equal(out.copy_to_host(), 2 * np.arange(1000, dtype=np.float32))

    def test_memory_information(self):
        context = cuda.current_context()
        before = context.get_memory_info()
        self.assertLessEqual(before.free, before.total)

    def test_too_many_threads(self):
        with self.assertRaises(Exception) as caught:
            add[1, 5000](np.zeros(1, np.float32), np.zeros(1, np.float32),
                         np.zeros(1, np.float32))
        self.assertIn("INVALID_VALUE", str(caught.exception))


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")  # Numba's advice on performance
