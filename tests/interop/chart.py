#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Helm chart, rendered by Helm's own library and checked against the schemas that Kubernetes
publishes, from the oldest version they can be had of to the newest; what it makes fits together, and
the agent takes the configuration in it. Both come from PyPI (100 MB, kept in ~/.cache/tapline-interop).

    chart.py TAPLINE
    chart.py --render CHART     prints what it makes in the namespace tapline (scripts/package)
    chart.py --objects          reads {what: {"namespace": name, "values": {...}}} and prints {what:
                                [[object, its text]...]} of the chart here, as the release "probe"

Exit status 77 with a line where PyPI can't be reached.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from registry import CACHE, SKIPPED

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/tapline"
PACKAGES = ["helm-python-sdk==0.2.2", "kubernetes-validate==1.37.0"]
# What is told to the chart, and what the configuration in it must then have.
VALUES = {
    "nothing": {},
    "names": {"kubernetes": {"enabled": True}},
    "names of one node": {"kubernetes": {"enabled": True},
                          "config": {"kubernetes": {"node": "${NODE_NAME}", "objects_max": 1000}}},
    "collectors": {"collectors": {"enabled": True}, "config": {"collectors": {"event": True}}},
    "a mirror": {"mode": "mirror", "mirror": {"serviceType": "LoadBalancer", "annotations": {"a": "b"}}},
    "all else": {
        "image": {"repository": "registry.example/tapline", "tag": "1", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "tapline", "key": "password"}}}],
        "state": {"hostPath": "/var/lib/tapline"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}},
        "config": {"exporters": {"elasticsearch": [
            {"url": "https://es.example:9200", "basic_auth": {"username": "u", "password": "${PASSWORD}"}}]}},
    },
}


