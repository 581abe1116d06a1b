#!/usr/bin/env python3
"""Runs load scenarios against sluice and against the raw baseline, and measures the server process.

One JSON line per variant on stdout, a table on stderr. Everything runs on this machine, on 127.0.0.1, and ends by
itself; data goes to a fresh directory below --dir and is removed. Scenarios that compare with nginx need it (Debian:
apt install nginx-light) and are left out without it. See README.md."""

import argparse
import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import operator
import os
import pathlib
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile

from scenarios import GIB, LAG_BOUNDS, MIB, SCENARIOS
from servers import UNAVAILABLE, Failed, Server, Unavailable, server_command, start_server, variant_config

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent
LOAD_LIMIT_S = 900


RELATIONS = {"<": operator.lt, ">": operator.gt}


def run_generator(options, arguments, tool="sl_load"):
    """sl_load's JSON. Its exit status 1 (some requests failed) is told by the numbers."""
    command = [str(options.tools / tool), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=LOAD_LIMIT_S)
    if done.returncode not in (0, 1):
        raise Failed(f"{tool} ended with {done.returncode}: {' '.join(command)}")
    return json.loads(done.stdout)


class Crowd:
    """Slow clients beside the load (sl_slow), if the variant has any. A context manager: they are all there inside of
    it, and `report` tells afterwards what became of them."""

    def __init__(self, options, variant, target):
        self.command = [str(options.tools / "sl_slow"), "--target", target, *variant.get("slow", [])]
        self.process, self.report = None, None
        self.is_wanted = "slow" in variant

    def __enter__(self):
        if not self.is_wanted:
            return self
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "up\n":
            self._end()
            raise Failed("not all of the slow clients could connect: " + " ".join(self.command))
        return self

    def _end(self):
        self.process.stdin.close()
        self.report = json.loads(self.process.stdout.read() or "{}")
        self.process.stdout.close()
        self.process.wait()

    def __exit__(self, *_):
        if self.process is not None and self.report is None:
            self._end()

    def numbers(self):
        if self.report is None:
            return {}
        return {"slow_least_up": self.report["least_up"], "slow_up": self.report["up"],
                "slow_ended": sum(self.report["ended"].values())}


