"""A tensor in two processes at once (run by torch_test.py)."""
import torch
import torch.multiprocessing as mp

SOON_S = 120
COUNT = 1 << 20


def consume(tensors, words):
    tensor = tensors.get(timeout=SOON_S)
    words.put(tensor[:3].cpu().tolist())
    tensor.copy_(torch.arange(COUNT, dtype=torch.float32) * 2)
    torch.cuda.synchronize()
    words.put("written")
    tensors.get(timeout=SOON_S)  # the owner has looked


if __name__ == "__main__":
    mp.set_start_method("spawn")
    tensors, words = mp.Queue(), mp.Queue()
    consumer = mp.Process(target=consume, args=(tensors, words))
    consumer.start()
    there = torch.arange(COUNT, dtype=torch.float32).cuda()
    tensors.put(there)
    print("the consumer sees", words.get(timeout=SOON_S))
    words.get(timeout=SOON_S)
    print("the owner sees", there[-3:].cpu().tolist())
    tensors.put("done")
    consumer.join(SOON_S)
    print("the consumer ended with", consumer.exitcode)
