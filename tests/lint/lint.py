"""What every lint needs: the files of a tree, and one way to tell what is wrong.

A lint is a function that takes the root of a tree and returns findings, as lines "path:line: what is wrong". Run as a
program it checks the repository it lies in; test_lints.py gives it bad trees, to show that it can fail."""

import pathlib
import re
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77  # CTest's SKIP_RETURN_CODE
GENERATED = {"build", "__pycache__", "corpus"}
COMMENT_OR_LITERAL = re.compile(r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)


def files(root, folders, suffixes):
    """Files below `folders` whose suffix is one of `suffixes`, in order, as paths relative to `root`."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root)
            if path.is_file() and path.suffix in suffixes and not GENERATED & set(name.parts):
                yield name


def read(root, name):
    return (root / name).read_text(encoding="utf-8")


def code_only(text):
    """C without comments and literals; line numbers stay."""
    return COMMENT_OR_LITERAL.sub(lambda match: " " + "\n" * match[0].count("\n"), text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def includes(text):
    """(line, is it quoted, what) of each #include."""
    for match in INCLUDE.finditer(text):
        yield line_of(text, match.start(1)), match[1] == '"', match[2]


def main(*lints):
    findings = [finding for lint in lints for finding in lint(REPOSITORY)]
    print("\n".join(findings) if findings else "nothing to complain about")
    sys.exit(1 if findings else 0)
