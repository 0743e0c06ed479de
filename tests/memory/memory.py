"""How much memory readers take of files that nothing good wrote: see tests/memory.sh.

usage: memory.py PROGRAM CORPUS [READER ...]
"""
import gzip
import json
import os
import pathlib
import resource
import struct
import sys
import tempfile
import zlib

MEGABYTE = 1 << 20
ALLOWED, FACTOR = 64 * MEGABYTE, 4      # peak resident memory: so much, and so many times the decompressed file
OF_A_COLUMN = 2048                      # and so much for each column of a table: what is found out about it
MOST_ADDRESSES, MOST_SECONDS = 8 << 30, 60
HARNESSES = {"idx": "idx", "csv": "csv", "table": "table", "libsvm": "libsvm", "sample_files": "samples",
             "preprocessing": "preprocessing", "safetensors": "safetensors", "model": "model", "checkpoint": "checkpoint",
             "config": "config"}
HAS_A_FIRST_BYTE = {"idx", "csv", "table", "libsvm", "sample_files", "preprocessing"}  # that is not the file's


class Case:
    """A file for a reader. decompressed: its bytes, where it has others than the file itself."""

    def __init__(self, reader, name, contents, decompressed=None, shape=None, refused=None, columns=0):
        self.columns = columns
        self.reader, self.name, self.contents, self.shape, self.refused = reader, name, contents, shape, refused
        self.decompressed = len(contents) if decompressed is None else max(decompressed, len(contents))


def zipped(contents, level=9):
    return gzip.compress(contents, level, mtime=0)


def idx(extents, contents=b""):
    return struct.pack(">HBB", 0, 8, len(extents)) + struct.pack(f">{len(extents)}I", *extents) + contents


def safetensors(metadata, tensors=(), data=b""):
    """tensors: (name, dtype, shape, bytes). Sealed if there is a checksum among the metadata."""
    header, end = {"__metadata__": metadata}, 0
    for name, dtype, shape, count in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + count]}
        end += count
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if "crc32" in metadata:
        text = text.replace(b'"crc32":"00000000"', b'"crc32":"%08x"' % zlib.crc32(text))
    return struct.pack("<Q", len(text)) + text + data


def model(name, shape, outputs, forms):
    return safetensors({"crc32": "00000000", "format": "espalier-2", "version": "0.1.0", "model": name, "input": shape,
                        "outputs": str(outputs), **forms})


def png(width, height, rows=None):
    """Gray and black."""
    def chunk(kind, contents):
        return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(width + 1)) for _ in range(height if rows is None else rows)) + packer.flush()
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + chunk(b"IDAT", packed)
            + chunk(b"IEND", b""))


def npy(header, contents=b"", length=None):
    text = header.encode().ljust(118)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) if length is None else length) + text + contents


def gzipped_cases():
    """Files that are many times larger than they look."""
    images = 100_000
    whole = idx([images, 28, 28], bytes(images * 784))
    packed = zipped(whole)
    yield Case("idx", "a hundred thousand black images", packed, len(whole), refused=False)
    yield Case("idx", "the same, cut off", packed[:-20], len(whole), refused=True)
    yield Case("idx", "the same, and more than it says", zipped(whole + b"0"), len(whole), refused=True)
    yield Case("idx", "2^31 bytes and one, so it says", zipped(idx([1 << 21, 32, 33], bytes(1 << 20))), 1 << 20, refused=True)
    yield Case("idx", "2^96 bytes, so it says", idx([(1 << 32) - 1] * 3), refused=True)
    yield Case("idx", "2^31 bytes in a megabyte", zipped(idx([1 << 21, 32, 31], bytes(1 << 20)), 0), refused=True)
    yield Case("labels", "a hundred million labels", zipped(idx([10**8], bytes(10**8))), 10**8, refused=False)
    line = b"a" * (1 << 28)
    yield Case("csv", "a line of 256 MB", zipped(b"x,y\n" + line), len(line), refused=True)
    yield Case("csv", "a quote of 256 MB", zipped(b'x,y\n1,"' + line), len(line), refused=True)
    rows = b"1,2\n" * (10 << 20)
    yield Case("csv", "ten million rows", zipped(b"x,y\n" + rows, 1), len(rows), refused=False)
    yield Case("csv", "ten million rows, cut off", zipped(b"x,y\n" + rows, 1)[:-20], len(rows), refused=True)
    few = b"1.5,2\n2.5,3\n" * (2 << 20)
    yield Case("table", "four million rows", zipped(b"x,y\n" + few, 1), len(few), refused=False)
    yield Case("libsvm", "a line of 256 MB", zipped(b"1 1:1\n" + line), len(line), refused=True)
    pairs = b"0 1:1\n1 2:1\n" * (2 << 20)
    yield Case("libsvm", "four million rows", zipped(pairs, 1), len(pairs), refused=False)
    yield Case("text", "a text of 64 MB", zipped(b"ab" * (32 << 20), 1), 64 * MEGABYTE, refused=False)


