"""What else the service's image must be, with inputs that are drawn for each grading."""

from autograder.checks import Outcome, failed, passed
from autograder.probes.http import complaint
from autograder.work import Work

from . import bench, reference
from .checks import READY, assignment

MESSAGES = 20
AT_ONCE = 32


@assignment.check(
    "containerise/answers",
    title="Answers with the given model",
    points=1,
    needs=READY,
    hidden=True,
)
def answers(work: Work) -> Outcome:
    service = work.shared(bench.normal)
    messages = bench.draw_messages(work.random, MESSAGES)
    got = [service.ask(message) for message in messages]
    expected = reference.intents(messages)
    wrong = sum(one != other for one, other in zip(got, expected, strict=True))
    if wrong:
        return failed(
            f"{wrong} of {len(messages)} messages got another intent than the given model has for them.",
            "Copy service.py, model.py and model.safetensors into the image, and leave them as they are.",
            messages=messages,
            got=got,
            expected=expected,
        )
    return passed(f"{len(messages)} messages were answered as the given model does.")


@assignment.check(
    "containerise/load",
    title="Holds under load, within its limits",
    points=1,
    needs=READY,
    hidden=True,
)
def holds(work: Work) -> Outcome:
    messages = bench.draw_messages(work.random, AT_ONCE)
    load = bench.under_load(work, messages)
    count = f"{len(load.each)} requests, {AT_ONCE} at once"
    lost = complaint([load.batch, *load.each])
    if lost or not load.state.running:
        return failed(
            f"In {bench.MEMORY} of memory: {lost.seen if lost else 'the container ended.'}",
            "Count processes times the memory of each: beyond the limit the kernel kills one, with all "
            "requests in it. One process with threads serves this model well.",
        )
    expected = reference.intents(messages)
    got = list(map(bench.intent, load.each))
    if bench.intents_in(load.batch) != expected or got != expected * bench.TIMES:
        return failed(
            f"Of {count}, some got another intent than the given model has for them.",
            "Copy service.py and model.py into the image, and leave them as they are.",
            messages=messages,
        )
    return passed(f"{count}, were all answered right in {bench.MEMORY} of memory.")
