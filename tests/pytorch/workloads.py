"""What is run natively and through Farlane. Each workload makes what it needs and returns an
iterator: a step each time, with what must come out the same. Only steps are timed.

    python workloads.py NAME --steps 20      prints one JSON object
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from torch import nn

import models

WORKLOADS = {}


def workload(function):
    WORKLOADS[function.__name__] = function
    return function


def training(model, loss_of, precision=None, optimizer=None):
    """Steps of training; `loss_of(model)` is a loss."""
    optimizer = optimizer or torch.optim.AdamW(model.parameters(), 1e-4)
    while True:
        with torch.autocast("cuda", precision, enabled=precision is not None):
            loss = loss_of(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.detach()


def token_loss(ids):
    return lambda model: F.cross_entropy(model(ids)[:, :-1].flatten(0, 1).float(),
                                         ids[:, 1:].flatten())


def class_loss(x, labels):
    return lambda model: F.cross_entropy(model(x).float(), labels)


def images(batch, size=224):
    return (torch.randn(batch, 3, size, size, device="cuda"),
            torch.randint(0, 1000, (batch,), device="cuda"))


def tokens(batch, length, words=50257):
    return torch.randint(0, words, (batch, length), device="cuda")


def repeated(function):
    while True:
        yield function()


# --- the kernels of PyTorch itself

@workload
def elementwise():
    a, b = torch.randn(1000, 1000, device="cuda"), torch.rand(1000, 1000, device="cuda")
    return repeated(lambda: torch.sin(a) * b + torch.exp(-a.abs()) - b.sqrt().where(b > 0.5, a))


@workload
def reductions():
    a = torch.randn(512, 2048, device="cuda")
    return repeated(lambda: torch.stack([a.sum(), a.std(), a.amax(), a.norm(), a.logsumexp(1).sum(),
                                         a.cumsum(0)[-1].sum()]))


@workload
def sorting():
    a = torch.randn(256, 4096, device="cuda")
    return repeated(lambda: torch.cat([a.sort(1).values[:, ::64].flatten(),
                                       a.topk(16, 1).values.flatten(), a.median(1).values]))


@workload
def indexing():
    a, i = torch.randn(4096, 64, device="cuda"), torch.randint(0, 4096, (1000,), device="cuda")
    return repeated(lambda: a[i].sum(0) + a.gather(0, i[:64, None] % 64).sum()
                    + a[a[:, 0] > 1].mean(0))


@workload
def random_numbers():
    def step():
        return torch.cat([torch.randn(1000, device="cuda"), torch.rand(1000, device="cuda"),
                          torch.randperm(1000, device="cuda").float(),
                          F.dropout(torch.ones(1000, device="cuda"), 0.5)])
    return repeated(step)


@workload
def streams_and_events():
    a = torch.randn(512, 512, device="cuda")
    others = [torch.cuda.Stream() for _ in range(3)]

    def step():
        outs = []
        for stream in others:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                outs.append(torch.tanh(a @ a))
            torch.cuda.current_stream().wait_stream(stream)
        done = torch.cuda.Event(enable_timing=True)
        done.record()
        done.synchronize()
        return sum(outs)
    return repeated(step)


# --- libraries

@workload
def products():
    pairs = [(torch.randn(256, 384, device="cuda", dtype=kind),
              torch.randn(384, 512, device="cuda", dtype=kind))
             for kind in (torch.float32, torch.float64, torch.bfloat16, torch.float16)]
    batch = torch.randn(16, 64, 64, device="cuda")
    bias = torch.randn(512, device="cuda", dtype=torch.bfloat16)

    def step():
        outs = [(a @ b).double().flatten() for a, b in pairs]
        outs.append(torch.bmm(batch, batch).double().flatten())
        outs.append(torch.addmm(bias, *pairs[2]).double().flatten())
        return torch.cat(outs)
    return repeated(step)


@workload
def products_tf32():
    torch.backends.cuda.matmul.allow_tf32 = True
    a = torch.randn(1024, 1024, device="cuda")
    return repeated(lambda: a @ a)


@workload
def linear_algebra():
    a = torch.randn(64, 64, device="cuda", dtype=torch.float64)
    spd = a @ a.T + 64 * torch.eye(64, device="cuda", dtype=torch.float64)

    def step():
        return torch.cat([torch.linalg.cholesky(spd).flatten(),
                          torch.linalg.solve(spd, a).flatten(),
                          torch.linalg.qr(a).R.diagonal().abs(), torch.linalg.svdvals(a),
                          torch.linalg.eigvalsh(spd), torch.linalg.inv(spd).flatten(),
                          torch.linalg.lstsq(spd, a[:, :4]).solution.flatten()])
    return repeated(step)


@workload
def fourier():
    a = torch.randn(64, 1000, device="cuda")
    b = torch.randn(8, 128, 128, device="cuda", dtype=torch.complex64)
    return repeated(lambda: torch.cat([torch.fft.rfft(a).abs().flatten(),
                                       torch.fft.ifft2(torch.fft.fft2(b) * 2).abs().flatten(),
                                       torch.stft(a, 128, return_complex=True,
                                                  window=torch.hann_window(128, device="cuda"))
                                       .abs().flatten()]))


@workload
def sparse():
    a = (torch.rand(512, 512, device="cuda") * (torch.rand(512, 512, device="cuda") > 0.95))
    csr, coo = a.to_sparse_csr(), a.to_sparse()
    b = torch.randn(512, 64, device="cuda")
    return repeated(lambda: torch.cat([(csr @ b).flatten(), torch.sparse.mm(coo, b).flatten(),
                                       csr @ b[:, 0]]))


@workload
def attention():
    q, k, v = (torch.randn(2, 8, 256, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def step():
        outs = []
        for backend in (SDPBackend.MATH, SDPBackend.FLASH_ATTENTION,
                        SDPBackend.EFFICIENT_ATTENTION):
            with sdpa_kernel(backend):
                outs.append(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return torch.cat(outs)
    return repeated(step)


# --- training

@workload
def mlp_training():
    model, x = models.mlp().cuda(), torch.randn(64, 512, device="cuda")
    return training(model, lambda m: (m(x) - x).square().mean())


@workload
def mlp_training_fp16():
    model, x = models.mlp().cuda(), torch.randn(64, 512, device="cuda")
    optimizer, scaler = torch.optim.SGD(model.parameters(), 1e-2), torch.amp.GradScaler("cuda")

    def step():
        with torch.autocast("cuda", torch.float16):
            loss = (model(x) - x).square().mean()
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()
    return repeated(step)


@workload
def checkpointed_training():
    from torch.utils.checkpoint import checkpoint
    model, x = nn.ModuleList(models.mlp() for _ in range(4)).cuda(), torch.randn(
        64, 512, device="cuda")

    def loss_of(parts):
        y = x
        for part in parts:
            y = checkpoint(part, y, use_reentrant=False)
        return (y - x).square().mean()
    return training(model, loss_of)


@workload
def embedding_training():
    bag, head = nn.EmbeddingBag(100000, 64, mode="sum").cuda(), nn.Linear(64, 8).cuda()
    ids, labels = tokens(256, 32, 100000), torch.randint(0, 8, (256,), device="cuda")
    model = nn.ModuleList([bag, head])
    return training(model, lambda m: F.cross_entropy(m[1](m[0](ids)), labels))


@workload
def resnet50_training():
    torch.backends.cudnn.benchmark = False
    model = models.resnet50().cuda().to(memory_format=torch.channels_last)
    x, labels = images(64)
    return training(model, class_loss(x.to(memory_format=torch.channels_last), labels),
                    torch.bfloat16, torch.optim.SGD(model.parameters(), 0.01, 0.9))


@workload
def vit_training():
    x, labels = images(32)
    return training(models.Vit().cuda(), class_loss(x, labels), torch.bfloat16)


@workload
def unet_training():
    x = torch.randn(4, 3, 128, 128, device="cuda")
    return training(models.Unet().cuda(), lambda m: (m(x) - x).square().mean())


@workload
def lstm_training():
    return training(models.Recurrent(nn.LSTM).cuda(), token_loss(tokens(32, 64, 1000)))


@workload
def gru_training():
    return training(models.Recurrent(nn.GRU).cuda(), token_loss(tokens(32, 64, 1000)))


@workload
def experts_training():
    x = torch.randn(512, 256, device="cuda")
    return training(models.Experts().cuda(), lambda m: (m(x) - x).square().mean())


@workload
def bert_training():
    return training(models.Transformer(False, depth=6).cuda(), token_loss(tokens(8, 128)),
                    torch.bfloat16)


@workload
def gpt2_training():
    return training(models.Transformer(True).cuda(), token_loss(tokens(8, 512)), torch.bfloat16)


@workload
def dataloader_training():
    class Numbers(torch.utils.data.Dataset):
        def __len__(self):
            return 100000

        def __getitem__(self, index):
            return torch.full((512,), (index % 97) / 97.0)
    loader = torch.utils.data.DataLoader(Numbers(), 64, num_workers=2, pin_memory=True)
    batches, model = iter(loader), models.mlp().cuda()

    def loss_of(m):
        x = next(batches).cuda(non_blocking=True)
        return (m(x) - x).square().mean()
    return training(model, loss_of)


@workload
def compiled_mlp_training():
    model, x = torch.compile(models.mlp().cuda()), torch.randn(64, 512, device="cuda")
    return training(model, lambda m: (m(x) - x).square().mean())


@workload
def compiled_transformer():
    model = torch.compile(models.Transformer(True, depth=2).cuda())
    return training(model, token_loss(tokens(4, 128)), torch.bfloat16)


# --- inference

def inference(model, x, precision=torch.bfloat16):
    model = model.cuda().eval().to(precision)

    def step():
        with torch.no_grad():
            return model(x).float()
    return repeated(step)


@workload
def resnet50_inference():
    host = torch.randn(1, 3, 224, 224, dtype=torch.bfloat16).pin_memory()
    model = models.resnet50().cuda().eval().bfloat16()

    def step():
        with torch.no_grad():
            return model(host.cuda(non_blocking=True)).argmax(1)
    return repeated(step)


@workload
def vit_inference():
    return inference(models.Vit(), torch.randn(1, 3, 224, 224, device="cuda",
                                               dtype=torch.bfloat16))


@workload
def bert_inference():
    return inference(models.Transformer(False), tokens(1, 128))


@workload
def gpt2_generation():
    model, start = models.Transformer(True).cuda().eval().bfloat16(), tokens(1, 16)

    def step():
        ids = start
        with torch.no_grad():
            for _ in range(16):
                following = model(ids)[:, -1].argmax(-1, keepdim=True)
                ids = torch.cat([ids, following], 1)
                following.item()
        return ids
    return repeated(step)


@workload
def graph_replay():
    model, x = nn.Sequential(*(nn.Linear(64, 64) for _ in range(20))).cuda(), torch.randn(
        8, 64, device="cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), torch.no_grad():
        for _ in range(3):
            model(x)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.no_grad():
        y = model(x)

    def step():
        graph.replay()
        y[0, 0].item()
        return y
    return repeated(step)


# --- the ways of programs

@workload
def memory_statistics():
    def step():
        before = torch.cuda.memory_allocated()
        held = [torch.empty(1 << 20, device="cuda") for _ in range(8)]
        during = torch.cuda.memory_allocated()
        del held
        torch.cuda.empty_cache()
        return torch.tensor([before, during, torch.cuda.memory_allocated()], dtype=torch.float64)
    return repeated(step)


@workload
def out_of_memory():
    def step():
        try:
            torch.empty(1 << 46, device="cuda", dtype=torch.uint8)
        except torch.OutOfMemoryError:
            return torch.ones(8, device="cuda")
        raise AssertionError("64 TiB were there")
    return repeated(step)


@workload
def save_and_load():
    model = models.mlp().cuda()

    def step():
        with tempfile.TemporaryFile() as file:
            torch.save(model.state_dict(), file)
            file.seek(0)
            model.load_state_dict(torch.load(file, map_location="cuda"))
        return model[0].weight
    return repeated(step)


@workload
def expandable_segments():
    torch.cuda.memory._set_allocator_settings("expandable_segments:True")
    kept = []

    def step():
        kept.append(torch.full((1 << 20,), float(len(kept)), device="cuda"))
        if len(kept) > 6:
            kept.pop(0)
        return torch.stack([t.sum() for t in kept])
    return repeated(step)


@workload
def profiled():
    a = torch.randn(256, 256, device="cuda")

    def step():
        with torch.profiler.profile():
            b = a @ a
        return b
    return repeated(step)


def digest(value):
    data = value.detach().contiguous().cpu()
    if data.dtype == torch.bfloat16:
        data = data.float()
    return hashlib.sha256(data.numpy().tobytes()).hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=WORKLOADS)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    torch.manual_seed(1)
    torch.cuda.manual_seed(1)
    steps = WORKLOADS[arguments.name]()
    digests, times = [], []
    for number in range(arguments.steps):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        value = next(steps)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
        if number in (0, 1, arguments.steps - 1):
            digests.append(digest(value))
    first = [round(seconds * 1000, 3) for seconds in times[:10]]
    times = sorted(times[len(times) // 2:])
    print(json.dumps({"name": arguments.name, "digests": digests, "first_ms": first,
                      "step_ms": times[len(times) // 2] * 1000, "least_ms": times[0] * 1000}))
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
