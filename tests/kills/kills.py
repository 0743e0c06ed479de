"""Kills trainings and lets their files fail: see tests/kills.sh.

usage: kills.py TOOL SHIM KILLS SEED
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

EVERY = 0.2  # seconds between two checkpoints
DISK_BYTES = 1 << 20  # the page of a run is the largest file, of a quarter of that
LOST = 1.0   # seconds more than that may be lost, of a step and of a write; and a quarter of the whole run, in which it scores

TABLE = "--data synthetic-table --epochs 4 --batch 64"
DIGITS = "--data synthetic-digits --validation 500"
MODELS = {
    "mlp": f"{DIGITS} --model mlp:784-64-10 --epochs 3",
    "tabular": f"{TABLE} --model tabular:48-24+norm+dropout=0.1",
    "lenet-5": f"{DIGITS} --model lenet-5 --epochs 1",
}
OPTIMIZERS = {"sgd": "--optimizer sgd --rate 0.01", "adam": "--optimizer adam --rate 0.001"}
METHODS = {
    "magnitude": "--method magnitude --interval 10",
    "rigl": "--method rigl --interval 10",
    "ac-dc": "--method ac-dc",
    "l0": "--method l0",
    "edge-popup": "--method edge-popup",
}
NEVER_COMPARED = {"train_step", "inference", "latency", "processor", "peak_resident_bytes", "ratios", "threads"}


def configurations():
    """All of them, in an order in which any few that follow each other have every model, optimizer and method."""
    models, optimizers, methods = list(MODELS), list(OPTIMIZERS), list(METHODS)
    for i in range(len(models) * len(optimizers) * len(methods)):
        model, optimizer, method = models[i % 3], optimizers[i % 2], methods[i % 5]
        flags = f"--threads 1 {MODELS[model]} {OPTIMIZERS[optimizer]} {METHODS[method]}"
        if i % 2:  # the other half has a dense twin
            flags += " --no-dense"
        yield f"{model}, {optimizer}, {method}", flags


class Failed(Exception):
    pass


class Check:
    def __init__(self, tool, shim, folder):
        self.tool, self.shim, self.folder = os.path.abspath(tool), os.path.abspath(shim), pathlib.Path(folder)
        self.references = {}
        self.runs = 0

    def command(self, arguments):
        return [self.tool, "train", *arguments.split()]

    def start(self, arguments, **more):
        return subprocess.Popen(self.command(arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **more)

    def run(self, arguments, environment=None):
        done = subprocess.run(self.command(arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, **(environment or {})}, timeout=300, check=False)
        return done.returncode, done.stderr

    def new_folder(self):
        self.runs += 1
        return self.folder / f"run-{self.runs}"

    def reference(self, flags):
        """The run that is left alone: its folder, and how long it takes."""
        if flags not in self.references:
            folder, begun = self.new_folder(), time.monotonic()
            code, said = self.run(f"{flags} --out {folder}")
            if code != 0:
                raise Failed(f"the run that was left alone ended with exit code {code}: {said}")
            self.references[flags] = (left_in(folder), time.monotonic() - begun)
        return self.references[flags]

    def resume(self, folder, flags):
        """Until it is done. Where it was killed before it had begun, it is started again."""
        code, said = self.resume_once(folder, flags)
        if code != 0:
            raise Failed(f"resuming ended with exit code {code}: {said}")
        if "going on from" in said:
            raise Failed(f"a checkpoint could not be read: {said}")

    def arguments_to_go_on(self, folder, flags):
        every = f"--checkpoint-every {EVERY}"
        if (folder / "sweep.json").exists():
            return f"--resume {folder} {every}"
        return f"{flags} {every} --out {folder} --overwrite"

    def resume_once(self, folder, flags, environment=None):
        return self.run(self.arguments_to_go_on(folder, flags), environment)

    def compare(self, folder, flags):
        expected, found = self.reference(flags)[0], left_in(folder)
        for what in expected:
            if expected[what] != found[what]:
                raise Failed(f"{what}: expected {shorten(expected[what], found[what])}, found "
                             f"{shorten(found[what], expected[what])} in {folder}")

    def kill(self, flags, fractions):
        """Killed after these fractions of its time, each time resumed."""
        folder, seconds, kills = self.new_folder(), self.reference(flags)[1], 0
        arguments = f"{flags} --checkpoint-every {EVERY} --out {folder}"
        for fraction in fractions:
            process = self.start(arguments)
            try:
                process.communicate(timeout=fraction * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                moment = time.time()
                process.communicate()
                kills += 1
                require_little_lost(folder, moment, EVERY + LOST + seconds / 4)
            else:
                if process.returncode != 0:
                    raise Failed(f"a run ended with exit code {process.returncode}")
                break
            arguments = self.arguments_to_go_on(folder, flags)
        self.resume(folder, flags)
        self.compare(folder, flags)
        return kills

    def fail(self, flags, call, number, ever=False):
        """Whether there was such a call."""
        folder = self.new_folder()
        shim = {"LD_PRELOAD": self.shim, "FAILING_CALL": call, "FAILING_NUMBER": str(number),
                "FAILING_FOLDER": str(folder), **({"FAILING_EVER": "1"} if ever else {})}
        code, said = self.run(f"{flags} --checkpoint-every {EVERY} --out {folder}", shim)
        if "failing_calls: " not in said:
            return False
        if code == 0:  # the call was not needed: of a checkpoint of a training that is done, say
            self.compare(folder, flags)
            return True
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        if code != 3 or len(errors) != 1:
            raise Failed(f"expected exit code 3 and a line that says why, found {code}: {said}")
        if list(folder.glob(".espalier-*")):
            raise Failed(f"a temporary file was left in {folder}: {said}")
        self.resume(folder, flags)
        self.compare(folder, flags)
        return True


    def refuse_model(self, flags):
        """The training is done, and its model has no place: it is kept, and resuming trains nothing."""
        folder = self.new_folder()
        shim = {"LD_PRELOAD": self.shim, "FAILING_CALL": "rename", "FAILING_NUMBER": "1", "FAILING_EVER": "1",
                "FAILING_FOLDER": str(folder / "model.safetensors")}
        code, said = self.run(f"{flags} --checkpoint-every {EVERY} --out {folder}", shim)
        self.require_kept(folder, code, said)
        self.resume_untrained(folder, flags)

    def require_kept(self, folder, code, said):
        if code != 3 or f"the training is done, and kept in {folder}/checkpoint-sparse" not in said:
            raise Failed(f"expected exit code 3 and where the training is kept, found {code}: {said}")

    def resume_untrained(self, folder, flags):
        code, said = self.run(f"--resume {folder}")
        if code != 0 or "epoch" in said:
            raise Failed(f"expected a run that is finished without training, found exit code {code}: {said}")
        self.compare(folder, flags)

    def fill(self, flags, spare_bytes):
        """A disk of a megabyte, a tmpfs, on which so much is left. How the run ended: done, kept or stopped."""
        disk = self.folder / "disk"
        folder, ballast = disk / "run", disk / "ballast"
        if folder.exists():
            shutil.rmtree(folder)
        ballast.write_bytes(bytes(DISK_BYTES - spare_bytes))
        code, said = self.run(f"{flags} --checkpoint-every 0 --out {folder}")
        ballast.unlink()
        if code == 0:
            self.compare(folder, flags)
            return "done"
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        if code != 3 or len(errors) != 1:
            raise Failed(f"expected exit code 3 and a line that says why, found {code}: {said}")
        if "the training is done, and kept in" in said:
            self.resume_untrained(folder, flags)
            return "kept"
        self.resume(folder, flags)
        self.compare(folder, flags)
        return "stopped"

    def fill_disks(self, flags):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", disk], capture_output=True, text=True,
                                 check=False)
        if mounted.returncode != 0:
            print(f"SKIPPED: a disk that is really full, for it may not be mounted: {mounted.stderr.strip()}")
            return
        try:
            ends = [self.fill(flags, spare) for spare in [*range(0, 1 << 17, 1 << 13), DISK_BYTES]]
        finally:
            subprocess.run(["umount", disk], check=True)
        print(f"a disk of {DISK_BYTES} bytes: {', '.join(f'{ends.count(end)} {end}' for end in ('stopped', 'kept', 'done'))}")
        if "stopped" not in ends or "kept" not in ends:
            raise Failed(f"expected trainings that end, and others that are kept, on a full disk, found {ends}")


def write_table(folder):
    """A small one: the runs with failing calls are many."""
    file = pathlib.Path(folder) / "rows.csv"
    file.write_text("x,y,label\n" + "".join(f"{r % 17},{r % 5},{'no' if r % 17 < 8 else 'yes'}\n" for r in range(300)))
    return file


def require_little_lost(folder, moment, most):
    """Where there is a checkpoint, the newest is from just before."""
    checkpoints = list(folder.glob("checkpoint-*"))
    if not checkpoints or (folder / "result.json").exists():
        return
    newest = max(checkpoints, key=lambda file: file.stat().st_mtime)
    if '\\"finished\\":true' in newest.read_bytes()[:1 << 20].decode("utf-8", "replace"):
        return
    lost = moment - newest.stat().st_mtime
    if lost > most:
        raise Failed(f"{lost:.2f} s were lost: {newest}")


def plain(value):
    """A result without what a clock has touched."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()
                if "seconds" not in k and "quartiles" not in k and k not in NEVER_COMPARED}
    return [plain(v) for v in value] if isinstance(value, list) else value


