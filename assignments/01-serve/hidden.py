"""What else a service must do: the same contract, asked with inputs that are drawn for each grading."""

import contextlib
import json
import random
from collections import Counter

from autograder.checks import Outcome, failed, partly, passed
from autograder.errors import LearnerError
from autograder.probes.answer import Metrics
from autograder.probes.http import Answer, Client
from autograder.work import Work

from . import bench, reference
from .answers import and_more, intent_of, predicted, shown
from .bench import MESSAGE, post_bytes
from .checks import STARTED, assignment
from .metrics import PATIENCE, exposition, total


@assignment.check(
    "serve/accepts",
    title="Accepts what the contract allows",
    points=1,
    needs=STARTED,
    hidden=True,
)
def accepts(work: Work) -> Outcome:
    client = work.shared(bench.normal).client
    draw = work.random
    ticket = bench.draw_message(draw)
    exotic = "".join(draw.choices("äßéł中文ひ한😀🚚م\u200d\n", k=12))
    singles = {
        "a message in other scripts, with emoji": f"{ticket} {exotic}",
        "a message of exactly 2,000 characters": fill(draw, ticket, 2000),
        "a message between blanks": f"\n\t {ticket} \n",
    }
    wrong = []
    for what, message in singles.items():
        # Half of all clients escape what is not ASCII; both are the same JSON.
        body = json.dumps({"message": message}, ensure_ascii=draw.random() < 0.5)
        answer = post_bytes(client, body.encode())
        if answer.status != 200:
            wrong.append(f"POST /predict with {what} answered {answer.status}.")
        elif [predicted(answer).get("intent")] != reference.intents([message]):
            wrong.append(f"POST /predict with {what} answered another intent.")
    messages = [bench.draw_message(draw) for _ in range(64)]
    answer = client.post_json("/predict/batch", {"messages": messages})
    if answer.status != 200:
        wrong.append(f"POST /predict/batch with 64 messages answered {answer.status}.")
    elif answer.body.count(b'"intent"') != 64:
        wrong.append("POST /predict/batch with 64 messages gave fewer predictions.")
    if not wrong:
        return passed("Unusual but allowed messages were answered like any other.")
    return partly(
        1 - len(wrong) / 4,
        f"{wrong[0]}{and_more(len(wrong))}",
        "Limits count characters, not bytes, and include their last value; "
        "what is allowed reaches the model unchanged.",
        wrong=wrong,
        messages=singles,
    )


def fill(draw: random.Random, message: str, length: int) -> str:
    """The message, followed by emoji (four bytes each) up to this number of characters."""
    return message[:length] + draw.choice("😀🚚📦🧾") * max(0, length - len(message))


@assignment.check(
    "serve/own-answer",
    title="Gives everybody their own answer",
    points=1,
    needs=STARTED,
    hidden=True,
)
def own_answer(work: Work) -> Outcome:
    busy = work.shared(bench.slow_predicting)
    got = [intent_of(answer) for answer in busy.answers]
    if got == reference.intents(busy.messages):
        return passed(
            "Requests at the same time got the answers to their own messages."
        )
    return failed(
        f"Of {len(got)} requests at the same time, not all got the answer to their own message.",
        "Keep what belongs to a request in local variables; if you batch requests, "
        "hand the answers back in the order the messages went in.",
        messages=busy.messages,
        got=shown(got, 1000),
    )


@assignment.check(
    "serve/sturdy",
    title="Is not upset by odd requests",
    points=1,
    needs=STARTED,
    hidden=True,
)
def sturdy(work: Work) -> Outcome:
    client = work.shared(bench.normal).client
    draw = work.random
    depth, digits = draw.randint(20_000, 30_000), draw.randint(5_000, 9_000)
    surrogate = f"\\ud{draw.choice('89ab')}{draw.randint(16, 99)}"
    # Python's json takes half a surrogate pair, and JSON allows NUL: both may be answered as well as refused.
    bodies = {
        "half of a surrogate pair": f'{{"message": "where is {surrogate} it"}}',
        "a NUL character": '{"message": "where is\\u0000 it"}',
        "JSON nested some ten thousand deep": "[" * depth + "]" * depth,
        "a number of some thousand digits": f'{{"message": {"7" * digits}}}',
    }
    wrong = []
    for what, body in bodies.items():
        try:
            answer = post_bytes(client, body.encode())
        except LearnerError as error:
            wrong.append(f"A body with {what}: {error.seen}")
            continue
        if answer.status in (400, 422) or ("\\u" in body and intent_of(answer)):
            continue
        traceback = ", with a traceback" if b"Traceback" in answer.body else ""
        wrong.append(f"A body with {what} was answered {answer.status}{traceback}.")
    if not wrong:
        return passed("Odd requests were refused or answered, and broke nothing.")
    return partly(
        1 - len(wrong) / len(bodies),
        f"{wrong[0]}{and_more(len(wrong))}",
        "Whatever a client sends is the client's doing: refuse it with 400 or 422. "
        "A 500 says that you are at fault, and wakes somebody up.",
        wrong=wrong,
    )


