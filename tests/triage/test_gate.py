"""The gate: what it must refuse, what it must let through, and whether its stated error rates are true."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from triage import registry
from triage.cli import app
from triage.data import Dataset
from triage.encoder import Encoder
from triage.errors import TriageError
from triage.evaluate import Report, evaluate
from triage.gate import (
    Policy,
    chance_of_promotion,
    compare,
    decide,
    holm,
    measured_false_alarms,
    resampled,
)
from triage.model import TriageModel
from triage.prediction import Prediction

QUICK = Policy(resamples=2_000)
INTENTS = [f"intent{k}" for k in range(15)]


def report(right: np.ndarray, confidence: np.ndarray | float = 0.85) -> Report:
    """A report of a model that gets just the given messages right; 15 intents, three styles in turn."""
    number = np.arange(len(right))
    messages = pd.DataFrame(
        {
            "text": number.astype(str),
            "category": np.array(INTENTS)[number % 15],
            "style": np.array(["plain", "short", "angry"])[number // 15 % 3],
        }
    )
    answers = np.where(
        right, messages["category"], np.array(INTENTS)[(number + 1) % 15]
    )
    sure = np.broadcast_to(confidence, len(right))

    def predict(texts: Sequence[str]) -> list[Prediction]:
        return [
            Prediction(intent, float(p), [])
            for intent, p in zip(answers, sure, strict=True)
        ]

    model = SimpleNamespace(card=SimpleNamespace(intents=INTENTS), predict=predict)
    return evaluate(model, messages)


def mistaken(*wrong: range, messages: int = 300) -> np.ndarray:
    """All right except the given rows."""
    right = np.ones(messages, dtype=bool)
    for rows in wrong:
        right[list(rows)] = False
    return right


CHAMPION = report(mistaken(range(45)))  # 85 % right, as sure as it is right


def test_an_equal_candidate_is_promoted_and_the_decision_says_why() -> None:
    candidate = report(mistaken(range(3, 48)))  # three lost, three won
    decision = compare(CHAMPION, candidate)
    assert decision.promote
    assert [reason.split()[0] for reason in decision.reasons] == ["accuracy", "no"]
    assert decision.figures["accuracy"]["difference"] == 0
    assert decision.figures["accuracy"]["disagreement"] == pytest.approx(6 / 300)
    json.dumps(decision.figures)


def test_a_better_candidate_is_promoted() -> None:
    assert compare(CHAMPION, report(mistaken(range(20)), 0.92)).promote


def test_a_candidate_worse_overall_is_refused() -> None:
    candidate = report(mistaken(range(75)), 0.75)
    decision = compare(CHAMPION, candidate)
    assert not decision.promote
    assert decision.reasons[0].startswith("accuracy 75.0% against 85.0%, -10.0 points")
    assert "is not ruled out" in decision.reasons[0]


def test_a_candidate_worse_on_one_slice_is_refused_though_no_worse_overall() -> None:
    everything = np.arange(300)
    intent3 = everything[everything % 15 == 3]
    right = mistaken(range(45))
    right[:45] = True  # what it wins elsewhere
    right[intent3] = False
    candidate = report(right, 0.93)
    assert candidate.accuracy > CHAMPION.accuracy
    decision = compare(CHAMPION, candidate)
    assert not decision.promote
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith("intent intent3: 0.0 against 85.0 points")
    assert "on 20 messages" in decision.reasons[0]


def test_a_candidate_worse_on_a_style_is_refused() -> None:
    right = mistaken(range(45))
    right[[row for row in range(300) if row // 15 % 3 == 2 and row % 2]] = False
    right[:30] = True
    decision = compare(CHAMPION, report(right))
    assert any(reason.startswith("style angry") for reason in decision.reasons)


def test_an_overconfident_candidate_is_refused_though_it_gives_the_same_answers() -> (
    None
):
    decision = compare(CHAMPION, report(mistaken(range(45)), 0.99))
    assert not decision.promote
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith("calibration error: 14.0 against 0.0")


def test_a_small_slice_is_not_judged() -> None:
    answers = CHAMPION.answers.assign(style="plain")
    answers.loc[:8, "style"] = "rare"  # nine messages
    worse = answers.copy()
    worse.loc[:8, "intent"] = "elsewhere"
    better = answers.assign(intent=answers["category"])
    decision = decide(better, worse, QUICK)
    assert "style rare" not in decision.figures["slices"]
    assert "style plain" in decision.figures["slices"]


def test_data_without_styles_or_large_slices_still_gets_a_decision() -> None:
    answers = CHAMPION.answers.drop(columns="style")
    policy = replace(QUICK, smallest_slice=1_000)
    decision = decide(answers, answers, policy)
    assert decision.promote
    assert decision.figures["slices"] == {}
    json.dumps(decision.figures)


def test_too_few_messages_prove_nothing() -> None:
    """Two identical models on 98 messages: the next message might tell them apart."""
    few = CHAMPION.answers.tail(98)
    assert QUICK.messages_needed == 99
    decision = decide(few, few, QUICK)
    assert not decision.promote
    assert "that takes 99" in decision.reasons[0]
    enough = CHAMPION.answers.tail(99)
    assert decide(enough, enough, QUICK).promote


def test_a_loss_of_exactly_the_margin_in_every_resample_is_not_ruled_out() -> None:
    champion = CHAMPION.answers
    policy = replace(QUICK, margin=0.5)
    half = champion.copy()
    half.loc[45:194, "intent"] = "elsewhere"  # 150 of 300
    assert decide(champion, half, policy).figures["accuracy"]["p"] > 0.4


def test_the_same_reports_get_the_same_decision() -> None:
    candidate = report(mistaken(range(10, 60)))
    first = compare(CHAMPION, candidate)
    resampled.cache_clear()
    assert compare(CHAMPION, candidate) == first
    other = compare(CHAMPION, candidate, Policy(seed=1))
    assert other.figures["accuracy"] != first.figures["accuracy"]


def test_different_messages_are_not_compared() -> None:
    with pytest.raises(TriageError, match="different messages"):
        compare(CHAMPION, report(mistaken(range(45), messages=299)))
    relabelled = replace(CHAMPION, answers=CHAMPION.answers.assign(category="intent0"))
    with pytest.raises(TriageError, match="different messages"):
        compare(CHAMPION, relabelled)


@pytest.mark.parametrize("change", [{"margin": 0}, {"alpha": 1}, {"slice_margin": -1}])
def test_a_senseless_policy_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(TriageError, match="between 0 and 1"):
        Policy(**change)


def test_resamples_draw_the_whole_set_with_replacement() -> None:
    weights = resampled(50, 4_000, 0)
    assert (weights.sum(axis=1) == 50).all()
    never = (weights == 0).mean()
    assert never == pytest.approx((1 - 1 / 50) ** 50, abs=0.005)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]


# The error rates, by simulation


def pair(
    rng: np.random.Generator, messages: int, difference: float, disagreement: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers of two models whose true accuracies differ by `difference`, whatever the slice."""
    only_champion = (disagreement - difference) / 2
    only_candidate = (disagreement + difference) / 2
    both = 0.75
    kind = rng.choice(
        4,
        size=messages,
        p=[only_champion, only_candidate, both, 1 - both - disagreement],
    )
    number = np.arange(messages)
    questions = pd.DataFrame(
        {"text": number.astype(str), "category": np.array(INTENTS)[number % 15]}
    )
    questions["style"] = rng.choice(["plain", "short", "angry"], size=messages)

    def answers(right: np.ndarray) -> pd.DataFrame:
        intent = np.where(right, questions["category"], "another")
        return questions.assign(intent=intent, confidence=0.8)

    return answers(np.isin(kind, [0, 2])), answers(np.isin(kind, [1, 2]))


