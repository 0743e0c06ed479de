"""The reader in Python (apps/python/espalier_file.py) finds every weight in every form, and notices damage; so does the
official safetensors package, where it is installed. Skipped (77) without numpy and scipy."""
import collections
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import scipy.io
    import scipy.sparse
except ImportError as error:
    print(f"SKIPPED: {error}")
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "apps" / "python"))
import espalier_file

try:
    import safetensors.numpy
except ImportError:
    safetensors = None
    print("the official safetensors package is not installed: not compared with it")


def dense(tensor):
    return tensor.toarray() if scipy.sparse.issparse(tensor) else tensor


def main():
    seen, compared = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        lines = subprocess.run([sys.argv[1], folder], check=True, capture_output=True, text=True).stdout.splitlines()
        layers = [line.split() for line in lines]
        for name in dict.fromkeys(layer[0] for layer in layers):
            path = pathlib.Path(folder, name + ".safetensors")
            metadata, tensors = espalier_file.read(path)
            assert metadata['note/"quoted"'] == "ü\n", metadata
            assert set(tensors) == {layer[1] for layer in layers if layer[0] == name}
            for _, parameter, form in (layer for layer in layers if layer[0] == name):
                seen[form] += 1
                if parameter.startswith("state/"):
                    continue
                found = dense(tensors[parameter])
                expected = np.fromfile(pathlib.Path(folder, f"{name}.{parameter}.f32"), "f4").reshape(found.shape)
                # What is drawn from a normal distribution depends on the mathematical library in its last bit.
                same = np.allclose(found, expected, 1e-6, 0) if form.startswith("seed") else (found == expected).all()
                assert same, (name, parameter, form)
                assert form in ("dense", "constant", "seed", "shared") or "linear8" in form or tensors[parameter].nnz == np.count_nonzero(expected)
                for exported in (scipy.sparse.load_npz(f"{folder}/{name}.{parameter}.npz"),
                                 scipy.io.mmread(f"{folder}/{name}.{parameter}.mtx")):
                    assert exported.shape == expected.shape, (name, parameter)
                    assert (exported.toarray().astype("f4") == expected).all(), (name, parameter)
            if safetensors:
                theirs = safetensors.numpy.load_file(path)
                for key in set(theirs) & set(tensors):
                    assert (theirs[key] == tensors[key]).all(), (name, key)
                compared += len(theirs)
                for parameter in (key[:-5] for key in theirs if key.endswith(".data")):
                    arrays = (theirs[parameter + end] for end in (".data", ".indices", ".indptr"))
                    W = scipy.sparse.csr_matrix(tuple(arrays), theirs[parameter + ".shape"])
                    expected = np.fromfile(pathlib.Path(folder, f"{name}.{parameter}.f32"), "f4").reshape(W.shape)
                    assert (W.toarray() == expected).all(), (name, parameter)
        notice_damage(pathlib.Path(folder, "one-in-2.safetensors"))
        notice_damage(pathlib.Path(folder, "kmeans-7.safetensors"))
    forms = "dense bitmap delta8 csr seed seed+bitmap seed+delta8 constant scipy-csr shared shared+delta8 linear8 linear8+delta8"
    assert set(seen) == set(forms.split()), set(seen) ^ set(forms.split())
    print(f"{sum(seen.values())} tensors: {dict(seen)}; {compared} read by the official package")


def notice_damage(path):
    whole = path.read_bytes()
    for at in (*range(8, len(whole), 97), len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            espalier_file.read(path)
        except Exception:
            continue
        raise AssertionError(f"byte {at} was damaged, and nothing was said")


main()
