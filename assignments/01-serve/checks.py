"""What learners can check while they work. The contract itself is in the notebook."""

import json
from collections.abc import Callable
from typing import Any

from autograder.checks import Assignment, Outcome, failed, partly, passed
from autograder.errors import LearnerError
from autograder.probes.answer import Answer, problem_complaint
from autograder.work import Work

from . import bench, reference
from .answers import (
    and_more,
    intent_of,
    is_number,
    listed,
    media_type,
    parsed,
    predicted,
    said,
    shown,
    without_model,
)
from .bench import MESSAGE, post_bytes, post_chunks
from .metrics import exposition, rise

assignment = Assignment(
    "serve",
    title="Serve a model behind a contract",
    submits=("service.py",),
    given=("given/model.py", "given/model.safetensors"),
)
STARTED = ("serve/starts",)
TOLERANCE = 0.001  # confidence may be rounded to three digits


@assignment.check("serve/starts", title="Starts and speaks HTTP", points=1)
def starts(work: Work) -> Outcome:
    service = work.shared(bench.normal)
    if service.client.get("/healthz").status == 500:
        return failed(
            "GET /healthz answered 500.",
            "Read the traceback that Uvicorn prints: `app` may not be an ASGI application.",
        )
    return passed(f"Its first answer came {service.up:.1f} s after the start.")


@assignment.check(
    "serve/alive", title="Alive before the model is", points=1, needs=STARTED
)
def alive(work: Work) -> Outcome:
    loading = work.shared(bench.slow_loading)
    health = loading.seen["/healthz"]
    took = f"With a model that takes {loading.load_seconds:.1f} s to load,"
    if not loading.early("/healthz"):
        return failed(
            f"{took} nothing answered for {health.asked:.1f} s.",
            "Uvicorn opens its socket after the import and after what precedes `yield` in lifespan. "
            "Let a thread load the model, and go on without waiting for it.",
        )
    if health.answer is None or health.answer.status != 200:
        return failed(
            f"{took} GET /healthz {said(health.answer, health.trouble)} in the meantime.",
            "Alive means: the process runs. /healthz answers 200 and asks nobody, least of all the model.",
        )
    return passed(f"{took} GET /healthz answered 200 after {health.answered:.1f} s.")


@assignment.check(
    "serve/early", title="Sends early customers away politely", points=1, needs=STARTED
)
def early(work: Work) -> Outcome:
    loading = work.shared(bench.slow_loading)
    seen, limit = loading.seen["/predict"], loading.load_seconds
    if not loading.early("/predict"):
        return passed("It could not be asked before the model was loaded.")
    if seen.answered >= limit:
        return failed(
            f"POST /predict, asked {seen.asked:.1f} s after the start, kept its client waiting for the model "
            f"until {seen.answered:.1f} s.",
            "Answer 503 at once: the client can then ask another replica.",
        )
    if seen.answer is None or seen.answer.status != 503:
        return failed(
            f"POST /predict {said(seen.answer, seen.trouble)} while the model was being loaded.",
            "Answer 503: the request is right, the moment is not.",
        )
    if not seen.answer.headers.get("retry-after", "").strip().isdigit():
        return failed(
            "POST /predict answered 503 without a Retry-After in seconds.",
            "Add the header `Retry-After: 2`, so that clients need not guess when to come back.",
        )
    return passed("POST /predict answered 503 with Retry-After until the model came.")


