"""Checks of the containers that need no engine. Each check has a snippet that it must refuse."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra service")
pytest.importorskip("pydantic_settings", reason="the extra service is missing")

from lipsync_service.deploy import check_gpu  # noqa: E402
from lipsync_service.settings import Settings, variable_of  # noqa: E402
from lipsync_service.worker import container, health  # noqa: E402

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "infra/compose/compose.yaml"
K8S = ROOT / "infra/k8s"
DOCKERFILES = sorted((ROOT / "infra/docker").glob("*.Dockerfile"))
MANIFESTS = sorted([*K8S.glob("base/*.yaml"), *K8S.glob("overlays/*/*.yaml")])
KUBERNETES = "1.32"
OURS = {"lipsync-cpu", "lipsync-gpu"}  # images and pools
SECRET_WORDS = re.compile(r"PASSWORD|SECRET|_KEY|AUTH_STRING|API_AUTH")
WRITTEN = ("/var/tmp", "/var/lib/lipsync/prefect")
ENVIRONMENT_OF_OTHERS = {"LIPSYNC_SOURCE", "LIPSYNC_LAUNCHER"}  # prefect.yaml's and the launcher's

Node = dict[str, Any]


def compose() -> Node:
    return yaml.safe_load(COMPOSE.read_text())  # type: ignore[no-any-return]


def resources(*paths: Path) -> list[Node]:
    found = [each for path in paths for each in yaml.safe_load_all(path.read_text())]
    return [each for each in found if each["kind"] not in ("Kustomization", "Component")]


def all_nodes(value: object) -> Iterator[Node]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from all_nodes(child)


# -- parts that Compose and Kubernetes share


def image_problems(tree: object) -> Iterator[str]:
    for node in all_nodes(tree):
        image = node.get("image")
        if isinstance(image, str) and not re.fullmatch(r"[\w./-]+:(?!latest$)[\w.-]*\d[\w.-]*", image):
            yield f"image {image} has no version"


def setting_problems(names: set[str]) -> Iterator[str]:
    known = {variable_of(field) for field in Settings.model_fields} | ENVIRONMENT_OF_OTHERS
    yield from (f"{name} is no setting" for name in sorted(names) if name.startswith("LIPSYNC_") and name not in known)


def command_problems(command: list[str]) -> Iterator[str]:
    if command[:2] == ["python", "-m"]:
        module = ROOT.joinpath(*command[2].split("."))
        if not module.with_suffix(".py").exists() and not (module / "__main__.py").exists():
            yield f"there is no module {command[2]}"
        if command[2] == "lipsync_service.worker.container" and command[3] not in OURS:
            yield f"there is no pool {command[3]}"


def test_images_have_versions() -> None:
    assert not list(image_problems([compose(), *resources(*MANIFESTS)]))


@pytest.mark.parametrize("image", ["postgres", "postgres:latest", "postgres:bookworm"])
def test_images_fails_when_one_has_no_version(image: str) -> None:
    assert list(image_problems({"services": {"a": {"image": image}}}))


def test_commands_exist() -> None:
    parts = [node for node in all_nodes([compose()["services"], *resources(*MANIFESTS)]) if "image" in node]
    commands = [part.get("command") or part.get("args") or [] for part in parts]
    assert sum(command[:1] in (["python"], ["prefect"]) for command in commands) >= 8
    assert not [problem for command in commands for problem in command_problems(command)]


@pytest.mark.parametrize(
    "command", ["python -m lipsync_service.absent", "python -m lipsync_service.worker.container lipsync-tpu"]
)
def test_commands_fails_when_one_does_not_exist(command: str) -> None:
    assert list(command_problems(command.split()))


# -- compose


def compose_environment(tree: Node) -> dict[str, str]:
    return {
        name: str(value) for part in tree["services"].values() for name, value in part.get("environment", {}).items()
    }


def confinement_problems(part: Node) -> Iterator[str]:
    """The excess rights and the missing writable folders of a service with one of our own images."""
    if part["image"].split(":")[0] not in OURS:
        return
    if not part.get("read_only") or part.get("cap_drop") != ["ALL"]:
        yield "may write to its image or has capabilities"
    written = [*part.get("tmpfs", []), *(mount.split(":")[1] for mount in part.get("volumes", []))]
    yield from (f"has no {path} to write to" for path in WRITTEN if path not in written)


def compose_problems(tree: Node) -> Iterator[str]:
    for name, part in tree["services"].items():
        yield from (f"{name} {problem}" for problem in service_problems(part, tree))
    for name, value in compose_environment(tree).items():
        is_secret = SECRET_WORDS.search(name) and not re.fullmatch(r"\$\{\w+(:\?[^}]*|:-)\}", value)
        if is_secret or re.search(r"://\w*:(?!\$)[^/@]+@", value):
            yield f"{name} holds a secret"


def service_problems(part: Node, tree: Node) -> Iterator[str]:
    yield from (f"publishes {port}" for port in part.get("ports", []) if not str(port).startswith("127.0.0.1:"))
    for source in (mount.split(":")[0] for mount in part.get("volumes", [])):
        if source not in tree["volumes"] and not (COMPOSE.parent / source).is_file():
            yield f"mounts {source}, which is not there"
    for needed, how in part.get("depends_on", {}).items():
        if needed not in tree["services"]:
            yield f"waits for {needed}, which is not there"
        elif how["condition"] == "service_healthy" and "test" not in tree["services"][needed].get("healthcheck", {}):
            yield f"waits for the health of {needed}, which has no check"
    build = part.get("build")
    if build and not (COMPOSE.parent / build["context"] / build["dockerfile"]).is_file():
        yield f"is built from {build['dockerfile']}, which is not there"


def test_compose_holds_together() -> None:
    tree = compose()
    assert not list(compose_problems(tree))
    assert not list(setting_problems(set(compose_environment(tree))))
    named = {"postgres", "redis", "s3", "prefect-server", "setup", "watcher", "worker-cpu", "worker-gpu"}
    assert set(tree["services"]) >= named
    assert tree["services"]["worker-gpu"]["profiles"] == ["gpu"]


@pytest.mark.parametrize(
    "part",
    [
        {"ports": ["4200:4200"]},
        {"ports": ["0.0.0.0:4200:4200"]},
        {"volumes": ["absent:/data"]},
        {"depends_on": {"absent": {"condition": "service_started"}}},
        {"depends_on": {"a": {"condition": "service_healthy"}}},
        {"build": {"context": "../..", "dockerfile": "absent.Dockerfile"}},
        {"environment": {"POSTGRES_PASSWORD": "hunter2"}},
        {"environment": {"LIPSYNC_DATABASE_URL": "postgresql://lipsync:hunter2@postgres/lipsync"}},
    ],
)
def test_compose_fails_when_it_does_not_hold_together(part: Node) -> None:
    assert list(compose_problems({"services": {"a": part}, "volumes": {}}))


def test_what_signs_results_may_keep_its_certificate() -> None:
    """The root of a container is read-only."""
    mounts = compose()["services"]["worker-cpu"]["volumes"]
    assert "signing:/var/lib/lipsync/signing" in mounts
    pods = [
        node for node in all_nodes(resources(*MANIFESTS)) if node.get("name") == "worker" and "volumeMounts" in node
    ]
    pods = [node for node in pods if "lipsync-cpu" in node.get("args", [])]
    assert pods
    assert all("/var/lib/lipsync/signing" in {mount["mountPath"] for mount in pod["volumeMounts"]} for pod in pods)


def test_compose_confines_what_is_ours() -> None:
    for name, part in compose()["services"].items():
        assert not list(confinement_problems(part)), name
    good = {"image": "lipsync-cpu:1.0", "read_only": True, "cap_drop": ["ALL"], "tmpfs": list(WRITTEN)}
    assert not list(confinement_problems(good))
    for lacking in ({"read_only": False}, {"cap_drop": []}, {"tmpfs": ["/var/tmp"]}):
        assert list(confinement_problems(good | lacking))


def test_every_part_that_opens_secrets_of_jobs_reaches_the_storage() -> None:
    """The workers, and the watcher, which opens the addresses of callbacks."""
    needed = {"LIPSYNC_STORAGE_URL", "LIPSYNC_S3_ENDPOINT", "LIPSYNC_S3_ACCESS_KEY", "LIPSYNC_S3_SECRET_KEY"}
    for environments, _ in (compose_doors(compose()), kubernetes_doors(resources(*MANIFESTS))):
        parts = {name: set(each) for name, each in environments.items() if name.startswith(("watcher", "worker-"))}
        assert len(parts) >= 3
        assert {name: needed - each for name, each in parts.items() if needed - each and "init" not in name} == {}


def test_only_the_watcher_can_sign_callbacks() -> None:
    services = compose()["services"].items()
    pods = {each["metadata"]["name"]: json.dumps(each) for each in resources(*MANIFESTS)}
    assert [name for name, part in services if "LIPSYNC_CALLBACK_SECRET" in part.get("environment", {})] == ["watcher"]
    assert [name for name, text in pods.items() if "LIPSYNC_CALLBACK_SECRET" in text] == ["watcher"]


def door_problems(environments: dict[str, dict[str, str]], commands: dict[str, list[str]]) -> Iterator[str]:
    """The servers of Prefect that ask nobody for a password, and the parts that could not answer one that does."""
    for name, environment in environments.items():
        is_server = commands[name][:2] == ["prefect", "server"]
        asks = environment.get("PREFECT_SERVER_API_AUTH_STRING")
        if is_server and not asks:
            yield f"{name} asks nobody"
        told = [environment.get(each) for each in ("PREFECT_API_AUTH_STRING", "LIPSYNC_API_AUTH")]
        if not is_server and "LIPSYNC_API_URL" in environment and not any(told):
            yield f"{name} has no password"


def compose_doors(tree: Node) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    parts = {name: part for name, part in tree["services"].items() if part["image"].split(":")[0] in OURS}
    return (
        {name: part.get("environment", {}) for name, part in parts.items()},
        {name: part.get("command", []) for name, part in parts.items()},
    )


def kubernetes_doors(found: list[Node]) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """Of each container: its variables, those of its config maps included; a secret's are named by its key."""
    maps = {each["metadata"]["name"]: each["data"] for each in found if each["kind"] == "ConfigMap"}
    environments: dict[str, dict[str, str]] = {}
    commands: dict[str, list[str]] = {}
    for name, pod in pods(found):
        for part in [*pod.get("initContainers", []), *pod["containers"]]:
            if part["image"].split(":")[0] in OURS:
                key = f"{name}/{part['name']}"
                environments[key] = dict(
                    pair for each in part.get("envFrom", []) for pair in maps[each["configMapRef"]["name"]].items()
                )
                for each in part.get("env", []):
                    secret = each.get("valueFrom", {}).get("secretKeyRef", {}).get("key", "")
                    environments[key][each["name"]] = each.get("value") or secret
                commands[key] = part.get("args", [])
    return environments, commands


