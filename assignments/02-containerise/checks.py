"""What the service's image must be, as far as learners see it. The contract is in the notebook."""

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from autograder.checks import Assignment, Outcome, failed, partly, passed
from autograder.probes import image as probe
from autograder.probes.http import Answer
from autograder.work import Work

from . import bench, packages, pins

assignment = Assignment(
    "containerise",
    title="Put the model's service in a container",
    submits=("Dockerfile", "requirements.txt"),
    optional=(".dockerignore", "*.sh"),
    given=(
        "given/model.py",
        "given/model.safetensors",
        "01-serve/submissions/reference/service.py",
    ),
    seconds=480,
)
BUILT = ("containerise/builds",)
READY = ("containerise/ready",)
BUDGET = 120e6  # bytes on top of the base: pip install adds 90 MB, a virtual environment with its pip 112
CHANGED = 1e6  # bytes of layers that a changed line of code may make new
ENDED_AS_ASKED = (0, 128 + 15, 128 + 2)  # by itself, or by the signal after its work
RUNS_ON = {
    "fastapi",
    "numpy",
    "prometheus-client",
    "safetensors",
}  # what the service imports
ENVIRONMENT = {"pip", "setuptools", "wheel"}  # what a virtual environment begins with


@assignment.check("containerise/builds", title="Builds without a network", points=1)
def builds(work: Work) -> Outcome:
    image = work.shared(bench.built).image
    return passed(f"The image has {len(image.layers)} layers.")


@assignment.check("containerise/ready", title="Becomes ready", points=1, needs=BUILT)
def ready(work: Work) -> Outcome:
    service = work.shared(bench.normal)
    return passed(
        f"/readyz answered 200 {service.seconds:.1f} s after the container's start."
    )


@assignment.check(
    "containerise/reachable",
    title="Listens on 0.0.0.0:8080",
    points=2,
    needs=READY,
)
def reachable(work: Work) -> Outcome:
    host, port = work.shared(bench.normal).address
    if port != bench.PORT:
        return failed(
            f"The service listens on port {port}.",
            f"Tell Uvicorn --port {bench.PORT}. EXPOSE only documents a port, it opens none.",
        )
    if host not in bench.ANYWHERE:
        return failed(
            f"The service listens on {host}:{port}, where nobody outside the container can reach it.",
            "Tell Uvicorn --host 0.0.0.0.",
        )
    return passed(f"The service listens on {host}:{port}.")


@assignment.check(
    "containerise/small", title="No bigger than it need be", points=1, needs=BUILT
)
def small(work: Work) -> Outcome:
    size = probe.size_over_base(work.engine, work.shared(bench.built).image)
    added = f"The image adds {size / 1e6:.0f} MB to its base"
    if size > BUDGET:
        return failed(
            f"{added}; the budget is {BUDGET / 1e6:.0f} MB.",
            "See `docker history` for the largest layers. Install only what the service imports. Do not copy "
            "or chown in a later instruction what an earlier one made: what is touched is stored again.",
        )
    return passed(f"{added}.")


@assignment.check(
    "containerise/non-root", title="Does not run as root", points=2, needs=READY
)
def non_root(work: Work) -> Outcome:
    users = bench.users(work, work.shared(bench.normal).container)
    if 0 in users:
        return failed(
            "The process that serves runs as user 0, which is root.",
            "Add `USER 10001` to the last stage, after the last RUN that needs root.",
        )
    return passed(f"The service runs as user {', '.join(map(str, sorted(users)))}.")


@assignment.check(
    "containerise/healthcheck",
    title="Says when it is well, and when it is not",
    points=2,
    needs=READY,
)
def healthcheck(work: Work) -> Outcome:
    service = work.shared(bench.normal)
    # Its own environment says the opposite, for it should ask the service.
    status = service.container.healthcheck(env=bench.LOADING)
    if status:
        return failed(
            f"The service was ready, and its HEALTHCHECK ended with status {status}.",
            "Run the command with `docker exec` in a running container. There is no curl in the base; "
            "Python's urllib.request is there.",
        )
    with bench.still_loading(work) as container:
        status = container.healthcheck(env=bench.LOADED)
    if status == 0:
        return partly(
            0.5,
            "The HEALTHCHECK succeeded as it should. It also succeeded while the model was still loading and "
            "/readyz answered 503.",
            "Let it ask /readyz and end with status 1 for anything but 200.",
        )
    return passed(
        "The HEALTHCHECK succeeded when the service was ready, and only then."
    )