@assignment.check(
    "serve/answer", title="Answers as the contract says", points=1, needs=STARTED
)
def answer(work: Work) -> Outcome:
    service = work.shared(bench.normal)
    messages = [MESSAGE, *bench.draw_messages(work.random, 3)]
    for message, expected in zip(
        messages, reference.model().predict(messages), strict=True
    ):
        body = predicted(service.ask(message))
        evidence = {"message": message, "answer": shown(body, 1000)}
        if set(body) != {"intent", "confidence", "model"}:
            return failed(
                f"The answer has the fields {listed(body)}.",
                "The contract's fields are intent, confidence and model, no more and no fewer.",
                **evidence,
            )
        if body["intent"] != expected.intent:
            return failed(
                "The intent is not the one that model.predict gives for this message.",
                "Hand the message to model.predict as it came and return its prediction's intent.",
                **evidence,
            )
        if not is_number(body["confidence"]) or not 0 <= body["confidence"] <= 1:
            return failed(
                f"confidence is {shown(body['confidence'])}.",
                "It is a JSON number from 0 to 1, the prediction's own: no per cent, no string.",
                **evidence,
            )
        if abs(body["confidence"] - expected.confidence) > TOLERANCE:
            return failed(
                f"confidence is {body['confidence']:.4f} where model.predict says {expected.confidence:.4f}.",
                "Return the prediction's confidence, rounded to no fewer than three digits.",
                **evidence,
            )
        if body["model"] != reference.model_digest():
            return failed(
                f"model is {shown(body['model'])}, not the SHA-256 of the model file.",
                "Hash the bytes of the file that MODEL_PATH names, as 64 hexadecimal digits.",
                **evidence,
            )
    return passed(f"{len(messages)} messages were answered as the model answers them.")


@assignment.check(
    "serve/batch", title="Answers a batch in its order", points=1, needs=STARTED
)
def batch(work: Work) -> Outcome:
    service = work.shared(bench.normal)
    drawn = bench.draw_messages(work.random, 6)
    messages = [*drawn, drawn[1], drawn[4]]  # customers do repeat themselves
    response = service.client.post_json("/predict/batch", {"messages": messages})
    if response.status != 200:
        return failed(
            f"POST /predict/batch answered {response.status} to {len(messages)} messages.",
            'Accept {"messages": [1 to 64 messages]} and answer 200.',
        )
    body = parsed(response)
    answers = body.get("predictions") if isinstance(body, dict) else None
    if not isinstance(answers, list) or len(answers) != len(messages):
        count = len(answers) if isinstance(answers, list) else "no list of"
        return failed(
            f"{len(messages)} messages, two of them sent twice, got {count} predictions.",
            'Answer {"predictions": […]}, one for every message, repeated ones included.',
        )
    got = [one.get("intent") if isinstance(one, dict) else None for one in answers]
    if got != reference.intents(messages):
        return failed(
            "The predictions are not in the order of the messages.",
            "Clients match answers to messages by position. "
            "Hand the list to model.predict as it is: it keeps the order.",
            messages=messages,
            got=shown(got, 1000),
        )
    if answers[0] != parsed(service.ask(messages[0])):
        return failed(
            "A prediction in a batch is not what POST /predict answers to the same message.",
            "Let both endpoints make their answers with the same function, all fields included.",
            prediction=shown(answers[0], 1000),
        )
    return passed(f"{len(messages)} messages got their predictions, in order.")


STRICT: dict[str, list[tuple[str, str, Any]]] = {
    "fields that the contract does not know": [
        ("an extra field", "/predict", {"message": MESSAGE, "lang": "en"}),
        ("an extra field", "/predict/batch", {"messages": [MESSAGE], "lang": "en"}),
    ],
    "fields that are missing or of another type": [
        ("no message", "/predict", {}),
        ("a number as message", "/predict", {"message": 42}),
        ("null as message", "/predict", {"message": None}),
        ("an array instead of an object", "/predict", [MESSAGE]),
        ("a string as messages", "/predict/batch", {"messages": MESSAGE}),
    ],
    "messages without text or over 2,000 characters": [
        ("an empty message", "/predict", {"message": ""}),
        ("a message of blanks", "/predict", {"message": " \n\t "}),
        ("2,001 characters", "/predict", {"message": "x" * 2001}),
        ("a blank among others", "/predict/batch", {"messages": [MESSAGE, " "]}),
    ],
    "batches of no or too many messages": [
        ("no messages", "/predict/batch", {"messages": []}),
        ("65 messages", "/predict/batch", {"messages": [MESSAGE] * 65}),
    ],
}


