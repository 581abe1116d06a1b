"""Runs fuzz targets for long: soak.py BUILD SECONDS [TARGET...]; all of them but the one that must fail, as many at
once as there are CPUs, each for so long.

What is new to their coverage stays below BUILD, in corpus/, and serves the next soak; a unit worth keeping is copied to
the corpus here by hand. What breaks a target lies in faults/, where its log lies, too."""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE_S = 300  # behind its time: the last input, and what is told in the end
LAST = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)
RUNS = re.compile(r"^Done (\d+) runs", re.MULTILINE)


def names():
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.c") if path.stem != "fuzz_must_fail")


def command_of(build, name, seconds):
    corpus, faults = build / "corpus" / name, build / "faults" / name
    corpus.mkdir(parents=True, exist_ok=True)
    faults.mkdir(parents=True, exist_ok=True)
    return [build / f"fuzz_{name}", f"-max_total_time={seconds}", "-timeout=20", "-max_len=40000", "-rss_limit_mb=2048",
            f"-artifact_prefix={faults}/", f"-dict={HERE / name}.dict", corpus, HERE / "corpus" / name]


def soak(build, name, seconds):
    """A row of the table, and whether it held."""
    begun = time.monotonic()
    log = build / "faults" / f"{name}.log"
    with open(log, "wb") as out:
        try:
            done = subprocess.run(command_of(build, name, seconds), stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                  timeout=seconds + PATIENCE_S)
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = -1
    text = log.read_text(errors="replace")
    runs, last = RUNS.findall(text), LAST.findall(text)
    runs = runs[-1] if runs else last[-1][0] if last else "?"
    coverage, units = (last[-1][1], last[-1][3]) if last else ("?", "?")
    word = "held" if code == 0 else f"BROKE: {log}"
    row = f"{name:14} {time.monotonic() - begun:8.0f} {runs:>12} {coverage:>9} {units:>6}  {word}"
    print(row, flush=True)
    return code == 0


def main():
    build, seconds = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2])
    wanted = sys.argv[3:] or names()
    unknown = set(wanted) - set(names())
    if unknown:
        sys.exit(f"there is no target {', '.join(sorted(unknown))}: {', '.join(names())}")
    workers = min(os.cpu_count() or 1, len(wanted))
    print(f"{len(wanted)} targets, {workers} at once, {seconds} s each: about {len(wanted) * seconds // workers} s")
    print(f"{'target':14} {'seconds':>8} {'runs':>12} {'coverage':>9} {'units':>6}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        held = list(pool.map(lambda name: soak(build, name, seconds), wanted))
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
