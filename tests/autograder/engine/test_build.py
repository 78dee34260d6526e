"""Building with docker and podman: offline, labelled, limited, and clear about what went wrong."""

import subprocess
import time

import pytest

from autograder.engine import Engine, building
from autograder.errors import InfrastructureError, LearnerError
from autograder.owner import JOB, OWNER

pytestmark = pytest.mark.slow

ORDINARY = [
    "WORKDIR /srv",
    "COPY requirements.txt .",
    "RUN pip install --no-cache-dir -r requirements.txt",
    "COPY service.py .",
    "USER 1000",
    'ENV MODE="real"',
    "STOPSIGNAL SIGINT",
    "HEALTHCHECK --interval=5s CMD python -c 'print(1)'",
    'CMD ["python", "service.py"]',
]


def test_an_ordinary_dockerfile(engine, context):
    folder = context(
        *ORDINARY, requirements_dot_txt="idna\n", service_dot_py="import idna\n"
    )
    image = engine.build(folder)

    assert image.config["User"] == "1000"
    assert image.config["StopSignal"] in ("SIGINT", "2")
    assert image.config["Cmd"] == ["python", "service.py"]
    assert image.config["Healthcheck"]["Test"][0] == "CMD-SHELL"
    assert "MODE=real" in image.config["Env"]
    assert image.config["Labels"][JOB] == engine.job
    assert image.config["Labels"][OWNER] == engine.labels[OWNER]
    base = engine.image(engine.base)
    assert image.digests[: len(base.digests)] == base.digests
    assert image.size > base.size
    assert any("pip install" in layer.created_by for layer in image.layers)
    with engine.run(image) as container:
        assert container.wait(30) == 0, container.logs()


def test_a_rebuild_takes_unchanged_layers_from_the_cache_of_its_own_job(
    engine, context
):
    random = "RUN head -c 16 /dev/urandom > /random"
    first = engine.build(context(random, "COPY a /a", a="1"))
    second = engine.build(context(random, "COPY a /a", a="2"))
    assert first.digests[:-1] == second.digests[:-1]
    assert first.digests[-1] != second.digests[-1]

    with Engine.connect(engine.program) as other:
        assert other.build(context(random, "COPY a /a", a="1")).digests[1] not in (
            first.digests
        ), "two jobs shared a layer"


def test_every_way_pip_and_venv_install_works_offline(engine, context):
    image = engine.build(
        context(
            "RUN pip install --prefix=/install idna",
            "FROM python:3.11-slim",
            "COPY --from=build /install /usr/local",
            "RUN pip install --user click && pip install --target /t h11"
            " && python -m venv /v && /v/bin/pip install anyio && pip install --upgrade pip",
            "COPY --from=build /install/lib/python3.11/site-packages /copied",
            "CMD python -c 'import idna, click' && PYTHONPATH=/t python -c 'import h11'"
            " && /v/bin/python -c 'import anyio' && test -e /copied/idna && echo all",
            start="FROM python:3.11-slim AS build",
        )
    )
    with engine.run(image) as container:
        assert container.wait(30) == 0, container.logs()
        assert container.logs() == b"all\n"


def test_nothing_of_the_judges_environment_reaches_a_build(
    engine, context, monkeypatch
):
    for name in ("HTTP_PROXY", "https_proxy", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "http://leaked.example")
    with Engine.connect(engine.program) as fresh:
        image = fresh.build(context("RUN env > /seen", "CMD cat /seen && env"))
        with fresh.run(image, env={"GIVEN": "yes"}) as container:
            assert container.wait(30) == 0
            assert b"leaked" not in container.logs()
            assert b"GIVEN=yes" in container.logs()


@pytest.mark.parametrize(
    ("line", "seen", "advice"),
    [
        ("RUN echo the last words; exit 3", "the last words", "docker build"),
        ("RUN pip install flask", "No matching distribution found for flask", "none"),
        ("RUN pip install idna==0.1", "idna==0.1", "it offers: 3."),
        ("COPY missing.py /x", "missing.py", "docker build"),
        ("RUN apt-get install -y curl", "curl", "no network"),
    ],
)
def test_a_failing_instruction_is_shown(engine, context, line, seen, advice):
    with pytest.raises(LearnerError) as caught:
        engine.build(context(line))
    assert "does not build" in caught.value.seen
    assert seen in caught.value.seen
    assert "\x1b" not in caught.value.seen
    assert "the-pivot.job" not in caught.value.seen
    assert advice in caught.value.advice


def test_what_dockerignore_names_does_not_count(engine, context, monkeypatch):
    monkeypatch.setattr(building, "CONTEXT", 1000)
    folder = context("COPY . /x", a="1")
    (folder / "data").mkdir()
    (folder / "data/big").write_bytes(bytes(2000))
    with pytest.raises(LearnerError, match="data/big"):
        engine.build(folder)

    (folder / ".dockerignore").write_text("# not needed\ndata/\n")
    image = engine.build(folder)
    with engine.run(image, command=["test", "-e", "/x/data"]) as container:
        assert container.wait(30) == 1


def test_a_folder_without_a_dockerfile(engine, tmp_path):
    with pytest.raises(LearnerError, match="no Dockerfile"):
        engine.build(tmp_path)
    (tmp_path / "Dockerfile").write_bytes(b"\xff\xfe")
    with pytest.raises(LearnerError, match="UTF-8"):
        engine.build(tmp_path)


def test_a_full_disk_is_not_the_learners_fault(engine, context, monkeypatch):
    words = "RUN echo layer not known, No space left on device >&2; exit 1"
    with pytest.raises(LearnerError):
        engine.build(context(words))
    monkeypatch.setattr(building, "FREE", 1 << 60)
    with pytest.raises(InfrastructureError, match=r"disk of .* is full"):
        engine.build(context("RUN exit 1"))


def test_a_failed_build_leaves_nothing(engine, context):
    with Engine.connect(engine.program) as other:
        with pytest.raises(LearnerError):
            other.build(
                context(
                    "RUN touch /one",
                    "FROM scratch",
                    "COPY --from=0 /one /one",
                    "FROM python:3.11-slim",
                    "LABEL the-pivot.job=mine the-pivot.owner=me",
                    "RUN touch /two && touch /three",
                    "RUN false",
                )
            )
        job = other.job
    label = ["--filter", "label=the-pivot.job=mine"]
    assert engine.cli.tell("images", "--all", "--quiet", *label) == ""
    for listing in (["ps"], ["images"]):
        label = ["--filter", f"label=the-pivot.job={job}"]
        assert engine.cli.tell(*listing, "--all", "--quiet", *label) == ""


def test_a_build_that_takes_too_long_ends_with_all_it_runs(engine, context):
    start = time.monotonic()
    with pytest.raises(LearnerError, match="not built after 4 seconds"):
        engine.build(context("RUN sleep 86399.25"), seconds=4)
    assert time.monotonic() - start < 20
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _running("sleep 86399.25"):
        time.sleep(0.2)
    assert not _running("sleep 86399.25")


def _running(command: str) -> bool:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True)
    return command in listed.stdout.splitlines()
