"""metadata, tensors = read("model.safetensors"): numpy arrays, and scipy.sparse ones where weights were pruned.
The format is described in layers/FORMAT.md."""
import json, zlib, numpy as np, scipy.sparse

def read(path):
    file = open(path, "rb").read()
    end = 8 + int.from_bytes(file[:8], "little")
    raw, entries = {}, json.loads(file[8:end])
    metadata = entries.pop("__metadata__")
    sealed = {"crc32": file[8:end].replace(b'"crc32":"%s"' % metadata["crc32"].encode(), b'"crc32":"00000000"')}
    for name, entry in entries.items():
        first, last = (end + offset for offset in entry["data_offsets"])
        dtype = "<" + entry["dtype"][0].lower() + str(int(entry["dtype"][1:]) // 8)  # F32 is <f4
        raw[name] = np.frombuffer(file[first:last], dtype).reshape(entry["shape"])
        sealed["crc32/" + name] = file[first:last]
    for key, data in sealed.items():
        if int(metadata[key], 16) != zlib.crc32(data):
            raise ValueError(f"{key}: this checksum is wrong, the file is damaged")
    raw |= {name[:-5]: np.frombuffer(zlib.decompress(raw[name]), "u1") for name in raw if name.endswith(".zlib")}
    names = [key[5:] for key in metadata if key[:5] == "form/"] + [name for name in raw if name[:6] == "state/"]
    return metadata, {name: parameter(name, metadata.get("form/" + name, "dense"), raw, metadata) for name in names}

def parameter(name, form, raw, metadata):
    if form == "dense":
        return raw[name]
    rows, cols = map(int, metadata["shape/" + name].split("x"))
    live = np.arange(rows * cols)  # positions row * cols + column of the weights that are left
    if "csr" in form:
        ends = (".values", ".columns", ".row_begin") if form == "csr" else (".data", ".indices", ".indptr")
        return scipy.sparse.csr_matrix(tuple(raw[name + end] for end in ends), (rows, cols))
    if "bitmap" in form:
        live = np.flatnonzero(np.unpackbits(raw[name + ".bitmap"], count=rows * cols, bitorder="little"))
    elif "delta8" in form:  # how many positions to skip before a weight; 255: skip so many, no weight follows
        deltas = raw[name + ".deltas"].astype(int)
        live = np.cumsum(deltas + (deltas < 255))[deltas < 255] - 1
    values = {"constant": lambda: np.full(rows * cols, float(metadata["value/" + name]), "f4"),
              "seed": lambda: drawn(name, live, rows, cols, metadata),
              "shared": lambda: raw[name + ".codebook"][raw[name + ".codes"]],
              "linear8": lambda: raw[name + ".step"] * (raw[name + ".codes"].astype("f4") - 128)}
    values = values.get(form.split("+")[0], lambda: raw[name + ".values"])()
    full = form in ("constant", "seed", "shared", "linear8")
    return values.reshape(rows, cols) if full else scipy.sparse.csr_matrix((values, divmod(live, cols)), (rows, cols))

def mix(z):  # SplitMix64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    return z ^ (z >> 31)

def drawn(name, live, rows, cols, metadata):
    seed, kind, scale = (metadata[key + name] for key in ("seed/", "initialiser/", "scale/"))
    key = 14695981039346656037  # FNV-1a of the purpose
    for byte in b"initialise/" + name.encode():
        key = (key ^ byte) * 1099511628211 % 2**64
    key = mix(mix(mix(np.array([key ^ int(seed)], "u8"))))
    uniform = lambda n: (mix(key + (n.astype("u8") + 1) * 0x9E3779B97F4A7C15) >> 11) * 2.0**-53
    normal = lambda n: np.sqrt(-2 * np.log(1 - uniform(2 * n))) * np.cos(2 * np.pi * uniform(2 * n + 1))
    z = normal(live) if kind in ("kaiming", "unit-normal") else 2 * uniform(live) - 1
    variance = {"kaiming-uniform": 6 / cols, "xavier": 6 / (cols + rows), "lecun-uniform": 1 / cols, "unit-normal": 1}
    z = np.copysign(1, z) if kind == "signed-constant" else z
    return np.float32(scale) * (np.sqrt(variance.get(kind, 2 / cols)) * z).astype("f4")