class Failed(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def enter_packages():
    """Runs this again by a Python that has them; returns why that can't be, or not at all."""
    folder = CACHE / "-".join(["chart", *(p.partition("==")[2] for p in PACKAGES)])
    python = folder / "bin/python"
    if not python.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            made = pathlib.Path(work) / "made"
            for command in (["python3", "-m", "venv", made],
                            [made / "bin/python", "-m", "pip", "install", "-q",
                             "--disable-pip-version-check", "--retries", "1", *PACKAGES]):
                try:
                    done = subprocess.run(command, capture_output=True, text=True, timeout=240,
                                          stdin=subprocess.DEVNULL)
                except (OSError, subprocess.TimeoutExpired) as error:
                    return str(error)
                if done.returncode != 0:
                    return (done.stdout + done.stderr).strip()[-300:]
            made.rename(folder)
    os.execv(python, [python, "-B", __file__, *sys.argv[1:], "--entered"])


def of_kind(objects, kind):
    return [o for o in objects if o["kind"] == kind]


def check_fits(what, values, objects):
    """References lead somewhere, selectors select."""
    workload, = of_kind(objects, "Deployment" if values.get("mode") == "mirror" else "DaemonSet")
    pod = workload["spec"]["template"]
    container, = pod["spec"]["containers"]
    selectors = [workload["spec"]["selector"]["matchLabels"]]
    selectors += [s["spec"]["selector"] for s in of_kind(objects, "Service")]
    for selector in selectors:
        check(selector.items() <= pod["metadata"]["labels"].items(), f"{what}: {selector} selects nothing")
    check({m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["spec"]["volumes"]},
          f"{what}: mounts are not the volumes")
    maps = {m["metadata"]["name"] for m in of_kind(objects, "ConfigMap")}
    for volume in pod["spec"]["volumes"]:
        check("configMap" not in volume or volume["configMap"]["name"] in maps, f"{what}: {volume}")
    accounts = {a["metadata"]["name"] for a in of_kind(objects, "ServiceAccount")}
    wanted = values.get("kubernetes", {}).get("enabled", False)
    check(pod["spec"]["automountServiceAccountToken"] == wanted, f"{what}: the token")
    check(({pod["spec"].get("serviceAccountName")} if wanted else set()) == accounts, f"{what}: {accounts}")
    for binding in of_kind(objects, "ClusterRoleBinding"):
        role, = of_kind(objects, "ClusterRole")
        check(binding["roleRef"]["name"] == role["metadata"]["name"], f"{what}: the role")
        check({s["name"] for s in binding["subjects"]} == accounts, f"{what}: the role's subjects")
        check(role["rules"] == [{"apiGroups": [""], "resources": ["pods", "services"],
                                 "verbs": ["list", "watch"]}], f"{what}: the rights")


def check_config(what, values, objects, tapline, yaml):
    config, = of_kind(objects, "ConfigMap")
    text = config["data"]["tapline.yaml"]
    loaded = yaml.safe_load(text)
    check(loaded["server"]["address"] == "0.0.0.0:9091", f"{what}: the server")
    wanted = values.get("kubernetes", {}).get("enabled", False)
    check(loaded.get("kubernetes", {}).get("enabled", False) == wanted, f"{what}: {loaded}")
    for section, keys in values.get("config", {}).items():
        check(keys.items() <= loaded[section].items(), f"{what}: the configuration lacks {keys}")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([tapline, "config", "--check", file.name], capture_output=True, text=True,
                              env={**os.environ, "NODE_NAME": "n1", "PASSWORD": "secret"})
    check(done.returncode == 0, f"{what}: config --check: {done.stderr}")


def run(tapline):
    import helm_python as helm
    import kubernetes_validate
    import yaml
    folder = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    versions = sorted({tuple(int(n) for n in p.name[1:].split("-")[0].split(".")[:2])
                       for p in folder.glob("v1.*-local-strict")})
    versions = [f"{a}.{b}" for a, b in versions if (a, b) >= (1, 27)]
    linted = helm.lint(CHART)
    check(not linted["errors"], f"helm lint: {linted}")
    count = 0
    with helm.Chart.load(CHART) as chart:
        for what, values in VALUES.items():
            rendered = chart.render(values, name="probe", namespace="watching")
            objects = [o for text in rendered.values() for o in yaml.safe_load_all(text) if o]
            for one in objects:
                for version in versions:
                    try:
                        kubernetes_validate.validate(one, version, strict=True)
                    except kubernetes_validate.ValidationError as error:
                        raise Failed(f"{what}: {one['kind']}, Kubernetes {version}: {error.message}") from None
            check_fits(what, values, objects)
            check_config(what, values, objects, tapline, yaml)
            count += len(objects)
        try:
            chart.render({"mode": "tap"}, name="probe", namespace="watching")
            raise Failed("a mode that there isn't is not refused")
        except helm.HelmError as error:
            check("must be node or mirror" in str(error), str(error))
    print(f"{len(VALUES)} sets of values, {count} objects by Helm {helm.helm_sdk_version()}, each valid in "
          f"Kubernetes {versions[0]} to {versions[-1]}; each configuration is taken")


def render(folder):
    import helm_python as helm
    with helm.Chart.load(folder) as chart:
        for text in chart.render({}, name="tapline", namespace="tapline").values():
            print("---\n" + text.strip())


def print_objects():
    import helm_python as helm
    import yaml
    made = {}
    with helm.Chart.load(CHART) as chart:
        for what, told in json.load(sys.stdin).items():
            rendered = chart.render(told["values"], name="probe", namespace=told["namespace"])
            texts = [text for file in rendered.values() for text in file.split("\n---\n")]
            made[what] = [[one, text] for text in texts if (one := yaml.safe_load(text))]
    json.dump(made, sys.stdout)


def main():
    if sys.argv[-1] != "--entered":
        print(f"skipped: {enter_packages()}")
        return SKIPPED
    try:
        if sys.argv[1] == "--render":
            render(sys.argv[2])
        elif sys.argv[1] == "--objects":
            print_objects()
        else:
            run(os.path.realpath(sys.argv[1]))
    except Failed as failure:
        print(f"FAILED: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
