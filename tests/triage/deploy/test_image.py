"""The service's image and its manifests for real: built, run with no right too many, played as a pod."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonpatch
import pytest
import yaml

from autograder.engine import Engine, Image
from pivot.images import Workbench
from triage.deploy.kubernetes import manifests
from triage.export import export
from triage.files import sha256
from triage.model import TriageModel

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "triage/deploy/kubernetes"
WAIT = """
import time, urllib.request
while True:
    try:
        urllib.request.urlopen("http://127.0.0.1:8000/readyz")
        break
    except OSError:
        time.sleep(0.05)
"""
ASK = """
import json, urllib.request
body = json.dumps({"message": "please send the invoice"}).encode()
kind = {"Content-Type": "application/json"}
asked = urllib.request.Request("http://127.0.0.1:8000/predict", body, kind)
print(json.load(urllib.request.urlopen(asked))["intent"])
"""
ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"

pytestmark = [pytest.mark.needs("podman"), pytest.mark.slow]


@pytest.fixture(scope="module")
def image(
    engine: Engine, model: TriageModel, tmp_path_factory: pytest.TempPathFactory
) -> Image:
    context = tmp_path_factory.mktemp("checkout")
    saved = context / "model.safetensors"
    model.save(saved)
    export(model, sha256(saved), context / "model.onnx")
    shutil.copytree(
        ROOT / "triage",
        context / "triage",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / "requirements.lock", context)
    shutil.copy(ROOT / "triage/deploy/image/Dockerfile", context)
    lines = (ROOT / "triage/deploy/image/requirements.txt").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    return Workbench(engine, packages).build(context).image


def inside(engine: Engine, container: str, program: str) -> str:
    return engine.cli.tell("exec", container, "python", "-c", program).strip()


def test_it_serves_without_a_right_it_does_not_need(
    engine: Engine, image: Image
) -> None:
    with engine.run(image) as container:
        inside(engine, container.id, WAIT)
        assert inside(engine, container.id, ASK) == "invoice_request"
        assert inside(engine, container.id, "import os; print(os.getuid())") == "10001"
        assert container.healthcheck() == 0
        stopped = container.stop(10)
    assert (stopped.status, stopped.killed) == (0, False)


def test_nothing_that_trains_is_in_it(engine: Engine, image: Image) -> None:
    names = (
        "import importlib.metadata as m; print(*[d.name for d in m.distributions()])"
    )
    with engine.run(image, command=("sleep", "60")) as container:
        found = set(inside(engine, container.id, names).lower().split())
    assert "onnxruntime" in found
    assert not found & {"torch", "transformers", "mlflow", "pandas", "scikit-learn"}
    assert not any("model.safetensors" in step for step in image.steps)


# --- as a pod ---


def local() -> list[dict]:
    """The manifests with the overlay for a cluster of one's own, as kustomize makes them."""
    overlay = yaml.safe_load((FOLDER.parent / "local/kustomization.yaml").read_text())
    stack = manifests.read(FOLDER)
    for patch in overlay["patches"]:
        target = patch["target"]
        changes = jsonpatch.JsonPatch(yaml.safe_load(patch["patch"]))
        for place, manifest in enumerate(stack):
            named = manifest["kind"], manifest["metadata"]["name"]
            if named == (target["kind"], target["name"]):
                stack[place] = changes.apply(manifest)
    return stack


def test_the_overlay_is_what_a_cluster_takes() -> None:
    assert list(manifests.misspelt(local())) == []
    (deployment,) = [each for each in local() if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"][-2:] == ["--model", "model.onnx"]
    assert container["envFrom"] == [{"configMapRef": {"name": "triage"}}]


Play = Callable[[dict[str, str]], str]


@pytest.fixture
def play(engine: Engine, image: Image, tmp_path: Path) -> Iterator[Play]:
    """Plays Deployment and ConfigMap with some of its values changed; returns the container's name."""
    name = f"the-pivot-{engine.job}"
    file = tmp_path / "pod.yaml"

    def start(config: dict[str, str]) -> str:
        stack = {each["kind"]: each for each in local()}
        deployment, values = stack["Deployment"], stack["ConfigMap"]
        deployment["metadata"]["name"] = name
        template = deployment["spec"]["template"]
        template["metadata"]["labels"] |= engine.labels
        container = template["spec"]["containers"][0]
        container["image"] = image.id
        ports = {port["name"]: port["containerPort"] for port in container.pop("ports")}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            container[probe]["httpGet"]["port"] = ports[
                container[probe]["httpGet"]["port"]
            ]
        values["data"] |= config
        file.write_text(yaml.safe_dump_all([values, deployment]))
        engine.cli.tell("kube", "play", "--replace", "--network", "none", str(file))
        return f"{name}-pod-0-triage"

    try:
        yield start
    finally:
        if file.exists():
            engine.cli.tell("kube", "play", "--down", str(file))


def state(engine: Engine, container: str) -> dict:
    return json.loads(engine.cli.tell("container", "inspect", container))[0]


def test_the_manifests_run_as_a_pod(engine: Engine, play: Play, image: Image) -> None:
    pod = play({})
    inside(engine, pod, WAIT)
    assert inside(engine, pod, ASK) == "invoice_request"
    found = state(engine, pod)
    assert found["HostConfig"]["Memory"] == 1 << 30
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["Config"]["User"] == "10001"
    assert not found["EffectiveCaps"]

    os.kill(found["State"]["Pid"], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while state(engine, pod)["RestartCount"] == 0:
        assert time.monotonic() < deadline, "the pod was not started again"
        time.sleep(0.1)
    inside(engine, pod, WAIT)
    assert inside(engine, pod, ASK) == "invoice_request"

    changed = play({"OMP_NUM_THREADS": "2"})
    inside(engine, changed, WAIT)
    assert json.loads(inside(engine, changed, ENVIRONMENT))["OMP_NUM_THREADS"] == "2"
    assert state(engine, changed)["Image"] == image.id, "config needs no other image"