def table_cases():
    wide = ",".join(f"c{i}" for i in range(100_000)).encode() + b"\n"
    yield Case("table", "a hundred thousand columns", wide + (b"1," * 99_999 + b"2\n" + b"3," * 99_999 + b"4\n") * 12,
               refused=False, columns=100_000)
    yield Case("csv", "a million columns", b"," * 1_000_000 + b"\n", refused=True)
    words = b"".join(b"word%d,%d\n" % (i, i % 2) for i in range(1_000_000))
    yield Case("table", "a million words", b"x,y\n" + words, refused=True)
    cells = b"".join(b"%s\n" % b",".join(b"w%d" % (r * 50 + c) for c in range(50)) for r in range(20_000))
    yield Case("table", "a million words in fifty columns", ",".join(f"c{c}" for c in range(50)).encode() + b"\n" + cells)
    yield Case("libsvm", "2^24 features", b"0 16777216:1\n1 1:1\n" * 50, refused=False)
    yield Case("libsvm", "2^24 features and one", b"0 16777217:1\n" * 50, refused=True)


def header_cases():
    """Much that is small: where every entry takes more memory than bytes."""
    yield Case("safetensors", "a million keys", safetensors({f"{i:x}": "" for i in range(1_000_000)}))
    tiny = [(f"{i:x}", "U8", [0], 0) for i in range(300_000)]
    yield Case("safetensors", "300,000 tensors of nothing", safetensors({}, tiny))
    shape = [1] * 5_000_000
    yield Case("safetensors", "a tensor of five million extents", safetensors({}, [("a", "U8", shape, 1)], b"0"))
    yield Case("safetensors", "a header of 2^63 bytes", struct.pack("<Q", 1 << 63) + b"{}", refused=True)
    yield Case("safetensors", "arrays 200,000 deep", struct.pack("<Q", 400_000) + b"[" * 400_000, refused=True)
    whole = 64 * MEGABYTE
    yield Case("safetensors", "64 MB", safetensors({}, [("a", "U8", [whole], whole)], bytes(whole)), refused=False)
    yield Case("checkpoint", "a million keys", safetensors({"crc32": "00000000", **{f"{i:x}": "" for i in range(1_000_000)}}))
    for name, deep in [("null", b"0,"), ("tables", b"{},"), ("lists", b"[],"), ("texts", b'"",')]:
        listed = b"[" + deep * (8 * MEGABYTE // len(deep)) + deep[:-1] + b"]"
        yield Case("preprocessing", f"8 MB of {name}", b'{"version":1,"missing_marks":' + listed + b"}", refused=True)
        small = b"a = [" + deep * ((MEGABYTE - 100) // len(deep)) + b"]\n"
        yield Case("config", f"a megabyte of {name}", small, refused=True)
    yield Case("preprocessing", "arrays 4,000,000 deep", b"[" * 4_000_000, refused=True)
    yield Case("config", "tables 40,000 deep", b"[" + b"a." * 40_000 + b"a]\n", refused=True)
    yield Case("config", "lists 200,000 deep", b"a = " + b"[" * 200_000, refused=True)
    yield Case("config", "a quarter of a million keys", b"".join(b"%x=1\n" % i for i in range(100_000)), refused=True)


def model_cases():
    """Models that say they are large."""
    constant = {f"{kind}/{layer}": value for layer, shape in [("fc1.weight", "1000000x1000000"), ("output.weight", "10x1000000")]
                for kind, value in [("form", "constant"), ("value", "0"), ("shape", shape)]}
    yield Case("model", "10^12 weights of one value", model("mlp:1000000-1000000-10", "1000000", 10, constant), refused=True)
    yield Case("model", "10^12 weights, none there", model("mlp:1000000-1000000-10", "1000000", 10, {}), refused=True)
    yield Case("model", "a billion units", model("tabular:1000000000", "1", 1, {}), refused=True)
    yield Case("model", "vgg-small, none there", model("vgg-small", "3x32x32", 10, {}), refused=True)
    average = "average:1000xmlp:784-1000-10"
    yield Case("model", "an average of a thousand", model(average, "784", 10, {}), refused=True)


def sample_cases():
    side = 1440
    many = 6000
    yield Case("samples", "a picture of 36 million pixels", png(many, many), many * many, f"1x{many}x{many}", refused=True)
    yield Case("samples", "a black picture of two million pixels", png(side, side), side * side, f"1x{side}x{side}", refused=False)
    yield Case("samples", "the same for a model of colours", png(side, side), 3 * side * side, f"3x{side}x{side}", refused=False)
    yield Case("samples", "a picture of another size", png(side, side), shape="1x28x28", refused=True)
    yield Case("samples", "a picture that is cut off", png(side, side, 10), shape=f"1x{side}x{side}", refused=True)
    yield Case("samples", "2^62 pixels, so it says", png((1 << 31) - 1, (1 << 31) - 1, 0), refused=True)
    pixels = bytes(side * side)
    yield Case("samples", "a PGM of two million pixels", b"P5 %d %d 255\n" % (side, side) + pixels, shape=f"1x{side}x{side}", refused=False)
    yield Case("samples", "a PGM up to 200", b"P5 %d %d 200\n" % (side, side) + pixels, shape=f"1x{side}x{side}", refused=False)
    yield Case("samples", "a PGM of 2^40 pixels, so it says", b"P5 1048576 1048576 255\n", shape="1x28x28", refused=True)
    many = 64 * MEGABYTE // 784
    head = "{'descr': '%s', 'fortran_order': False, 'shape': (%s,), }"
    yield Case("samples", "64 MB of bytes in .npy", npy(head % ("|u1", f"{many}, 28, 28"), bytes(many * 784)), refused=False)
    yield Case("samples", "64 MB of floats in .npy", npy(head % ("<f4", f"{many // 4}, 28, 28"), bytes(many // 4 * 3136)), refused=False)
    yield Case("samples", "64 MB of doubles in .npy", npy(head % ("<f8", f"{many // 8}, 28, 28"), bytes(many // 8 * 6272)), refused=False)
    yield Case("samples", "2^80 numbers, so it says", npy(head % ("<f4", "1048576, 1048576, 1048576, 1048576")), refused=True)
    yield Case("samples", "a header of 64 KB, so it says", npy(head % ("|u1", "1"), length=65535), refused=True)
    records = 20_000
    yield Case("samples", "20,000 records of CIFAR", bytes(records * 3073), shape="3x32x32", refused=False)
    yield Case("samples", "a record of CIFAR less a byte", bytes(3072), shape="3x32x32", refused=True)


def corpus_cases(corpus):
    for harness, reader in HARNESSES.items():
        for file in sorted((corpus / harness).iterdir()):
            contents = file.read_bytes()[harness in HAS_A_FIRST_BYTE:]
            yield Case(reader, f"corpus/{harness}/{file.name}", contents, decompressed=len(contents))


class Measured:
    """What became of a case in a process of its own."""

    def __init__(self, program, case, folder):
        # A table and the rows of LIBSVM are told by their ending, gzip by what the file begins with.
        endings = {"table": ".csv", "libsvm": ".svm"}
        path = pathlib.Path(folder) / ("file" + endings.get(case.reader, ""))
        path.write_bytes(case.contents)
        words = [program, case.reader, str(path)] + ([case.shape] if case.shape else [])
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as printed:
            child = os.fork()
            if child == 0:
                resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
                resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
                os.dup2(printed.fileno(), 1)
                os.dup2(said.fileno(), 2)
                os.execv(program, words)
            _, status, usage = os.wait4(child, 0)
            said.seek(0)
            self.lines = said.read().decode("utf-8", "replace").splitlines()
            printed.seek(0)
            self.peak = int(printed.read() or 0) * 1024
        path.unlink()
        self.code = os.waitstatus_to_exitcode(status)
        self.seconds = usage.ru_utime + usage.ru_stime
        self.bound = ALLOWED + FACTOR * case.decompressed + OF_A_COLUMN * case.columns
        self.wrong = self.judge(case)

    def judge(self, case):
        if self.code not in (0, 2, 3):
            return f"exit code {self.code}: {' '.join(self.lines)[:200]}"
        if self.code != 0 and len(self.lines) != 1:
            return f"{len(self.lines)} lines instead of one"
        if case.refused is not None and (self.code != 0) != case.refused:
            return f"expected to be {'refused' if case.refused else 'read'}: {' '.join(self.lines)[:200]}"
        if self.peak > self.bound:
            return f"{self.peak / MEGABYTE:.0f} MB instead of at most {self.bound / MEGABYTE:.0f}"
        return None


def main():
    program, corpus, chosen = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]), set(sys.argv[3:])
    worst, wrong = {}, []
    print(f"{'reader':<14} {'peak MB':>8} {'allowed':>8} {'CPU s':>6}  file")
    with tempfile.TemporaryDirectory() as folder:
        for cases in (corpus_cases(corpus), gzipped_cases(), table_cases(), header_cases(), model_cases(), sample_cases()):
            for case in cases:
                if chosen and case.reader not in chosen:
                    continue
                is_small = case.name.startswith("corpus/")
                found = Measured(program, case, folder)
                if found.wrong:
                    wrong.append(f"{case.reader}: {case.name}: {found.wrong}")
                if is_small:  # one line of all of a reader's
                    now = (found.peak, found.bound, found.seconds, case.name)
                    worst[case.reader] = max(now, worst.get(case.reader, now))
                    continue
                print(f"{case.reader:<14} {found.peak / MEGABYTE:>8.1f} {found.bound / MEGABYTE:>8.0f} {found.seconds:>6.2f}  "
                      f"{case.name}: {'refused' if found.code else 'read'}{'  <-- ' + found.wrong if found.wrong else ''}", flush=True)
    for reader, (peak, bound, seconds, name) in worst.items():
        print(f"{reader:<14} {peak / MEGABYTE:>8.1f} {bound / MEGABYTE:>8.0f} {seconds:>6.2f}  the most of its corpus, {name}")
    for line in wrong:
        print(f"memory.py: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
