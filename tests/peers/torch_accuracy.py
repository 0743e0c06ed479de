"""Peer: the accuracy that PyTorch reaches with a recipe of `espalier train`: same net, data, budget and first weights'
distribution, other random numbers. Needs python3-torch and python3-numpy.

usage: torch_accuracy.py conv-4 CIFAR_FOLDER EPOCHS RATE THREADS [SEED]

SGD, momentum 0.9, weight decay 5e-4 on weights, batch 128, cosine rate, 45,000 training images, standardised by channel.
"""
import math, sys, time
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F

name, folder, epochs, rate, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
seed = int(sys.argv[6]) if len(sys.argv) > 6 else 1
torch.set_num_threads(threads)
torch.manual_seed(seed)


def batches(*names):
    raw = np.concatenate([np.fromfile(f"{folder}/{n}.bin", np.uint8).reshape(-1, 3073) for n in names])
    return torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255), torch.from_numpy(raw[:, 0].astype(np.int64))


x, y = batches(*[f"data_batch_{i}" for i in range(1, 6)])
keep = torch.randperm(len(x))[:45000]
x, y = x[keep], y[keep]
test_x, test_y = batches("test_batch")
mean, deviation = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
x, test_x = (x - mean) / deviation, (test_x - mean) / deviation

layers, channels = [], 3
for width in {"conv-2": [64], "conv-4": [64, 128], "conv-6": [64, 128, 256]}[name]:
    layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    channels = width
side = 32 // 2 ** ({"conv-2": 1, "conv-4": 2, "conv-6": 3}[name])
layers += [nn.Flatten(), nn.Linear(channels * side * side, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)]
model = nn.Sequential(*layers)
weights, biases = [], []
for layer in model:
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        weights.append(layer.weight)
        biases.append(layer.bias)
optimizer = torch.optim.SGD([{"params": weights, "weight_decay": 5e-4}, {"params": biases}], lr=rate, momentum=0.9)

per_epoch = (len(x) + 127) // 128
start, step = time.time(), 0
for epoch in range(epochs):
    model.train()
    order = torch.randperm(len(x))
    total = 0.0
    for b in range(per_epoch):
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / (epochs * per_epoch)))
        at = order[b * 128 : (b + 1) * 128]
        loss = F.cross_entropy(model(x[at]), y[at])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(at)
        step += 1
    model.eval()
    with torch.no_grad():
        correct = sum((model(test_x[i : i + 500]).argmax(1) == test_y[i : i + 500]).sum().item() for i in range(0, 10000, 500))
    print(f"epoch {epoch + 1}: loss {total / len(x):.4f}, test accuracy {correct / 100:.2f} %, {time.time() - start:.0f} s", flush=True)
