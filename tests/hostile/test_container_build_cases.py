"""Images and containers made to harm the judge or to fool it. The numbers are those of the list of cases."""

import socket
import time
from pathlib import Path

import pytest

from autograder.engine import Engine
from autograder.errors import LearnerError
from autograder.probes.image import contents, read

pytestmark = pytest.mark.slow


def refused(engine: Engine, folder: Path, *, seconds: float = 120) -> LearnerError:
    with pytest.raises(LearnerError) as caught:
        engine.build(folder, seconds=seconds)
    return caught.value


def test_case_37_no_socket_device_or_folder_of_the_host_is_in_a_container(engine):
    code = (
        "import os, stat\n"
        "for folder, folders, files in os.walk('/'):\n"
        "    folders[:] = [name for name in folders if folder != '/' or name not in ('proc', 'sys')]\n"
        "    for name in files:\n"
        "        mode = os.lstat(os.path.join(folder, name)).st_mode\n"
        "        if stat.S_ISSOCK(mode) or stat.S_ISBLK(mode): print('FOUND', folder, name)\n"
        "kinds = {line.split()[2] for line in open('/proc/mounts')"
        " if not line.split()[1].startswith('/etc/')\n"
        "         and line.split()[1] not in ('/run/.containerenv', '/run/secrets')}\n"
        "print(sorted(kinds & {'ext4', 'xfs', 'btrfs', '9p', 'virtiofs', 'fuse'}))\n"
        "try: os.mknod('/tmp/disk', 0o600 | stat.S_IFBLK, os.makedev(8, 0)); print('made a device')\n"
        "except OSError: pass\n"
    )
    image = engine.image(engine.base)
    with engine.run(image, command=["python3", "-c", code]) as container:
        assert container.wait(60) == 0, container.logs()
        assert container.logs() == b"[]\n"


def test_case_46_root_and_secrets_are_seen(engine, context):
    folder = context("COPY . /srv", "RUN rm /srv/.env", _dot_env="TOKEN=planted")
    image = engine.build(folder)
    assert image.config.get("User", "") == "", "no user means root"
    assert any(
        secret.where == "/srv/.env"
        for secret in contents(image, read(engine, image)).secrets
    )


def test_case_47_a_giant_context_is_not_sent(engine, context):
    folder = context("COPY . /x")
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(300 << 30)  # a hole: 300 GB that take no space
    start = time.monotonic()
    error = refused(engine, folder)
    assert "weights.bin" in error.seen
    assert time.monotonic() - start < 5


def test_case_47_a_giant_image_is_stopped_while_it_grows(engine, context):
    endless = (
        "RUN i=0; while true; do i=$((i+1)); head -c 100000000 /dev/zero > /f$i; done"
    )
    assert "1024 MiB" in refused(engine, context(endless)).seen


def test_case_48_a_run_that_sleeps_for_ever(engine, context):
    error = refused(engine, context("RUN sleep infinity"), seconds=4)
    assert "not built after 4 seconds" in error.seen


def test_case_49_a_build_has_no_network(engine, context):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        port = server.getsockname()[1]
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), 3)"
        error = refused(engine, context(f'RUN python3 -c "{connect}"'))
        assert "refused" in error.seen
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    "line",
    [
        "RUN --mount=type=bind,source=/,target=/host ls",
        "RUN --network=host true",
        "ADD http://169.254.169.254/latest/meta-data /x",
    ],
)
def test_case_49_a_build_gets_no_mounts_and_fetches_nothing(engine, context, line):
    assert refused(engine, context(line)).seen.startswith("Line 2 of the Dockerfile")


@pytest.mark.parametrize(
    "image", ["python", "python:latest", "evil.example/python:3.11-slim"]
)
def test_case_50_an_unpinned_or_foreign_base(engine, context, image):
    error = refused(engine, context(start=f"FROM {image}"))
    assert image in error.seen
    assert "python:3.11-slim" in error.advice


def test_case_51_a_container_that_ignores_the_stop_signal(engine):
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        " print('deaf', flush=True); time.sleep(600)"
    )
    image = engine.image(engine.base)
    with engine.run(image, command=["python3", "-c", code]) as container:
        deadline = time.monotonic() + 60
        while b"deaf" not in container.logs():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        stopped = container.stop(grace=1)
        assert stopped.killed
        assert not container.state().running


def test_case_56_another_architecture(engine, context):
    other = "arm64" if engine.architecture == "amd64" else "amd64"
    start = f"FROM --platform=linux/{other} python:3.11-slim"
    assert f"linux/{other}" in refused(engine, context(start=start)).seen


def test_case_58_a_peers_image_cannot_be_built_on(engine, context):
    with Engine.connect(engine.program) as peer:
        peer.build(context("RUN touch /solution"))
        tags = peer.cli.tell("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        (theirs,) = [tag for tag in tags if peer.job in tag]
        for folder in (
            context(start=f"FROM {theirs}"),
            context(f"COPY --from={theirs} /solution /"),
        ):
            assert theirs[:20] in refused(engine, folder).seen


def test_case_60_two_jobs_use_the_same_names(engine, context):
    folder = context("LABEL the-pivot.job=victim", "RUN touch /x")
    with Engine.connect(engine.program) as other:
        mine, theirs = engine.build(folder), other.build(folder)
        assert mine.id != theirs.id
        with engine.run(mine, command=["sleep", "600"]) as container:
            other.close()
            assert container.state().running
        assert engine.image(mine.id).id == mine.id
    assert mine.config["Labels"]["the-pivot.job"] == engine.job, "theirs won"