def simulated(difference: float, disagreement: float, trials: int) -> pd.DataFrame:
    """A row a trial: was it promoted, and the smallest corrected p of a slice."""
    rng = np.random.default_rng(2)
    rows = []
    for _ in range(trials):
        decision = decide(*pair(rng, 300, difference, disagreement), QUICK)
        figures = decision.figures
        rows.append(
            {
                "promoted": decision.promote,
                "p": min(part["p"] for part in figures["slices"].values()),
            }
        )
    return pd.DataFrame(rows)


@pytest.mark.slow
def test_a_candidate_worse_by_the_margin_passes_as_often_as_stated() -> None:
    trials = simulated(-QUICK.margin, 0.1, 200)
    # 5 % stated; 200 trials measure that to within 1.5 points (one standard error).
    assert 0.01 <= trials["promoted"].mean() <= 0.05 + 3 * 0.015


@pytest.mark.slow
def test_equal_models_are_refused_as_often_as_the_decision_says() -> None:
    rng = np.random.default_rng(3)
    champion, candidate = (
        replace(CHAMPION, answers=answers) for answers in pair(rng, 300, 0, 0.08)
    )
    stated = compare(champion, candidate, QUICK).figures["accuracy"]["refuses_an_equal"]
    assert 0.2 < stated < 0.5
    measured = measured_false_alarms(champion, candidate, QUICK, trials=120)
    assert measured == pytest.approx(stated, abs=3 * 0.045)


