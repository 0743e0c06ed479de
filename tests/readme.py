"""readme.py TOOL: are the commands in the project's pages commands that there are?

Each command of a fenced block, and each `espalier ...` in a line, is looked up: its program or script, its sub-command, its
flags, as --help of the program lists them, and the names of methods, recipes, optimizers and the like, as the Tab key is offered
them. Every command of a fenced block is either run as it is typed by tests/readme.sh, or it stands in tests/readme_not_run.txt
with the reason; no line of that list is about a command that is in no page any more. README.md has few numbers, and says within
its first lines how to install, run, use and read.

readme.py TOOL --run prints the commands that tests/readme.sh is to run: page, tab, command."""
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
not_run_file = root / "tests" / "readme_not_run.txt"
most_numbers, first_lines = 30, 60
programs = ("espalier", "cmake", "ctest", "export", "cp", "cmp", "python3", "source")
complaints = []


def complain(page, what):
    complaints.append(f"{page}: {what}")


def pages():
    found = subprocess.run(["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
                           capture_output=True, text=True)
    names = found.stdout.split() if found.returncode == 0 else [str(p.relative_to(root)) for p in root.glob("*/README.md")]
    return sorted(set(names))


def is_command(line):
    word = line.split(" ")[0] if line else ""
    return word in programs or re.match(r"(apps|tests|build/release)/[\w./-]+$", word) is not None


def without_comment(line):
    """As a shell reads it: # begins a comment behind a space, outside of quotes."""
    quote = None
    for at, letter in enumerate(line):
        if quote:
            quote = None if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (at == 0 or line[at - 1] == " "):
            return line[:at].rstrip()
    return line.rstrip()


def commands_of(text):
    """(fenced, command) of a page, in their order."""
    found, fence, held = [], None, ""
    lines = text.splitlines()
    for line, following in zip(lines, lines[1:] + [""]):
        if line.startswith("```"):
            fence = None if fence is not None else line[3:].strip()
            continue
        if fence is None:
            for span in re.findall(r"`(espalier [^`]+)`", line.replace("\\|", "|")):
                found.append((False, span))
        elif fence in ("", "sh", "bash"):
            line = held + line.strip()
            if line.startswith("$ "):
                line = line[2:]
            if line.endswith("\\"):
                held = line[:-1]
                continue
            held = ""
            line = re.sub(r"^([A-Z_]+=\S+ )+", "", without_comment(line))
            if is_command(line) and not following.startswith("error:"):  # which shows what a mistake is answered
                found.append((True, line))
    return found


class Tool:
    def __init__(self, program):
        self.program, self.known = program, {}
        self.closed = {"--method", "--methods", "--optimizer", "--loss", "--recipe", "--schedule", "--control",
                       "--controls", "--augment", "--rate-schedule", "--to", "--scaling", "--part"}

    def said(self, *words, **environment):
        ran = subprocess.run([self.program, *words], capture_output=True, text=True, env={**os.environ, **environment})
        return ran.stdout + ran.stderr

    def help(self, command):
        """Sub-commands and flags of a command, by --help."""
        if command not in self.known:
            text = self.said(*command, "--help")
            flags = set(re.findall(r"(?:^|[\s,])(--[a-z][a-z-]*)", text)) | {"--help"}
            names = self.offered(" ".join(["espalier", *command]) + " ")
            self.known[command] = ({n for n in names if re.fullmatch(r"[a-z][a-z-]*", n)}, flags)
        return self.known[command]

    def offered(self, line):
        return self.said("completion", "words", ESPALIER_COMPLETE=line).split()

    def check(self, page, words):
        command = ()
        rest = list(words)
        if not rest:
            return
        commands, _ = self.help(())
        if not rest[0].startswith("-"):
            if rest[0] not in commands:
                complain(page, f"no command {rest[0]!r}: espalier {' '.join(words)}")
                return
            command = (rest.pop(0),)
            if command == ("bench",) and rest and not rest[0].startswith("-"):
                command += (rest.pop(0),)
        _, flags = self.help(command)
        for at, word in enumerate(rest):
            if not word.startswith("--"):
                if command == ("explain",) and word.islower() and word not in self.offered("espalier explain "):
                    complain(page, f"no method {word!r}")
                continue
            flag, _, value = word.partition("=")
            if flag not in flags:
                complain(page, f"no flag {flag} of {' '.join(('espalier',) + command)}: {' '.join(words)}")
                continue
            value = value or (rest[at + 1] if at + 1 < len(rest) else "")
            if flag in self.closed and value and not re.search(r"[A-Z.]|^-", value):
                known = self.offered(" ".join(["espalier", *command, flag]) + " ")
                for one in value.split(","):
                    if known and one not in known and not any(k.endswith(":") and one.startswith(k) for k in known):
                        complain(page, f"{flag} knows no {one!r}: {' '.join(words)}")


def check(tool, page, command, fenced):
    for part in re.split(r"\s*(?:&&|;|\|)\s*", command):
        try:
            words = shlex.split(part)
        except ValueError:
            complain(page, f"no command that a shell could read: {part}")
            continue
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if not words:
            continue
        if words[0] == "espalier":
            words = [w for w in words[1:] if w not in ("...", "…")]
            tool.check(page, [w.strip("[]") for w in words])
        elif words[0] in ("python3", "source"):
            file = next((w for w in words[1:] if "/" in w), None)
            if file and not (root / file).exists():
                complain(page, f"no file {file}: {part}")
        elif words[0] == "cmake":
            for preset in re.findall(r"--preset (\S+)", part):
                if f'"{preset}"' not in (root / "CMakePresets.json").read_text():
                    complain(page, f"no preset {preset}: {part}")
        elif re.match(r"(apps|tests)/", words[0]):
            if not os.access(root / words[0], os.X_OK):
                complain(page, f"no program {words[0]}: {part}")
        elif words[0].startswith("build/release/") and fenced:
            name = words[0].removeprefix("build/release/")
            is_test = re.fullmatch(r"tests/espalier_\w+", name)
            if name != "espalier" and not is_test and not (root / "apps" / f"{name}.cpp").exists():
                complain(page, f"no program {words[0]}: {part}")


def not_run():
    reasons = {}
    for number, line in enumerate(not_run_file.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        command, tab, reason = line.partition("\t")
        if not tab or not reason.strip():
            complain("tests/readme_not_run.txt", f"line {number}: expected a command, a tab and a reason, found {line!r}")
        reasons[command] = reason
    return reasons


def front_page():
    text = (root / "README.md").read_text()
    first = "\n".join(text.splitlines()[:first_lines])
    for what, sign in {"the demo": "apps/demo.sh", "own data": "espalier train --data people.csv",
                       "the library": "find_package(espalier)", "a comparison": "espalier sweep",
                       "the chapters": "(pruning/README.md"}.items():
        if sign not in first:
            complain("README.md", f"expected {what} ({sign}) within the first {first_lines} lines")
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+", "", prose)
    numbers = re.findall(r"(?<![\w-])\d[\d.,]*", prose)
    if len(numbers) > most_numbers:
        complain("README.md", f"expected at most {most_numbers} numbers, found {len(numbers)}: {' '.join(numbers)}")


def main():
    tool = Tool(sys.argv[1])
    reasons, seen, to_run = not_run(), set(), []
    counts = {True: 0, False: 0}
    for page in pages():
        for fenced, command in commands_of((root / page).read_text()):
            counts[fenced] += 1
            check(tool, page, command, fenced)
            if fenced and command in reasons:
                seen.add(command)
            elif fenced:
                to_run.append(f"{page}\t{command}")
    for command in reasons.keys() - seen:
        complain("tests/readme_not_run.txt", f"expected a command of a page, found {command!r}")
    if sys.argv[2:] == ["--run"]:
        print("\n".join(to_run))
        return
    front_page()
    if counts[True] < 20 or counts[False] < 20:
        complain("pages", f"expected many commands, found {counts}")
    for complaint in complaints:
        print(f"readme.py: {complaint}", file=sys.stderr)
    print(f"readme.py: {counts[True]} commands of blocks, {len(to_run)} of them to be run; {counts[False]} in lines; "
          f"{len(complaints)} complaints")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
