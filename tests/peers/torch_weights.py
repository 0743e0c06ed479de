"""Peer: PyTorch trains LeNet-300-100 on MNIST; its weights come in by `--init`, are the same network here, and keep their
accuracy when they are pruned to a tenth and fine-tuned. Needs torch and the official safetensors package (from PyPI, or
python3-torch); skips (77), and says so, where they are missing.

usage: torch_weights.py ESPALIER MNIST_FOLDER [EPOCHS [THREADS]]
"""
import json, pathlib, subprocess, sys, tempfile

try:
    import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
    import safetensors.torch
except ImportError as error:
    print(f"SKIPPED: {error}")
    sys.exit(77)

tool, folder = sys.argv[1], pathlib.Path(sys.argv[2])
epochs, threads = [int(a) for a in sys.argv[3:5]] + [5, 1][len(sys.argv[3:5]) :]
torch.set_num_threads(threads)
torch.manual_seed(1)


def idx(name, header):
    return torch.from_numpy(np.fromfile(folder / name, np.uint8)[header:].copy())


x, y = idx("train-images-idx3-ubyte", 16).view(-1, 784).float() / 255, idx("train-labels-idx1-ubyte", 8).long()
test_x, test_y = idx("t10k-images-idx3-ubyte", 16).view(-1, 784).float() / 255, idx("t10k-labels-idx1-ubyte", 8).long()
mean, deviation = x.mean(), x.std()
x, test_x = (x - mean) / deviation, (test_x - mean) / deviation

model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
for epoch in range(epochs):
    order = torch.randperm(len(x))
    for at in order.split(128):
        optimizer.zero_grad()
        F.cross_entropy(model(x[at]), y[at]).backward()
        optimizer.step()
    schedule.step()
with torch.no_grad():
    theirs = (model(test_x).argmax(1) == test_y).float().mean().item()


def trained(out, *flags):
    command = [tool, "train", "--data", "mnist", "--data-dir", str(folder.parent), "--no-dense", "--json", "--init", weights]
    names = ["--init-names", "fc1=0,fc2=2,output=4", "--threads", str(threads), "--out", out]
    ran = subprocess.run(command + names + list(flags), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)["sparse"]["test_accuracy"]


with tempfile.TemporaryDirectory() as scratch:
    weights = scratch + "/torch.safetensors"
    safetensors.torch.save_file(model.state_dict(), weights)
    same = trained(scratch + "/same", "--density", "1", "--epochs", "0")
    untrained = trained(scratch + "/untrained", "--density", "0.1", "--epochs", "0")
    pruned = trained(scratch + "/pruned", "--density", "0.1", "--epochs", str(2 * epochs), "--rate", "0.05")
print(f"test accuracy: PyTorch {100 * theirs:.2f} %, the same weights here {100 * same:.2f} %, a tenth of them "
      f"{100 * untrained:.2f} %, fine-tuned {100 * pruned:.2f} %")
assert abs(same - theirs) < 0.001, "the mean and deviation here are those of 55,000 of the images: a few samples may differ"
assert pruned > theirs - 0.003, "a standard error is about 0.0015"
