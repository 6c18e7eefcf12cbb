"""Programs in which something goes wrong, for failures.py: they print what they see as JSON lines.

    python failing.py NAME
"""

import argparse
import json
import signal
import sys

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def note(*values):
    print(json.dumps(values), flush=True)


def seen(what, function):
    """Notes the exception that `function` ends with, or that it went well."""
    try:
        function()
    except Exception as error:  # whatever it is, it is compared
        note(what, type(error).__name__, str(error))
    else:
        note(what, "went well")


def ready():
    """The caller is told that the program is in the middle of something."""
    note("ready")


def bits(tensor):
    return tensor.detach().cpu().double().flatten().tolist()[0].hex()


def trained(width=512):
    """A small model's training steps; each gives its loss."""
    import models
    import workloads
    model, x = models.mlp().cuda(), torch.randn(64, width, device="cuda")
    return workloads.training(model, lambda m: (m(x) - x).square().mean()), model


# --- memory

def train_until_full():
    steps, model = trained()
    note("before", [bits(next(steps)) for _ in range(3)])
    large = torch.randn(1 << 19, 512, device="cuda")  # 1 GiB
    held = []
    try:
        while True:
            held.append(torch.empty(1 << 30, dtype=torch.uint8, device="cuda"))
    except torch.OutOfMemoryError as error:
        note("filled", type(error).__name__, str(error))

    def large_step():
        (model(large) - large).square().mean().backward()
    seen("a step that is too large", large_step)
    model.zero_grad()
    note("beside it", [bits(next(steps)) for _ in range(3)])
    # What is freed stays in PyTorch's cache, in pieces too small for this one.
    del held[len(held) // 2:]
    larger = torch.full((3 << 30,), 7, dtype=torch.uint8, device="cuda")
    note("from the cache", int(larger[::1 << 28].sum()))
    held.clear()
    del larger
    seen("the same step with room", large_step)
    model.zero_grad()
    note("after", [bits(next(steps)) for _ in range(3)])
    statistics = torch.cuda.memory_stats()
    note("statistics", {key: statistics[key] for key in
                        ("num_ooms", "num_alloc_retries", "allocated_bytes.all.current")})
    torch.cuda.empty_cache()
    note("and on", [bits(next(steps)) for _ in range(3)])


@program
def out_of_memory():
    train_until_full()


@program
def out_of_memory_expandable():
    torch.cuda.memory._set_allocator_settings("expandable_segments:True")
    train_until_full()


@program
def out_of_host_memory():
    def pin():
        torch.empty(1 << 50, dtype=torch.uint8, pin_memory=True)
    seen("1 PiB of pinned memory", pin)
    note("and on", bits(torch.ones(10, device="cuda").sum()))


# --- kernels

@program
def not_a_number():
    steps, model = trained()
    note("before", bits(next(steps)))
    with torch.no_grad():
        model[0].weight[0, 0] = -1
    x = torch.rand(64, 512, device="cuda")
    loss = model(x).log().mean()
    note("loss", bits(loss), bool(loss.isnan()))

    def anomaly():
        with torch.autograd.detect_anomaly(check_nan=True):
            model(x).log().mean().backward()
    seen("with anomaly detection", anomaly)
    model.zero_grad()
    scaler, optimizer = torch.amp.GradScaler("cuda"), torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(3):
        scaler.scale(model(x).log().mean()).backward()
        scaler.step(optimizer)
        scaler.update()
    note("the scaler skips", scaler.get_scale(), bits(model[0].weight.sum()))


def after_a_fault():
    """Nothing works any more, and everything says so."""
    seen("a tensor", lambda: torch.ones(3, device="cuda"))
    seen("a synchronisation", torch.cuda.synchronize)
    seen("a copy", lambda: torch.ones(3).cuda())
    seen("emptying the cache", torch.cuda.empty_cache)


@program
def device_assert():
    steps, _ = trained()
    note("before", bits(next(steps)))
    table, index = torch.randn(100, 8, device="cuda"), torch.tensor([3, 100], device="cuda")
    seen("an index out of range", lambda: (table[index], torch.cuda.synchronize()))
    after_a_fault()


@program
def device_assert_in_loss():
    x = torch.randn(8, 10, device="cuda", requires_grad=True)
    labels = torch.tensor([1, 2, 3, 4, 5, 6, 7, 10], device="cuda")

    def step():
        torch.nn.functional.cross_entropy(x, labels).backward()
        torch.cuda.synchronize()
    seen("a label out of range", step)
    after_a_fault()


@program
def device_assert_uncaught():
    table, index = torch.randn(100, 8, device="cuda"), torch.tensor([100], device="cuda")
    print(table[index].sum().item())


def faulting(body):
    kernel = torch.cuda._compile_kernel(
        'extern "C" __global__ void bad(float* p) { %s }' % body, "bad")
    x = torch.zeros(4, device="cuda")

    def launch():
        kernel(grid=(1, 1, 1), block=(1, 1, 1), args=[x])
        torch.cuda.synchronize()
    seen("a kernel", launch)
    after_a_fault()


@program
def illegal_address():
    faulting("*(volatile float*)16 = 1;")


@program
def misaligned_address():
    faulting("*(volatile float*)((char*)p + 1) = 1;")


@program
def trap():
    faulting('asm("trap;");')


@program
def illegal_address_triton():
    import triton
    import triton_kernels
    x = torch.zeros(1024, device="cuda")

    def launch():
        triton_kernels.far[(triton.cdiv(1024, 256),)](x, 1 << 45, block=256)
        torch.cuda.synchronize()
    seen("a kernel", launch)
    after_a_fault()


@program
def refused_launches():
    kernel = torch.cuda._compile_kernel(
        'extern "C" __global__ void fine(float* p) { p[threadIdx.x] = threadIdx.x; }', "fine")
    x = torch.zeros(8, device="cuda")
    for block in ((2048, 1, 1), (0, 1, 1), (1, 1, 128)):
        seen(f"a block of {block}", lambda: kernel(grid=(1, 1, 1), block=block, args=[x]))
    seen("too much shared memory",
         lambda: kernel(grid=(1, 1, 1), block=(8, 1, 1), args=[x], shared_mem=1 << 30))
    kernel(grid=(1, 1, 1), block=(8, 1, 1), args=[x])
    note("and on", x.cpu().tolist())


@program
def capture_broken():
    graph, x = torch.cuda.CUDAGraph(), torch.ones(8, device="cuda")

    def capture():
        with torch.cuda.graph(graph):
            y = x * 2
            y.sum().item()
    seen("a question during a capture", capture)
    seen("a step", lambda: note(bits((x * 2).sum())))


# --- from outside

def without_end():
    steps, _ = trained()
    for number in range(1 << 60):
        loss = next(steps)
        if number == 10:
            ready()
        if number % 8 == 0:
            loss.item()


@program
def interrupted():
    without_end()


@program
def interrupted_and_on():
    steps, _ = trained()
    note("before", [bits(next(steps)) for _ in range(3)])

    def alarm(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, alarm)
    x = torch.ones(512, 512, device="cuda")
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        while True:
            (x @ x).sum().item()
    except KeyboardInterrupt:
        note("interrupted")
    note("after", [bits(next(steps)) for _ in range(3)])


@program
def server_goes():
    seen("the step", without_end)
    seen("the next", lambda: torch.ones(3, device="cuda"))
    seen("a copy", lambda: torch.ones(3).cuda())
    seen("a synchronisation", torch.cuda.synchronize)
    note("and on without it", bits(torch.ones(3).sum()))


@program
def server_goes_uncaught():
    without_end()


@program
def a_tensor():
    seen("a tensor", lambda: note(bits(torch.ones(3).cuda())))
    seen("once more", lambda: note(bits(torch.ones(3).cuda())))


@program
def waits():
    note(bits(torch.ones(3).cuda()))
    ready()
    sys.stdin.read()


@program
def convolution():
    x, w = torch.ones(2, 3, 8, 8, device="cuda"), torch.ones(4, 3, 3, 3, device="cuda")

    def convolve():
        note(bits(torch.nn.functional.conv2d(x, w).sum()))
    seen("a convolution", convolve)
    seen("once more", convolve)
    seen("a product", lambda: note(bits((x[0, 0] @ x[0, 0]).sum())))
    with torch.backends.cudnn.flags(enabled=False):
        seen("without cuDNN", convolve)


@program
def product():
    x = torch.ones(8, 8, device="cuda")
    seen("a product", lambda: note(bits((x @ x).sum())))
    seen("a transform", lambda: note(bits(torch.fft.rfft(x).abs().sum())))
    seen("a kernel", lambda: note(bits((x + x).sum())))


# --- those who look at the GPU

@program
def looking():
    properties = torch.cuda.get_device_properties(0)
    for key in ("name", "major", "minor", "total_memory", "multi_processor_count", "warp_size",
                "L2_cache_size", "max_threads_per_multi_processor", "regs_per_multiprocessor",
                "shared_memory_per_block_optin", "is_integrated", "uuid"):
        note(key, str(getattr(properties, key, "not there")))
    note("capability", torch.cuda.get_device_capability(), torch.cuda.device_count())
    note("memory", torch.cuda.mem_get_info()[1])
    for name in ("utilization", "memory_usage", "temperature", "power_draw", "clock_rate"):
        def ask():
            note(name, type(getattr(torch.cuda, name)()).__name__)
        seen(name, ask)
    torch.cuda.nvtx.range_push("a range")
    torch.cuda.nvtx.mark("a mark")
    torch.cuda.memory._record_memory_history(max_entries=1000)
    x = torch.ones(1 << 20, device="cuda")
    y = x * 2
    del x
    torch.cuda.synchronize()
    snapshot = torch.cuda.memory._snapshot()
    torch.cuda.memory._record_memory_history(enabled=None)
    note("history", [[(entry["action"], entry["size"]) for entry in trace]
                     for trace in snapshot["device_traces"]], len(snapshot["segments"]))
    torch.cuda.nvtx.range_pop()
    note("and on", bits(y.sum()))


@program
def profiled():
    from torch.profiler import ProfilerActivity, profile
    x = torch.ones(64, 64, device="cuda")
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
        y = x @ x
        torch.cuda.synchronize()
    note("recorded", "aten::mm" in [event.key for event in record.key_averages()])
    note("and on", bits(y.sum()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=PROGRAMS)
    name = parser.parse_args().name
    import torch
    torch.manual_seed(1)
    PROGRAMS[name]()
    note("the end")