def test_the_api_and_the_ui_ask_for_a_password_in_compose_and_kubernetes() -> None:
    """`tests/stack/test_auth.py` proves that a server with this variable does."""
    for environments, commands in (compose_doors(compose()), kubernetes_doors(resources(*MANIFESTS))):
        assert sum(command[:2] == ["prefect", "server"] for command in commands.values()) >= 2
        assert list(door_problems(environments, commands)) == []
        asked = {each["PREFECT_SERVER_API_AUTH_STRING"] for name, each in environments.items() if
                 commands[name][:2] == ["prefect", "server"]}  # fmt: skip
        assert asked <= {"${PREFECT_AUTH:?see .env.example}", "prefect-auth"}


@pytest.mark.parametrize("variable", ["PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"])
def test_the_doors_fail_when_one_is_open_or_has_no_key(variable: str) -> None:
    for environments, commands in (compose_doors(compose()), kubernetes_doors(resources(*MANIFESTS))):
        for environment in environments.values():
            environment.pop(variable, None)
            if variable == "PREFECT_API_AUTH_STRING":
                environment.pop("LIPSYNC_API_AUTH", None)
        assert list(door_problems(environments, commands))


def test_settings_fails_when_a_variable_is_misspelt() -> None:
    assert list(setting_problems({"LIPSYNC_STORAGE_URI"})) == ["LIPSYNC_STORAGE_URI is no setting"]