@assignment.check(
    "serve/strict",
    title="Refuses what the contract does not allow",
    points=1,
    needs=STARTED,
)
def strict(work: Work) -> Outcome:
    client = work.shared(bench.normal).client
    wrong: dict[str, str] = {}
    for group, cases in STRICT.items():
        for what, path, body in cases:
            status = client.post_json(path, body).status
            if status != 422:
                wrong[group] = f"POST {path} with {what} answered {status}."
                break
    if not wrong:
        return passed("What the contract does not allow is answered 422.")
    group, seen = next(iter(wrong.items()))
    return partly(
        1 - len(wrong) / len(STRICT),
        f"{seen}{and_more(len(wrong))}",
        f"Refuse {group} with 422: a client with a typing error wants to hear of it, "
        "not to get an answer to another question.",
        wrong=list(wrong.values()),
    )


MALFORMED = {
    "a body that is cut off": b'{"message": "Where is my par',
    "a form instead of JSON": b"message=Where+is+my+parcel",
    "an empty body": b"",
    "a body that is not UTF-8": '{"message": "café"}'.encode("latin-1"),
}


@assignment.check(
    "serve/malformed",
    title="Tells broken JSON from wrong JSON",
    points=1,
    needs=STARTED,
)
def malformed(work: Work) -> Outcome:
    client = work.shared(bench.normal).client
    wrong = []
    for what, body in MALFORMED.items():
        status = post_bytes(client, body).status
        if status != 400:
            wrong.append(f"POST /predict with {what} answered {status}.")
    if not wrong:
        return passed("Bodies that are not JSON are answered 400.")
    return partly(
        1 - len(wrong) / len(MALFORMED),
        f"{wrong[0]}{and_more(len(wrong))}",
        "Answer 400 when the body cannot be read as JSON, and keep 422 for JSON that says something wrong.",
        wrong=wrong,
    )


@assignment.check(
    "serve/problems", title="Errors in one shape", points=1, needs=STARTED
)
def problems(work: Work) -> Outcome:
    client = work.shared(bench.normal).client
    errors = {
        "POST /predict with broken JSON": post_bytes(client, b"{"),
        "GET of an unknown path": client.get("/nowhere"),
        "GET /predict": client.get("/predict"),
        "POST /predict with a body too large": post_bytes(client, LARGE),
        "POST /predict without a message": client.post_json("/predict", {}),
    }
    waiting = work.shared(bench.slow_loading).seen["/predict"].answer
    if waiting is not None:
        errors["POST /predict before the model is loaded"] = waiting
    # Whether these are errors at all, and which, is for other checks to say.
    errors = {what: error for what, error in errors.items() if error.status >= 400}
    faults = {
        what: complaint
        for what, error in errors.items()
        if (complaint := problem_complaint(error))
    }
    if errors and not faults:
        return passed(f"{len(errors)} kinds of errors came as problem documents.")
    what, fault = next(iter(faults.items()), ("Nothing", "No bad request was refused."))
    return partly(
        1 - len(faults) / len(errors) if errors else 0,
        f"{what}: {fault}{and_more(len(faults))}",
        "Send every error as application/problem+json with type, title, status and detail. "
        "The framework's own errors (404, 405, validation) need a handler too.",
        faults=faults,
    )


LARGE = json.dumps({"message": "x" * 100_000}).encode()
FITTING = json.dumps({"message": MESSAGE}).encode().ljust(64 * 1024)