def make_pair(directory):
    """A certificate for this run, and its key: ECDSA, as servers have it today."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                           "-days", "2", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(cert)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if made.returncode != 0:
        raise Failed("openssl made no certificate: " + made.stderr)
    return cert, key


def needs_pair(options):
    return any("tls" in variant or variant.get("tool") == "sl_unseal"
               for name in options.scenarios for variant in SCENARIOS[name]["variants"].values())


def stored_files(root):
    """Finished files: sluice has them in ROOT/files, the others in ROOT; tus for Node.js has a note beside each."""
    top = root / "files" if (root / "files").is_dir() else root
    return [path for path in top.rglob("*") if path.is_file() and path.suffix != ".json"]


def check_stored(options, variant, root):
    files = stored_files(root)
    there = sum(path.stat().st_size for path in files)
    if there != variant["stored"]:
        raise Failed(f"{variant['stored']} bytes should be stored, {there} are")
    if variant.get("verify") or options.verify:
        size = files[0].stat().st_size
        expected = run_generator(options, ["--print-sha256", "--size", str(size)])["sha256"]
        for path in files:
            with open(path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    raise Failed(f"{path.name} is not what was sent")


def check_expired(root):
    left = [name for name in os.listdir(root / "uploads") if not name.startswith(".")]
    if left:
        raise Failed(f"{len(left)} uploads have not expired when the load ends")


def prepare(options, variant, directory, root):
    """Has a sluice of its own store what is to be there before, whoever will serve it, and sees to the page cache."""
    if "prepare" not in variant:
        return
    server = Server(server_command(options, {"server": "sluice"}, root), directory)
    try:
        if run_generator(options, ["--target", server.target, *variant["prepare"]])["failures"]:
            raise Failed("the upload before the measurement failed")
    finally:
        server.stop()
    if "cache" in variant:
        for path in stored_files(root):
            with open(path, "rb") as file:
                if variant["cache"] == "cold":
                    drop_from_cache(file)
                else:
                    while file.read(MIB):
                        pass


def drop_from_cache(file):
    os.fsync(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        os.preadv(file.fileno(), [bytearray(4096)], os.fstat(file.fileno()).st_size // 2, os.RWF_NOWAIT)
    except BlockingIOError:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # what the question made the kernel read
    except OSError as reason:
        if reason.errno != errno.EOPNOTSUPP:  # nobody can tell then
            raise
    else:
        raise Unavailable("this file system does not let go of what it has cached")


def has_io_uring():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(425, 0, None)  # io_uring_setup; it cannot succeed like that
    return ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM)


def measure_alone(options, variant):
    before = os.times()
    if variant.get("tool") == "sl_unseal":
        report = run_generator(options, [*variant["load"], *map(str, options.pair)], "sl_unseal")
        return {key: report[key] for key in ("seconds", "mb_per_s", "cpu_s", "receive_cpu_s")}
    report = run_generator(options, variant["load"])
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": report["seconds"], "mb_per_s": report["mb_per_s"], "cpu_s": round(cpu, 3)}


def warm_memory(size):
    """On a machine whose host takes free memory back a page that comes again costs up to 16 us. Whoever runs behind one
    that gave back much would not pay for it, and the next one would: so each finds as much as it is about to fill."""
    mebibyte = bytes(MIB)
    with mmap.mmap(-1, size) as room:
        for _ in range(0, size - MIB, MIB):
            room.write(mebibyte)


def measure(options, variant, directory):
    """One run: a fresh server, the load, the numbers."""
    if variant["server"] is None:
        return measure_alone(options, variant)
    root = directory / "root"
    root.mkdir()
    prepare(options, variant, directory, root)
    server = start_server(options, variant, directory, root)
    warm_memory(min(2 * variant["stored"], GIB) + MIB)
    try:
        with Crowd(options, variant, server.target) as crowd:
            cpu = server.cpu_seconds()
            report = run_generator(options, ["--target", server.target, *variant["load"]])
            numbers = {"cpu_s": round(server.cpu_seconds() - cpu, 4)}
        numbers.update(crowd.numbers())
        numbers.update(server.lag())
        numbers["peak_memory_mib"] = round(server.peak_memory_kib() / 1024, 1)
        numbers["peak_anon_mib"] = round(server.peak_anon_kib / 1024, 1)
        numbers["start_memory_mib"] = round(server.start_memory_kib / 1024, 1)
    finally:
        server.stop()
    numbers.update(numbers_of(report))
    if report["bytes"] >= MIB:
        numbers["cpu_s_per_gb"] = round(numbers["cpu_s"] / report["bytes"] * 1e9, 4)
    if report["failures"]:
        print(f"  failed requests: {report['errors']}, answers {report['statuses']}", file=sys.stderr)
    else:
        if report["bytes"] != variant.get("received", report["bytes"]):
            raise Failed(f"{report['bytes']} bytes were received, {variant['received']} stored")
        check_stored(options, variant, root)
        if variant.get("expires"):
            check_expired(root)
    return numbers


def numbers_of(report):
    latency = report["latency_ms"]
    numbers = {key: report[key] for key in ("seconds", "mb_per_s", "requests_per_s", "failures")}
    numbers.update(p50_ms=latency["p50"], p99_ms=latency["p99"], max_ms=latency["max"])
    if report["requests"] > 1 and latency["min"] > 0:
        numbers["slowest_to_fastest"] = round(latency["max"] / latency["min"], 3)
    numbers["connections_max"] = report["connections_max"]
    numbers["generator_cpu_s"] = report["generator"]["cpu_s"]
    if "probe" in report:
        probe = report["probe"]
        numbers["probe_errors"] = probe["errors"]
        numbers.update({f"probe_{key}_ms": probe["latency_ms"][key] for key in ("p50", "p99", "max")})
        numbers["probe_own_delay_p99_ms"] = probe["own_delay_ms"]["p99"]
    return numbers


def is_removed_at_once(stored):
    """Small files stay until all is over: for a minute ext4 steps over each inode that was freed, one by one, when it
    looks for a free one, so that whoever makes files after many were removed pays for the removal."""
    return stored >= GIB // 4


def run_scenario(options, name, work):
    """All rounds of a scenario, its variants in turn, so that a change of the machine's mood meets each of them."""
    scenario = SCENARIOS[name]
    stored = [variant["stored"] for variant in scenario["variants"].values()]
    need = max(stored) + options.rounds * sum(n for n in stored if not is_removed_at_once(n)) + GIB
    free = shutil.disk_usage(work).free
    if free < need:
        raise Unavailable(f"{need >> 20} MiB of disk space needed, {free >> 20} free")
    variants = {label: variant for label, variant in scenario["variants"].items()
                if variant_config(options, variant).get("engine") != "io_uring" or has_io_uring()}
    for label in scenario["variants"].keys() - variants.keys():
        print(f"{name} {label}: left out, there is no io_uring here", file=sys.stderr)
    rounds = {label: [] for label in variants}
    for number in range(options.rounds):
        for label, variant in variants.items():
            directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-{label}-", dir=work))
            rounds[label].append(measure(options, variant, directory))
            if is_removed_at_once(variant["stored"]):
                shutil.rmtree(directory)
            numbers = rounds[label][-1]
            print(f"{name} {label} {number + 1}/{options.rounds}: {numbers.get('mb_per_s')} MB/s, "
                  f"{numbers['cpu_s']} CPU s", file=sys.stderr)
    return rounds