def test_compose_is_what_the_specification_allows() -> None:
    spec = pytest.importorskip("compose_spec", reason="compose-spec is not installed")
    filled_in = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", COMPOSE.read_text()))
    assert set(spec.PyCompose.from_json(json.dumps(filled_in)).service_names()) == set(compose()["services"])
    with pytest.raises(ValueError, match="restarts"):
        spec.PyCompose.from_json(json.dumps({"services": {"a": {"image": "a:1", "restarts": "no"}}}))


def test_compose_is_taken_by_docker_compose() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    keys = {"LIPSYNC_S3_ACCESS_KEY": "b", "LIPSYNC_S3_SECRET_KEY": "c"}
    secrets = {"POSTGRES_PASSWORD": "a", "PREFECT_AUTH": "d:e", **keys}
    command = [docker, "compose", "-f", str(COMPOSE), "--profile", "gpu", "config", "--quiet"]
    assert not subprocess.run(command, env={**os.environ, **secrets}, capture_output=True, text=True).stderr


def test_the_example_environment_names_what_compose_reads_and_holds_no_secret() -> None:
    lines = (COMPOSE.parent / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text())) <= set(example)
    assert {name for name, value in example.items() if value} == {"WORKER_LIMIT"}


def test_the_files_that_hold_secrets_are_not_committed() -> None:
    for ignored, kept in (("compose/.env", "compose/.env.example"), ("k8s/secret.yaml", "k8s/secret.example.yaml")):
        for name, status in ((ignored, 0), (kept, 1)):
            assert subprocess.run(["git", "check-ignore", "-q", f"infra/{name}"], cwd=ROOT).returncode == status


