"""Inputs for the learner's functions, drawn for each grading, with the right answers to them."""

from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

Row = dict[str, str]


class Case(Protocol):
    """One question to a function of the learner's, with its right answer."""

    @property
    def arguments(self) -> tuple[Any, ...]: ...


THINGS = (
    "tent stove rucksack headlamp jacket gloves kettle rope compass hammock filter tarp"
)
DEEDS = "ordered returned exchanged paid cancelled received unpacked posted tracked repaired"
PLACES = "the shop|your website|the app|the depot|my neighbour|the locker"
PEOPLE = "I|We|My sister|Our club|A friend"


def message(draw: Random) -> str:
    """A sentence or two that no other draw is likely to give."""
    who, where = draw.choice(PEOPLE.split("|")), draw.choice(PLACES.split("|"))
    thing, other = draw.sample(THINGS.split(), 2)
    first, second = draw.sample(DEEDS.split(), 2)
    return (
        f"{who} {first} the {thing} from {where}, number {draw.randrange(10_000, 99_999)}. "
        f"It's the {other} we {second}, isn't it?"
    )


def respelt(text: str, draw: Random) -> str:
    """The same words; case, spacing and punctuation differ."""
    ways = (
        text.upper(),
        text.lower(),
        f"\n {text}\t",
        text.replace(" ", "  "),
        text.replace(", ", " ").replace(". ", " - ").rstrip("?"),
        text.replace("'", "\u2019").replace(" ", "\u00a0"),
        f"\u201c{text}\u201d!!",
    )
    return draw.choice(ways)


def resembling(text: str, draw: Random) -> str:
    """Nearly the same words, and another message."""
    parts = text.split(" ")
    number = next(place for place, part in enumerate(parts) if part[:5].isdigit())
    digit = str((int(parts[number][4]) + 1) % 10)
    other_number = f"{parts[number][:4]}{digit}{parts[number][5:]}"
    ways = (
        " ".join([*parts[:number], other_number, *parts[number + 1 :]]),
        text.replace("isn't it", "is it not"),
        f"{text} Thanks.",
        f"Hello. {text}",
        " ".join(parts[number + 1 :] + parts[: number + 1]),
        text.split(". ", 1)[1],
    )
    return draw.choice(ways)


@dataclass(frozen=True)
class Messages:
    """`copies`: the places in `train` of messages that also stand in `test`."""

    train: list[str]
    test: list[str]
    copies: list[int]

    @property
    def arguments(self) -> tuple[list[str], list[str]]:
        return self.train, self.test


def copied(draw: Random) -> Messages:
    """Splits that share messages, spelt alike or not; one stands in the training split twice."""
    train = [message(draw) for _ in range(40)]
    test = [message(draw) for _ in range(25)]
    taken = draw.sample(test, 10)
    again = [draw.choice((text, respelt(text, draw))) for text in [*taken, taken[0]]]
    again[1] = respelt(taken[1], draw)
    again[2] = taken[2].upper()
    places = draw.sample(range(len(train) + len(again)), len(again))
    return mixed(train, test, dict(zip(places, again, strict=True)))


def alike(draw: Random) -> Messages:
    """Splits that share two messages, letter by letter, and many that are nearly the same."""
    test = [message(draw) for _ in range(25)]
    train = [resembling(text, draw) for text in test] + [
        message(draw) for _ in range(8)
    ]
    train += draw.sample(train, 5)  # twice in the training split is no leak
    draw.shuffle(train)
    places = draw.sample(range(len(train) + 2), 2)
    return mixed(train, test, dict(zip(places, draw.sample(test, 2), strict=True)))


def mixed(train: list[str], test: list[str], planted: dict[int, str]) -> Messages:
    """`train` with the planted messages at their places."""
    rest = iter(train)
    size = len(train) + len(planted)
    filled = [planted[at] if at in planted else next(rest) for at in range(size)]
    return Messages(filled, test, sorted(planted))


@dataclass(frozen=True)
class Tables:
    """`telling`: the columns that give the category away."""

    train: list[Row]
    test: list[Row]
    telling: list[str]

    @property
    def arguments(self) -> tuple[list[Row], list[Row]]:
        return self.train, self.test


