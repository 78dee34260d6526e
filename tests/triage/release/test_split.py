"""Who gets the canary."""

from triage.release.split import chosen, position

TICKETS = [f"LR-{number}" for number in range(20_000)]


def test_the_share_chosen_is_the_share_asked_for() -> None:
    for share in (0.01, 0.2, 0.5):
        found = sum(chosen(ticket, share, "march") for ticket in TICKETS)
        # four standard deviations of a coin with this share
        assert abs(found / len(TICKETS) - share) < 4 * (share / len(TICKETS)) ** 0.5


def test_nobody_and_everybody() -> None:
    assert not any(chosen(ticket, 0, "march") for ticket in TICKETS)
    assert all(chosen(ticket, 1, "march") for ticket in TICKETS)


def test_who_is_chosen_stays_so_when_the_share_grows() -> None:
    few = {ticket for ticket in TICKETS if chosen(ticket, 0.05, "march")}
    more = {ticket for ticket in TICKETS if chosen(ticket, 0.2, "march")}
    assert few < more


def test_another_release_chooses_others() -> None:
    march = {ticket for ticket in TICKETS if chosen(ticket, 0.05, "march")}
    april = {ticket for ticket in TICKETS if chosen(ticket, 0.05, "april")}
    assert len(march & april) < 0.2 * len(march)


def test_positions_are_the_same_on_every_machine() -> None:
    assert position("LR-48213", "march") == 0.07592309982885033
