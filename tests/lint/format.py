"""C is formatted as .clang-format says."""

import re
import shutil
import subprocess
import sys

import lint

COMPLAINT = re.compile(r"^(.*?):(\d+):\d+: error: ", re.MULTILINE)


def check_format(root):
    names = [str(name) for name in lint.files(root, ["src", "include", "config", "tests", "loadtest"], {".c", ".h"})]
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *names], cwd=root, capture_output=True, text=True)
    findings = [f"{name}:{line}: clang-format would write this otherwise" for name, line in
                COMPLAINT.findall(done.stderr)]
    if done.returncode != 0 and not findings:
        findings.append(f"clang-format: {done.stderr.strip()}")
    return findings


if __name__ == "__main__":
    if not shutil.which("clang-format"):
        print("skipped: clang-format is not installed")
        sys.exit(lint.SKIPPED)
    lint.main(check_format)
