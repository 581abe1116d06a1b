#!/usr/bin/env python3
"""Makes seccomp.io_uring.json, the profile under which a container may use io_uring.

    docker/seccomp.py /usr/share/containers/seccomp.json > docker/seccomp.io_uring.json

The argument is the profile that podman takes by default. The one that lies here is made of that of Debian 12
(golang-github-containers-common 0.50.1+ds1-4, Apache 2.0): the same rules, but

  - with io_uring_setup, io_uring_enter and io_uring_register allowed;
  - without what Docker's default (of 2026) gives to none but capabilities, or to nobody: podman's leaves it to the kernel
    to refuse that. So a user of either of them gives up no more than the line above says;
  - with every condition on architecture and capabilities decided: for x86-64 and arm64, and for a container that has
    dropped all capabilities, as those here do. What is left is of the plain form of the OCI, which Docker, podman and
    the runtimes of Kubernetes all read. containerd would take rules with conditions for rules without.
"""

import json
import sys

ARCHITECTURES = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}
IO_URING = ["io_uring_enter", "io_uring_register", "io_uring_setup"]
NOT_NEEDED = set("""
    mount mount_setattr move_mount open_tree fsconfig fsmount fsopen fspick umount umount2 pivot_root
    setns unshare clone clone3 reboot syslog keyctl pidfd_getfd get_mempolicy mbind set_mempolicy socket
    """.split())
NEW_NAMESPACES = 0x7E020000  # the flags of clone that make them
ENOSYS = 38  # clone3 hides its flags; told that there is none, glibc takes clone. Docker 20.10 drops defaultErrnoRet
AF_MAX, AF_NETLINK = 12, 16  # below: AF_UNIX, AF_INET, AF_INET6 and what is as old
KEPT = ("names", "action", "args", "errnoRet")


def allowed(name, comparison, value):
    """If its first argument compares so."""
    return {"names": [name], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": value, "valueTwo": 0, "op": f"SCMP_CMP_{comparison}"}]}


def holds(rule):
    """Does it on either architecture, without a capability?"""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    wanted = set(includes.get("arches", ARCHITECTURES))
    return not includes.get("caps") and bool(wanted & set(ARCHITECTURES) - set(excludes.get("arches", ())))


def resolved(profile):
    rules = []
    for rule in profile["syscalls"]:
        names = set(rule["names"]) - set(IO_URING) - NOT_NEEDED
        plain = {key: rule[key] for key in KEPT if rule.get(key)} | {"names": sorted(names)}
        if holds(rule) and names and plain not in rules:
            rules.append(plain)
    rules += [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
              allowed("clone", "MASKED_EQ", NEW_NAMESPACES), allowed("socket", "LT", AF_MAX),
              allowed("socket", "EQ", AF_NETLINK), {"names": IO_URING, "action": "SCMP_ACT_ALLOW"}]
    head = {key: profile[key] for key in ("defaultAction", "defaultErrnoRet")}
    return {**head, "architectures": list(ARCHITECTURES.values()), "syscalls": rules}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        json.dump(resolved(json.load(file)), sys.stdout, indent=1)
    print()
