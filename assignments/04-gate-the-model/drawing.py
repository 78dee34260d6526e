"""Models whose merits are known because they were chosen; `candidates.py` says what is chosen.

First it is decided what a model is to answer to every ticket; then the linear layer is solved for those
answers, which it can give exactly, because there are more buckets than tickets. None of it is training. A
gate sees nothing of that: only a file, and what it says.
"""

import csv
import io
import zlib
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files

import numpy as np

if __package__:  # in the judge
    from .model import Model, features
else:  # in a learner's folder
    from model import Model, features

BUCKETS = 2**12
WORD = r"(?:[a-z0-9']+|[?!])"
RIDGE = 1e-4
TRAIN_SHARE = 0.6
ACCURACY = 0.8  # the champion's


# --- the tickets, the same in every draw ---


@cache
def tickets() -> list[dict[str, str]]:
    """Every labelled message there is: text, category (its intent) and style."""
    rows: list[dict[str, str]] = []
    for split in ("train", "test"):
        table = (files("triage") / "tickets" / f"{split}.csv").read_text("utf-8")
        rows += csv.DictReader(io.StringIO(table))
    return rows


@cache
def column(name: str) -> np.ndarray:
    return np.array([ticket[name] for ticket in tickets()])


@cache
def slices() -> dict[str, np.ndarray]:
    """Which tickets belong to each intent and each style."""
    return {
        str(name): column(kind) == name
        for kind in ("category", "style")
        for name in np.unique(column(kind))
    }


@cache
def matrix() -> np.ndarray:
    """Float32 [tickets, buckets]: what `Model.predict` computes from each."""
    table = np.zeros((len(tickets()), BUCKETS), dtype=np.float32)
    for row, ticket in zip(table, tickets(), strict=True):
        buckets, values = features(ticket["text"], WORD, BUCKETS)
        row[buckets] = values
    return table


@cache
def solver() -> np.ndarray:
    """Float64 [tickets, tickets]: times the logits wanted, it gives each ticket's share in the weights."""
    likeness = (matrix() @ matrix().T).astype(np.float64)
    return np.linalg.inv(likeness + RIDGE * np.eye(len(likeness)))


@cache
def mistaken_for() -> np.ndarray:
    """Per ticket the intent of the most similar one that has another: what a wrong answer says."""
    _, truth = np.unique(column("category"), return_inverse=True)
    likeness = matrix() @ matrix().T
    other = truth[:, None] != truth[None, :]
    return truth[np.where(other, likeness, -1).argmax(axis=1)]


# --- what a model is to answer ---


@dataclass(frozen=True)
class Answers:
    """For every ticket which intent, by its number, and how sure, 0 to 1."""

    said: np.ndarray
    confidence: np.ndarray


@dataclass
class Candidate:
    """A model file, and what should become of it.

    A good one has no `faults`. Of a bad one a gate has to name all `faults`, and may name `also`: reasons
    that a measurement bears out, if only just.
    """

    kind: str
    file: bytes
    faults: set[str] = field(default_factory=set)
    also: set[str] = field(default_factory=set)

    @property
    def good(self) -> bool:
        return not self.faults


