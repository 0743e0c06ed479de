#!/usr/bin/env python3
"""Tables beside boosted trees: Espalier's --recipe auto, LightGBM and XGBoost, on the same rows, one after the other.

    tests/peers/trees.py --tool build/release/espalier --data FOLDER --budget 60 [--seeds 5] [--only adult,letter]

FOLDER holds the files named in TABLES below. A table without an official split is cut once per seed, 80 rows in 100 to
train on; every program is given the same two files. Nothing but the training file is used to choose anything: Espalier
holds out its own validation rows; of the trees, a tenth of the training rows (by the seed) decides when to stop and
which of SETTINGS is taken, all of them tried; on the tables of SEARCHED_ONCE, where a search takes many minutes, that of
the first seed holds for all. Every finished (table, seed, program) is a line of --lines (default
trees.jsonl in the current folder), and is not computed again. Ends with the table in Markdown.

Wants numpy, pandas, scipy, scikit-learn, lightgbm, xgboost from PyPI: in an environment of their own, never in the
project.
"""
import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAMS = ("espalier", "lightgbm", "xgboost")

# name: training file, test file of the official split or None, target, task
TABLES = {
    "adult": ("adult_train.csv", "adult_test.csv", "income", "classes"),
    "covertype": ("covertype_20k.csv", None, "Cover_Type", "classes"),
    "letter": ("letter_recognition.csv", None, "letter", "classes"),
    "magic": ("magic_gamma.csv", None, "class", "classes"),
    "higgs": ("higgs_small_train.csv", "higgs_small_test.csv", "label", "classes"),
    "california": ("california_housing.csv", None, "MedHouseVal", "number"),
    "bike": ("bike_sharing_hour.csv", None, "cnt", "number"),
    "wine-red": ("winequality_red.csv", None, "quality", "number"),
    "wine-white": ("winequality_white.csv", None, "quality", "number"),
    "reuters": ("reuters_moneyfx_train.svm", "reuters_moneyfx_test.svm", None, "classes"),
    "basehock": ("basehock.svm", None, None, "classes"),
    "ijcnn1": ("ijcnn1_train.csv", "ijcnn1_test.csv", "label", "classes"),
}

SEARCHED_ONCE = ("covertype", "letter", "basehock", "reuters")

# Searched in full, on a tenth of the training rows.
ROUNDS, PATIENCE = 3000, 50
SETTINGS = {
    "lightgbm": [dict(num_leaves=leaves, min_child_samples=least, learning_rate=0.05, subsample=0.8, subsample_freq=1,
                      colsample_bytree=0.8)
                 for leaves in (15, 31, 127) for least in (5, 20)],
    "xgboost": [dict(max_depth=depth, min_child_weight=least, learning_rate=0.05, subsample=0.8, colsample_bytree=0.8)
                for depth in (4, 6, 9) for least in (1, 5)],
}


