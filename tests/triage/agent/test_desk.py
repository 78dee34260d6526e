"""The desk's systems: rules that hold whoever asks, and effects that happen once."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from triage.agent.desk import APPROVAL, Desk, Order, Refused
from triage.errors import TriageError

CHEAP = Order("LR-11111", "C-1", "lamp", 2_500, "packed", "Monday", held=False)
DEAR = Order("LR-22222", "C-2", "tent", APPROVAL + 10, "shipped", "Friday", held=False)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk.create(tmp_path / "desk.db", orders=0)
    made.add(CHEAP)
    made.add(DEAR)
    return made


def kinds(desk: Desk) -> list[str]:
    return [effect.kind for effect in desk.effects()]


def test_orders_are_drawn_from_a_seed(tmp_path: Path) -> None:
    first, again = (Desk.create(tmp_path / f"{n}.db", seed=3).orders() for n in (1, 2))
    assert first == again
    assert len(first) == 40


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="no desk at"):
        Desk(tmp_path / "none.db").orders()


def test_an_order_is_found_or_refused(desk: Desk) -> None:
    assert desk.look_up(CHEAP.number) == CHEAP
    with pytest.raises(Refused, match="no order LR-99999"):
        desk.look_up("LR-99999")


def test_a_refund_is_paid_and_recorded(desk: Desk) -> None:
    assert desk.refund(CHEAP.number, "late", "k") == {"refunded": "25.00"}
    (effect,) = desk.effects()
    assert (effect.kind, effect.request) == (
        "refund",
        {"order": CHEAP.number, "reason": "late"},
    )


def test_the_same_key_does_it_once(desk: Desk) -> None:
    first = desk.refund(CHEAP.number, "late", "k")
    assert desk.refund(CHEAP.number, "late", "k") == first
    assert kinds(desk) == ["refund"]


def test_a_key_belongs_to_one_request(desk: Desk) -> None:
    desk.refund(CHEAP.number, "late", "k")
    with pytest.raises(Refused, match="used for another request"):
        desk.refund(CHEAP.number, "damaged", "k")


def test_an_order_is_paid_back_once_whatever_the_key(desk: Desk) -> None:
    desk.refund(CHEAP.number, "late", "k")
    with pytest.raises(Refused, match="paid back already"):
        desk.refund(CHEAP.number, "late", "other")


def test_much_money_needs_a_person(desk: Desk) -> None:
    with pytest.raises(Refused, match="a person must approve"):
        desk.refund(DEAR.number, "late", "k")
    assert kinds(desk) == []
    desk.approve(DEAR.number, "robin")
    desk.refund(DEAR.number, "late", "k")
    assert kinds(desk) == ["refund"]


def test_an_unknown_reason_is_refused(desk: Desk) -> None:
    with pytest.raises(Refused, match="not 'because'"):
        desk.refund(CHEAP.number, "because", "k")


def test_what_has_left_cannot_be_held(desk: Desk) -> None:
    desk.hold(CHEAP.number, "h")
    assert desk.look_up(CHEAP.number).held
    desk.release(CHEAP.number, "r")
    assert not desk.look_up(CHEAP.number).held
    with pytest.raises(Refused, match="is shipped"):
        desk.hold(DEAR.number, "h2")


def test_hand_over_names_the_team(desk: Desk) -> None:
    assert desk.hand_over("Help!", "account_access", "k") == {"team": "account_access"}
    assert kinds(desk) == ["hand_over"]


def test_many_at_once_pay_once(desk: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        said = list(
            pool.map(lambda _: desk.refund(CHEAP.number, "late", "k"), range(16))
        )
    assert said == [{"refunded": "25.00"}] * 16
    assert kinds(desk) == ["refund"]


def test_nothing_is_recorded_of_what_fails(desk: Desk) -> None:
    with sqlite3.connect(desk.path) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON effects BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        desk.hold(CHEAP.number, "h")
    assert not desk.look_up(CHEAP.number).held
