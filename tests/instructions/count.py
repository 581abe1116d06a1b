"""How many instructions parsers, digests and whole uploads take, held against the committed budget.

    count.py PROGRAM                    counts, and fails where budget.txt tells another number, higher or lower
    count.py --write PROGRAM            writes budget.txt anew
    count.py --functions PATH PROGRAM   tells which functions a path's instructions are of

PROGRAM is tests/instructions/instructions of a release build. Callgrind runs it and tells each function's instructions
for each time a path was taken; of the times the median counts. Two sums are held against the budget:

  sluice   instructions of functions whose source is below src/ or include/. They were compiled for any x86-64, so they
           are the same on every processor; a path that looks for AVX2 is left out where there is none.
  libc     instructions of the C library on its behalf: copies, searches, allocations. It chooses its variants by the
           processor, so it is told to have none of what came after SSE2 and the sizes of no caches. Where it takes
           others all the same, or is another version, this sum is told and not judged.

What h2o, OpenSSL and the tests' own code take is left out, and so is what the kernel does. Another compiler than the
one that the budget was written with makes other code: then nothing is judged (exit 77, which is "skipped")."""

import argparse
import collections
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUDGET = HERE / "budget.txt"
SKIPPED = 77
SUMS = ("sluice", "libc")
PERCENT = {"sluice": 2, "libc": 3}  # of a path that is new; what malloc does depends on what was done before
# Instructions that are nothing, also where they are more than that: where a text lies decides how it is searched, and
# the linker decides where it lies. To allocate and free once takes the C library more.
SLACK = {"sluice": 16, "libc": 128}
FUNCTIONS_TOLD = 40

HEADER = """\
# Instructions a path takes once: of our own functions, and of the C library on their behalf (count.py tells how they
# are counted, instructions.c and its neighbours what is done). A test fails when one is off by more than the percentage
# behind it, up or down: a fall belongs in here as well, lest it be lost again. Written anew, percentages kept, by
#
#     python3 tests/instructions/count.py --write build/release/tests/instructions/instructions
#
"""

# The names of glibc 2.36 for what a processor has, and for what it is good at.
FEATURES = """AVX AVX2 AVX512BW AVX512F AVX512VL BMI1 BMI2 ERMS FSRM LZCNT MOVBE RTM SSE3 SSE4_1 SSE4_2 SSSE3
    AVX_Fast_Unaligned_Load Fast_Copy_Backward Fast_Rep_String Fast_Unaligned_Copy Fast_Unaligned_Load
    Prefer_No_AVX512_Probing Prefer_No_VZEROUPPER Prefer_PMINUB_for_stringop Slow_BSF Slow_SSE4_2""".split()
TUNABLES = ":".join(["glibc.cpu.hwcaps=" + ",".join("-" + feature for feature in FEATURES),
                     "glibc.cpu.x86_non_temporal_threshold=0x10000000",
                     "glibc.cpu.x86_data_cache_size=0x8000", "glibc.cpu.x86_shared_cache_size=0x100000"])
LATER_VARIANT = re.compile(r"_(avx|evex|ssse3|sse4|erms)|_sse3")


class Counted:
    """What callgrind told. times[name]: the functions of each time that path was taken; paths[name][sum]: a median."""

    def __init__(self):
        self.about, self.what, self.left_out = {}, {}, {}
        self.times, self.paths, self.variants = {}, {}, set()

    def hear(self, said):
        """What the program printed."""
        for line in said.splitlines():
            kind, _, rest = line.partition(" ")
            if kind in ("path", "left-out"):
                name, _, text = rest.partition(" ")
                (self.what if kind == "path" else self.left_out)[name] = text
            else:
                self.about[kind] = rest

    def add_time(self, name, functions):
        self.times.setdefault(name, []).append(functions)

    def sum_up(self):
        ours = tuple(f"{self.about['source']}/{folder}/" for folder in ("src", "include"))
        for name, times in self.times.items():
            each = {of: [] for of in SUMS}
            for functions in times:
                each["sluice"].append(sum(count for _, source, _, count in functions if source.startswith(ours)))
                of_libc = [f for f in functions if pathlib.PurePath(f[0]).name.startswith("libc.so")]
                each["libc"].append(sum(count for *_, count in of_libc))
                self.variants |= {function for _, _, function, _ in of_libc if LATER_VARIANT.search(function)}
            self.paths[name] = {of: round(statistics.median(each[of])) for of in SUMS}


def run(program, folder):
    """What the program says; callgrind's files lie in the folder then."""
    environment = {**os.environ, "GLIBC_TUNABLES": TUNABLES, "LD_BIND_NOW": "1"}
    command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--compress-strings=no", "--compress-pos=no",
               f"--callgrind-out-file={folder}/out", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{program} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def functions_of(text):
    """(object, source file, function, instructions by itself) of a file of callgrind."""
    at = {"ob": "", "fl": "", "fn": ""}
    is_of_callee = False
    own = collections.Counter()
    for line in text.splitlines():
        key, is_assignment, value = line.partition("=")
        if is_assignment:
            is_of_callee = key == "calls"
            if key in at:  # a function's file stays its own where code of others was inlined (fi, fe)
                at[key] = value
        elif line[:1].isdigit():
            if not is_of_callee:
                own[tuple(at.values())] += int(line.split()[1])
            is_of_callee = False
    return [(*where, count) for where, count in own.items()]


