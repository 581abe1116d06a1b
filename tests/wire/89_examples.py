"""What docker/ gives to begin with is of the program that lies here: every metric of the dashboard is on the page,
every variable, port, path and volume of the manifests is one that there is, and nobody is killed who would still
finish."""

import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import unittest

import support
from support import Sluice, raw, run_program, wait_until

try:
    import yaml
except ImportError:
    sys.path.append("/usr/lib/python3/dist-packages")  # another Python than Debian's
    try:
        import yaml
    except ImportError:
        yaml = None

DOCKER = support.REPOSITORY / "docker"
PROFILE = pathlib.Path("/usr/share/containers/seccomp.json")
PROFILE_PACKAGE = "golang-github-containers-common"
CUT_OFF_SECONDS = 10  # src/main.c, ABORT_MS
UNITS = {"s": 1, "m": 60}


def metrics_page():
    metrics = importlib.util.spec_from_file_location("metrics", pathlib.Path(__file__).with_name("68_metrics.py"))
    module = importlib.util.module_from_spec(metrics)
    metrics.loader.exec_module(module)
    with Sluice() as server:
        with raw(server) as client:
            assert client.request("PUT", "/files/a", b"x").status == 201
        # It is counted when its answer is out, and may be by another loop than tells the page.
        wait_until(lambda: "sluice_requests_total{" in module.page_of(server).text, "a request that is counted")
        return module.page_of(server)


