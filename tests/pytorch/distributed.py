"""torch.distributed with NCCL on two GPUs of one node, a process each.

    python distributed.py NAME [--steps 20]                       started by torch.multiprocessing
    torchrun --nproc-per-node 2 distributed.py NAME [--steps 20]  or by torchrun

Rank 0 prints one JSON object, as workloads.py does; digests are of all ranks.
"""

import argparse
import datetime
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent))
import models  # noqa: E402
from workloads import digest  # noqa: E402

WORLD = 2
WORKLOADS = {}


def workload(function):
    WORKLOADS[function.__name__] = function
    return function


@workload
def collectives(rank):
    """Each of them once a step, with what must come out."""
    group = dist.new_group([1, 0])
    alone = dist.new_group([0])
    base = torch.arange(1 << 16, device="cuda", dtype=torch.float32) % 1013
    while True:
        mine = base * (rank + 1)
        out = []
        x = mine.clone()
        dist.all_reduce(x)
        assert torch.equal(x, base * 3)
        out.append(x)
        x = mine.clone().bfloat16()
        dist.all_reduce(x, op=dist.ReduceOp.AVG, group=group)
        out.append(x)
        x = mine.clone()
        dist.all_reduce(x, op=dist._make_nccl_premul_sum(2.0))
        assert torch.equal(x, base * 6)
        parts = [torch.empty_like(mine) for _ in range(WORLD)]
        dist.all_gather(parts, mine)
        assert torch.equal(parts[0], base) and torch.equal(parts[1], base * 2)
        whole = torch.empty(WORLD * mine.numel(), device="cuda")
        dist.all_gather_into_tensor(whole, mine)
        out.append(whole)
        half = torch.empty(mine.numel() // 2, device="cuda")
        dist.reduce_scatter_tensor(half, mine)
        assert torch.equal(half, (base * 3).chunk(2)[rank])
        x = mine.clone()
        dist.broadcast(x, 1)
        assert torch.equal(x, base * 2)
        x = mine.clone()
        dist.reduce(x, 0, op=dist.ReduceOp.MAX)
        if rank == 0:
            assert torch.equal(x, base * 2)
        x = torch.empty_like(mine)
        if rank == 0:
            dist.send(mine, 1)
            dist.recv(x, 1)
        else:
            dist.recv(x, 0)
            dist.send(mine, 0)
        assert torch.equal(x, base * (2 - rank))
        x = torch.empty_like(mine)
        both = dist.batch_isend_irecv([dist.P2POp(dist.isend, mine, 1 - rank),
                                       dist.P2POp(dist.irecv, x, 1 - rank)])
        for one in both:
            one.wait()
        assert torch.equal(x, base * (2 - rank))
        x = torch.empty_like(mine)
        dist.all_to_all_single(x, mine)
        assert torch.equal(x.chunk(2)[1 - rank], (base * (2 - rank)).chunk(2)[rank])
        out.append(x)
        if rank == 0:
            dist.all_reduce(x, group=alone)
        got = [None] * WORLD
        dist.all_gather_object(got, {"rank": rank})
        assert [one["rank"] for one in got] == [0, 1]
        work = dist.all_reduce(mine, async_op=True)
        work.wait()
        out.append(mine)
        dist.barrier()
        yield torch.cat([one.float().flatten() for one in out])


@workload
def captured(rank):
    """Collectives in a CUDA graph."""
    base = torch.arange(1 << 16, device="cuda", dtype=torch.float32) % 1013
    x = base * (rank + 1)
    dist.all_reduce(x)  # connects the ranks, which no graph can
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    x = torch.empty_like(base)
    with torch.cuda.graph(graph):
        y = x * 2
        dist.all_reduce(y)
        parts = torch.empty(WORLD * y.numel(), device="cuda")
        dist.all_gather_into_tensor(parts, x)
        z = y + parts[:y.numel()]
    step = 0
    while True:
        x.copy_(base * (rank + 1) + step)
        graph.replay()
        assert torch.equal(z, (base * 3 + 2 * step) * 2 + base + step)
        yield z.clone()
        step += 1


@workload
def death(rank):
    """Rank 1 dies in its third step. Rank 0 must hear of it, with an exception."""
    x = torch.ones(1 << 16, device="cuda")
    for step in range(100):
        if rank == 1 and step == 2:
            os._exit(0)
        y = x.clone()
        begin = time.perf_counter()
        try:
            dist.all_reduce(y, async_op=True).wait()  # PyTorch watches only what it waits for so
        except RuntimeError as error:
            print(json.dumps({"name": "death", "raised": type(error).__name__,
                              "step": step, "seconds": round(time.perf_counter() - begin)}),
                  flush=True)
            os._exit(0)
        yield y


def training(model, loss_of, optimizer):
    while True:
        with torch.autocast("cuda", torch.bfloat16):
            loss = loss_of(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.detach()


def parallel(model, rank):
    return torch.nn.parallel.DistributedDataParallel(model, device_ids=[rank])


@workload
def ddp_resnet50(rank):
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    model = parallel(models.resnet50().cuda().to(memory_format=torch.channels_last), rank)
    torch.manual_seed(10 + rank)
    x = torch.randn(64, 3, 224, 224, device="cuda").to(memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, (64,), device="cuda")
    return training(model, lambda m: F.cross_entropy(m(x).float(), labels),
                    torch.optim.SGD(model.parameters(), 0.01, 0.9))


@workload
def ddp_bert(rank):
    """A transformer of 6 layers; without its embeddings' atomics it repeats itself to the bit."""
    torch.use_deterministic_algorithms(True)
    model = parallel(models.Transformer(False, words=8192, depth=6).cuda(), rank)
    torch.manual_seed(10 + rank)
    ids = torch.randint(0, 8192, (16, 256), device="cuda")
    return training(model, lambda m: F.cross_entropy(m(ids).flatten(0, 1).float(), ids.flatten()),
                    torch.optim.AdamW(model.parameters(), 1e-4))


def work(rank, name, steps):
    torch.cuda.set_device(rank)
    if name == "death":
        os.environ["TORCH_NCCL_BLOCKING_WAIT"] = "1"
    dist.init_process_group("nccl", rank=rank, world_size=WORLD,
                            timeout=datetime.timedelta(seconds=5 if name == "death" else 60),
                            device_id=torch.device("cuda", rank))
    torch.manual_seed(1)
    torch.cuda.manual_seed(1)
    iterator = WORKLOADS[name](rank)
    digests, times = [], []
    for number in range(steps):
        if name != "death":
            dist.barrier()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        value = next(iterator)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
        if number in (0, 1, steps - 1):
            digests.append(digest(value))
    everybody = [None] * WORLD
    dist.all_gather_object(everybody, digests)
    if rank == 0:
        times = sorted(times[len(times) // 2:])
        print(json.dumps({
            "name": name, "digests": everybody, "step_ms": times[len(times) // 2] * 1000,
            "least_ms": times[0] * 1000,
            "all": hashlib.sha256(json.dumps(everybody).encode()).hexdigest()[:16]}), flush=True)
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=WORKLOADS)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if "LOCAL_RANK" in os.environ:
        work(int(os.environ["LOCAL_RANK"]), arguments.name, arguments.steps)
        return 0
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    if "MASTER_PORT" not in os.environ:
        import socket
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ["MASTER_PORT"] = str(free.getsockname()[1])
    torch.multiprocessing.spawn(work, (arguments.name, arguments.steps), nprocs=WORLD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