@assignment.check(
    "serve/too-large", title="Stops reading at 64 KiB", points=1, needs=STARTED
)
def too_large(work: Work) -> Outcome:
    client = work.shared(bench.normal).client
    cases: dict[str, tuple[int, Callable[[], Answer]]] = {
        "a body of 100,000 bytes": (413, lambda: post_bytes(client, LARGE)),
        "the same in chunks, without a Content-Length": (
            413,
            lambda: post_chunks(client, LARGE),
        ),
        "an upload in chunks that stops after 100,000 bytes and does not end": (
            413,
            lambda: post_chunks(client, LARGE, end=False),
        ),
        "a body of exactly 64 KiB": (200, lambda: post_bytes(client, FITTING)),
    }
    wrong = []
    for what, (expected, send) in cases.items():
        try:
            status = send().status
            if status != expected:
                wrong.append(f"POST /predict with {what} answered {status}.")
        except LearnerError as error:
            wrong.append(f"POST /predict with {what}: {error.seen}")
    if not wrong:
        return passed("Bodies over 64 KiB are refused with 413 while they arrive.")
    return partly(
        1 - len(wrong) / len(cases),
        f"{wrong[0]}{and_more(len(wrong))}",
        "Count the bytes as they arrive, whatever Content-Length says or fails to say, "
        "and answer 413 as soon as there are more than 65,536.",
        wrong=wrong,
    )


@assignment.check(
    "serve/free", title="Stays responsive while it computes", points=1, needs=STARTED
)
def free(work: Work) -> Outcome:
    busy = work.shared(bench.slow_predicting)
    one_by_one = bench.AT_ONCE * bench.PREDICT_SECONDS
    good = [one for one in busy.answers if isinstance(one, Answer)]
    good = [one for one in good if one.status == 200]
    if len(good) < bench.AT_ONCE:
        return failed(
            f"Of {bench.AT_ONCE} predictions asked for at once, {len(good)} were answered 200.",
            f"Start it with PREDICT_SECONDS={bench.PREDICT_SECONDS:g}, ask for some at once, read its log.",
        )
    fastest = min(one.seconds for one in good)
    if fastest < 0.9 * bench.PREDICT_SECONDS:
        return failed(
            f"With PREDICT_SECONDS={bench.PREDICT_SECONDS:g} an answer came after {fastest:.1f} s.",
            "Leave PREDICT_SECONDS alone and answer every message by model.predict: "
            "what is looked at here is what you do while it computes.",
        )
    blocked = busy.health_share > bench.MOST
    queued = busy.seconds > 0.75 * one_by_one
    if blocked:
        return partly(
            0 if queued else 0.5,
            f"While predictions ran, GET /healthz waited {busy.health_share:.0%} of the time for its answer.",
            "Something blocks the event loop. A prediction belongs in a thread: "
            "a plain `def` endpoint, or `await asyncio.to_thread(…)`.",
        )
    if queued:
        return partly(
            0.5,
            f"{bench.AT_ONCE} predictions of {bench.PREDICT_SECONDS:.0f} s each, asked for at once, "
            f"took {busy.seconds:.1f} s: they ran one after the other.",
            "The model may be shared by threads. Look for a lock or a pool of one thread.",
        )
    return passed(
        f"{bench.AT_ONCE} predictions of {bench.PREDICT_SECONDS:.0f} s each took {busy.seconds:.1f} s "
        "together, and GET /healthz answered meanwhile."
    )


@assignment.check(
    "serve/broken", title="Lives without a model, and says so", points=1, needs=STARTED
)
def broken(work: Work) -> Outcome:
    loading = work.shared(bench.slow_loading)
    wrong = []
    for what, make in (
        ("a missing model file", bench.missing_model),
        ("a damaged model file", bench.damaged_model),
    ):
        try:
            fault = without_model(work.shared(make), loading)
        except LearnerError as error:
            fault = error.seen
        if fault:
            wrong.append(f"With {what}: {fault}")
    if not wrong:
        return passed(
            "Without a usable model file it is alive, not ready, and says why."
        )
    return partly(
        1 - len(wrong) / 2,
        wrong[0],
        "Catch whatever `load` raises, log it, stay alive and never become ready. "
        "A process that dies is started again and again; one that says what it lacks can be helped.",
        wrong=wrong,
    )


