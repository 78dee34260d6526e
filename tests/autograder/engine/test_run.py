"""Containers of docker and podman: confined, watched from outside, and always removed."""

import time

import pytest
from engines import leftovers

from autograder.engine import Engine, container
from autograder.errors import LearnerError

pytestmark = pytest.mark.slow


def python(code: str) -> list[str]:
    return ["python3", "-c", code]


@pytest.fixture(scope="module")
def base(engine):
    return engine.image(engine.base)


def printed(engine, image, command, **options) -> str:
    with engine.run(image, command=command, **options) as running:
        assert running.wait(30) is not None
        return running.logs().decode()


def test_it_is_confined(engine, base):
    said = printed(
        engine,
        base,
        python(
            "import pathlib, socket, resource\n"
            "status = pathlib.Path('/proc/self/status').read_text().split()\n"
            "print(status[status.index('CapEff:') + 1], status[status.index('NoNewPrivs:') + 1])\n"
            "print([name for _, name in socket.if_nameindex()])\n"
            "for path in ('/x', '/run/x', '/var/tmp/x', '/dev/shm/x', '/tmp/x'):\n"
            "    try: print(path, pathlib.Path(path).write_text('x'))\n"
            "    except OSError: print(path, 'refused')\n"
            "print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        ),
    )
    lines = said.splitlines()
    assert lines[0] == "0000000000000000 1"
    assert lines[1] == "['lo']"
    assert "/x refused" in lines
    assert "/run/x refused" in lines
    assert "/var/tmp/x refused" in lines
    assert "/tmp/x 1" in lines
    assert lines[-1] == "(4096, 4096)"


def test_tmp_is_limited_and_so_is_a_volume_of_the_image(engine, context):
    image = engine.build(context("VOLUME /data", "USER 1000"))
    code = (
        "for folder in ('/tmp', '/data'):\n"
        "    try: open(folder + '/big', 'wb').write(bytes(80 << 20)); print('written')\n"
        "    except OSError as error: print(folder, error.strerror)\n"
    )
    said = printed(engine, image, python(code))
    assert said.splitlines() == [
        "/tmp No space left on device",
        "/data No space left on device",
    ]


def test_memory_runs_out_at_the_limit(engine, base):
    with engine.run(
        base, command=python("x = bytearray(b'1') * (200 << 20)"), memory="64m"
    ) as running:
        assert running.wait(30) == 137
        assert running.state().oom_killed
        assert not running.state().running


def test_processes_run_out_at_the_limit(engine, base):
    code = (
        "import os, time\n"
        "try:\n"
        "    for count in range(50):\n"
        "        if not os.fork(): time.sleep(60)\n"
        "except BlockingIOError: print('refused after', count)\n"
    )
    with engine.run(base, command=python(code), pids=20, user="1000") as running:
        assert running.wait(30) == 0
        assert b"refused after" in running.logs()


def test_a_stop_signal_that_is_heeded_and_one_that_is_not(engine, context):
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(7))\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    polite = engine.build(
        context(
            *("COPY run.py /", "STOPSIGNAL SIGINT", 'CMD ["python", "/run.py"]'),
            run_dot_py=script,
        )
    )
    with engine.run(polite) as running:
        _wait_for(running, b"up")
        stopped = running.stop(20)
    assert (stopped.status, stopped.killed) == (7, False)
    assert stopped.seconds < 10

    deaf = engine.build(
        context("COPY run.py /", 'CMD ["python", "/run.py"]', run_dot_py=script)
    )
    with engine.run(deaf) as running:
        _wait_for(running, b"up")
        stopped = running.stop(1)
    assert (stopped.status, stopped.killed) == (137, True)
    assert 1 <= stopped.seconds < 15


def test_stopping_what_has_ended_takes_no_time(engine, base):
    with engine.run(base, command=["true"]) as running:
        assert running.wait(30) == 0
        stopped = running.stop(5)
        running.kill()
    assert (stopped.seconds, stopped.status, stopped.killed) == (0.0, 0, False)


