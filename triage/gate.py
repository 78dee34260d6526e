"""May the candidate replace the champion? A decision from both models' answers to the same messages.

The candidate must bring one proof and set off no alarm.

Proof: it is not worse overall by `margin` or more. The null hypothesis is that its accuracy is lower by
at least the margin; the test is one-sided, and only a rejected hypothesis is a proof. So a candidate that
is worse by the margin passes in about a share `alpha` of all cases, however many messages there are.

Alarms: one for calibration and one for each slice (an intent, a style). Each has the null hypothesis that
the candidate is worse by no more than a margin, again one-sided. The slices' p-values are corrected together
after Holm. So a candidate that breaks none of these margins sets off the alarm for calibration, or any of
those for slices, in at most about a share `alpha` of all cases each.

All of it comes from one paired bootstrap: messages are drawn with replacement, each with both answers.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from math import ceil, log, sqrt
from statistics import NormalDist

import numpy as np
import pandas as pd

from triage.data import Dataset
from triage.errors import TriageError
from triage.evaluate import BINS, Report, evaluate
from triage.prediction import Classifier

ROUNDING = 1e-6
"""A difference this near a margin is on it; differences are counts over counts, so many are."""


# region policy
@dataclass(frozen=True)
class Policy:
    """What counts as worse, and how often the gate may be wrong. All shares, 0 to 1."""

    margin: float = 0.03
    """Accuracy the candidate may lose overall: it has to prove that it loses less."""
    slice_margin: float = 0.05
    """Accuracy it may lose on a slice before the gate has to prove the loss."""
    calibration_margin: float = 0.03
    """By how much its calibration error may be larger, likewise."""
    alpha: float = 0.05
    """Chance of a wrong proof, of a false alarm for calibration, of any for slices."""
    smallest_slice: int = 10
    """A slice with fewer messages is not judged."""
    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        margins = (self.margin, self.slice_margin, self.calibration_margin)
        if not all(0 < share < 1 for share in (*margins, self.alpha)):
            raise TriageError("A gate's margins and alpha lie between 0 and 1.")

    @property
    def messages_needed(self) -> int:
        """With fewer, a candidate worse by the margin too often shows no loss."""
        return ceil(log(self.alpha) / log(1 - self.margin))


# endregion policy


@dataclass(frozen=True)
class Decision:
    """Promote or refuse, and why; `figures` holds everything the reasons rest on, as plain JSON types."""

    promote: bool
    reasons: list[str]
    """Sentences: what speaks against the candidate if it is refused, else what it has shown."""
    figures: dict


def contest(
    candidate: Classifier,
    champion: Classifier | None,
    dataset: Dataset,
    policy: Policy | None = None,
) -> tuple[Report, Decision]:
    """The candidate's answers to the test split, and the decision; unopposed where there is no champion.

    Raises TriageError if the champion is one for other intents.
    """
    report = evaluate(candidate, dataset.test)
    if champion is None:
        reason = "there is no champion yet, so nothing to compare with"
        return report, Decision(True, [reason], {})
    if not set(champion.card.intents) & set(dataset.test["category"]):
        raise TriageError(
            f"The champion knows none of the intents of {dataset.name}. "
            "Set TRIAGE_DATA to the data it is champion for."
        )
    return report, compare(evaluate(champion, dataset.test), report, policy)


def compare(
    champion: Report, candidate: Report, policy: Policy | None = None
) -> Decision:
    """Decide from the answers in both reports; the same reports and policy give the same decision.

    Raises TriageError unless both are about the same messages in the same order.
    """
    refuse_other_messages(champion.answers, candidate.answers)
    return decide(champion.answers, candidate.answers, policy or Policy())


def refuse_other_messages(champion: pd.DataFrame, candidate: pd.DataFrame) -> None:
    asked = ["text", "category"]
    if not champion[asked].equals(candidate[asked]):
        raise TriageError(
            "Champion and candidate were judged on different messages. Evaluate both on the same test split."
        )


def decide(champion: pd.DataFrame, candidate: pd.DataFrame, policy: Policy) -> Decision:
    """The decision from two tables of answers: text, category, intent, confidence, perhaps style."""
    needed = policy.messages_needed
    if len(champion) < needed:
        reason = (
            f"{len(champion)} test messages cannot show that less than "
            f"{points(policy.margin)} points are lost; that takes {needed}"
        )
        figures = {"messages": len(champion), "policy": asdict(policy)}
        return Decision(False, [reason], figures)
    weights = resampled(len(champion), policy.resamples, policy.seed)
    accuracy = judge_accuracy(champion, candidate, weights, policy)
    calibration = judge_calibration(champion, candidate, weights, policy)
    parts = judge_slices(champion, candidate, weights, policy)
    against = []
    if accuracy["p"] > policy.alpha:
        against.append(accuracy_reason(accuracy, policy))
    if calibration["p"] <= policy.alpha:
        against.append(
            alarm_reason("calibration error", calibration, policy.calibration_margin)
        )
    for name, part in parts.items():
        if part["p"] <= policy.alpha:
            against.append(alarm_reason(name, part, policy.slice_margin))
    shown = [accuracy_reason(accuracy, policy), quiet_reason(calibration, parts)]
    figures = {
        "messages": len(champion),
        "accuracy": accuracy,
        "calibration": calibration,
        "slices": parts,
        "policy": asdict(policy),
    }
    return Decision(not against, against or shown, figures)


# region bootstrap
@lru_cache(maxsize=1)  # the draws depend on nothing but these three numbers
def resampled(messages: int, resamples: int, seed: int) -> np.ndarray:
    """Float32 [resamples, messages]: how often each message is drawn; every row sums to `messages`."""
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, messages), dtype=np.float32)
    for row in weights:
        drawn = rng.integers(messages, size=messages)
        row[:] = np.bincount(drawn, minlength=messages)
    return weights


def differences(
    champion: pd.DataFrame, candidate: pd.DataFrame, policy: Policy
) -> np.ndarray:
    """Candidate's accuracy minus champion's, [resamples]: one for each redrawn test set."""
    weights = resampled(len(champion), policy.resamples, policy.seed)
    return weights @ changes(champion, candidate) / len(champion)


def changes(champion: pd.DataFrame, candidate: pd.DataFrame) -> np.ndarray:
    """Per message 1 if only the candidate is right, -1 if only the champion is, else 0; float32 [n]."""
    return (right(candidate) - right(champion)).astype(np.float32)


def right(answers: pd.DataFrame) -> np.ndarray:
    return (answers["category"] == answers["intent"]).to_numpy(dtype=int)


# endregion bootstrap


# region proof
def judge_accuracy(
    champion: pd.DataFrame,
    candidate: pd.DataFrame,
    weights: np.ndarray,
    policy: Policy,
) -> dict:
    """The accuracies, the p-value of a loss of the margin or more, and the bound that goes with it."""
    changed = changes(champion, candidate)
    drawn = weights @ changed / len(changed)
    disagreement = float(np.abs(changed).mean())
    return {
        "champion": float(right(champion).mean()),
        "candidate": float(right(candidate).mean()),
        "difference": float(changed.mean()),
        "above": float(np.quantile(drawn, policy.alpha)),
        "p": share_of(drawn <= -policy.margin + ROUNDING),
        "disagreement": disagreement,
        "refuses_an_equal": 1
        - chance_of_promotion(0, len(changed), disagreement, policy),
    }


# endregion proof


def judge_slices(
    champion: pd.DataFrame,
    candidate: pd.DataFrame,
    weights: np.ndarray,
    policy: Policy,
) -> dict[str, dict]:
    """An alarm for each slice that is large enough; `p` is corrected for looking at all of them."""
    member = slices(champion, policy.smallest_slice)
    inside = member.to_numpy(dtype=np.float32)  # [n, slices]
    sizes = weights @ inside  # [resamples, slices]
    net = weights @ (inside * changes(champion, candidate)[:, None])
    harmless = net / np.maximum(sizes, 1) >= -policy.slice_margin - ROUNDING
    p_values = holm([share_of(column) for column in harmless.T])
    before, after = right(champion), right(candidate)
    return {
        name: {
            "messages": int(member[name].sum()),
            "champion": float(before[member[name]].mean()),
            "candidate": float(after[member[name]].mean()),
            "p": p,
        }
        for name, p in zip(member, p_values, strict=True)
    }


def slices(answers: pd.DataFrame, smallest: int) -> pd.DataFrame:
    """Boolean [n, slices]: which message belongs to which intent and, where the data says so, style."""
    columns = {
        f"{label} {value}": answers[column] == value
        for label, column in (("intent", "category"), ("style", "style"))
        if column in answers
        for value in sorted(answers[column].unique())
    }
    large = {name: rows for name, rows in columns.items() if rows.sum() >= smallest}
    return pd.DataFrame(large, index=answers.index)


def judge_calibration(
    champion: pd.DataFrame,
    candidate: pd.DataFrame,
    weights: np.ndarray,
    policy: Policy,
) -> dict:
    """The alarm for confidences that mean less than they did."""
    drawn = [
        np.abs(weights @ gaps(answers)).sum(axis=1) / len(answers)
        for answers in (champion, candidate)
    ]
    observed = [
        float(np.abs(gaps(answers).sum(axis=0)).sum() / len(answers))
        for answers in (champion, candidate)
    ]
    return {
        "messages": len(champion),
        "champion": observed[0],
        "candidate": observed[1],
        "p": share_of(drawn[1] - drawn[0] <= policy.calibration_margin),
    }


def gaps(answers: pd.DataFrame) -> np.ndarray:
    """Float32 [n, bins]: confidence minus right (0 or 1), in the column of the message's confidence bin."""
    confidence = answers["confidence"].to_numpy()
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    table = np.zeros((len(answers), BINS), dtype=np.float32)
    table[np.arange(len(answers)), bins] = confidence - right(answers)
    return table