def spread(values):
    return {"min": min(values), "median": round(statistics.median(values), 3), "max": max(values)}


def references(scenario, label):
    """The variants whose sum this one is compared with; none for the one that is the yardstick."""
    named = scenario["variants"][label].get("ratio_to", scenario.get("ratio_to"))
    named = (named,) if isinstance(named, str) else named or ()
    return () if label in named else named


def ratio_key(scenario, label):
    return "ratio_to_" + "+".join(references(scenario, label))


def ratios(scenario, rounds, label):
    """Each round against the reference of the same round, or the sum of several; the median of that."""
    summands = references(scenario, label)
    if not summands or any(name not in rounds for name in summands):
        return {}
    result = {}
    compared = ("mb_per_s", "requests_per_s", "cpu_s", "p99_ms") if len(summands) == 1 else ("cpu_s",)
    for key in compared:
        if any(key not in numbers for name in (label, *summands) for numbers in rounds[name]):
            continue  # a tool alone makes no requests
        sums = [sum(numbers[key] for numbers in together) for together in zip(*(rounds[name] for name in summands))]
        if all(value > 0 for value in sums):
            result[key] = round(statistics.median(n[key] / value for n, value in zip(rounds[label], sums)), 3)
    return {ratio_key(scenario, label): result}


def missed_bounds(name, numbers):
    scenario, missed = SCENARIOS[name], []
    of_all = [("failures", "<", 1)] + ([] if name.startswith("smoke") else LAG_BOUNDS)
    for choose, bounds in ((max, [*of_all, *scenario.get("bounds", [])]),
                           (statistics.median, scenario.get("median_bounds", []))):
        for key, relation, bound in bounds:
            assert relation == "<"  # else the worst were the smallest
            value = choose([n[key] for n in numbers if key in n] or [0])
            if not value < bound:
                missed.append(f"{key} {value} is not < {bound}")
    return missed


def missed_ratios(scenario, label, line):
    key_of_line = ratio_key(scenario, label)
    bounds = scenario["variants"][label].get("ratio_bounds", scenario.get("ratio_bounds", []))
    ratio = line.get(key_of_line, {})
    return [f"{key} {key_of_line} is {ratio[key]}, not {relation} {bound}"
            for key, relation, bound in bounds if key in ratio and not RELATIONS[relation](ratio[key], bound)]