@assignment.check(
    "serve/metrics", title="Publishes its metrics", points=1, needs=STARTED
)
def metrics(work: Work) -> Outcome:
    service = work.shared(bench.normal)
    before = exposition(service.client)
    for message in bench.draw_messages(work.random, 3):
        service.ask(message)
    rose = rise(
        service.client, before, "requests_total", 3, path="/predict", status="200"
    )
    if rose != 3:
        return failed(
            f'requests_total{{path="/predict",status="200"}} rose by {rose:g} with three good predictions.',
            "Count every request when its answer goes out, by path and status.",
        )
    timed = rise(service.client, before, "request_seconds_count", 3, path="/predict")
    if timed != 3:
        return failed(
            f'request_seconds_count{{path="/predict"}} rose by {timed:g} with three good predictions.',
            "Publish a histogram called request_seconds with the label path; "
            "prometheus_client.Histogram does it in two lines.",
        )
    kind = media_type(service.client.get("/metrics"))
    if kind != "text/plain":
        return failed(
            f"GET /metrics has the Content-Type {kind or 'of nothing'}.",
            "Prometheus expects text/plain; prometheus_client.CONTENT_TYPE_LATEST is the whole of it.",
        )
    return passed("Three predictions were counted and timed.")


@assignment.check(
    "serve/graceful", title="Finishes before it stops", points=1, needs=STARTED
)
def graceful(work: Work) -> Outcome:
    busy = work.shared(bench.slow_predicting)
    if not isinstance(busy.last, Answer):
        return failed(
            "A prediction that was being computed when SIGTERM came got no answer.",
            "Leave SIGTERM to Uvicorn: it stops accepting, waits for open requests, "
            "runs lifespan to its end and exits.",
        )
    if busy.last.status != 200:
        return failed(
            f"A prediction that was being computed when SIGTERM came was answered {busy.last.status}.",
            "What was accepted is finished. Take the model away only when nobody is using it any more.",
        )
    if intent_of(busy.last) != reference.intents([busy.last_message])[0]:
        return failed(
            "A prediction that was being computed when SIGTERM came got an answer that is not its own.",
            "Let the computation finish; an answer made up to be quick is worse than none.",
        )
    if busy.status not in (0, -15, 143):
        how = (
            f"it was still running {bench.STOP_SECONDS} s after SIGTERM"
            if busy.status is None
            else f"it ended with exit status {busy.status}"
        )
        return failed(
            f"The last request was answered, but {how}.",
            "Look for threads that do not end and for what lifespan does after `yield`.",
        )
    return passed("After SIGTERM it finished what it had accepted, and stopped.")


# Last, and not beside the other two: by now the slow model has had its time.


@assignment.check(
    "serve/ready", title="Ready when the model is, not before", points=1, needs=STARTED
)
def ready(work: Work) -> Outcome:
    loading = work.shared(bench.slow_loading)
    first, limit = loading.seen["/readyz"], loading.load_seconds
    if not loading.kept("/readyz"):
        return failed(
            f"GET /readyz {said(first.answer, first.trouble)} {first.answered:.1f} s after the start; "
            f"the model takes {limit:.1f} s to load.",
            "Answer 503 until `load` has returned. A load balancer sends customers to whoever says 200.",
        )
    bench.wait_for(lambda: loading.service.age > limit, limit)
    client = loading.service.client
    bench.wait_for(lambda: client.get("/readyz").status != 503, bench.LOADED_SECONDS)
    late = client.get("/readyz")
    if late.status != 200:
        return failed(
            f"GET /readyz answered {late.status} {loading.service.age:.1f} s after the start; "
            f"the model takes {limit:.1f} s to load.",
            "Answer 200 once `load` has returned; log what the loading thread raises.",
        )
    return passed("GET /readyz turned 200 when the model was loaded, and not before.")