def cut(folder, name, seed, into):
    """The training and the test file of a seed."""
    train, test, _, _ = TABLES[name]
    if test:
        return folder / train, folder / test
    lines = (folder / train).read_text().splitlines(keepends=True)
    head = [] if train.endswith(".svm") else [lines.pop(0)]
    order = list(range(len(lines)))
    random.Random(f"{name} {seed}").shuffle(order)
    tested = set(order[: len(lines) // 5])
    paths = []
    for part, wanted in (("train", False), ("test", True)):
        path = into / f"{name}-{part}{Path(train).suffix}"
        path.write_text("".join(head + [line for i, line in enumerate(lines) if (i in tested) == wanted]))
        paths.append(path)
    return paths


def cpu_seconds(of=resource.RUSAGE_SELF):
    usage = resource.getrusage(of)
    return usage.ru_utime + usage.ru_stime


# --- Espalier ---------------------------------------------------------------------------------------------------------

def espalier(args, name, train, test, seed, into):
    _, _, target, task = TABLES[name]
    out = into / f"{name}-{seed}"
    command = [args.tool, "train", "--data", str(train), "--test-data", str(test), "--recipe", "auto", "--budget",
               str(args.budget), "--seed", str(seed), "--threads", str(args.threads), "--no-dense", "--json", "--out",
               str(out)]
    if target:
        command += ["--target", target, "--task", "classification" if task == "classes" else "regression"]
    before, began = cpu_seconds(resource.RUSAGE_CHILDREN), time.time()
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{' '.join(command)}\nended with {ran.returncode}: {ran.stderr[-2000:]}")
    result = json.loads(ran.stdout)
    sparse = result["sparse"]
    linear = result.get("baselines", {}).get("linear", {})
    metric = "test_accuracy" if task == "classes" else "test_rmse"
    return dict(score=sparse[metric], linear=linear.get(metric),
                cpu=cpu_seconds(resource.RUSAGE_CHILDREN) - before, wall=time.time() - began,
                bytes=sparse["file_bytes"], latency=sparse["latency_seconds"], nonzeros=sparse["nonzeros"],
                density=sparse["density"], members=result.get("members", 1), setting=result["model"])


# --- boosted trees ----------------------------------------------------------------------------------------------------

def read(name, train, test):
    """Features and targets of both files; words are categories, as both libraries take them."""
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_svmlight_files
    _, _, target, task = TABLES[name]
    if str(train).endswith(".svm"):
        x, y, tx, ty = load_svmlight_files([str(train), str(test)], dtype=np.float32)
    else:
        both = [pd.read_csv(path, na_values="?") for path in (train, test)]
        y, ty = (frame.pop(target) for frame in both)
        x, tx = both
        for column in x.columns:
            if not pd.api.types.is_numeric_dtype(x[column]):
                words = sorted(set(x[column].dropna()))
                x[column], tx[column] = (pd.Categorical(frame[column], categories=words) for frame in both)
        if all(map(pd.api.types.is_numeric_dtype, x.dtypes)):  # one row of an array is answered much sooner
            x, tx = (frame.to_numpy(np.float64) for frame in both)
    if task == "classes":
        names = sorted(set(y))
        number = {label: i for i, label in enumerate(names)}
        y, ty = ([number[label] for label in labels] for labels in (y, ty))
    return x, np.asarray(y), tx, np.asarray(ty)


def rows(x, which):
    return x.iloc[which] if hasattr(x, "iloc") else x[which]


def model_of(program, task, classes, setting, seed, threads):
    common = dict(n_estimators=ROUNDS, random_state=seed, n_jobs=threads, **setting)
    if program == "lightgbm":
        import lightgbm
        kind = lightgbm.LGBMClassifier if task == "classes" else lightgbm.LGBMRegressor
        return kind(verbose=-1, deterministic=True, **common)
    import xgboost
    kind = xgboost.XGBClassifier if task == "classes" else xgboost.XGBRegressor
    return kind(tree_method="hist", enable_categorical=True, early_stopping_rounds=PATIENCE, verbosity=0, **common)


def fit(program, model, x, y, vx, vy):
    if program == "lightgbm":
        import lightgbm
        model.fit(x, y, eval_X=vx, eval_y=vy, callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)])
        return model.best_iteration_
    model.fit(x, y, eval_set=[(vx, vy)], verbose=False)
    return model.best_iteration + 1


def score(task, answers, truth):
    import numpy as np
    return float(np.mean(answers == truth)) if task == "classes" else float(np.sqrt(np.mean((answers - truth) ** 2)))


def size_of(program, model, into):
    path = into / "model.txt" if program == "lightgbm" else into / "model.ubj"
    if program == "lightgbm":
        model.booster_.save_model(str(path), num_iteration=model.best_iteration_)
    else:
        model.get_booster()[: model.best_iteration + 1].save_model(str(path))
    return path.stat().st_size