def left_in(folder):
    """What must be the same. A line that is twice in the metrics is a difference."""
    metrics = []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        entry.pop("seconds", None)
        metrics.append(json.dumps(entry, sort_keys=True))
    return {
        "files": sorted(str(file.relative_to(folder)) for file in folder.rglob("*")),
        "metrics": metrics,
        "masks": (folder / "masks.jsonl").read_text() if (folder / "masks.jsonl").exists() else "",
        "result": json.dumps(plain(json.loads((folder / "result.json").read_text())), sort_keys=True),
        "model": (folder / "model.safetensors").read_bytes(),
    }


def shorten(value, other):
    """Of a list what the other one has not; of a text from where they differ."""
    if isinstance(value, list):
        return f"{len(value)}: {[v for v in value if v not in other][:3]}"
    first = next((i for i in range(min(len(value), len(other))) if value[i] != other[i]), 0)
    return repr(value[max(0, first - 60):first + 60])


def main():
    tool, shim, kills, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    dice = random.Random(seed)
    thorough = kills > 20
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        check = Check(tool, shim, folder)
        done = 0
        try:
            everything = list(configurations())
            chosen = everything if thorough else everything[:10]
            turn = 0
            while done < kills:
                name, flags = chosen[turn % len(chosen)]
                turn += 1
                count = check.kill(flags, [dice.random() for _ in range(min(2, kills - done))])
                done += count
                print(f"{done:>4}/{kills}  {name}: killed {count} times (after {time.monotonic() - begun:.0f} s)", flush=True)
            small = f"--threads 1 --data {write_table(folder)} --model tabular:8 --density 0.5 --epochs 20 --no-dense"
            for call, ever in [("write", False), ("fsync", False), ("rename", False), ("close", False), ("write", True)]:
                number, failures = 1, 0
                while check.fail(small, call, number, ever):
                    failures += 1
                    number += 1 if thorough or number < 4 else dice.randint(2, 8)
                print(f"{call}{' from there on (a full disk)' if ever else ''}: {failures} failures, last {number}"
                      f" (after {time.monotonic() - begun:.0f} s)", flush=True)
                if failures < 3:
                    raise Failed("expected more calls that can fail")
            check.refuse_model(small)
            print("a model that cannot be written: its training is kept, and resumed without training")
            check.fill_disks(small)
        except Failed as error:
            print(f"kills.py: {error}", file=sys.stderr)
            return 1
        print(f"{done} kills: no difference from runs that were left alone")
        return 0


if __name__ == "__main__":
    sys.exit(main())
