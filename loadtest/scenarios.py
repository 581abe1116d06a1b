"""The scenarios of run.py, as data. A scenario has variants that are run in turn (A B A B); a variant is a server and
what sl_load does to it. `bounds` are checked by --assert: (metric, relation, value) of each measured variant, on the
worst round; `median_bounds` on the median of the rounds, for what one busy neighbour of the machine would spoil. A
request that fails is always a missed bound. `ratio_bounds` are the same for the ratios to the variant `ratio_to`:
pairs of one round, the median of them. The relation is "<" or ">".

Each sluice is asked how long the turns of its loops took (/metrics): `lag_p99_ms` and `lag_max_ms`, of its worst loop,
meet LAG_BOUNDS in every scenario but those of smoke.

Both `ratio_to` and `ratio_bounds` may stand in a variant, for it alone; `ratio_to` then may name several, whose sum is
meant.

server   "sluice", "baseline", "nginx", one of peers/*.mjs, or None: a tool alone
args     of a server in peers/
workers  of nginx: 1 process, unless "auto"
tool     of server None: "sl_load", unless it is "sl_unseal"
tls      True: sluice listens with TLS
load     arguments of sl_load, besides --target
config   options of sluice, over DEFAULTS
prepare  arguments of an sl_load run that stores, through a sluice of its own, what is to be downloaded
cache    with prepare: "warm", the file lies in the page cache; "cold", none of it
slow     arguments of sl_slow, whose clients are all there while the load runs
stored   bytes on disk after one run: checked against free space, and against what really is there
"""

MIB = 1 << 20
GIB = 1 << 30

DEFAULTS = {"engine": "auto", "durability": "none", "digest": "none", "buffer-memory": "128Mi"}
BUFFER_MIB = 128

BASELINE = {"server": "baseline", "load": ["--size", "1Gi"], "stored": GIB}
SHA256 = {"digest": "sha-256"}
LAG_BOUNDS = [("lag_p99_ms", "<", 2.0), ("lag_max_ms", "<", 20.0)]  # of sluice, in all scenarios but smoke
NOISE = 1.05  # what a median of paired rounds may differ by and mean nothing


def upload(method, size, *more, **rest):
    return {"server": "sluice", "load": ["--method", method, "--size", size, *more], **rest}


def small(method, size=4, connections=32, requests=20000, **rest):
    return upload(method, f"{size}Ki", "--connections", str(connections), "--requests", str(requests),
                  stored=requests * size * 1024, **rest)


def small_peers(**sizes):
    """Of PUT and of forms."""
    put = small("put", **sizes)
    return {
        "put": {**put, "config": SHA256},
        "put-nginx": of("nginx", put, workers="auto", load=put["load"] + ["--path", "/"]),
        "put-node": of("node_put", put),
        "form": {**small("multipart", **sizes), "config": SHA256},
        "form-busboy": of("busboy", small("multipart", **sizes)),
    }


def steady(**rest):
    """Far from what the machine can do, so that what delays anybody is seen."""
    return upload("put", "4Mi", "--connections", "4", "--rate", "12Mi", "--requests", "128", "--probe", "/healthz",
                  "--probe-interval", "10", stored=512 * MIB, **rest)


def dialect(name, size, *more, **rest):
    """An upload in one of sl_load's dialects."""
    tls = {"tls": True} if name.endswith("-tls") else {}
    return upload("put", size, "--dialect", name, *more, **tls, **rest)


def of(server, variant, *args, **rest):
    """The same load, for another server."""
    return {key: value for key, value in variant.items() if key != "config"} | {"server": server, "args": args} | rest


def unseal(size):
    return {"server": None, "tool": "sl_unseal", "load": [size], "stored": 0}


def download(server, cache, *more, size="1Gi", received=GIB, stored=GIB, **rest):
    return {"server": server, "cache": cache, "prepare": ["--size", size, "--run-id", "get"],
            "load": ["--method", "get", "--path", "/files/load-get-0000000000.bin", *more],
            "received": received, "stored": stored, **rest}


def normal_client(connections=11000, **rest):
    """One upload of 64 KiB behind the other, with its SHA-256; the server has a file of 8 MiB for slow readers."""
    return upload("put", "64Ki", "--requests", "1000", "--probe", "/healthz", "--probe-interval", "10",
                  prepare=["--size", "8Mi", "--run-id", "get"], stored=1000 * 65536 + 8 * MIB,
                  config={**SHA256, "max-connections": str(connections)}, **rest)