def share_of(agreeing: np.ndarray) -> float:
    """A p-value: the share of resamples that agree with the null hypothesis, never quite zero."""
    return float((agreeing.sum() + 1) / (len(agreeing) + 1))


# region holm
def holm(p_values: list[float]) -> list[float]:
    """Corrected p-values: below alpha, the chance of any false alarm is below alpha."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        corrected[index] = min(largest, 1.0)
    return corrected.tolist()


# endregion holm


# region power
def chance_of_promotion(
    difference: float, messages: int, disagreement: float, policy: Policy
) -> float:
    """How often the proof succeeds if the candidate's true accuracy is higher by `difference`.

    `disagreement` is the share of messages on which exactly one of the two is right.
    """
    error = sqrt(max(disagreement - difference**2, 0) / messages)
    if error == 0:
        return float(difference > -policy.margin)
    reach = NormalDist().inv_cdf(1 - policy.alpha)
    return NormalDist().cdf((difference + policy.margin) / error - reach)


# endregion power


# region swap
def measured_false_alarms(
    champion: Report, candidate: Report, policy: Policy, trials: int = 200
) -> float:
    """The share of equal models this gate refuses on these messages.

    Each trial deals every message's two answers to two imaginary models by the toss of a coin. Those are
    equal by construction, and disagree just as often as champion and candidate do.
    """
    refuse_other_messages(champion.answers, candidate.answers)
    rng = np.random.default_rng(policy.seed)
    answer = ["intent", "confidence"]
    refused = 0
    for _ in range(trials):
        swap = rng.random(champion.messages) < 0.5
        first, second = champion.answers.copy(), candidate.answers.copy()
        first.loc[swap, answer] = candidate.answers.loc[swap, answer]
        second.loc[swap, answer] = champion.answers.loc[swap, answer]
        refused += not decide(first, second, policy).promote
    return refused / trials


# endregion swap


def accuracy_reason(accuracy: dict, policy: Policy) -> str:
    ruled_out = "is" if accuracy["p"] <= policy.alpha else "is not"
    return (
        f"accuracy {accuracy['candidate']:.1%} against {accuracy['champion']:.1%}, "
        f"{points(accuracy['difference'], sign=True)} points "
        f"({1 - policy.alpha:.0%} confidence: above {points(accuracy['above'], sign=True)}); "
        f"a loss of {points(policy.margin)} or more {ruled_out} ruled out (p = {accuracy['p']:.4f})"
    )


def alarm_reason(name: str, alarm: dict, margin: float) -> str:
    return (
        f"{name}: {points(alarm['candidate'])} against {points(alarm['champion'])} points on "
        f"{alarm['messages']} messages, worse by more than {points(margin)} (p = {alarm['p']:.4f})"
    )


def quiet_reason(calibration: dict, parts: dict[str, dict]) -> str:
    least = min((part["p"] for part in parts.values()), default=1.0)
    return (
        f"no alarm for calibration (p = {calibration['p']:.2f}) "
        f"or any of {len(parts)} slices (smallest corrected p = {least:.2f})"
    )


def points(share: float, sign: bool = False) -> str:
    """A share as percentage points."""
    return f"{100 * share:+.1f}" if sign else f"{100 * share:.1f}"
