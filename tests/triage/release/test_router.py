"""The router in front of two services."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from triage.release import router
from triage.release.canary import Canary, usual
from triage.release.router import Release, create_app

BODY = b'{"message": "where is my tent?"}'


def service(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.MockTransport(answer), base_url="http://service"
    )


def saying(intent: str, asked: list[bytes] | None = None) -> httpx.AsyncClient:
    def answer(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request.content)
        return httpx.Response(200, json={"intent": intent})

    return service(answer)


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nobody there")


def all_of_it() -> Canary:
    canary = usual(corrections=0.15)
    canary.shares = (1.0,)
    return canary


async def post(release: Release, path: str, **more: object) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(release))
    async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
        return await http.post(path, **more)


def predict(release: Release, ticket: str = "LR-1") -> httpx.Response:
    return asyncio.run(
        post(release, "/predict", content=BODY, headers={"X-Ticket": ticket})
    )


def test_the_canary_answers_its_share_and_is_named() -> None:
    canary = usual(corrections=0.15)
    canary.shares = (0.5,)
    release = Release(saying("old"), saying("new"), canary, salt="march")
    answers = {f"LR-{n}": predict(release, f"LR-{n}") for n in range(40)}
    assert {a.headers["X-Model"] for a in answers.values()} == {"canary", "champion"}
    for ticket, answer in answers.items():
        new = answer.headers["X-Model"] == "canary"
        assert answer.json() == {"intent": "new" if new else "old"}
        assert predict(release, ticket).headers["X-Model"] == answer.headers["X-Model"]


@pytest.mark.parametrize(
    "how", [broken, *(lambda _, s=s: httpx.Response(s) for s in (503, 422, 404, 302))]
)
def test_a_canary_that_fails_costs_the_customer_nothing(how) -> None:
    canary = all_of_it()
    release = Release(saying("old"), service(how), canary)
    for _ in range(10):
        answer = predict(release)
        assert (answer.status_code, answer.json()) == (200, {"intent": "old"})
        assert answer.headers["X-Model"] == "champion"
    assert canary.status == "rolled back"
    assert canary.errors.total == 2  # then it was asked no more


def test_what_both_refuse_is_no_failure_of_the_canary() -> None:
    canary = all_of_it()
    no = service(lambda _: httpx.Response(422))
    release = Release(no, no, canary)
    assert {predict(release).status_code for _ in range(10)} == {422}
    assert (canary.status, canary.errors.total) == ("running", 0)


def test_one_ticket_has_one_word_however_often_it_is_asked() -> None:
    canary = all_of_it()
    release = Release(saying("old"), saying("new"), canary)
    for _ in range(30):
        predict(release, "LR-1")
        release.feedback("LR-1", True)
    assert canary.corrections.total == 1


def test_a_ticket_may_have_any_letters() -> None:
    canary = all_of_it()
    release = Release(saying("old"), saying("new"), canary)
    asyncio.run(
        post(release, "/predict", content=BODY, headers={"X-Ticket": "Köln-1".encode()})
    )
    release.feedback("Köln-1", True)
    assert canary.corrections.total == 1


def test_corrections_of_its_own_tickets_decide_and_each_counts_once() -> None:
    canary = all_of_it()
    release = Release(saying("old"), saying("new"), canary)
    predict(release, "LR-1")
    for ticket in ("LR-1", "LR-1", "somebody else's"):
        given = {"ticket": ticket, "corrected": True}
        assert asyncio.run(post(release, "/feedback", json=given)).status_code == 204
    assert (canary.corrections.failures, canary.corrections.total) == (1, 1)


def test_a_shadow_is_asked_and_not_heard() -> None:
    asked: list[bytes] = []
    release = Release(saying("old"), saying("new", asked))

    async def day() -> httpx.Response:
        answer = await post(release, "/predict", content=BODY)
        await release.finished()
        return answer

    answer = asyncio.run(day())
    assert answer.json() == {"intent": "old"}
    assert asked == [BODY]
    assert (release.shadowed, release.failed, release.agreed) == (1, 0, 0)


@pytest.mark.parametrize("how", [broken, lambda _: httpx.Response(500)])
def test_a_shadow_that_fails_is_counted(how) -> None:
    release = Release(saying("old"), service(how))

    async def day() -> None:
        await post(release, "/predict", content=BODY)
        await release.finished()

    asyncio.run(day())
    assert (release.shadowed, release.failed, release.agreed) == (1, 1, 0)


def test_a_ticket_asked_again_is_whose_answer_was_the_last() -> None:
    canary = all_of_it()
    release = Release(saying("old"), saying("new"), canary)
    predict(release, "LR-1")
    canary.status = "rolled back"
    predict(release, "LR-1")  # by the champion now
    release.feedback("LR-1", True)
    assert canary.corrections.total == 0
    assert (release.reviewed, release.corrected) == (1, 1)


def test_a_shadow_that_says_nothing_does_not_agree() -> None:
    for answer in (b"no JSON", b"[]", b"{}"):
        release = Release(
            saying("old"), service(lambda _, a=answer: httpx.Response(200, content=a))
        )

        async def day(release=release) -> None:
            await post(release, "/predict", content=BODY)
            await release.finished()

        asyncio.run(day())
        assert (release.shadowed, release.failed, release.agreed) == (1, 0, 0)


def test_a_slow_shadow_is_left_out_and_delays_nobody() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200)

    release = Release(saying("old"), service(never))

    async def rush() -> int:
        for _ in range(2 * router.SHADOWS):
            await release.answer("LR-1", BODY)
        waiting = len(release._shadows)
        for task in list(release._shadows):
            task.cancel()
        return waiting

    assert asyncio.run(asyncio.wait_for(rush(), 5)) == router.SHADOWS


def test_without_the_champion_there_is_a_problem_document() -> None:
    answer = predict(Release(service(broken), saying("new")))
    assert answer.status_code == 502
    assert answer.json()["type"] == "urn:triage:problem:no-champion"


def test_what_is_no_feedback_is_refused() -> None:
    release = Release(saying("old"), saying("new"), all_of_it())
    for wrong in ({}, {"ticket": "LR-1"}, {"ticket": 1, "corrected": True}):
        assert asyncio.run(post(release, "/feedback", json=wrong)).status_code == 422


def test_only_so_many_tickets_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "REMEMBERED", 3)
    canary = all_of_it()
    release = Release(saying("old"), saying("new"), canary)
    for number in range(5):
        predict(release, f"LR-{number}")
    for number in range(5):
        release.feedback(f"LR-{number}", True)
    assert canary.corrections.total + release.reviewed == 3


def test_the_state_can_be_read() -> None:
    async def state(release: Release) -> dict:
        transport = httpx.ASGITransport(create_app(release))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://router"
        ) as http:
            return (await http.get("/release")).json()

    release = Release(saying("old"), saying("new"), all_of_it())
    predict(release)
    found = asyncio.run(state(release))
    assert (found["status"], found["share"], found["answers"]) == ("running", 1.0, 1)
    shadow = Release(saying("old"), saying("new"))
    assert asyncio.run(state(shadow)) == {
        "champion": {"reviewed": 0, "corrected": 0},
        "shadowed": 0,
        "failed": 0,
        "agreed": 0,
    }
