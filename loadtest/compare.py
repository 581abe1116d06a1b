#!/usr/bin/env python3
"""Measures sluice and its peers in turn (run.py's scenarios peers-*), and writes what came of it below results/:
peers.jsonl as run.py prints it, peers.md as tables, peers.svg as a picture. With --draw only the last two."""

import argparse
import json
import pathlib
import subprocess
import sys
from xml.sax.saxutils import escape

from run import RELATIONS
from scenarios import SCENARIOS

HERE = pathlib.Path(__file__).resolve().parent
RESULTS = HERE / "results"
NAMES = [name for name in SCENARIOS if name.startswith("peers-")]

# What a table tells of each variant: the heading, the key of run.py, how it is printed.
COLUMNS = (("MB/s", "mb_per_s", "{:,.0f}"), ("requests/s", "requests_per_s", "{:,.0f}"),
           ("p50 ms", "p50_ms", "{:.1f}"), ("p99 ms", "p99_ms", "{:.1f}"), ("max ms", "max_ms", "{:.1f}"),
           ("CPU s/GB", "cpu_s_per_gb", "{:.3f}"), ("CPU us/request", "cpu_us", "{:.0f}"),
           ("peak MiB", "peak_memory_mib", "{:.0f}"))
LARGE, SMALL = ("mb_per_s", "cpu_s_per_gb"), ("requests_per_s", "cpu_us")

# What was set out for: scenario, variant, the key of run.py, at most (<) or least (>) so many times that of which.
BOUNDS = (("peers-1g", "put", "cpu_s", "<", 1.1, "baseline"), ("peers-1g", "form", "cpu_s", "<", 1.1, "baseline"),
          ("peers-1g", "put", "cpu_s", "<", 0.5, "put-nginx"), ("peers-1g", "form", "cpu_s", "<", 0.2, "form-busboy"),
          ("peers-1g", "put-threads", "cpu_s", "<", 1.5, "put"),
          ("peers-16x64m", "put", "cpu_s", "<", 1.15, "put-nginx"),
          ("peers-16x64m", "put", "cpu_s", "<", 0.25, "put-node"),
          ("peers-4k", "put", "requests_per_s", ">", 1.5, "put-nginx"),
          ("peers-4k", "form", "requests_per_s", ">", 10, "form-busboy"),
          ("peers-durable", "4k-full", "requests_per_s", ">", 0.5, "4k-none"))
BOUND_WORDS = {"cpu_s": "CPU", "requests_per_s": "requests/s", "<": "at most", ">": "at least"}

BAR, GAP, LABEL, WIDTH = 16, 6, 130, 330  # of the picture, in pixels
OURS, THEIRS = "#2563a8", "#b4b8be"


def measure(rounds, more):
    RESULTS.mkdir(exist_ok=True)
    command = [sys.executable, str(HERE / "run.py"), "--scenario", ",".join(NAMES), "--rounds", str(rounds), *more]
    with open(RESULTS / "peers.jsonl", "w") as out:
        done = subprocess.run(command, stdout=out)
    if done.returncode != 0:
        sys.exit(done.returncode)


def median(line, key):
    numbers = line["results"]
    if key == "cpu_us":
        return numbers["cpu_s"]["median"] / requests_of(line) * 1e6
    return numbers[key]["median"] if key in numbers else None


def requests_of(line):
    words = line["load"].split()
    return int(words[words.index("--requests") + 1] if "--requests" in words
               else words[words.index("--connections") + 1] if "--connections" in words else 1)


def is_small(line):
    return requests_of(line) >= 1000


def keys_of(line):
    """Gigabytes are told of large files, requests of small ones."""
    left_out = {"cpu_s_per_gb", "mb_per_s"} if is_small(line) else {"cpu_us", "requests_per_s"}
    return [column for column in COLUMNS if column[1] not in left_out]


