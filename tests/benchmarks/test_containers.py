"""The judge's overhead on a container, as a ratio of the same steps by hand."""

import pytest

from autograder.engine import Engine
from autograder.verdict import CheckResult, Verdict
from benchmarks import containers
from benchmarks.containers import SECRET, ByHand, build_folder

VERDICT = Verdict(
    status="graded",
    assignment="containerise",
    learner="reference",
    points=1,
    max_points=1,
    checks=[
        CheckResult(
            id="containerise/builds",
            title="Builds",
            hidden=False,
            points=1,
            max_points=1,
            seen="It builds.",
            seconds=7.123,
        )
    ],
)


def test_the_ratio_is_the_median_of_the_rounds(monkeypatch):
    hands = iter([10.0, 20.0, 10.0])
    judges = iter([11.0, 60.0, 12.0])
    monkeypatch.setattr(containers, "by_hand", lambda: (next(hands), {"build": 4.0}))
    monkeypatch.setattr(containers, "judged", lambda: (next(judges), VERDICT))
    result = containers.measure(3)
    assert result["ratios"] == [1.1, 3.0, 1.2]
    assert result["ratio"] == 1.2
    assert result["by_hand"] == {"build": 4.0}
    assert result["checks"] == {"containerise/builds": 7.12}


@pytest.mark.slow
@pytest.mark.needs("docker")
def test_the_steps_by_hand_work_and_leave_nothing():
    with Engine.connect("docker") as engine, build_folder(engine) as context:
        assert SECRET in (context / ".env").read_text()
        hand = ByHand(engine, context)
        hand.all()
        found = hand.engine.cli.tell("image", "ls", "--quiet", hand.tag)
        running = hand.engine.cli.tell(
            "ps", "--all", "--quiet", "--filter", f"ancestor={hand.tag}"
        )
    assert set(hand.seconds) >= {"build", "serve", "stop", "load"}
    assert found.strip() == running.strip() == ""
