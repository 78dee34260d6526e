"""Draws a champion, labelled messages and candidates of every kind:

    python candidates.py            # data/, champion/ and examples/ in this folder; --seed 1 draws others

The judge draws with the same program, and with a seed of its own.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

if __package__:  # in the judge
    from .drawing import Candidate, Draw, column, matrix, pattern, spread
else:  # in a learner's folder
    from drawing import Candidate, Draw, column, matrix, pattern, spread

FILE = "model.safetensors"


def better(draw: Draw, kind: str) -> Candidate:
    """Better somewhere, and nowhere worse."""
    right = draw.changed(draw.rng(kind), lost=0, won=0.06)
    return draw.finished(kind, draw.answers(right), set())


def equal(draw: Draw, kind: str) -> Candidate:
    """As one that was trained again with another seed: some messages go the other way, and a few more."""
    right = draw.changed(draw.rng(kind), lost=0.012, won=0.009)
    return draw.finished(kind, draw.answers(right), set())


def restless(draw: Draw, kind: str) -> Candidate:
    """Better on the whole, with many changes: half of the intents lose a message or two."""
    rng = draw.rng(kind)
    losing = np.isin(draw.truth, rng.choice(len(draw.intents), 9, replace=False))
    right = draw.changed(rng, lost=0.022, won=0.06, losing=losing)
    return draw.finished(kind, draw.answers(right), set())


def worse(draw: Draw, kind: str) -> Candidate:
    right = draw.changed(draw.rng(kind), lost=0.13, won=0.01)
    return draw.finished(kind, draw.answers(right), {"accuracy"})


def overfitted(draw: Draw, kind: str) -> Candidate:
    """Knows its training split by heart, and is sure of it; beside it, it knows less."""
    right = draw.changed(draw.rng(kind), lost=0.12, won=0.01) | ~draw.test
    answers = draw.answers(right)
    sure = np.where(draw.test, answers.confidence, 0.98)
    return draw.finished(kind, replace(answers, confidence=sure), {"accuracy"})


def worse_intent(draw: Draw, kind: str) -> Candidate:
    rng = draw.rng(kind)
    names = [name for name in draw.intents if name != "out_of_scope"]
    return worse_slice(draw, kind, str(rng.choice(names)), "category", share=0.7)


def worse_style(draw: Draw, kind: str) -> Candidate:
    rng = draw.rng(kind)
    names = [name for name in np.unique(column("style")) if name != "plain"]
    return worse_slice(draw, kind, str(rng.choice(names)), "style", share=0.65)


def worse_slice(
    draw: Draw, kind: str, name: str, of: str, *, share: float
) -> Candidate:
    """Loses a share of what it had right there, and wins as much elsewhere."""
    member = column(of) == name
    lost = share * float((member & draw.champion_right).mean())
    right = draw.changed(
        draw.rng(kind, name), lost=lost, won=lost + 0.01, losing=member
    )
    return draw.finished(kind, draw.answers(right), {f"slice {name}"})


def overconfident(draw: Draw, kind: str) -> Candidate:
    """Answers like a better one, and is nearly always nearly certain."""
    answers = draw.answers(draw.changed(draw.rng(kind), lost=0.01, won=0.03))
    sure = 1 - (1 - answers.confidence) / 8
    answers = replace(answers, confidence=sure.clip(0.9, 0.999))
    return draw.finished(kind, answers, {"calibration"})


def unknown_intent(draw: Draw, kind: str) -> Candidate:
    """Better, but some of what it gets wrong it sends to a queue that nobody has."""
    rng = draw.rng(kind)
    answers = draw.answers(draw.changed(rng, lost=0.01, won=0.07))
    wrong = np.flatnonzero(answers.said != draw.truth)
    strays = spread(wrong, draw.test.astype(int), rng)[
        :16
    ]  # half of them in each split
    said = answers.said.copy()
    said[strays] = len(draw.intents)
    old = str(rng.choice(draw.intents))
    labels = [*map(str, draw.intents), f"{old}_{rng.choice(['new', 'v2', 'other'])}"]
    answers = replace(answers, said=said)
    return draw.finished(kind, answers, {"schema"}, intents=labels)


def no_number(draw: Draw, kind: str) -> Candidate:
    """Better, but a weight has overflowed: some messages get an intent with the confidence NaN."""
    rng = draw.rng(kind)
    answers = draw.answers(draw.changed(rng, lost=0.01, won=0.07))
    model = draw.model(kind, answers)
    in_test = (matrix()[draw.test] > 0).sum(axis=0)
    rare = np.flatnonzero((in_test >= 2) & (in_test <= 4))
    bucket = rng.choice(rare)
    model.weights[bucket] = np.nan
    hit = matrix()[:, bucket] > 0
    said = np.where(
        hit, 0, answers.said
    )  # of numbers that are none, the first is taken
    also = draw.worse(replace(answers, said=said)) | {"calibration"}
    return Candidate(kind, model.to_bytes(), {"schema"}, also)


def slow(draw: Draw, kind: str) -> Candidate:
    """Better, and the expression that finds its words takes some twenty times as long."""
    rng = draw.rng(kind)
    answers = draw.answers(draw.changed(rng, lost=0.01, won=0.08))
    return draw.finished(kind, answers, {"latency"}, word=pattern(rng, slow=True))


def cut_off(draw: Draw, kind: str) -> Candidate:
    """Better once; of the file, a part has arrived."""
    whole = better(draw, kind).file
    share = draw.rng(kind, "cut").uniform(0.2, 0.8)
    return Candidate(kind, whole[: int(share * len(whole))], {"schema"})


def misfit(draw: Draw, kind: str) -> Candidate:
    """Can be loaded, and raises an exception at the first message: its two tensors do not fit together."""
    model = draw.model(kind, draw.answers(draw.champion_right))
    shorter = replace(model, bias=model.bias[: -int(draw.rng(kind).integers(1, 4))])
    return Candidate(kind, shorter.to_bytes(), {"schema"})


KINDS: dict[str, Callable[[Draw, str], Candidate]] = {
    "better": better,
    "equal": equal,
    "restless": restless,
    "worse": worse,
    "overfitted": overfitted,
    "worse-intent": worse_intent,
    "worse-style": worse_style,
    "overconfident": overconfident,
    "unknown-intent": unknown_intent,
    "no-number": no_number,
    "slow": slow,
    "cut-off": cut_off,
    "misfit": misfit,
}


def candidate(draw: Draw, kind: str) -> Candidate:
    """The candidate of this kind; the same draw gives the same again."""
    return KINDS[kind](draw, kind)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    draw = Draw(parser.parse_args().seed)
    for split in ("train", "test"):
        write(Path("data", f"{split}.csv"), draw.table(split))
    write(Path("champion", FILE), draw.champion)
    fates = {}
    for kind in KINDS:
        drawn = candidate(draw, kind)
        write(Path("examples", kind, FILE), drawn.file)
        reasons = ", ".join(sorted(drawn.faults))
        fates[kind] = "promote" if drawn.good else f"refuse: {reasons}"
        print(f"{kind:15} {fates[kind]}")
    write(Path("examples", "expected.json"), json.dumps(fates, indent=2).encode())


if __name__ == "__main__":
    main()