def latency_of(model, x):
    one = rows(x, slice(0, 1))
    times = []
    for _ in range(200):
        began = time.perf_counter()
        model.predict(one)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def trees(program, settings, args, name, train, test, seed, into):
    import numpy as np
    task = TABLES[name][3]
    x, y, tx, ty = read(name, train, test)
    order = np.random.default_rng(seed).permutation(len(y))
    held, used = order[: len(y) // 10], order[len(y) // 10:]
    before, began = cpu_seconds(), time.time()
    best = None
    for setting in settings:
        model = model_of(program, task, len(set(y)), setting, seed, args.threads)
        count = fit(program, model, rows(x, used), y[used], rows(x, held), y[held])
        found = score(task, model.predict(rows(x, held)), y[held])
        better = best is None or (found > best[0] if task == "classes" else found < best[0])
        if better:
            best = (found, model, setting, count)
    _, model, setting, count = best
    spent, wall = cpu_seconds() - before, time.time() - began
    return dict(score=score(task, model.predict(tx), ty), cpu=spent, wall=wall, bytes=size_of(program, model, into),
                latency=latency_of(model, tx), setting=setting, rounds=count, searched=len(settings))


# --- the table --------------------------------------------------------------------------------------------------------

def mean_sd(values):
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def paired_error(ours, theirs):
    """One standard error of the mean of the differences, seed by seed."""
    differences = [a - b for a, b in zip(ours, theirs)]
    return statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0


def against_peers(scores, classes):
    """How far Espalier is behind the better of the others, how far it may be, and which that is."""
    peer = (max if classes else min)((p for p in scores if p != "espalier"), key=lambda p: statistics.mean(scores[p]))
    ours, theirs = statistics.mean(scores["espalier"]), statistics.mean(scores[peer])
    allowed = max(0.005 if classes else 0.02 * theirs, paired_error(scores["espalier"], scores[peer]))
    return theirs - ours if classes else ours - theirs, allowed, peer


def row_of(name, of, verdict, text):
    """A line of the table. of: the lines of each program, or none; verdict: as against_peers has it, or none."""
    cell = lambda p: "{} ± {}".format(*map(text, mean_sd([line["score"] for line in of[p]]))) if p in of else "–"
    median = lambda key, p: statistics.median(line[key] for line in of[p])

    def each(key, form, unit=1):
        texts = [form.format(unit * median(key, p)) if p in of else "–" for p in PROGRAMS]
        ratio = f" ({median(key, 'espalier') / median(key, verdict[2]):.2g}×)" if verdict else ""
        return " / ".join(texts) + ratio

    ours = of.get("espalier", [])
    linear = [line["linear"] for line in ours if line.get("linear") is not None]
    behind = f"{text(verdict[0])}, {'within' if verdict[0] <= verdict[1] else '**not within**'} {text(verdict[1])}" if verdict else "–"
    network = f"{ours[0]['members']}, {ours[0]['density']:.3g}, {ours[0]['nonzeros']}" if ours else "–"
    return " | ".join(["| " + name, *map(cell, PROGRAMS), text(statistics.mean(linear)) if linear else "–", behind,
                       each("cpu", "{:.0f}"), each("bytes", "{:.0f}"), each("latency", "{:.0f}", 1e6), network + " |"])


def table(lines, seeds):
    """Of each table the seeds that all programs have finished, of those that have finished any."""
    print("| table | Espalier | LightGBM | XGBoost | linear | behind the better | CPU s | bytes | one row, µs | members,"
          " density, nonzeros |\n|" + "---|" * 10)
    near = ahead = asked = 0
    for name, (_, _, _, task) in TABLES.items():
        present = [p for p in PROGRAMS if any((name, s, p) in lines for s in seeds)]
        common = [s for s in seeds if all((name, s, p) in lines for p in present)]
        if not present or not common:
            continue
        of = {p: [lines[name, s, p] for s in common] for p in present}
        text = (lambda v: f"{100 * v:.2f} %") if task == "classes" else (lambda v: f"{v:.4g}")
        verdict = None
        if "espalier" in of and len(of) > 1:
            verdict = against_peers({p: [line["score"] for line in of[p]] for p in of}, task == "classes")
            asked += 1
            near += verdict[0] <= verdict[1]
            ahead += verdict[0] < 0
        print(row_of(name, of, verdict, text))
    print(f"\nwithin 0.5 points, 2 % of the RMSE or one standard error of the better peer on {near} of {asked} tables, "
          f"ahead on {ahead}; Espalier / LightGBM / XGBoost in that order (Espalier's over that of the better one); seeds {', '.join(map(str, seeds))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--budget", type=float, default=60, help="seconds, the same for every table")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="names of tables, with commas between them")
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    parser.add_argument("--lines", type=Path, default=Path("trees.jsonl"))
    args = parser.parse_args()
    wanted = [name for name in TABLES if not args.only or name in args.only.split(",")]
    lines = {}
    if args.lines.exists():
        for text in args.lines.read_text().splitlines():
            line = json.loads(text)
            if line["program"] != "espalier" or line["budget"] == args.budget:
                lines[line["table"], line["seed"], line["program"]] = line
    for program, settings in SETTINGS.items():
        print(f"{program}: up to {ROUNDS} rounds, stops after {PATIENCE} without progress, best of {settings}",
              file=sys.stderr)
    seeds = range(1, args.seeds + 1)
    for name in wanted:
        for seed in seeds:
            for program in args.programs.split(","):
                if (name, seed, program) in lines:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    into = Path(folder)
                    train, test = cut(args.data, name, seed, into)
                    first = lines.get((name, 1, program))
                    settings = [first["setting"]] if name in SEARCHED_ONCE and first else SETTINGS.get(program)
                    run = espalier if program == "espalier" else lambda *rest: trees(program, settings, *rest)
                    line = dict(table=name, seed=seed, program=program, budget=args.budget,
                                **run(args, name, train, test, seed, into))
                lines[name, seed, program] = line
                with args.lines.open("a") as out:
                    out.write(json.dumps(line) + "\n")
                print(name, seed, program, line["score"], f"{line['wall']:.0f} s", file=sys.stderr, flush=True)
    table(lines, seeds)


if __name__ == "__main__":
    main()
