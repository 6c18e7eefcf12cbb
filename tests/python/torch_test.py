"""What of PyTorch needs no kernels, on the software device: its own are SASS, for GPUs only.

Run by hand or where somebody has installed PyTorch: it is too large to fetch for every test run.
"""
import os
import signal
import subprocess
import sys
import unittest

os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"

import torch  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402


def in_child(function):
    """The exception's name in a forked child, or "fine"."""
    end, other = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            function()
            said = "fine"
        except BaseException as error:  # whatever it is, the parent is told
            said = f"{type(error).__name__} {error}"
        os.write(other, said[:1000].encode())
        os._exit(0)
    os.close(other)
    with os.fdopen(end) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


class Torch(unittest.TestCase):
    def test_00_counting_devices_starts_nothing(self):
        self.assertTrue(torch.cuda.is_available())
        self.assertEqual(torch.cuda.device_count(), 1)
        self.assertEqual(in_child(lambda: torch.ones(3).cuda().cpu()), "fine")

    def test_properties(self):
        properties = torch.cuda.get_device_properties(0)
        self.assertEqual(properties.name, "Farlane Software Device")
        self.assertEqual((properties.major, properties.minor), torch.cuda.get_device_capability())

    def test_copies(self):
        for count in (0, 1, 1000, 3_000_001):
            there = torch.arange(count, dtype=torch.float32).cuda()
            again = torch.empty_like(there)
            again.copy_(there)
            self.assertTrue(torch.equal(again.cpu(), torch.arange(count, dtype=torch.float32)))
        pinned = torch.arange(1000).pin_memory()
        there = pinned.cuda(non_blocking=True)
        self.assertTrue(torch.equal(there[10:20].cpu(), pinned[10:20]))

    def test_memory_statistics(self):
        before = torch.cuda.memory_allocated()
        held = torch.empty(1 << 20, device="cuda", dtype=torch.uint8)
        self.assertEqual(torch.cuda.memory_allocated() - before, 1 << 20)
        self.assertGreaterEqual(torch.cuda.max_memory_allocated(), before + (1 << 20))
        del held
        self.assertEqual(torch.cuda.memory_allocated(), before)
        free, total = torch.cuda.mem_get_info()
        self.assertLess(free, total)
        self.assertIn("Allocated memory", torch.cuda.memory_summary())

    def test_out_of_memory_and_on(self):
        held = []
        with self.assertRaises(torch.OutOfMemoryError) as caught:
            while True:
                held.append(torch.empty(256 << 20, device="cuda", dtype=torch.uint8))
        self.assertRegex(str(caught.exception), "total capacity of 2.00 GiB of which .* is free")
        held.clear()
        torch.cuda.empty_cache()
        torch.empty(1 << 30, device="cuda", dtype=torch.uint8)

    def test_streams_and_events(self):
        stream = torch.cuda.Stream()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.stream(stream):
            start.record()
            there = torch.ones(1000).pin_memory().cuda(non_blocking=True)
            end.record()
        torch.cuda.current_stream().wait_event(end)
        end.synchronize()
        self.assertTrue(end.query() and stream.query())
        self.assertGreaterEqual(start.elapsed_time(end), 0)
        self.assertEqual(there.cpu().sum().item(), 1000)

    def test_a_kernel_is_a_clear_error_and_no_end(self):
        for work in (lambda: torch.zeros(10, device="cuda"), lambda: torch.ones(10).cuda() + 1):
            with self.assertRaisesRegex(RuntimeError, "no kernel image is available"):
                work()
        self.assertEqual(torch.ones(10).cuda().cpu().sum().item(), 10)

    def test_profiler_without_cupti(self):
        from torch.profiler import ProfilerActivity, profile
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
            torch.ones(10).cuda().cpu()
        self.assertIn("aten::to", [event.key for event in record.key_averages()])
        torch.cuda.nvtx.range_push("range")
        torch.cuda.nvtx.range_pop()

    def test_forked_loader_and_child(self):
        data = TensorDataset(torch.arange(64).float().reshape(16, 4))
        there = torch.ones(3).cuda()
        total = sum(batch.cuda(non_blocking=True).cpu().sum().item()
                    for (batch,) in DataLoader(data, 4, num_workers=2, pin_memory=True))
        self.assertEqual(total, sum(range(64)))
        self.assertIn("Cannot re-initialize CUDA in forked", in_child(lambda: torch.ones(3).cuda()))
        self.assertIn("initialization error", in_child(there.cpu))

    def test_a_tensor_in_two_processes(self):
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_shared.py")
        for segments in "True", "False":
            with self.subTest(expandable_segments=segments):
                allocator = {"PYTORCH_CUDA_ALLOC_CONF": f"expandable_segments:{segments}"}
                run = subprocess.run([sys.executable, program], text=True, capture_output=True,
                                     timeout=250, env={**os.environ, **allocator})
                self.assertEqual(run.returncode, 0, run.stderr)
                self.assertEqual(run.stdout.splitlines(), [
                    "the consumer sees [0.0, 1.0, 2.0]",
                    "the owner sees [2097146.0, 2097148.0, 2097150.0]",
                    "the consumer ended with 0"], run.stderr)
                self.assertNotIn("farlane", run.stderr)

    # Last, by name: it ends the session.
    def test_zz_a_killed_worker_is_an_exception(self):
        there = torch.ones(1000).cuda()
        server = os.environ["FARLANE_TEST_SERVER_PID"]
        with open(f"/proc/{server}/task/{server}/children") as children:
            for worker in children.read().split():
                os.kill(int(worker), signal.SIGKILL)
        for work in (there.cpu, lambda: torch.ones(5).cuda(), torch.cuda.synchronize):
            with self.assertRaisesRegex(RuntimeError, "system not yet initialized"):
                work()

    def test_save_and_load(self):
        import io
        file = io.BytesIO()
        torch.save(torch.arange(5).cuda(), file)
        file.seek(0)
        self.assertEqual(torch.load(file).device.type, "cuda")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2, warnings="ignore")