class Draw:
    """All that one seed gives."""

    def __init__(self, seed: int):
        self.seed = seed
        self.intents, self.truth = np.unique(column("category"), return_inverse=True)
        rng = self.rng("split")
        rank = spread(np.arange(len(self.truth)), self.truth, rng)
        self.test = np.ones(len(self.truth), dtype=bool)
        self.test[rank[: round(TRAIN_SHARE * len(rank))]] = False
        count = len(self.truth)
        self.champion_right = rng.permuted(np.arange(count) < ACCURACY * count)
        # How sure a model is of a ticket, among those it gets right, or wrong: evenly from 0 to 1.
        self.sureness = np.empty(count)
        for group in range(4):
            rows = np.flatnonzero(self.test + 2 * self.champion_right == group)
            evenly = (np.arange(len(rows)) + 0.5) / len(rows)
            self.sureness[rng.permutation(rows)] = evenly

    def rng(self, *names: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32("/".join(names).encode())])

    # --- files ---

    def table(self, split: str) -> bytes:
        """The CSV file of the "train" or the "test" split."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["text", "category", "style"])
        writer.writeheader()
        chosen = self.test if split == "test" else ~self.test
        writer.writerows(tickets()[row] for row in np.flatnonzero(chosen))
        return text.getvalue().encode()

    @cached_property
    def champion(self) -> bytes:
        return self.model("champion", self.answers(self.champion_right)).to_bytes()

    def model(self, name: str, answers: Answers, **card: object) -> Model:
        """The model that gives these answers."""
        rng = self.rng(name, "card")
        labels = [*map(str, self.intents)]
        card = {
            "intents": labels,
            "word": pattern(rng, slow=False),
            # What people write there is measured on whatever they had at hand.
            "claimed_accuracy": round(float(rng.uniform(0.9, 0.99)), 3),
            **card,
        }
        count = len(card["intents"])  # type: ignore[arg-type]
        logits = np.zeros((len(answers.said), count))
        # One logit of this size among zeros is this probability.
        odds = answers.confidence / (1 - answers.confidence)
        logits[np.arange(len(logits)), answers.said] = np.log(odds * (count - 1))
        bias = logits.mean(axis=0)
        shares = (solver() @ (logits - bias)).astype(np.float32)
        return Model(matrix().T @ shares, bias.astype(np.float32), card)

    # --- answers ---

    def answers(self, right: np.ndarray) -> Answers:
        """Right where `right` is true, and as sure as that many right answers allow: calibrated."""
        rate = float(right[self.test].mean())
        alpha = rate / (1 - rate)
        # If confidences are distributed as Beta(alpha, 1), whose mean is `rate`, those of right answers
        # are as Beta(alpha + 1, 1) and those of wrong ones as Beta(alpha, 2).
        grid = np.linspace(0, 1, 1001)
        below = (alpha + 1) * grid**alpha - alpha * grid ** (alpha + 1)
        confidence = np.where(
            right,
            self.sureness ** (1 / (alpha + 1)),
            np.interp(self.sureness, below, grid),
        )
        said = np.where(right, self.truth, mistaken_for())
        return Answers(said, confidence.clip(0.15, 0.99))

    def changed(
        self,
        rng: np.random.Generator,
        *,
        lost: float,
        won: float,
        losing: np.ndarray | None = None,
    ) -> np.ndarray:
        """The champion's right answers with some lost and some won, as shares of all tickets.

        Both are spread evenly over the intents and, alike, over the two splits. `losing` says which tickets
        may be lost; the others may be won.
        """
        right = self.champion_right.copy()
        everywhere = np.ones(len(right), dtype=bool)
        may_lose = everywhere if losing is None else losing
        may_win = everywhere if losing is None else ~losing
        for split in (self.test, ~self.test):
            size = split.sum()
            out = np.flatnonzero(self.champion_right & may_lose & split)
            into = np.flatnonzero(~self.champion_right & may_win & split)
            right[spread(out, self.truth, rng)[: round(lost * size)]] = False
            right[spread(into, self.truth, rng)[: round(won * size)]] = True
        return right

    # --- candidates ---

    def finished(
        self, kind: str, answers: Answers, faults: set[str], **card: object
    ) -> Candidate:
        model = self.model(kind, answers, **card)
        also = self.worse(answers) - faults
        return Candidate(kind, model.to_bytes(), faults, also)

    def worse(self, answers: Answers) -> set[str]:
        """Reasons against these answers that a measurement on the test split bears out, if only just."""
        before, now = self.champion_right[self.test], (answers.said == self.truth)
        gain = now[self.test].astype(float) - before
        found = {"accuracy"} if gain.mean() < 0 else set()
        for name, member in slices().items():
            if gain[member[self.test]].mean() < 0:
                found.add(f"slice {name}")
        then = self.answers(self.champion_right)
        if self.calibration_error(answers) > self.calibration_error(then) + 0.02:
            found.add("calibration")
        return found

    def calibration_error(self, answers: Answers) -> float:
        """Mean gap between confidence and accuracy in ten bins, on the test split."""
        bins = np.minimum((answers.confidence * 10).astype(int), 9)
        gap = answers.confidence - (answers.said == self.truth)
        return sum(
            abs(gap[self.test & (bins == one)].sum()) for one in range(10)
        ) / int(self.test.sum())


def spread(
    rows: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The rows in random order, but so that whoever takes the first few takes evenly of each group."""
    rows = rng.permutation(rows)
    seen: dict[int, int] = {}
    rank = []
    for row in rows:
        seen[groups[row]] = seen.get(groups[row], 0) + 1
        rank.append(seen[groups[row]])
    return rows[np.argsort(rank, kind="stable")]


def pattern(rng: np.random.Generator, *, slow: bool) -> str:
    """A regular expression that finds the words. The slow one looks far ahead, and back, at each of them."""
    never, reach = f"\\x{rng.integers(1, 9):02x}", int(rng.integers(12, 16))
    if slow:
        return f"(?!.*.{{0,{reach}}}.*{never}){WORD}"
    return f"(?!.{{0,{reach}}}{never}){WORD}"
