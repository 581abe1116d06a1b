"""The servers that are measured: sluice, the baseline, nginx, and those for Node.js in peers/. Each is started in a
directory of its own, on a port of 127.0.0.1 that it tells, watched through /proc, and stopped by its pid."""

import getpass
import http.client
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

from scenarios import DEFAULTS

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests/wire"))

import npm_packages  # noqa: E402

UNAVAILABLE = 77
START_LIMIT_S = 15
STOP_LIMIT_S = 30


class Unavailable(Exception):
    """This machine cannot run the scenario: no io_uring, no room."""


class Failed(Exception):
    """A server or the generator did not do what it should."""


class PortTaken(Exception):
    """Somebody else was faster."""


class Server:
    """A server under test: started in a directory of its own, watched through /proc, stopped by its pid."""

    def __init__(self, command, directory):
        self.log_path = directory / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
        self.peak_anon_kib = 0
        self.stopping = threading.Event()
        try:
            self.target = self._await_url()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.start_memory_kib = self._status("VmHWM")
        self.watcher = threading.Thread(target=self._watch_memory)
        self.watcher.start()

    def _await_url(self):
        end = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end:
            log = self.log_path.read_text(errors="replace")
            found = re.search(r"https?://(127\.0\.0\.1:\d+)", log)
            if found:
                return found[1]
            status = self.process.poll()
            if status == UNAVAILABLE:
                raise Unavailable(log.strip())
            if status is not None:
                raise Failed(f"server ended with {status}: {log.strip()}")
            time.sleep(0.02)
        raise Failed("server printed no URL: " + self.log_path.read_text(errors="replace"))

    def _pids(self):
        """Its own and those of its workers, which live as long."""
        pids = [self.process.pid]
        for pid in pids:
            try:
                pids += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                pass  # it has ended
        return pids

    def _status(self, field):
        """The sum of a field of /proc/PID/status in KiB, without those that are gone."""
        total = 0
        for pid in self._pids():
            try:
                found = re.search(rf"^{field}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
            except OSError:
                continue
            total += int(found[1]) if found else 0
        return total

    def _watch_memory(self):
        while not self.stopping.wait(0.05):
            self.peak_anon_kib = max(self.peak_anon_kib, self._status("RssAnon"))

    def cpu_seconds(self):
        """Of all threads, ended ones and the kernel's io-wq helpers included, by the processes' own clocks.

        The id is what clock_getcpuclockid(3) computes; it counts nanoseconds, /proc only ticks of 10 ms.
        """
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self._pids())

    def peak_memory_kib(self):
        return self._status("VmHWM")

    def lag(self):
        """Of a sluice: how long turns of its loops took so far; the worst loop counts."""
        return {}

    def stop(self):
        self.stopping.set()
        self.watcher.join()
        died = self.process.poll()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"server did not end within {STOP_LIMIT_S} s of SIGTERM")
        if died is not None:
            raise Failed(f"server died with {died}: " + self.log_path.read_text(errors="replace")[-2000:])


class Sluice(Server):
    """What it counts is asked for behind the measured time."""

    def lag(self):
        is_tls = f"https://{self.target}" in self.log_path.read_text(errors="replace")
        unverified = ssl._create_unverified_context()  # the certificate was made for this run
        connection = (http.client.HTTPSConnection(self.target, timeout=START_LIMIT_S, context=unverified) if is_tls
                      else http.client.HTTPConnection(self.target, timeout=START_LIMIT_S))
        try:
            connection.request("GET", "/metrics")
            return lag_of(connection.getresponse().read().decode())
        finally:
            connection.close()


def lag_of(text):
    """The 99th percentile, as histogram_quantile() of Prometheus has it, and the longest turn."""
    buckets = {}
    for loop, bound, count in re.findall(r'^sluice_loop_lag_seconds_bucket\{loop="(\d+)",le="([^"]+)"\} (\d+)$',
                                         text, re.M):
        buckets.setdefault(loop, []).append((float(bound), int(count)))
    longest = dict(re.findall(r'^sluice_loop_lag_max_seconds\{loop="(\d+)"\} (\S+)$', text, re.M))
    p99 = [min(quantile(0.99, counts), float(longest[loop])) for loop, counts in buckets.items()]
    return {"lag_p99_ms": round(1000 * max(p99), 3), "lag_max_ms": round(1000 * max(map(float, longest.values())), 3)}