class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dashboard = json.loads((DOCKER / "grafana-dashboard.json").read_text())
        cls.labels = {}  # of each name: those that some sample of it has
        for name, labels in metrics_page().samples:
            cls.labels.setdefault(name, set()).update(label for label, _ in labels)

    def expressions(self):
        for panel in self.dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield panel["title"], target["expr"], target["legendFormat"]
        for variable in self.dashboard["templating"]["list"]:
            if variable["type"] == "query":
                yield variable["name"], variable["query"]["query"], ""

    def test_every_metric_and_label_is_on_the_page(self):
        scraped = {"job", "instance"}  # of whoever asked
        for title, expression, legend in self.expressions():
            with self.subTest(title, expression=expression):
                names = set(re.findall(r"\bsluice_[a-z_]+", expression))
                self.assertTrue(names)
                self.assertLessEqual(names, self.labels.keys())
                there = scraped.union(*(self.labels[name] for name in names))
                for name, matchers in re.findall(r"\b(sluice_[a-z_]+)\{([^}]*)\}", expression):
                    wanted = set(re.findall(r"([a-z]+)=~?", matchers))
                    self.assertLessEqual(wanted, scraped | self.labels[name])
                for group in re.findall(r"\bby \(([^)]*)\)", expression):
                    self.assertLessEqual(set(group.split(",")), there)
                for label in re.findall(r"\{\{([a-z]+)\}\}", legend):
                    self.assertIn(label, there)
                    self.assertTrue(re.search(rf"\bby \([^)]*\b{label}\b", expression) or "by (" not in expression)

    def test_panels_do_not_overlap_and_know_where_to_ask(self):
        taken = set()
        for panel in self.dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            self.assertFalse(taken & cells, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
            taken |= cells
            self.assertTrue(panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}", panel["title"])
        self.assertEqual(len({panel["id"] for panel in self.dashboard["panels"]}), len(self.dashboard["panels"]))


def seconds_of(text):
    number, unit = re.fullmatch(r"(\d+)([sm])", text).groups()
    return int(number) * UNITS[unit]


@unittest.skipIf(yaml is None, "there is no yaml (python3-yaml)")
class Manifests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        dockerfile = (DOCKER / "Dockerfile").read_text()
        cls.environment = dict(word.split("=", 1) for line in re.findall(r"(?m)^ENV (.*)$", dockerfile)
                               for word in line.split())
        cls.exposed, = map(int, re.findall(r"(?m)^EXPOSE (\d+)$", dockerfile))
        cls.volumes = json.loads(re.search(r"(?m)^VOLUME (.*)$", dockerfile)[1])
        cls.user = re.search(r"(?m)^USER (\d+):(\d+)$", dockerfile)
        cls.dockerfile = dockerfile

    def load(self, name):
        return list(yaml.safe_load_all((DOCKER / name).read_text()))

    def assert_starts(self, environment):
        """With these variables, but at addresses and in a folder of the test."""
        own = {name: value for name, value in environment.items()
               if name not in ("SLUICE_LISTEN", "SLUICE_ROOT", "SLUICE_ADMIN_LISTEN")}
        admin = {"admin_listen": "127.0.0.1:0"} if "SLUICE_ADMIN_LISTEN" in environment else {}
        with Sluice(environment=own, **admin) as server:
            with raw(server) as client:
                self.assertEqual(client.request("PUT", "/files/a", b"x").status, 201)

    def shutdown_seconds(self, environment):
        told = re.search(r"--shutdown-timeout .*\((\d+)\)", run_program("--help").stdout)
        return int(environment.get("SLUICE_SHUTDOWN_TIMEOUT") or told[1]) + CUT_OFF_SECONDS

    def test_the_image(self):
        self.assertEqual(self.environment["SLUICE_LISTEN"], f"0.0.0.0:{self.exposed}")
        self.assertEqual(self.volumes, [self.environment["SLUICE_ROOT"]])
        self.assert_starts(self.environment)
        label = re.search(r'image\.version="([^"]*)"', self.dockerfile)[1]
        project = re.search(r"project\(sluice VERSION (\S+)", (support.REPOSITORY / "CMakeLists.txt").read_text())[1]
        self.assertEqual(label, project)

    def test_the_packages_of_the_image_are_those_of_run(self):
        packages = re.search(r"server_packages='([^']*)'", (support.REPOSITORY / "run").read_text())[1].split()
        build = re.search(r"--no-install-recommends(.*?)&&", self.dockerfile.replace("\\\n", " "))[1].split()
        self.assertEqual(sorted(build), sorted(packages))

    def test_compose(self):
        compose, = self.load("compose.yaml")
        service = compose["services"]["sluice"]
        self.assertEqual((DOCKER / service["build"]["context"]).resolve(), support.REPOSITORY)
        self.assertTrue((support.REPOSITORY / service["build"]["dockerfile"]).is_file())
        (host, _, port), = (published.split(":") for published in service["ports"])
        self.assertEqual((host, int(port)), ("127.0.0.1", self.exposed))
        (volume, path), = (mounted.split(":") for mounted in service["volumes"])
        self.assertIn(volume, compose["volumes"])
        self.assertEqual([path], self.volumes)
        self.assertGreater(seconds_of(service["stop_grace_period"]), self.shutdown_seconds(service["environment"]))
        self.assert_starts(service["environment"])
        self.assertEqual((service["read_only"], service["cap_drop"], service["security_opt"]),
                         (True, ["ALL"], ["no-new-privileges:true"]))

    def test_compose_with_io_uring(self):
        compose, = self.load("compose.io_uring.yaml")
        self.assertEqual(compose["services"].keys(), self.load("compose.yaml")[0]["services"].keys())
        profile, = (option.removeprefix("seccomp=") for option in compose["services"]["sluice"]["security_opt"])
        self.assertTrue((DOCKER / profile).is_file())

    def test_kubernetes(self):
        claim, deployment, service = self.load("kubernetes.yaml")
        self.assertEqual([one["kind"] for one in (claim, deployment, service)],
                         ["PersistentVolumeClaim", "Deployment", "Service"])
        pod = deployment["spec"]["template"]
        self.assertEqual(deployment["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"])
        self.assertEqual(service["spec"]["selector"], pod["metadata"]["labels"])
        container, = pod["spec"]["containers"]
        environment = {one["name"]: one["value"] for one in container["env"]}
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        self.assertEqual(ports, {"http": self.exposed,
                                 "admin": int(environment["SLUICE_ADMIN_LISTEN"].rpartition(":")[2])})
        self.assertEqual(pod["metadata"]["annotations"]["prometheus.io/port"], str(ports["admin"]))
        self.assertEqual([port["targetPort"] for port in service["spec"]["ports"]], ["http"])
        mounted, = container["volumeMounts"]
        volume, = pod["spec"]["volumes"]
        self.assertEqual([mounted["mountPath"]], self.volumes)
        self.assertEqual((mounted["name"], volume["persistentVolumeClaim"]["claimName"]),
                         (volume["name"], claim["metadata"]["name"]))
        wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        self.assertGreater(pod["spec"]["terminationGracePeriodSeconds"], wait + self.shutdown_seconds(environment))
        self.assert_starts(environment)
        self.assertFalse(pod["spec"]["enableServiceLinks"])  # SLUICE_PORT and others would be refused

    def test_kubernetes_asks_pages_that_there_are(self):
        container, = self.load("kubernetes.yaml")[1]["spec"]["template"]["spec"]["containers"]
        probes = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
        self.assertEqual({probe["port"] for probe in probes.values()}, {"admin"})
        with Sluice() as server, raw(server) as client:
            for name, probe in probes.items():
                self.assertEqual(client.request("GET", probe["path"]).status, 200, name)
        self.assertEqual(probes["livenessProbe"]["path"], "/healthz")  # a full disk is not mended by a restart

    def test_kubernetes_is_as_the_restricted_standard_demands(self):
        pod = self.load("kubernetes.yaml")[1]["spec"]["template"]["spec"]
        container, = pod["containers"]
        self.assertEqual((pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]),
                         tuple(map(int, self.user.groups())))
        self.assertEqual((pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["seccompProfile"]),
                         (True, {"type": "RuntimeDefault"}))
        self.assertEqual(container["securityContext"], {"allowPrivilegeEscalation": False,
                                                        "capabilities": {"drop": ["ALL"]},
                                                        "readOnlyRootFilesystem": True})

    def test_kubernetes_with_io_uring(self):
        patch, = self.load("kubernetes.io_uring.yaml")
        profile = patch["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]
        self.assertEqual(profile, {"type": "Localhost", "localhostProfile": "sluice.json"})


class Profile(unittest.TestCase):
    def setUp(self):
        self.shipped = json.loads((DOCKER / "seccomp.io_uring.json").read_text())

    def test_it_is_made_of_the_default_of_podman_as_is_said(self):
        told = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", PROFILE_PACKAGE], capture_output=True, text=True)
        made_of = re.search(rf"{PROFILE_PACKAGE} (\S+),", (DOCKER / "seccomp.py").read_text())[1]
        if told.returncode != 0 or told.stdout != made_of or not PROFILE.exists():
            self.skipTest(f"it is made of {PROFILE_PACKAGE} {made_of}, and here is {told.stdout or 'none'}")
        made = subprocess.run([sys.executable, DOCKER / "seccomp.py", PROFILE], capture_output=True, text=True,
                              check=True)
        self.assertEqual(made.stdout, (DOCKER / "seccomp.io_uring.json").read_text())

    def test_it_forbids_but_what_it_names_and_has_no_conditions(self):
        self.assertEqual(self.shipped["defaultAction"], "SCMP_ACT_ERRNO")
        for rule in self.shipped["syscalls"]:
            self.assertLessEqual(rule.keys(), {"names", "action", "args", "errnoRet"})
        allowed = [set(rule["names"]) for rule in self.shipped["syscalls"]
                   if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule]
        self.assertIn({"io_uring_setup", "io_uring_enter", "io_uring_register"}, allowed)
        for name in ("bpf", "chroot", "clone", "clone3", "init_module", "kexec_load", "keyctl", "mount",
                     "open_by_handle_at", "perf_event_open", "setns", "socket", "unshare", "userfaultfd"):
            self.assertFalse(any(name in names for names in allowed), name)


if __name__ == "__main__":
    unittest.main()
