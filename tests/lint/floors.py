"""The house: a floor includes only lower ones, and each library from outside has the floors that may see it."""

import lint

LEVEL = {"base": 0, "mem": 1, "disk": 2, "hash": 2, "decode": 2, "net": 2, "store": 3, "upload": 4, "http": 5, "app": 6}
MAY_SEE = {
    "liburing.h": {"disk"},
    "openssl/": {"hash", "net"},
    "nghttp2/": {"http"},
    "h2o.h": {"net", "http", "app"},
    "h2o/": {"net", "http", "app"},
    "yaml.h": {"app"},
    "jansson.h": {"http"},
}


def floor_of(name):
    """src/<floor>/..., include/sluice/<floor>/...; what lies in src itself is the program, on top."""
    parts = name.parts[1:] if name.parts[0] == "src" else name.parts[2:]
    return parts[0] if len(parts) > 1 else "app"


def why_not(root, name, floor, is_quoted, what):
    """What is wrong with floor's file `name` including `what`, or None."""
    for library, floors in MAY_SEE.items():
        if (what == library or library.endswith("/") and what.startswith(library)) and floor not in floors:
            return f"{floor} may not see {library}: only {', '.join(sorted(floors))}"
    if what.startswith("sluice/"):
        other = what.split("/")[1]
        if other not in LEVEL:
            return f"there is no floor {other}"
        if other != floor and LEVEL[other] >= LEVEL[floor]:
            return f"{floor} may not see {other}: it is not below"
    elif is_quoted:
        home = (root / "src" / floor).resolve()
        if home not in (root / name).parent.joinpath(what).resolve().parents:
            return f"a private header of another place: {what}"
    return None


def check_floors(root):
    for name in lint.files(root, ["src", "include"], {".c", ".h"}):
        floor = floor_of(name)
        if floor not in LEVEL:
            yield f"{name}:1: there is no floor {floor}"
            continue
        for line, is_quoted, what in lint.includes(lint.read(root, name)):
            wrong = why_not(root, name, floor, is_quoted, what)
            if wrong:
                yield f"{name}:{line}: {wrong}"


if __name__ == "__main__":
    lint.main(check_floors)
