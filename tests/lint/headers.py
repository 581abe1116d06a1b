"""Each header compiles alone, with gcc and with clang, and x.c includes its own x.h first: nobody depends on what
somebody else happened to include before."""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess

import lint

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-DH2O_USE_LIBUV=0", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
         "-fsyntax-only"]
PACKAGES = ["libh2o-evloop", "liburing", "libcrypto", "jansson", "yaml-0.1"]


def package_flags():
    told = subprocess.run(["pkg-config", "--cflags", *PACKAGES], capture_output=True, text=True, check=True)
    return told.stdout.split()


def compile_alone(compiler, flags, root, name):
    """What the compiler says first against the header, or None."""
    command = [compiler, *FLAGS, *flags, f"-I{root}/include", "-x", "c", "-"]
    done = subprocess.run(command, capture_output=True, text=True, input=f'#include "{root / name}"\n')
    if done.returncode == 0:
        return None
    complaints = [line for line in done.stderr.splitlines() if "error" in line]
    return f"{name}:1: does not compile alone with {compiler}: {(complaints or [done.stderr])[0]}"


def check_alone(root):
    headers = list(lint.files(root, ["include", "src"], {".h"}))
    compilers = [compiler for compiler in ("gcc", "clang") if shutil.which(compiler)]
    if not compilers:
        return ["there is neither gcc nor clang"]
    flags = package_flags()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(compile_alone, compiler, flags, root, name) for compiler in compilers for name in headers]
        return [job.result() for job in jobs if job.result()]


def own_header(root, name):
    """How x.c has to include its header, or None if it has none."""
    private = name.with_suffix(".h")
    public = pathlib.Path("sluice", *private.parts[1:])
    if (root / private).exists():
        return private.name
    return str(public) if (root / "include" / public).exists() else None


def check_own_first(root):
    for name in lint.files(root, ["src"], {".c"}):
        wanted = own_header(root, name)
        first = next(lint.includes(lint.read(root, name)), (1, True, "nothing"))
        if wanted and first[2] != wanted:
            yield f"{name}:{first[0]}: includes {first[2]} before its own {wanted}"


if __name__ == "__main__":
    lint.main(check_alone, check_own_first)