def count(program):
    told = Counted()
    with tempfile.TemporaryDirectory(prefix="sluice-instructions-") as folder:
        told.hear(run(program, folder))
        for path in pathlib.Path(folder).iterdir():
            text = path.read_text(errors="replace")
            trigger = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
            if trigger:
                told.add_time(trigger[1], functions_of(text))
    told.sum_up()
    if told.paths.keys() != told.what.keys() or not all(sums["sluice"] for sums in told.paths.values()):
        sys.exit("callgrind did not tell of every path, or its files are not read well")
    return told


def tell_functions(told, name):
    functions = sorted(told.times[name][0], key=lambda function: -function[3])
    for lib, source, function, count_of_it in functions[:FUNCTIONS_TOLD]:
        where = pathlib.PurePath(source).name if source != "???" else pathlib.PurePath(lib).name
        print(f"{count_of_it:>9}  {function}  ({where})")


# ---- the budget ----

def read_budget():
    """({"compiler": ..., "libc": ...}, {name: {sum: (instructions, percentage)}})"""
    about, rows = {}, {}
    for line in BUDGET.read_text().splitlines() if BUDGET.exists() else []:
        words = line.split()
        if line.startswith("#") or not words or words[0] == "path":
            continue
        if len(words) == 2:
            about[words[0]] = words[1]
        else:
            name, *numbers = words
            rows[name] = {of: (int(numbers[2 * i]), float(numbers[2 * i + 1])) for i, of in enumerate(SUMS)}
    return about, rows


def write_budget(told, rows):
    """What was left out here keeps its row."""
    if told.variants:
        sys.exit(f"numbers of no other machine: the C library takes {' '.join(sorted(told.variants))} here")
    lines = [f"{key} {told.about[key]}" for key in ("compiler", "libc")]
    lines += ["", f"{'path':<20} {'sluice':>9} {'%':>4} {'libc':>9} {'%':>4}"]
    for name in [*told.what, *(name for name in told.left_out if name in rows)]:
        row = rows.get(name, {of: (0, PERCENT[of]) for of in SUMS})
        now = told.paths.get(name, {of: row[of][0] for of in SUMS})
        lines.append(f"{name:<20} " + " ".join(f"{now[of]:>9} {row[of][1]:>4g}" for of in SUMS))
    BUDGET.write_text(HEADER + "\n".join(lines) + "\n")


def compare(told, rows, judged):
    """Prints old and new of every path; how many are off."""
    off = 0
    print(f"{'path':<20} {'of':<7} {'budget':>9} {'now':>9} {'change':>8} {'allowed':>8}")
    for name in told.what:
        for of in SUMS:
            old, percent = rows.get(name, {}).get(of, (0, 0))
            new = told.paths[name][of]
            is_off = of in judged and abs(new - old) > max(old * percent / 100, SLACK[of])
            verdict = "" if not is_off else "  TOO MANY" if new > old else "  FEWER: lower the budget"
            off += is_off
            change = 100 * (new - old) / max(old, 1)
            print(f"{name:<20} {of:<7} {old:>9} {new:>9} {change:>+7.1f}% {percent:>7g}%{verdict}")
    for name, reason in told.left_out.items():
        print(f"{name:<20} left out: {reason}")
    for name in rows.keys() - told.what.keys() - told.left_out.keys():
        print(f"{name:<20} is in the budget, and is no path")
        off += 1
    return off


def judge(told, program):
    about, rows = read_budget()
    if about.get("compiler") != told.about["compiler"]:
        print(f"not judged: the budget is for {about.get('compiler')}, this is {told.about['compiler']}")
        return SKIPPED
    judged = set(SUMS)
    if about.get("libc") != told.about["libc"]:
        judged.discard("libc")
        print(f"libc is not judged: the budget is for {about.get('libc')}, this is {told.about['libc']}")
    if told.variants:
        judged.discard("libc")
        print(f"libc is not judged: it takes {' '.join(sorted(told.variants))} here")
    off = compare(told, rows, judged)
    if off:
        print(f"\n{off} numbers are off. Whose they are: count.py --functions PATH {program}\n"
              f"Where it is meant, write the budget anew, and tell why in the commit:\n"
              f"    python3 tests/instructions/count.py --write {program}")
    return 1 if off else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write budget.txt anew")
    parser.add_argument("--functions", metavar="PATH", help="tell the functions of one path")
    parser.add_argument("program")
    options = parser.parse_args()
    told = count(options.program)
    if options.functions:
        tell_functions(told, options.functions)
    elif options.write:
        write_budget(told, read_budget()[1])
        print(BUDGET.read_text(), end="")
    else:
        sys.exit(judge(told, options.program))


if __name__ == "__main__":
    main()