def table(name, lines):
    columns = keys_of(lines[0]) if len({is_small(line) for line in lines}) == 1 else COLUMNS
    rows = [["", *(heading for heading, _, _ in columns)], ["---"] + ["---:"] * len(columns)]
    for line in lines:
        values = [(median(line, key), form) for _, key, form in columns]
        rows.append([line["variant"]] + ["" if value is None else form.format(value) for value, form in values])
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    about = SCENARIOS[name]["about"]
    return f"## {name}\n\n{about[0].upper()}{about[1:]}.\n\n{text}\n"


def bounds_table(found):
    """Ratios of medians, and whether they are what was wanted."""
    lines = {(name, line["variant"]): line for name, lines in found.items() for line in lines}
    rows = []
    for name, variant, key, relation, factor, other in BOUNDS:
        ratio = median(lines[name, variant], key) / median(lines[name, other], key)
        is_met = RELATIONS[relation](ratio, factor)
        rows.append(f"| {name} | {variant}: {BOUND_WORDS[key]} | {BOUND_WORDS[relation]} {factor} x {other} | "
                    f"{ratio:.2f} | {'met' if is_met else '**missed**'} |")
    return ("## Wanted and there\n\n| scenario | what | wanted | there | |\n| --- | --- | --- | ---: | --- |\n"
            + "\n".join(rows) + "\n")


def write_tables(found):
    facts = next(iter(found.values()))[0]
    text = [f"# sluice and its peers\n\nMedians of {facts['rounds']} rounds, in turn, by `loadtest/compare.py --rounds "
            f"{facts['rounds']}`: commit {facts['commit']}, Linux {facts['kernel']}, {facts['cores']} cores, "
            f"{facts['filesystem']}; nothing is synced but where it says so. Compare the rows of a table, not "
            "machines.\n"]
    text.append(bounds_table(found))
    text += [table(name, lines) for name, lines in found.items()]
    (RESULTS / "peers.md").write_text("\n".join(text))


def bars(lines, key, heading, left, top):
    """One panel: a bar for each variant, as long as its share of the longest."""
    most = max(median(line, key) or 0 for line in lines)
    parts = [f'<text x="{left}" y="{top - 8}" font-weight="bold">{escape(heading)}</text>']
    for row, line in enumerate(lines):
        value, y = median(line, key) or 0, top + row * (BAR + GAP)
        length = max(1, round(value / most * (WIDTH - LABEL - 70)))
        form = next(form for _, column, form in COLUMNS if column == key)
        parts.append(f'<text x="{left + LABEL - 6}" y="{y + 12}" text-anchor="end">{escape(line["variant"])}</text>'
                     f'<rect x="{left + LABEL}" y="{y}" width="{length}" height="{BAR}" '
                     f'fill="{OURS if line["server"] == "sluice" else THEIRS}"/>'
                     f'<text x="{left + LABEL + length + 5}" y="{y + 12}">{form.format(value)}</text>')
    return parts


def write_picture(found):
    parts, top = [], 60
    for name, lines in found.items():
        for small in (False, True):
            part = [line for line in lines if is_small(line) == small]
            if not part:
                continue
            parts.append(f'<text x="10" y="{top - 34}" font-size="14">{escape(SCENARIOS[name]["about"])}</text>')
            for column, key in enumerate(SMALL if small else LARGE):
                heading = next(heading for heading, known, _ in COLUMNS if known == key)
                parts += bars(part, key, heading, 10 + column * (WIDTH + 30), top)
            top += len(part) * (BAR + GAP) + 70
    width, height = 2 * WIDTH + 60, top - 40
    (RESULTS / "peers.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draw", action="store_true", help="only draw what results/peers.jsonl tells")
    options, more = parser.parse_known_args()
    if not options.draw:
        measure(options.rounds, more)
    found = {}
    for text in (RESULTS / "peers.jsonl").read_text().splitlines():
        line = json.loads(text)
        found.setdefault(line["scenario"], []).append(line)
    write_tables(found)
    write_picture(found)


if __name__ == "__main__":
    main()