def tables(draw: Random) -> Tables:
    """Rows with columns nobody has seen; one or two of them were filled in after the answer was known."""
    categories = [f"{thing}_{draw.randrange(100)}" for thing in THINGS.split()[:6]]
    names = [
        f"{name}_{draw.randrange(100)}" for name in ("desk", "state", "kind", "lane")
    ]
    draw.shuffle(names)
    telling = sorted(names[: draw.randint(1, 2)])
    codes = {
        (name, category): [f"{draw.getrandbits(20):x}" for _ in range(3)]
        for name in names
        for category in categories
    }

    def row() -> Row:
        category = draw.choice(categories)
        values = {}
        for name in names:
            told = name in telling and draw.random() < 0.9
            shown = category if told else draw.choice(categories)
            # Three codes stand for each category: no value is the category's only one.
            values[name] = draw.choice(codes[name, shown])
        return {"text": message(draw), **values, "category": category}

    return Tables([row() for _ in range(240)], [row() for _ in range(80)], telling)


@dataclass(frozen=True)
class Choice:
    """`best`: the id of the run to promote, None if there is none."""

    runs: list[dict]
    digest: str
    best: str | None

    @property
    def arguments(self) -> tuple[list[dict], str]:
        return self.runs, self.digest


def tempting(draw: Random) -> Choice:
    """The best figures belong to runs on other data, the best test figure to a run that is not the best."""
    digest, other = (f"{draw.getrandbits(256):064x}" for _ in range(2))
    held_out = draw.sample(range(500, 700), 6)
    accuracy = sorted(draw.sample(range(700, 850), 6))
    by_held_out = sorted(range(6), key=held_out.__getitem__)
    # The run with the best held-out figure has the worst on the test split.
    order = dict(zip(by_held_out[-1:] + by_held_out[:-1], accuracy, strict=True))
    runs = [run(draw, digest, held_out[n], order[n]) for n in range(6)]
    best = runs[by_held_out[-1]]["id"]
    runs += [run(draw, other, 950 + n, 960 + n) for n in range(2)]
    draw.shuffle(runs)
    return Choice(runs, digest, best)


def odd(draw: Random) -> Choice:
    """Among good runs some that failed, some that still run, and some whose figures are missing."""
    digest = f"{draw.getrandbits(256):064x}"
    runs = [run(draw, digest, 500 + 20 * n, 700 + 20 * n) for n in range(4)]
    best = runs[-1]["id"]
    for status in ("FAILED", "RUNNING", "KILLED"):
        runs.append(run(draw, digest, 800, 900) | {"status": status})
    for _ in range(2):
        runs.append(run(draw, digest, 0, 0) | {"metrics": {}})
    draw.shuffle(runs)
    return Choice(runs, digest, best)


def hopeless(draw: Random) -> Choice:
    """Nothing that could be promoted."""
    choice = odd(draw)
    left = [one | {"status": "FAILED"} for one in choice.runs]
    return Choice(draw.choice(([], left)), choice.digest, None)


def run(draw: Random, digest: str, held_out: int, accuracy: int) -> dict:
    """A finished run as MLflow's client shows it; the figures are given in thousandths."""
    return {
        "id": f"{draw.getrandbits(128):032x}",
        "status": "FINISHED",
        "params": {
            "C": str(draw.choice((0.1, 1.0, 10.0))),
            "ngrams": str(draw.randint(1, 3)),
            "min_df": str(draw.randint(1, 3)),
            "columns": "",
            "data_digest": digest,
        },
        "metrics": {"held_out_accuracy": held_out / 1000, "accuracy": accuracy / 1000},
    }


@dataclass(frozen=True)
class Answers:
    """Whether two models answered the same messages rightly."""

    before: list[bool]
    after: list[bool]

    @property
    def arguments(self) -> tuple[list[bool], list[bool]]:
        return self.before, self.after


def answers(draw: Random) -> Answers:
    """Two models that differ in some messages."""
    before = [draw.random() < 0.7 for _ in range(draw.randint(150, 400))]
    after = [right if draw.random() < 0.85 else not right for right in before]
    return Answers(before, after)