def quantile(share, buckets):
    """buckets: (upper bound, how many up to it), rising."""
    rank, below, before = share * buckets[-1][1], 0, 0.0
    for bound, count in buckets:
        if count >= rank and count > 0:
            return bound if bound == float("inf") else before + (bound - before) * (rank - below) / (count - below)
        below, before = count, bound
    return 0.0


class Nginx(Server):
    """nginx as it comes, but without sendfile; in one process, so that its clock is all it used, unless a worker for
    each core is wanted."""

    CONFIG = """
daemon off;
master_process {master};
user {user};
worker_processes {workers};
error_log stderr;
pid {directory}/nginx.pid;
events {{ }}
http {{
    access_log off;
    sendfile off;
    {temporary}
    server {{
        listen 127.0.0.1:{port};
        root {root};
        client_max_body_size 0;
        {dav}
    }}
}}
"""

    def __init__(self, options, variant, directory, root):
        if options.nginx is None:
            raise Unavailable("there is no nginx (Debian: apt install nginx-light)")
        # nginx cannot let the kernel choose its port. What was free a moment ago may be taken now: then once more.
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        config = directory / "nginx.conf"
        built = self._configured(options.nginx)
        workers = variant.get("workers", 1)
        config.write_text(self.CONFIG.format(directory=directory, root=root, port=self.port,
                                             master="off" if workers == 1 else "on", workers=workers,
                                             user=getpass.getuser(),
                                             temporary=self._temporary_paths(built, directory),
                                             dav="dav_methods PUT;" if "http_dav_module" in built else ""))
        super().__init__([options.nginx, "-p", str(directory), "-e", "stderr", "-c", str(config)], directory)

    @staticmethod
    def _configured(nginx):
        return subprocess.run([nginx, "-V"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

    @staticmethod
    def _temporary_paths(built, directory):
        """For each module that is built in and would else want to write below /var."""
        kinds = ["client_body"]
        kinds += [kind for kind in ("proxy", "fastcgi", "uwsgi", "scgi")
                  if f"--without-http_{kind}_module" not in built]
        return " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)

    def _await_url(self):
        end = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end and self.process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_LIMIT_S)
            try:
                connection.request("HEAD", "/")
                if "nginx" in connection.getresponse().getheader("Server", ""):
                    return f"127.0.0.1:{self.port}"
            except OSError:
                time.sleep(0.02)
            finally:
                connection.close()
        log = self.log_path.read_text(errors="replace")
        raise (PortTaken if "Address already in use" in log else Failed)("nginx does not serve: " + log)


class Node(Server):
    """One of peers/*.mjs, by the Node.js that is there."""

    def __init__(self, options, variant, directory, root):
        if shutil.which("node") is None:
            raise Unavailable("there is no node (Debian: apt install nodejs npm)")
        script = peers_with_packages() / f"{variant['server']}.mjs"
        super().__init__(["node", str(script), str(root), *variant.get("args", [])], directory)


def peers_with_packages():
    """A folder with the peers of today, and the packages of their lock file beside them, where they look for them."""
    try:
        target = npm_packages.modules(HERE / "peers").parent
    except npm_packages.Missing as reason:
        raise Unavailable(str(reason)) from reason
    for script in (HERE / "peers").glob("*.mjs"):
        shutil.copy(script, target)
    return target


def start_server(options, variant, directory, root):
    if variant["server"] == "nginx":
        for _ in range(5):
            try:
                return Nginx(options, variant, directory, root)
            except PortTaken:
                pass
        raise Failed("no port stays free")
    if (HERE / f"peers/{variant['server']}.mjs").exists():
        return Node(options, variant, directory, root)
    kind = Sluice if variant["server"] == "sluice" else Server
    return kind(server_command(options, variant, root), directory)


def server_command(options, variant, root):
    if variant["server"] == "baseline":
        return [str(options.tools / "sl_baseline"), str(root)]
    is_tls = variant.get("tls", False)
    command = [str(options.sluice), "--listen", "127.0.0.1:0" + " tls" * is_tls, "--root", str(root),
               "--log-format", "text"]
    if is_tls:
        command += ["--tls-cert", str(options.pair[0]), "--tls-key", str(options.pair[1])]
    for key, value in variant_config(options, variant).items():
        command += [f"--{key}", value]
    return command


def variant_config(options, variant):
    if variant["server"] != "sluice":
        return {}
    config = {**DEFAULTS, **variant.get("config", {})}
    for override in ("engine", "durability"):
        if getattr(options, override):
            config[override] = getattr(options, override)
    return config
