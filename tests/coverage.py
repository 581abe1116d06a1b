"""Line coverage, told per floor: coverage.py BUILD, after tests ran in a build with SLUICE_COVERAGE.

gcov counts, this adds up: a line that was compiled more than once (an inline function, main.c) is covered if it ran
once. Exit code 1: a floor that has a least share is below it."""

import collections
import json
import pathlib
import subprocess
import sys

SOURCES = pathlib.Path(__file__).resolve().parents[1] / "src"
LEAST_PERCENT = {"decode": 90, "store": 90, "upload": 90}
WORST_FILES = 10


def counts(build):
    """{file: {line: how often it ran}}, of those below src/."""
    found = collections.defaultdict(collections.Counter)
    notes = sorted(build.rglob("src/**/*.gcno"))
    told = subprocess.run(["gcov", "--json-format", "--stdout", *notes], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True)  # it complains of objects that never ran
    for report in map(json.loads, told.stdout.splitlines()):
        for file in report["files"]:
            path = pathlib.Path(report["current_working_directory"], file["file"])
            if path.is_relative_to(SOURCES):
                for line in file["lines"]:
                    found[str(path.relative_to(SOURCES))][line["line_number"]] += line["count"]
    return found


def floor_of(name):
    return name.split("/")[0] if "/" in name else "app"  # main.c


def print_row(name, lines):
    ran = sum(count > 0 for count in lines)
    print(f"{name:<32} {len(lines):>6} {ran:>6} {100 * ran / len(lines):>7.1f} %")
    return 100 * ran / len(lines)


def main(build, *shown):
    files = counts(pathlib.Path(build))
    floors = collections.defaultdict(list)
    for name, lines in files.items():
        floors[floor_of(name)] += lines.values()
    print(f"{'floor':<32} {'lines':>6} {'ran':>6}")
    shares = {floor: print_row(floor, lines) for floor, lines in sorted(floors.items())}
    print_row("all", [count for lines in floors.values() for count in lines])
    print("most lines that never ran:")
    for name in sorted(files, key=lambda name: sum(count == 0 for count in files[name].values()))[:-WORST_FILES - 1:-1]:
        print_row(name, files[name].values())
    for name in shown:
        for line, count in sorted(files[name].items()):
            if count == 0:
                print(f"{name}:{line}: {(SOURCES / name).read_text().splitlines()[line - 1]}")
    low = [floor for floor, least in LEAST_PERCENT.items() if shares.get(floor, 0) < least]
    for floor in low:
        print(f"{floor} is below {LEAST_PERCENT[floor]} %")
    sys.exit(1 if low else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
