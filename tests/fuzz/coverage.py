"""What of the files that each fuzz target is made for its inputs reach: coverage.py BUILD [CORPUS].

BUILD: compiled with clang's source-based coverage. CORPUS: a folder of more inputs, by target, as a soak leaves it.
Every input is run once; nothing is mutated."""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SRC = HERE.parent.parent / "src"

MADE_FOR = {
    "chunked": ["decode/chunked.c"],
    "condition": ["decode/condition.c", "decode/http_date.c"],
    "config": ["app/config.c", "app/config_*.c", "app/options.c"],
    "disposition": ["decode/disposition.c", "decode/disposition_put.c"],
    "h1_head": ["decode/h1_head.c", "decode/target.c"],
    "h2": ["http/h2/*.c", "http/connection.c", "http/request.c"],
    "hash_state": ["hash/state.c"],
    "headers": ["decode/media_type.c", "http/handler/integrity.c"],
    "list": ["http/handler/list.c", "store/local/listing.c"],
    "meta": ["store/meta.c", "store/record.c"],
    "multipart": ["decode/multipart.c", "decode/delimiter.c"],
    "path": ["decode/path.c", "base/utf8.c"],
    "range": ["decode/range.c"],
    "requests": ["http/*.c", "http/h1/*.c", "http/handler/*.c", "upload/*.c", "store/local/*.c"],
    "structured": ["decode/structured.c"],
    "tus": ["decode/tus.c", "decode/resumable.c", "base/base64.c"],
    "upload_state": ["store/upload_state.c", "store/record.c"],
}


def files_of(name):
    return [path for pattern in MADE_FOR[name] for path in sorted(SRC.glob(pattern))]


def run(build, name, corpora):
    """Runs every input; the profile."""
    raw, merged = build / f"{name}.profraw", build / f"{name}.profdata"
    raw.unlink(missing_ok=True)
    done = subprocess.run([build / f"fuzz_{name}", "-runs=0", "-timeout=60", *corpora], capture_output=True,
                          env={"LLVM_PROFILE_FILE": str(raw), "PATH": "/usr/bin:/bin"})
    if done.returncode != 0:
        sys.exit(f"fuzz_{name} breaks by an input that it has: {done.stderr.decode(errors='replace')[-2000:]}")
    subprocess.run(["llvm-profdata", "merge", "-sparse", raw, "-o", merged], check=True)
    raw.unlink()
    return merged


def counts(build, name, profile):
    """(file, lines, lines reached, regions, regions reached) of each."""
    command = ["llvm-cov", "export", "-summary-only", build / f"fuzz_{name}", f"-instr-profile={profile}",
               *files_of(name)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    for entry in told["data"][0]["files"]:
        lines, regions = entry["summary"]["lines"], entry["summary"]["regions"]
        where = pathlib.Path(entry["filename"]).relative_to(SRC)
        yield str(where), lines["count"], lines["covered"], regions["count"], regions["covered"]


def row(name, where, lines, lines_reached, regions, regions_reached):
    def share(part, whole):
        return f"{part:5}/{whole:<5} {100 * part / whole if whole else 100:5.1f} %"
    print(f"{name:13} {where:32} {share(lines_reached, lines)}   {share(regions_reached, regions)}", flush=True)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    names = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.c") if path.stem != "fuzz_must_fail")
    if names != sorted(MADE_FOR):
        sys.exit(f"coverage.py does not know what these are made for: {set(names) ^ set(MADE_FOR)}")
    print(f"{'target':13} {'file':32} {'lines':>19}   {'regions':>19}")
    for name in names:
        corpora = [HERE / "corpus" / name]
        if len(sys.argv) > 2 and (pathlib.Path(sys.argv[2]) / name).is_dir():
            corpora.append(pathlib.Path(sys.argv[2]) / name)
        rows = list(counts(build, name, run(build, name, corpora)))
        for where, *numbers in rows:
            row(name, where, *numbers)
        if len(rows) > 1:
            row(name, "all of them", *[sum(column) for column in list(zip(*rows))[1:]])


if __name__ == "__main__":
    main()