# -- Kubernetes


def references(tree: object) -> Iterator[tuple[str, str]]:
    for node in all_nodes(tree):
        for key, kind, field in (
            ("configMapRef", "ConfigMap", "name"),
            ("configMap", "ConfigMap", "name"),
            ("secretKeyRef", "Secret", "name"),
            ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
        ):
            if isinstance(node.get(key), dict):
                yield kind, node[key][field]
        if isinstance(node.get("serviceName"), str):
            yield "Service", node["serviceName"]


def manifest_problems(found: list[Node], secret: Node) -> Iterator[str]:
    present = {(each["kind"], each["metadata"]["name"]) for each in [*found, secret]}
    yield from (f"{kind} {name} is not there" for kind, name in references(found) if (kind, name) not in present)
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in found if "template" in each.get("spec", {})]
    for each in found:
        if each["kind"] == "Secret":
            yield f"Secret {each['metadata']['name']} is committed"
        if each["kind"] == "Service" and each["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield f"Service {each['metadata']['name']} is open to everybody"
        if each["kind"] in ("Service", "PodDisruptionBudget"):
            selector = each["spec"]["selector"].get("matchLabels", each["spec"]["selector"])
            if not any(selector.items() <= label.items() for label in labels):
                yield f"{each['kind']} {each['metadata']['name']} selects no pod"
    for node in all_nodes(found):
        if "image" in node:
            resources = node.get("resources", {})
            if "memory" not in resources.get("requests", {}) or "memory" not in resources.get("limits", {}):
                yield f"container {node['name']} has no request or limit of memory"
        key = node.get("valueFrom", {}).get("secretKeyRef", {}).get("key") if isinstance(node, dict) else None
        if key is not None and key not in secret["stringData"]:
            yield f"the Secret has no key {key}"


def example_secret() -> Node:
    return resources(K8S / "secret.example.yaml")[0]


def test_manifests_hold_together() -> None:
    found = resources(*MANIFESTS)
    assert len(found) > 15
    assert not list(manifest_problems(found, example_secret()))
    assert not any(example_secret()["stringData"].values())
    names = {node["name"] for node in all_nodes(found) if isinstance(node.get("name"), str)}
    keys = {key for each in found if each["kind"] == "ConfigMap" for key in each["data"]}
    assert not list(setting_problems(names | keys))


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"name": "a", "image": "a:1"}]},
        {"a": {"configMapRef": {"name": "absent"}}},
        {"a": {"persistentVolumeClaim": {"claimName": "absent"}}},
        {"a": {"valueFrom": {"secretKeyRef": {"name": "lipsync", "key": "absent"}}}},
        {"serviceName": "absent"},
    ],
)
def test_manifests_fails_when_they_do_not_hold_together(spec: Node) -> None:
    assert list(manifest_problems([{"kind": "Pod", "metadata": {"name": "a"}, "spec": spec}], example_secret()))