@assignment.check(
    "serve/discreet",
    title="Keeps its insides to itself",
    points=1,
    needs=STARTED,
    hidden=True,
)
def discreet(work: Work) -> Outcome:
    answers = answers_without_model(work)
    for request, answer in answers.items():
        text = answer.body.decode(errors="replace")
        if any(inside in text for inside in INSIDES):
            return failed(
                f"{request} was answered with a path or a traceback of the service.",
                "Log the exception, and tell clients in a sentence of your own what is the matter.",
                answer=text,
            )
    if not any(answer.status == 503 for answer in answers.values()):
        return failed(
            "Without a usable model file it refused nothing, so there was no refusal to look at.",
            "Stay alive when `load` raises, and answer 503.",
        )
    return passed("Not even without its model did it show paths or tracebacks.")


INSIDES = (bench.PLACE, "Traceback (most", ".py", "/work")


def answers_without_model(work: Work) -> dict[str, Answer]:
    """What the service says when its model file is missing and when it is damaged."""
    found = {}
    for what, make in (
        ("missing", bench.missing_model),
        ("damaged", bench.damaged_model),
    ):
        # No answer shows nothing; that there should have been one is for other checks to say.
        with contextlib.suppress(LearnerError):
            client = work.shared(make).client
            found[f"With a {what} model file, GET /readyz"] = client.get("/readyz")
            body = {"message": MESSAGE}
            answer = client.post_json("/predict", body, seconds=2)
            found[f"With a {what} model file, POST /predict"] = answer
    return found


@assignment.check(
    "serve/counts",
    title="Counts every request, refused ones too",
    points=1,
    needs=STARTED,
    hidden=True,
)
def counts(work: Work) -> Outcome:
    client = work.shared(bench.normal).client
    before = exposition(client)
    sent: Counter[tuple[str, int]] = Counter()
    for path, body in draw_requests(work.random):
        answer = client.get(path) if body is None else client.post_json(path, body)
        # Of paths that do not exist only the status is counted on, not what they are called.
        label = path if path.startswith("/predict") else "any unknown path"
        sent[label, answer.status] += 1
    faults: list[str] = []

    def tallies() -> bool:
        faults[:] = miscounted(before, exposition(client), sent)
        return not faults

    if bench.wait_for(tallies, PATIENCE):
        return passed("Every request was counted once, by path and status.")
    return failed(
        f"{faults[0]}{and_more(len(faults))}",
        "Count where every answer passes, those of the framework included: "
        "in a middleware around everything else.",
        faults=faults,
        sent={f"{path} {status}": count for (path, status), count in sent.items()},
    )


def draw_requests(draw: random.Random) -> list[tuple[str, object]]:
    """Good and bad requests in some order; a body of None means GET."""
    requests: list[tuple[str, object]] = []
    kinds: list[tuple[str, object]] = [
        ("/predict", {"message": MESSAGE}),
        ("/predict", {}),
        ("/predict", None),
        ("/predict/batch", {"messages": [MESSAGE, MESSAGE]}),
        ("/predict/batch", {"messages": []}),
    ]
    for kind in kinds:
        requests += [kind] * draw.randint(1, 5)
    requests += [(unknown_path(draw), None) for _ in range(draw.randint(2, 6))]
    draw.shuffle(requests)
    return requests


def unknown_path(draw: random.Random) -> str:
    return (
        f"/{draw.choice(('admin', 'wp-login', 'api', '.env'))}-{draw.getrandbits(40):x}"
    )


def miscounted(
    before: Metrics, after: Metrics, sent: Counter[tuple[str, int]]
) -> list[str]:
    """One sentence for each path and status whose counter did not rise by what was sent."""
    faults = []
    for (path, status), count in sent.items():
        labels = {"status": str(status)}
        if path.startswith("/predict"):
            labels["path"] = path
        name = "requests_total"
        risen = total(after, name, **labels) - total(before, name, **labels)
        if risen != count:
            few = "less" if risen < count else "more"
            faults.append(
                f"requests_total for {path} with status {status} rose by {few} than was sent."
            )
    return faults


@assignment.check(
    "serve/labels",
    title="Does not let clients make up labels",
    points=1,
    needs=STARTED,
    hidden=True,
)
def labels(work: Work) -> Outcome:
    client = work.shared(bench.normal).client
    visit(client, work.random, 1)  # what the first unknown path adds is fine
    before = exposition(client)
    if "requests_total" not in before:
        return failed(
            "GET /metrics shows no requests_total.",
            "Count requests first; then mind what becomes a label.",
        )
    visit(client, work.random, 20)
    after = exposition(client)
    new = {
        name: len(after[name].keys() - before.get(name, {}).keys()) for name in after
    }
    worst = max(new.values())
    if worst < 5:
        return passed("Unknown paths share a label.")
    return failed(
        f"20 requests for paths that do not exist made {worst} new time series of one metric.",
        "Use the names of your own routes as labels and one fixed label for all the rest: "
        "every scanner on the internet would fill your memory, and Prometheus's.",
        new=new,
    )


def visit(client: Client, draw: random.Random, count: int) -> None:
    for _ in range(count):
        client.get(unknown_path(draw))