@assignment.check(
    "containerise/pinned", title="The same tomorrow", points=2, needs=BUILT
)
def pinned(work: Work) -> Outcome:
    text = (work.folder / "requirements.txt").read_text(errors="replace")
    asked = pins.read(text)
    if asked.loose or not asked.pins:
        lines = ", ".join(line[:40] for line in asked.loose[:3]) or "none at all"
        return failed(
            f"Lines of requirements.txt that allow more than one version: {lines}.",
            "Pin every line with `==`.",
        )
    installed = packages.installed(bench.contents(work).names)
    others = sorted(
        f"{name}=={version}"
        for name, version in installed
        if name not in ENVIRONMENT
        and not (name in asked.pins and allows(asked.pins[name], version))
    )
    if not {name for name, _ in installed} >= RUNS_ON:
        missing = RUNS_ON - {name for name, _ in installed}
        return failed(
            f"In the image's layers there is no record of an installation of {', '.join(sorted(missing))}.",
            "Install with pip, and leave the .dist-info folders: they say what is in the image.",
        )
    if others:
        return partly(
            0.5,
            f"requirements.txt pins its own lines. Installed and not pinned: {', '.join(others[:20])}"
            f"{' and more' if len(others) > 20 else ''}.",
            "Add what your dependencies bring along, as `pip freeze` lists it in the image, and install from "
            "requirements.txt alone.",
        )
    return passed(f"All {len(installed)} packages were installed as pinned.")


def allows(pin: str, version: str) -> bool:
    """Whether pip would take this version for that pin."""
    try:
        return SpecifierSet(f"=={pin}").contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion, ValueError):
        return pin == version


@assignment.check(
    "containerise/secrets", title="Keeps no secrets", points=2, needs=BUILT
)
def secrets(work: Work) -> Outcome:
    found = bench.contents(work).secrets
    if found:
        # A file's name can be any bytes, a verdict is UTF-8.
        places = sorted({s.where[:60].encode(errors="replace").decode() for s in found})
        return failed(
            f"The image's layers hold secrets: {', '.join(places[:4])}.",
            "Copy files by name, or keep the rest out with .dockerignore. Deleting it in a later RUN does "
            "not help: the layer below still has it.",
        )
    return passed("Nothing of .env, .git/ and id_rsa is in any layer.")


@assignment.check(
    "containerise/layers",
    title="A change of code is a small change",
    points=2,
    needs=BUILT,
)
def layers(work: Work) -> Outcome:
    before = work.shared(bench.built).image
    rebuilt = work.shared(bench.rebuilt)
    layers = work.shared(bench.layers)
    change = probe.change(before, rebuilt, layers, bench.fix(work))
    after = f"After a change of one line of service.py, {change.size / 1e6:.1f} MB of layers were new"
    if not change.found:
        return failed(
            f"{after}, and the changed line was in none of them.",
            "COPY the given service.py from the build folder, and leave it as it is.",
        )
    if change.size > CHANGED:
        return failed(
            f"{after}.",
            "Copy requirements.txt alone and install, and only then copy the code: a layer is reused as long "
            "as nothing before it has changed.",
        )
    return passed(f"{after}.")


@assignment.check(
    "containerise/stops",
    title="Stops without losing a request",
    points=2,
    needs=READY,
)
def stops(work: Work) -> Outcome:
    answer, stopped = bench.stop_while_predicting(work)
    if stopped.killed:
        return failed(
            f"{stopped.seconds:.0f} s after the stop signal the container still ran and had to be killed.",
            "A shell as process 1 keeps the signal to itself. Write CMD as a JSON list, and `exec` the "
            "server in a start script.",
        )
    if not isinstance(answer, Answer) or answer.status != 200:
        what = answer.status if isinstance(answer, Answer) else "nothing"
        return failed(
            f"A request that had been accepted before the stop signal got {what}.",
            "Let the server finish what it has begun: send it SIGTERM, and give it seconds enough.",
        )
    if stopped.status not in ENDED_AS_ASKED:
        return failed(
            f"The container ended with status {stopped.status}.",
            "Make the server process 1, or pass its exit status on.",
        )
    return passed(
        f"It stopped {stopped.seconds:.1f} s after the signal, and answered what it had accepted."
    )


@assignment.check(
    "containerise/read-only",
    title="Writes nowhere but to /tmp",
    points=1,
    needs=READY,
)
def read_only(work: Work) -> Outcome:
    volumes = work.shared(bench.built).image.config.get("Volumes") or {}
    if outside := [path for path in volumes if not f"{path}/".startswith("/tmp/")]:
        return failed(
            f"The image declares {', '.join(sorted(outside)[:3])} as a volume, which makes it writable.",
            "Remove VOLUME; write to /tmp or nowhere.",
        )
    with bench.running(work, **bench.ROOMY | {"read_only": True}) as service:
        service.ask("Where is my parcel?")
    return passed("It became ready and answered with a read-only root filesystem.")
