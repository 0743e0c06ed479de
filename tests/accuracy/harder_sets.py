"""Three sets of MNIST's shape that are harder than MNIST, made from MNIST and CIFAR-10: the same bytes each time.

usage: harder_sets.py FOLDER [DATA]

DATA (else $ESPALIER_DATA, else ./data) has mnist/, the four IDX files, with or without .gz, and cifar10/, the six files
of the binary version. Each set becomes a folder below FOLDER with four IDX files of 60,000 or 50,000 images to train on
and 10,000 to test on, which `espalier train --data idx:FOLDER/grey` reads. Needs numpy.

  grey     CIFAR-10 in grey (0.299 R + 0.587 G + 0.114 B), the middle 28 x 28 of 32 x 32 pixels. A fully connected network
           learns its training images by heart and half of the test images.
  rotated  MNIST, each image turned about its middle by an angle of its own, uniform in [0, 360) degrees
  noisy    MNIST; each pixel is the brighter one of the digit's and of a background that is uniform in 0 ... 255

The last two are made as mnist-rot and mnist-back-rand in Larochelle, Erhan, Courville, Bergstra, Bengio, An empirical
evaluation of deep architectures on problems with many factors of variation, 2007, but of all images of MNIST.
"""
import gzip
import hashlib
import os
import struct
import sys

import numpy as np

SIDE = 28
NAMES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
         "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}
# sha256 over the four files, in the order of NAMES: what experiments with these sets mean by their names.
CHECKSUMS = {
    "grey": "966b9eab3b98e2d752532e6f3f83886de20dd4a4c20e3d55ccb2580b2688b24f",
    "rotated": "822a220948d5f866888b86a55caff9630026d2109ccb337ec3734acdddb33c77",
    "noisy": "7881ee5dc7aa2fe682d4bce63cf6616efececc09b4a14fcd6f41a1a7509733f9"}


def read_idx(folder, name):
    for path, opened in ((os.path.join(folder, name), open), (os.path.join(folder, name + ".gz"), gzip.open)):
        if os.path.exists(path):
            with opened(path, "rb") as file:
                raw = file.read()
            sizes = struct.unpack(f">{raw[3]}I", raw[4:4 + 4 * raw[3]])
            return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sizes)
    sys.exit(f"harder_sets: expected {name} or {name}.gz in {folder}")


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def read_mnist(data, part):
    return tuple(read_idx(os.path.join(data, "mnist"), name) for name in NAMES[part])


def read_cifar10(data, part):
    batches = [f"data_batch_{i}.bin" for i in range(1, 6)] if part == "train" else ["test_batch.bin"]
    records = []
    for batch in batches:
        path = os.path.join(data, "cifar10", batch)
        if not os.path.exists(path):
            sys.exit(f"harder_sets: expected {path}, of CIFAR-10's binary version")
        records.append(np.fromfile(path, np.uint8).reshape(-1, 1 + 3 * 32 * 32))
    records = np.concatenate(records)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def grey(data, part):
    colours, labels = read_cifar10(data, part)
    margin = (32 - SIDE) // 2
    middle = colours[:, :, margin:margin + SIDE, margin:margin + SIDE].astype(np.uint32)
    # In whole numbers: no rounding that differs between machines.
    images = (299 * middle[:, 0] + 587 * middle[:, 1] + 114 * middle[:, 2] + 500) // 1000
    return images, labels


def turned(images, degrees):
    """Each image turned by its angle; between pixels bilinearly, outside black.   images: [n, SIDE, SIDE]"""
    middle = (SIDE - 1) / 2
    row, column = np.meshgrid(np.arange(SIDE) - middle, np.arange(SIDE) - middle, indexing="ij")
    cosine, sine = np.cos(np.radians(degrees))[:, None, None], np.sin(np.radians(degrees))[:, None, None]
    # Where each pixel of the result comes from, in an image that has a black frame of one pixel.
    from_row = np.clip(cosine * row - sine * column + middle + 1, 0, SIDE + 1 - 1e-9)
    from_column = np.clip(sine * row + cosine * column + middle + 1, 0, SIDE + 1 - 1e-9)
    framed = np.pad(images.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    top, left = from_row.astype(int), from_column.astype(int)
    down, right = from_row - top, from_column - left
    n = np.arange(len(images))[:, None, None]
    upper = framed[n, top, left] * (1 - right) + framed[n, top, left + 1] * right
    lower = framed[n, top + 1, left] * (1 - right) + framed[n, top + 1, left + 1] * right
    return np.rint(upper * (1 - down) + lower * down)


# RandomState, unlike numpy's newer generators, promises the same numbers in every version of numpy.
def random_of(part):
    return np.random.RandomState({"train": 1, "test": 2}[part])


def rotated(data, part):
    images, labels = read_mnist(data, part)
    degrees = random_of(part).uniform(0, 360, len(images))
    step = 5000  # images at a time: less memory
    parts = [turned(images[i:i + step], degrees[i:i + step]) for i in range(0, len(images), step)]
    return np.concatenate(parts), labels


def noisy(data, part):
    images, labels = read_mnist(data, part)
    background = random_of(part).randint(0, 256, images.shape)
    return np.maximum(images, background), labels


def write_set(folder, name, make, data):
    os.makedirs(os.path.join(folder, name), exist_ok=True)
    checksum = hashlib.sha256()
    for part, names in NAMES.items():
        for file_name, array in zip(names, make(data, part)):
            content = idx_bytes(array)
            checksum.update(content)
            with open(os.path.join(folder, name, file_name), "wb") as file:
                file.write(content)
    same = checksum.hexdigest() == CHECKSUMS[name]
    print(f"{os.path.join(folder, name)}: {'as expected' if same else 'not the usual bytes: ' + checksum.hexdigest()}")
    return same


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source = sys.argv[2] if len(sys.argv) == 3 else os.environ.get("ESPALIER_DATA", "data")
    made = [write_set(sys.argv[1], name, make, source) for name, make in
            (("grey", grey), ("rotated", rotated), ("noisy", noisy))]
    sys.exit(0 if all(made) else 1)
