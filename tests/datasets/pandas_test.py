#!/usr/bin/env python3
"""Tables written by Python's csv module, in four dialects with headers of all kinds, are read as pandas reads them. pandas
is told delimiter, header and decimal mark; we settle them from the file. Columns, missing cells and values must agree.

  tests/datasets/pandas_test.py DUMP_TABLE [TABLES]     the program espalier_dump_table; how many tables (default: 48)

Exit code 77, which ctest shows as skipped, if pandas is not installed (pip install pandas)."""
import csv
import json
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    import pandas
except ImportError:
    print("pandas_test.py: skipped, for pandas is not installed (pip install pandas)")
    sys.exit(77)

DIALECTS = {
    "comma": dict(delimiter=",", decimal=".", quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n"),
    "semicolon": dict(delimiter=";", decimal=",", quoting=csv.QUOTE_MINIMAL, lineterminator="\n"),
    "tab": dict(delimiter="\t", decimal=".", quoting=csv.QUOTE_MINIMAL, lineterminator="\n"),
    "pipe": dict(delimiter="|", decimal=",", quoting=csv.QUOTE_ALL, lineterminator="\r\n"),
}
HEADERS = ["words", "sentences", "none", "counted", "years", "index", "one without a name", "c1, c2, ..."]
THOUSANDS = {".": ",", ",": "."}  # for each decimal mark
MISSING = ["", "NA", "nan", "NULL", "N/A"]
WORDS = [["red", "green", "blue"], ["Zürich", "Genève", "Łódź", "日本"], ["yes", "no"], ["a;b", "c,d", "e|f", 'say "hi"', "two\nlines"]]


def decimals(draw, decimal):
    digits = draw.choice([1, 2, 5])
    return f"{draw.gauss(0, draw.choice([1, 1000])):.{digits}f}".replace(".", decimal)


def column(draw, kind, rows, decimal):
    if kind == "decimals":
        return [decimals(draw, decimal) for _ in range(rows)]
    if kind == "integers":
        most = draw.choice([5, 90000])
        return [str(draw.randrange(-most, most)) for _ in range(rows)]
    if kind == "thousands":
        return [f"{draw.randrange(-3000000, 3000000):,}".replace(",", THOUSANDS[decimal]) for _ in range(rows)]
    if kind == "dates":
        return [f"{draw.randrange(1990, 2030)}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}" for _ in range(rows)]
    words = draw.choice(WORDS)
    return [draw.choice(words) for _ in range(rows)]


def header(draw, kind, columns):
    if kind == "none":
        return None
    if kind == "words":
        return [f"{name}{i}" for i, name in enumerate(draw.choices(["age", "Größe", "n", "x_y"], k=columns))]
    if kind == "sentences":
        return [f'Speed, "{i}" (km/h); 5 %' for i in range(columns)]
    if kind == "counted":
        return [str(i) for i in range(columns - 1)] + ["label"]
    if kind == "years":
        return ["country"] + [str(1990 + i) for i in range(columns - 2)] + ["label"]
    if kind == "index":
        return [""] + [f"f{i}" for i in range(columns - 1)]
    if kind == "one without a name":
        return [f"f{i}" if i != columns // 2 else "" for i in range(columns)]
    return [f"c{i + 1}" for i in range(columns)]


def table(draw, head, dialect):
    """Rows of text, the header first if there is one."""
    columns, rows = draw.randrange(4, 9), draw.choice([20, 60, 250])
    kinds = ["decimals", "integers", "words"] + draw.choices(["decimals", "integers", "thousands", "words", "dates"], k=columns - 3)
    draw.shuffle(kinds)
    cells = [column(draw, kind, rows, dialect["decimal"]) for kind in kinds]
    for kind, values in zip(kinds, cells):
        if draw.random() < 0.4:
            for row in range(rows):
                if draw.random() < 0.1:
                    values[row] = draw.choice(MISSING)
    if head == "index":
        cells[0] = [str(i) for i in range(rows)]
    names = header(draw, head, columns)
    return ([names] if names else []) + [list(row) for row in zip(*cells)]


def told(path, head, dialect):
    """What pandas reads, as dump_table prints it."""
    exact = {} if int(pandas.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}
    frame = pandas.read_csv(path, sep=dialect["delimiter"], header=None if head == "none" else 0,
                            decimal=dialect["decimal"], thousands=THOUSANDS[dialect["decimal"]], **exact)
    names = [f"c{i + 1}" for i in range(frame.shape[1])] if head == "none" else [str(name) for name in frame.columns]
    rows = [[None if pandas.isna(cell) else cell if isinstance(cell, str) else float(cell) for cell in row]
            for row in frame.itertuples(index=False, name=None)]
    return {"columns": names, "rows": rows}


def difference(ours, pandas_has):
    """The first difference, or nothing."""
    if ours["columns"] != pandas_has["columns"]:
        return f"columns {ours['columns']}, pandas has {pandas_has['columns']}"
    if len(ours["rows"]) != len(pandas_has["rows"]):
        return f"{len(ours['rows'])} rows, pandas has {len(pandas_has['rows'])}"
    for number, (mine, other) in enumerate(zip(ours["rows"], pandas_has["rows"])):
        if mine != other:
            return f"row {number}: {mine}, pandas has {other}"
    return None


def main():
    program, tables = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 48
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(tables):
            draw = random.Random(number)
            name = list(DIALECTS)[number % len(DIALECTS)]
            head = HEADERS[number // len(DIALECTS) % len(HEADERS)]
            dialect = DIALECTS[name]
            rows = table(draw, head, dialect)
            path = pathlib.Path(folder) / f"{number}.csv"
            with open(path, "w", encoding="utf-8", newline="") as file:
                writing = {key: value for key, value in dialect.items() if key != "decimal"}
                csv.writer(file, **writing).writerows(rows)
            ran = subprocess.run([program, str(path)], capture_output=True, text=True)
            found = ran.stderr.strip() if ran.returncode else difference(json.loads(ran.stdout), told(path, head, dialect))
            if found:
                failed += 1
                print(f"table {number} ({name}, header: {head}): {found}")
    print(f"pandas_test.py: {tables - failed} of {tables} tables are read as pandas {pandas.__version__} reads them")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