def beside(heads=0, bodies=0, readers=0, **rest):
    """The normal client with slow ones beside it."""
    return normal_client(ratio_to="quiet", slow=["--heads", str(heads), "--bodies", str(bodies), "--readers",
                         str(readers), "--path", "/files/load-get-0000000000.bin"], **rest)


def of_both_engines(make, name="get"):
    return {f"{name}-{engine}": make(config={"engine": engine}) for engine in ("threads", "io_uring")}


def probed_downloads(cache, *more):
    """4 at once and a health check each 10 ms."""
    load = ["--connections", "4", "--requests", "4", "--probe", "/healthz", "--probe-interval", "10", *more]
    return of_both_engines(lambda **rest: download("sluice", cache, *load, received=4 * GIB, **rest), cache)


SCENARIOS = {
    "put-1g": {
        "about": "one upload of 1 GiB: what HTTP and its dialects cost over the bare socket to disk",
        "variants": {
            "baseline": BASELINE,
            "put": upload("put", "1Gi", stored=GIB),
            "multipart": upload("multipart", "1Gi", stored=GIB),
            "chunked": upload("chunked", "1Gi", stored=GIB),
        },
        "ratio_to": "baseline",
    },
    "put-1g-sha256": {
        "about": "one upload of 1 GiB with its SHA-256, beside SHA-256 alone",
        "variants": {
            "hash-alone": {"server": None, "load": ["--hash-only", "1Gi"], "stored": 0},
            "put": upload("put", "1Gi", stored=GIB, config=SHA256),
        },
        "ratio_to": "hash-alone",
    },
    "put-16x64m-sha256": {
        "about": "64 uploads of 64 MiB, 16 at once, with and without SHA-256, beside one stream of SHA-256 alone",
        "variants": {
            "hash-alone": {"server": None, "load": ["--hash-only", "4Gi"], "stored": 0},
            "put": upload("put", "64Mi", "--connections", "16", "--requests", "64", stored=4 * GIB),
            "put-sha256": upload("put", "64Mi", "--connections", "16", "--requests", "64", stored=4 * GIB,
                                 config=SHA256),
        },
        "ratio_to": "put",
    },
    "put-1g-dialects": {
        "about": "one upload of 1 GiB in each dialect, beside opening TLS records alone",
        "variants": {
            "unseal": unseal("1Gi"),
            "h1": dialect("h1", "1Gi", stored=GIB),
            "h1-tls": dialect("h1-tls", "1Gi", stored=GIB, ratio_to=("unseal", "h1"),
                              ratio_bounds=[("cpu_s", "<", 1.3)]),
            "h2c": dialect("h2c", "1Gi", stored=GIB, ratio_to="h1", ratio_bounds=[("cpu_s", "<", 1.6)]),
            "h2-tls": dialect("h2-tls", "1Gi", stored=GIB, ratio_to=("unseal", "h2c"),
                              ratio_bounds=[("cpu_s", "<", 1.3)]),
        },
    },
    "fair-100": {
        "about": "100 uploads of 16 MiB at once on one connection of HTTP/2: does each get its share?",
        "variants": {
            "h2c": dialect("h2c", "16Mi", "--streams", "100", stored=100 * 16 * MIB),
            "h2-tls": dialect("h2-tls", "16Mi", "--streams", "100", stored=100 * 16 * MIB),
        },
        "bounds": [("slowest_to_fastest", "<", 1.5)],
    },
    "probe-hashing": {
        "about": "32 uploads of 256 MiB with SHA-256, 8 at once, and a health check each 10 ms: does the loop block?",
        "variants": {
            "put": upload("put", "256Mi", "--connections", "8", "--requests", "32", "--probe", "/healthz",
                          "--probe-interval", "10", stored=32 * 256 * MIB, config=SHA256),
        },
        "bounds": [("probe_p99_ms", "<", 5.0), ("probe_errors", "<", 1)],
    },
    "parallel-64": {
        "about": "64 uploads of 32 MiB at once: memory stays within its configuration",
        "variants": {"put": upload("put", "32Mi", "--connections", "64", stored=64 * 32 * MIB, config=SHA256)},
        "bounds": [("peak_memory_mib", "<", BUFFER_MIB + 32)],
    },
    "slow-2000": {
        "about": "2,000 clients at 1 kB/s for 20 s: what a slow client holds",
        "variants": {
            "put": upload("put", "20k", "--connections", "2000", "--rate", "1k", "--hold", "--probe", "/healthz",
                          "--duration", "120", stored=2000 * 20000, config=SHA256),
        },
    },
    "slow-10k": {
        "about": "a normal client beside 10,000 slow ones: heads, bodies, readers, and some of each",
        "variants": {
            "quiet": normal_client(),
            "heads": beside(heads=10000),
            "bodies": beside(bodies=8000, connections=8500),  # two descriptors each, of 20,000
            "readers": beside(readers=8000, connections=8500),
            "mixed": beside(heads=3400, bodies=3300, readers=3300),
        },
        "bounds": [("peak_memory_mib", "<", 256), ("probe_errors", "<", 1)],
        "ratio_bounds": [("p99_ms", "<", 3.0)],
    },
    "big-5g": {
        "about": "one upload of 5 GiB: memory does not grow with the file",
        "variants": {"put": upload("put", "5Gi", stored=5 * GIB)},
        "bounds": [("peak_memory_mib", "<", BUFFER_MIB + 32)],
    },
    "small-4k": {
        "about": "20,000 uploads of 4 KiB over 32 connections: what a request costs",
        "variants": {
            "put": small("put"),
        },
    },
    "peers-1g": {
        "about": "one upload of 1 GiB without a digest: sluice, the baseline, nginx, and what Node.js has",
        "variants": {
            "baseline": BASELINE,
            "put": upload("put", "1Gi", stored=GIB),
            "put-threads": upload("put", "1Gi", stored=GIB, config={"engine": "threads"}),
            "put-nginx": of("nginx", upload("put", "1Gi", "--path", "/", stored=GIB)),
            "put-node": of("node_put", upload("put", "1Gi", stored=GIB)),
            "form": upload("multipart", "1Gi", stored=GIB),
            "form-busboy": of("busboy", upload("multipart", "1Gi", stored=GIB)),
            "form-formidable": of("formidable", upload("multipart", "1Gi", stored=GIB)),
            "tus": upload("tus", "1Gi", stored=GIB),
            "tus-node": of("tus", upload("tus", "1Gi", "--path", "/files", stored=GIB)),
        },
        "ratio_to": "put",
    },
    "peers-16x64m": {
        "about": "16 uploads of 64 MiB at once with SHA-256; nginx has none, Node.js hashes as it writes",
        "variants": {
            "put": upload("put", "64Mi", "--connections", "16", stored=GIB, config=SHA256),
            "put-nginx": of("nginx", upload("put", "64Mi", "--connections", "16", "--path", "/", stored=GIB),
                            workers="auto"),
            "put-node": of("node_put", upload("put", "64Mi", "--connections", "16", stored=GIB), "sha256"),
        },
        "ratio_to": "put-nginx",
    },
    "peers-4k": {
        "about": "20,000 uploads of 4 KiB over 32 connections: sluice with SHA-256, the others without",
        "variants": {
            **small_peers(),
            "tus-create": small("tus-create", config=SHA256),
            "tus-node": of("tus", small("tus-create"), load=small("tus-create")["load"] + ["--path", "/files"]),
        },
        "ratio_to": "put-nginx",
    },
    "peers-4k-256": {
        "about": "the same over 256 connections",
        "variants": small_peers(connections=256),
        "ratio_to": "put-nginx",
    },
    "peers-64k": {
        "about": "4,000 uploads of 64 KiB over 32 connections: sluice with SHA-256, the others without",
        "variants": small_peers(size=64, requests=4000),  # no more: their files are to stay until the end
        "ratio_to": "put-nginx",
    },
    "peers-durable": {
        "about": "what a 2xx that survives a power cut costs, which the peers do not offer",
        "variants": {
            "1g-none": upload("put", "1Gi", stored=GIB, config=SHA256),
            "1g-full": upload("put", "1Gi", stored=GIB, config={**SHA256, "durability": "full"}, ratio_to="1g-none"),
            "1g-nginx": of("nginx", upload("put", "1Gi", "--path", "/", stored=GIB), ratio_to="1g-none"),
            "4k-none": small("put", config=SHA256),
            "4k-full": small("put", config={**SHA256, "durability": "full"}, ratio_to="4k-none"),
            "4k-nginx": of("nginx", small("put"), workers="auto", load=small("put")["load"] + ["--path", "/"],
                           ratio_to="4k-none"),
        },
    },
    "tus-1g": {
        "about": "one tus upload of 1 GiB in one PATCH, beside a PUT; the same with SHA-256",
        "variants": {
            "put": upload("put", "1Gi", stored=GIB),
            "tus": upload("tus", "1Gi", stored=GIB, ratio_to="put"),
            "put-sha256": upload("put", "1Gi", stored=GIB, config=SHA256),
            "tus-sha256": upload("tus", "1Gi", stored=GIB, config=SHA256, ratio_to="put-sha256"),
        },
        "ratio_bounds": [("cpu_s", "<", 1.1)],
    },
    "tus-4k": {
        "about": "20,000 uploads of 4 KiB by creation-with-upload of tus over 32 connections, beside as many PUTs",
        "variants": {
            "put": small("put"),
            "tus-create": small("tus-create", ratio_to="put", ratio_bounds=[("requests_per_s", ">", 0.5)]),
        },
    },
    "expiry-10k": {
        "about": "10,000 abandoned uploads expire while others send 512 MiB at 48 MiB/s: does anybody notice?",
        "variants": {
            "quiet": steady(),
            "expiring": steady(prepare=["--method", "tus-abandon", "--size", "4Ki", "--connections", "32",
                                        "--requests", "10000"],
                               config={"upload-expiry": "1"}, expires=True),
        },
        "median_bounds": [("probe_p99_ms", "<", 5.0)],
        "bounds": [("probe_errors", "<", 1)],
    },
    "get-1g": {
        "about": "one download of 1 GiB from the page cache, beside nginx without sendfile",
        "variants": {
            "nginx": download("nginx", "warm"),
            **of_both_engines(lambda **rest: download("sluice", "warm", **rest)),
        },
        "ratio_to": "nginx",
        "ratio_bounds": [("cpu_s", "<", NOISE)],
    },
    "cold-get": {
        "about": "4 downloads of 1 GiB at 1 Gbit/s each, from disk and from the page cache; a health check each 10 ms",
        "variants": {**probed_downloads("cold", "--rate", "125M"), **probed_downloads("warm", "--rate", "125M")},
        "median_bounds": [("probe_p99_ms", "<", 5.0)],
        "bounds": [("probe_errors", "<", 1)],
    },
    "cold-get-flat-out": {
        "about": "the same as fast as it goes: both cores are busy, so the health check waits for one",
        "variants": {**probed_downloads("cold"), **probed_downloads("warm")},
        "bounds": [("probe_errors", "<", 1)],
    },
    "smoke": {
        "about": "the tools themselves: 16 MiB and an odd byte to the baseline, and the digest of what it stored",
        "variants": {
            "baseline": {"server": "baseline", "load": ["--size", "16777217", "--requests", "3"],
                         "stored": 3 * 16777217, "verify": True},
        },
    },
    "smoke-tus": {
        "about": "tus of sluice: in two requests, and with the bytes in the first one; alone, and four at once",
        "variants": {
            "tus": upload("tus", "16777217", "--requests", "3", stored=3 * 16777217, verify=True),
            "tus-sha256": upload("tus", "16777217", "--requests", "3", stored=3 * 16777217, verify=True,
                                 config=SHA256),
            "tus-create": upload("tus-create", "16777217", "--requests", "3", stored=3 * 16777217, verify=True),
            **{f"{method}-small": upload(method, "4097", "--connections", "4", "--requests", "40", stored=40 * 4097,
                                         verify=True) for method in ("tus", "tus-create")},
        },
    },
    "smoke-dialects": {
        "about": "the same with sluice in each dialect: an odd byte behind 16 MiB, 20 streams at once with HTTP/2",
        "variants": {name: dialect(name, "16777217", "--requests", requests, *more, stored=int(requests) * 16777217,
                                   verify=True)
                     for name, requests, *more in (("h1", "3"), ("h1-tls", "3"), ("h2c", "30", "--streams", "20"),
                                                   ("h2-tls", "30", "--streams", "20"))},
    },
}