def test_logs_are_capped(engine, base, monkeypatch):
    monkeypatch.setattr(container, "KEPT", 100)
    code = "for number in range(20000): print(number)"
    with engine.run(base, command=python(code)) as running:
        assert running.wait(30) == 0
        assert len(running.logs()) == 100
        assert running.logs().endswith(b"19999\n")


def test_the_image_s_own_health_check(engine, context):
    def image(check):
        return engine.build(context(f"HEALTHCHECK {check}", "CMD sleep 600"))

    with engine.run(image("CMD exit 3")) as running:
        assert running.healthcheck() == 3
    with engine.run(image('CMD ["test", "-e", "/etc"]')) as running:
        assert running.healthcheck() == 0
    with engine.run(image('CMD test "$STATE" = well'), env={"STATE": "ill"}) as running:
        assert running.healthcheck() == 1
        assert running.healthcheck(env={"STATE": "well"}) == 0
    with (
        engine.run(image("CMD sleep 600")) as running,
        pytest.raises(LearnerError, match="did not end within 1 second"),
    ):
        running.healthcheck(seconds=1)
    with (
        engine.run(image("NONE")) as running,
        pytest.raises(LearnerError, match="no HEALTHCHECK"),
    ):
        running.healthcheck()


@pytest.mark.parametrize(
    "line",
    ['CMD ["/no/such/program"]', "USER nobody-of-this-name\nCMD true", 'CMD ["/etc"]'],
)
def test_an_image_that_cannot_start_is_the_learners(engine, context, line):
    image = engine.build(context(line))
    with pytest.raises(LearnerError, match="does not start"), engine.run(image):
        pass


def test_an_image_without_a_command(engine, context):
    image = engine.build(context("COPY a /a", start="FROM scratch", a="1"))
    with pytest.raises(LearnerError, match="what to run"), engine.run(image):
        pass


def test_a_program_of_the_judges_beside_the_learners(engine, base):
    server = (
        "import http.server\n"
        "http.server.HTTPServer(('127.0.0.1', 8000), http.server.BaseHTTPRequestHandler).serve_forever()"
    )
    client = (
        "import socket, sys, time\n"
        "for line in sys.stdin:\n"
        "    while True:\n"
        "        try: socket.create_connection(('127.0.0.1', int(line))).close(); break\n"
        "        except OSError: time.sleep(0.1)\n"
        "    print('reached', flush=True)\n"
    )
    with (
        engine.run(base, command=python(server)) as running,
        engine.attached(
            engine.base, python(client), network=f"container:{running.id}"
        ) as prober,
    ):
        prober.stdin.write(b"8000\n")
        prober.stdin.flush()
        assert prober.stdout.readline() == b"reached\n"


def test_an_attached_program_that_does_not_end_is_removed(engine):
    with engine.attached(engine.base, python("import time; time.sleep(600)")) as prober:
        time.sleep(1)
        assert prober.poll() is None
    assert prober.poll() is not None
    assert leftovers(engine, job=engine.job).count("\n") == len(
        engine.cli.tell(
            "images",
            "--all",
            "--quiet",
            "--filter",
            f"label=the-pivot.job={engine.job}",
        ).split()
    ), "only images are left"


def test_containers_go_even_if_the_check_fails(engine, base):
    with pytest.raises(ZeroDivisionError), engine.run(base, command=["sleep", "600"]):
        raise ZeroDivisionError
    label = ["--filter", f"label=the-pivot.job={engine.job}"]
    assert engine.cli.tell("ps", "--all", "--quiet", *label) == ""


def test_two_jobs_do_not_meet(engine, base):
    with (
        Engine.connect(engine.program) as other,
        engine.run(base, command=["sleep", "600"]) as mine,
        other.run(base, command=["sleep", "600"]) as theirs,
    ):
        other.close()
        assert mine.state().running
        assert leftovers(engine)
        assert mine.id != theirs.id


def _wait_for(running, text: bytes) -> None:
    deadline = time.monotonic() + 30
    while text not in running.logs():
        assert time.monotonic() < deadline, running.logs()
        time.sleep(0.1)
