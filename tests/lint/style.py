"""What a compiler does not tell: lengths, forbidden calls, leftovers, and scripts that do not parse."""

import re
import subprocess

import lint

CODE = ["src", "include", "config", "tests", "loadtest"]
LINES_MAX = 750
COLUMNS_MAX = 120
BANNED = {
    "strcpy": "sl_text_put or memcpy", "strcat": "sl_text_put", "sprintf": "snprintf or sl_text_printf",
    "gets": "fgets", "strtok": "memchr", "atoi": "sl_bytes_to_u64", "alloca": "a bounded array", "system": "execve",
}
BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
LEFTOVER = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]) + r")\b")
TRAILING_BLANK = re.compile(r"[ \t\r]+$", re.MULTILINE)


def check_length(root):
    for name in lint.files(root, ["src", "include"], {".c", ".h"}):
        lines = lint.read(root, name).count("\n")
        if lines > LINES_MAX:
            yield f"{name}:{lines}: more than {LINES_MAX} lines: which second thing lives here?"


def check_width(root):
    for name in lint.files(root, CODE, {".c", ".h", ".py"}):
        for number, line in enumerate(lint.read(root, name).splitlines(), 1):
            if len(line) > COLUMNS_MAX:
                yield f"{name}:{number}: {len(line)} columns, more than {COLUMNS_MAX}"


def check_banned(root):
    for name in lint.files(root, CODE, {".c", ".h"}):
        code = lint.code_only(lint.read(root, name))
        for match in BANNED_CALL.finditer(code):
            yield f"{name}:{lint.line_of(code, match.start())}: {match[1]} is banned: {BANNED[match[1]]}"


def check_leftovers(root):
    for name in lint.files(root, CODE, {".c", ".h", ".def", ".py", ".txt", ".cmake", ".html", ".md", ".dict"}):
        text = lint.read(root, name)
        for match in LEFTOVER.finditer(text):
            yield f"{name}:{lint.line_of(text, match.start())}: {match[1]} belongs into an issue"
        for match in TRAILING_BLANK.finditer(text):
            yield f"{name}:{lint.line_of(text, match.start())}: blanks at the end of the line"


def check_python(root):
    for name in lint.files(root, CODE, {".py"}):
        try:
            compile(lint.read(root, name), name, "exec")
        except SyntaxError as error:
            yield f"{name}:{error.lineno}: {error.msg}"


def check_shell(root):
    debian = [(f"config/debian/{name}", "sh") for name in ("postinst", "prerm", "postrm")]
    for name, shell in (("run", "sh"), (".ci/run", "bash"), *debian):
        if (root / name).exists():
            done = subprocess.run([shell, "-n", root / name], capture_output=True, text=True)
            if done.returncode != 0:
                yield f"{name}:1: {done.stderr.strip()}"


if __name__ == "__main__":
    lint.main(check_length, check_width, check_banned, check_leftovers, check_python, check_shell)