@pytest.mark.slow
def test_correction_is_what_keeps_slices_from_crying_wolf() -> None:
    """Every slice is worse by just the margin, which is allowed: any alarm is false, with 18 chances."""
    trials = simulated(-QUICK.slice_margin, 0.2, 120)
    corrected = (trials["p"] <= QUICK.alpha).mean()
    assert corrected <= 0.05 + 3 * 0.02
    uncorrected = (
        trials["p"] / 18 <= QUICK.alpha
    ).mean()  # Holm's factor for the smallest
    assert uncorrected > 0.3


def test_power_grows_with_messages_and_has_the_stated_ends() -> None:
    policy = Policy()
    few, many = (chance_of_promotion(0, n, 0.1, policy) for n in (300, 3_000))
    assert few == pytest.approx(0.5, abs=0.01)
    assert many > 0.999
    assert chance_of_promotion(-policy.margin, 300, 0.1, policy) == pytest.approx(0.05)
    assert chance_of_promotion(0, 300, 0, policy) == 1
    assert chance_of_promotion(-0.1, 300, 0.01, policy) == 0


# The command


@pytest.fixture(scope="module")
def desk(
    small: Dataset,
    model: TriageModel,
    encoder: Encoder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Four intents' data, a model trained on it, and one taught to mistake one intent for another."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "data").mkdir()
    small.train.to_csv(folder / "data" / "train.csv", index=False)
    small.test.to_csv(folder / "data" / "test.csv", index=False)
    model.save(folder / "good.safetensors")
    right = (small.train["category"] != "item_damaged") | (small.train.index % 5 == 0)
    taught = small.train["category"].where(right, "delivery_late")
    mistaught = replace(small, train=small.train.assign(category=taught))
    TriageModel.fit(mistaught, encoder).save(folder / "bad.safetensors")
    return folder


@pytest.fixture
def gate(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`triage gate ARGUMENTS` where nobody is champion yet."""
    monkeypatch.chdir(desk)
    monkeypatch.setenv("TRIAGE_DATA", "data")
    monkeypatch.setattr(registry, "connect", lambda: None)
    monkeypatch.setattr(registry, "champion", lambda client: None)
    return lambda *arguments: CliRunner().invoke(app, ["gate", *arguments])


@pytest.mark.slow
def test_the_command_promotes_and_refuses(gate: Callable[..., Result]) -> None:
    against = ("--champion", "good.safetensors", "--margin", "0.05")
    same = gate("--candidate", "good.safetensors", *against)
    assert same.exit_code == 0, same.output
    assert same.stdout.startswith("Promote: accuracy")
    worse = gate("--candidate", "bad.safetensors", *against, "--json")
    assert worse.exit_code == 1, worse.output
    decision = json.loads(worse.stdout)
    assert decision["promote"] is False
    assert decision["figures"]["policy"]["margin"] == 0.05
    assert any("item_damaged" in reason for reason in decision["reasons"])


@pytest.mark.slow
def test_without_a_champion_the_candidate_is_promoted(
    gate: Callable[..., Result],
) -> None:
    first = gate("--candidate", "good.safetensors")
    assert first.exit_code == 0, first.output
    assert "no champion yet" in first.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--champion", "nowhere"), "No model at nowhere"),
        (("--margin", "3"), "between 0 and 1"),
        (("--champion", "models:/triage@champoin"), "The registry has no"),
    ],
)
def test_trouble_is_neither_promotion_nor_refusal(
    gate: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    complaint: str,
) -> None:
    """Least of all may a mistyped name read as "no champion yet"."""

    def unknown(model_uri: str, folder: Path) -> Path:
        raise TriageError(f"The registry has no {model_uri}.")

    monkeypatch.setattr(registry, "fetch", unknown)
    result = gate("--candidate", "good.safetensors", *arguments)
    assert isinstance(result.exception, TriageError)
    assert complaint in str(result.exception)


@pytest.mark.slow
def test_a_champion_of_other_data_is_not_compared(
    gate: Callable[..., Result], tickets: Dataset, encoder: Encoder, desk: Path
) -> None:
    others = ["cancel_order", "discount_code"]
    train = tickets.train[tickets.train["category"].isin(others)]
    TriageModel.fit(
        Dataset("others", train.reset_index(drop=True), train, "1" * 64), encoder
    ).save(desk / "others.safetensors")
    result = gate(
        *("--candidate", "good.safetensors", "--champion", "others.safetensors")
    )
    assert "knows none of the intents" in str(result.exception)