@pytest.mark.parametrize("broken", [{"type": "NodePort", "selector": {}}, {"selector": {"app": "absent"}}])
def test_manifests_fails_when_a_service_is_open_or_selects_nothing(broken: Node) -> None:
    assert list(manifest_problems([{"kind": "Service", "metadata": {"name": "a"}, "spec": broken}], example_secret()))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.relative_to(K8S).as_posix())
def test_manifests_are_what_kubernetes_takes(path: Path) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for each in resources(path):
        validator.validate(each, KUBERNETES, strict=True)
        with pytest.raises(validator.ValidationError):
            validator.validate({**each, "speck": {}}, KUBERNETES, strict=True)


@pytest.mark.parametrize("folder", ["base", "overlays/gpu", "overlays/model-server"])
def test_kustomize_builds(folder: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", "kustomize", K8S / folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    [config] = [each for each in built if each["metadata"]["name"] == "lipsync-worker"]
    assert ("LIPSYNC_GPU_POOL" in config["data"]) == (folder != "base")


def test_the_model_server_holds_the_gpu_and_is_bounded_in_compose_and_kubernetes() -> None:
    server = compose()["services"]["model-server"]
    assert server["profiles"] == ["model-server"]
    assert server["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert {"memory", "pids"} <= set(server["deploy"]["resources"]["limits"])
    assert {port.rpartition(":")[2] for port in server["ports"]} == {"8001", "8002"}
    [pod] = [pod for name, pod in pods(resources(*MANIFESTS)) if name == "model-server"]
    [container_part] = pod["containers"]
    assert container_part["resources"]["limits"]["nvidia.com/gpu"] == 1
    folder = export_command(compose()["services"]["model-repository"]["command"])
    assert export_command(pod["initContainers"][0]["args"]) == folder
    for command in (server["command"], container_part["args"]):
        assert f"--model-repository={folder}" in command
    probe = ["sh", f"{folder}/check.sh"]  # tests/model_server proves it
    assert server["healthcheck"]["test"] == ["CMD", *probe]
    assert {name: container_part[name]["exec"]["command"] for name in ("readinessProbe", "livenessProbe")} == {
        "readinessProbe": probe,
        "livenessProbe": probe,
    }


def export_command(command: list[str]) -> str:
    """The folder that the command writes, once the command line has accepted it."""
    assert command[:3] == ["lipsync", "models", "export-repository"]
    arguments = ["tensorrt" if part.startswith("${") else part for part in command[3:]]
    from lipsync_cli.commands.models import export_repository

    return str(export_repository.make_context("export-repository", arguments).params["folder"])


def test_kustomizations_list_every_file() -> None:
    for path in K8S.rglob("kustomization.yaml"):
        listed = {name for name in yaml.safe_load(path.read_text())["resources"] if name.endswith(".yaml")}
        assert listed == {each.name for each in path.parent.glob("*.yaml")} - {path.name}


def pods(found: list[Node]) -> Iterator[tuple[str, Node]]:
    for each in found:
        if "template" in each.get("spec", {}):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def pod_problems(pod: Node) -> Iterator[str]:
    """The faults that the cluster would refuse: the namespace demands the `restricted` standard of pod security."""
    shared = pod.get("securityContext", {})
    if not shared.get("runAsNonRoot") or shared.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "may run as root, or with every system call"
    if pod.get("automountServiceAccountToken") is not False:
        yield "has a token of the cluster's API"
    for each in [*pod.get("initContainers", []), *pod["containers"]]:
        own = each.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{each['name']} may gain privileges"
        if each["image"].split(":")[0] in OURS:
            mounted = {mount["mountPath"] for mount in each.get("volumeMounts", [])}
            if not own.get("readOnlyRootFilesystem") or not mounted.issuperset(WRITTEN):
                yield f"{each['name']} writes to its image, or has no {' or '.join(WRITTEN)} to write to"


def test_pods_are_confined() -> None:
    found = resources(*MANIFESTS)
    [namespace] = [each for each in found if each["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert len(list(pods(found))) == 10
    assert not [f"{name}: {problem}" for name, pod in pods(found) for problem in pod_problems(pod)]


@pytest.mark.parametrize("lacking", ["runAsNonRoot", "seccompProfile", "capabilities", "readOnlyRootFilesystem"])
def test_pods_fails_when_one_is_not_confined(lacking: str) -> None:
    pod = dict(pods(resources(K8S / "base/watcher.yaml")))["watcher"]
    assert not list(pod_problems(pod))
    for node in all_nodes(pod):
        node.pop(lacking, None)
    assert list(pod_problems(pod))


def test_the_gpu_worker_asks_for_a_gpu_and_workers_have_time_to_end_their_jobs() -> None:
    workers = {name: pod for name, pod in pods(resources(*MANIFESTS)) if name.startswith("worker-")}
    assert workers["worker-gpu"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    for pod in workers.values():
        told = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        assert 600 < float(told["WORKER_DRAIN_S"]) < pod["terminationGracePeriodSeconds"]
    part = compose()["services"]["worker-cpu"]
    assert float(part["environment"]["WORKER_DRAIN_S"]) < 60 * float(part["stop_grace_period"].removesuffix("m"))


# -- images


def dockerfile_problems(text: str) -> Iterator[str]:
    text = text.replace("\\\n", " ")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            if not (ROOT / source).exists() or f"!{source}" not in kept:
                yield f"{source} is not in the build's context"
    for names in re.findall(r"'?\.\[([\w,-]+)\]", text):
        asked = set(names.split(","))
        yield from (f"there is no extra {name}" for name in asked - set(extras))
        if {"neural", "gpu"} <= asked:
            yield "neural and gpu overwrite each other"
    users = re.findall(r"^USER (\S+)", text.rpartition("\nFROM ")[2], re.MULTILINE)
    if not users or users[-1].split(":")[0] in ("0", "root"):
        yield "it runs as root"
    for image in re.findall(r"^(?:FROM |ARG BASE=)(\S+)", text, re.MULTILINE):
        if "/" in image or ":" in image:
            yield from image_problems({"image": image})


def test_there_is_an_image_for_each_pool() -> None:
    assert {f"lipsync-{path.stem}" for path in DOCKERFILES} == OURS
    assert {
        f"lipsync-{path.stem}" for path in DOCKERFILES if "lipsync_service.deploy.check_gpu" in path.read_text()
    } == {"lipsync-gpu"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_dockerfiles_hold_together(path: Path) -> None:
    assert not list(dockerfile_problems(path.read_text()))


@pytest.mark.parametrize(
    "line",
    ["COPY absent ./", "COPY tests tests", "RUN pip install .[absent]", "RUN pip install .[neural,gpu]", "USER root"],
)
def test_dockerfiles_fails_when_one_does_not_hold_together(line: str) -> None:
    good = "FROM python:3.11-slim\nUSER 10001\n"
    assert not list(dockerfile_problems(good))
    assert list(dockerfile_problems(f"{good}{line}\n"))
    assert list(dockerfile_problems(good.replace(":3.11-slim", ":latest")))


# -- the programs inside


def test_the_gpu_check_fails_when_both_builds_are_installed() -> None:
    assert not list(check_gpu.package_problems({"onnxruntime-gpu"}))
    assert list(check_gpu.package_problems({"onnxruntime-gpu", "onnxruntime"}))
    assert list(check_gpu.package_problems({"onnxruntime"}))


def test_the_gpu_check_fails_when_a_library_is_missing() -> None:
    driver = "\tlibcuda.so.1 => not found\n\tlibcublas.so.13 => /usr/lib/libcublas.so.13 (0x1)\n"
    assert not list(check_gpu.library_problems(driver))
    assert list(check_gpu.library_problems("\tlibcublas.so.13 => not found\n"))


def test_a_volume_that_lacks_the_face_model_gets_it_and_keeps_what_it_has(tmp_path: Path) -> None:
    source, target = tmp_path / "image", tmp_path / "volume"
    for name in ("face", "other"):
        (source / name).mkdir(parents=True)
        (source / name / "weights").write_text("image")
    (target / "other").mkdir(parents=True)
    (target / "other" / "weights").write_text("mine")
    assert container.seed_models(source, target) == ["face"]
    assert (target / "face" / "weights").read_text() == "image"
    assert (target / "other" / "weights").read_text() == "mine"
    assert sorted(each.name for each in target.iterdir()) == ["face", "other"]
    assert container.seed_models(source, target) == []


def test_what_a_killed_container_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("lipsync-job-1", "lipsync-socket", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("left")
    container.remove_leftovers(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["other"]


def test_health_fails_when_nobody_listens() -> None:
    done = subprocess.run([sys.executable, "-m", "lipsync_service.worker.health", "http://127.0.0.1:9/"], cwd=ROOT)
    assert done.returncode == 1
    assert not health.answers("http://127.0.0.1:9/")


def test_a_container_takes_no_jobs_when_its_provider_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_PROVIDERS", "cuda")  # which this machine does not have
    assert not container.provider_works(Settings())
    assert container.main("lipsync-gpu") == 1
    monkeypatch.setenv("LIPSYNC_PROVIDERS", "auto")
    assert container.provider_works(Settings())


def test_the_gpu_parts_ask_for_the_gpu_and_the_cpu_parts_for_none() -> None:
    workers = compose()["services"]
    assert workers["worker-cpu"]["environment"]["LIPSYNC_PROVIDERS"] == "cpu"
    assert workers["worker-gpu"]["environment"]["LIPSYNC_PROVIDERS"] == "${LIPSYNC_GPU_PROVIDERS:-cuda}"
    asked = {
        name: each["value"]
        for name, pod in pods(resources(*MANIFESTS))
        for each in pod["containers"][0].get("env", [])
        if each["name"] == "LIPSYNC_PROVIDERS"
    }
    assert asked == {"worker-cpu": "cpu", "worker-gpu": "cuda"}