def machine(directory):
    """What a number is worth nothing without."""
    git = subprocess.run(["git", "-C", str(REPO), "describe", "--always", "--dirty", "--abbrev=12"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    best, filesystem = "", "unknown"
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if len(point) >= len(best) and (str(directory) + "/").startswith(point.rstrip("/") + "/"):
            best, filesystem = point, kind
    return {"commit": git.stdout.strip() or "none", "kernel": platform.release(), "cores": os.cpu_count(),
            "filesystem": filesystem, "load_average": os.getloadavg()[0]}


def report(options, name, rounds, facts):
    """Prints the JSON lines; returns the rows of the table and the missed bounds."""
    scenario, rows, missed = SCENARIOS[name], [], []
    for label, numbers in rounds.items():
        variant = scenario["variants"][label]
        line = {**facts, "scenario": name, "variant": label, "server": variant["server"],
                "config": variant_config(options, variant), "load": " ".join(variant["load"]), "rounds": len(numbers),
                "results": {key: spread([n[key] for n in numbers]) for key in numbers[0]},
                **ratios(scenario, rounds, label)}
        line["missed"] = missed_bounds(name, numbers) + missed_ratios(scenario, label, line)
        missed += [f"{name} {label}: {what}" for what in line["missed"]]
        print(json.dumps(line), flush=True)
        rows.append((name, label, line))
    return rows, missed


def scenario_bounds(name):
    return [key for key, *_ in SCENARIOS[name].get("bounds", []) + SCENARIOS[name].get("median_bounds", [])]


def print_table(rows):
    print(f"\n{'scenario':14} {'variant':12} {'MB/s':>8} {'req/s':>8} {'CPU s':>7} {'peak MiB':>9} {'p99 ms':>9} "
          f"{'probe p99':>9} {'lag p99':>8} {'lag max':>8} {'CPU s/GB':>8}  ratio", file=sys.stderr)
    for name, label, line in rows:
        def number(key, worst=False):
            numbers = line["results"].get(key)
            if numbers is None:
                return "-"
            if worst:
                return f"{numbers['max']:.3f}"
            return f"{numbers['min' if key.startswith('cpu_s') else 'median']:.3f}"
        ratio = next((value for key, value in line.items() if key.startswith("ratio_to_")), "")
        print(f"{name:14} {label:12} {number('mb_per_s'):>8} {number('requests_per_s'):>8} {number('cpu_s'):>7} "
              f"{number('peak_memory_mib'):>9} {number('p99_ms'):>9} {number('probe_p99_ms'):>9} "
              f"{number('lag_p99_ms'):>8} {number('lag_max_ms', worst=True):>8} "
              f"{number('cpu_s_per_gb'):>8}  {ratio}"
              + (f"  slowest/fastest {number('slowest_to_fastest')}" if "slowest_to_fastest" in scenario_bounds(name)
                 else ""),
              file=sys.stderr)
    print("medians; CPU s is the smallest, lag max the largest", file=sys.stderr)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="\n".join(f"{n:14} {s['about']}" for n, s in SCENARIOS.items()))
    parser.add_argument("--scenario", default=",".join(n for n in SCENARIOS if not n.startswith("smoke")),
                        metavar="NAME[,NAME]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=pathlib.Path, default=REPO / "build" / "loadtest-data",
                        help="on the file system to be measured")
    parser.add_argument("--tools", type=pathlib.Path, default=REPO / "build" / "release",
                        help="where sl_load and sl_baseline are")
    parser.add_argument("--sluice", type=pathlib.Path, default=REPO / "build" / "release" / "sluice")
    parser.add_argument("--nginx", metavar="FILE", default="nginx",
                        help="the nginx to compare with; looked for in PATH, /usr/sbin and /usr/local/sbin")
    parser.add_argument("--engine", choices=["auto", "io_uring", "threads"])
    parser.add_argument("--durability", choices=["full", "data", "none"])
    parser.add_argument("--verify", action="store_true", help="compare the digest of each stored file")
    parser.add_argument("--assert", dest="check", action="store_true", help="fail when a stated bound is missed")
    options = parser.parse_args()
    options.scenarios = options.scenario.split(",")
    unknown = [name for name in options.scenarios if name not in SCENARIOS]
    if unknown or options.rounds < 1:
        parser.error(f"unknown scenario: {', '.join(unknown)}" if unknown else "--rounds is at least 1")
    options.nginx = shutil.which(options.nginx, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    for path in ("tools", "sluice", "dir"):
        setattr(options, path, getattr(options, path).resolve())
    return options


def spread_directories(directory):
    """chattr +T: ext4 puts each directory made here among other inodes. In one that it has just freed it makes new ones
    slowly, for minutes: so nobody pays for the files that the variant before him removed. Elsewhere it does nothing."""
    get_flags, set_flags, top_of_hierarchy = 0x80086601, 0x40086602, 0x00020000
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags, = struct.unpack("L", fcntl.ioctl(handle, get_flags, struct.pack("L", 0)))
        fcntl.ioctl(handle, set_flags, struct.pack("L", flags | top_of_hierarchy))
    except OSError:
        pass
    finally:
        os.close(handle)


def main():
    options = read_options()
    options.dir.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=options.dir))
    spread_directories(work)
    rows, missed = [], []
    try:
        facts = machine(work)
        options.pair = make_pair(work) if needs_pair(options) else None
        for name in options.scenarios:
            try:
                rounds = run_scenario(options, name, work)
            except Unavailable as reason:
                print(f"{name}: skipped, not possible here: {reason}", file=sys.stderr)
                continue
            more_rows, more_missed = report(options, name, rounds, facts)
            rows += more_rows
            missed += more_missed
    except (Failed, OSError, subprocess.TimeoutExpired) as reason:
        print(f"failed: {reason}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
        try:
            options.dir.rmdir()
        except OSError:
            pass  # somebody else's data is in it
    if not rows:
        return UNAVAILABLE
    print_table(rows)
    for what in missed:
        print(f"missed: {what}", file=sys.stderr)
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
