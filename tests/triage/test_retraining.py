"""The steps of a retraining, called one after another in this process."""

import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from triage import behaviour, registry, retraining, snapshots
from triage.data import Dataset
from triage.encoder import Encoder
from triage.errors import TriageError
from triage.evaluate import Report, evaluate, report_on
from triage.files import sha256
from triage.gate import Decision
from triage.model import TriageModel
from triage.retraining import Outcome, Refused, World, environment

pytestmark = pytest.mark.slow

YES = Decision(True, ["better"], {})
NO = Decision(False, ["worse"], {})


@pytest.fixture
def desk(
    blank_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> mlflow.MlflowClient:
    """A desk with an empty registry: what a retraining finds when it looks at the world."""
    uri = f"sqlite:///{shutil.copy(blank_database, tmp_path)}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return mlflow.MlflowClient(uri)


@pytest.fixture(scope="module")
def report(model: TriageModel, small: Dataset) -> Report:
    return evaluate(model, small.test)


@pytest.fixture
def champion(desk: mlflow.MlflowClient, model: TriageModel, report, tmp_path) -> int:
    """Version 1: a model that differs from the candidate in its temperature."""
    former = tmp_path / "former.safetensors"
    card = replace(model.card, temperature=2 * model.card.temperature)
    TriageModel(model.encoder, model.head, card).save(former)
    registry.register(former, report, "candidate")
    return registry.promote(1, "the first").version


def folder_of(dataset: Dataset, path: Path) -> Path:
    path.mkdir()
    dataset.train.to_csv(path / "train.csv", index=False)
    dataset.test.to_csv(path / "test.csv", index=False)
    return path


# prepare, validate, train


def test_what_a_retraining_starts_from_is_frozen(
    desk: mlflow.MlflowClient, small: Dataset, tmp_path: Path
) -> None:
    source = folder_of(small, tmp_path / "export")
    world = retraining.prepare(str(source))
    (source / "train.csv").write_text("text,category\n")
    assert (world.champion, world.opponent) == (0, "")
    assert world.code == environment()
    kept = snapshots.read(world.snapshot)
    assert kept.train["text"].tolist() == small.train["text"].tolist()


def test_data_with_findings_are_refused_with_all_of_them(
    small: Dataset, tmp_path: Path
) -> None:
    repeated = pd.concat([small.train, small.train.head(2), small.test.head(3)])
    leaky = replace(small, train=repeated)
    kept = snapshots.take(folder_of(leaky, tmp_path / "export"))
    with pytest.raises(Refused) as refusal:
        retraining.check_data(str(kept), 0, environment())
    assert "repeats its own messages" in str(refusal.value)
    assert "has messages of train.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_data_that_no_classifier_could_be_trained_on_are_refused_too(
    desk: mlflow.MlflowClient, small: Dataset, tmp_path: Path
) -> None:
    blank = small.train.copy()
    blank.loc[3, "text"] = " "
    source = folder_of(replace(small, train=blank), tmp_path / "export")
    world = retraining.prepare(str(source))
    with pytest.raises(Refused, match="has empty fields in record 4"):
        retraining.check_data(world.snapshot, 0, world.code)


def test_another_registrys_champion_is_noticed(
    champion: int, model_file: Path, small: Dataset, encoder: Encoder, tmp_path: Path
) -> None:
    kept = snapshots.take(folder_of(small, tmp_path / "export"))
    world = World(str(kept), champion, "0" * 64, environment())
    with pytest.raises(TriageError, match="another model than a moment ago"):
        retraining.judge(world, model_file, encoder)


def test_the_champions_data_say_what_is_usual(
    desk: mlflow.MlflowClient, small: Dataset, encoder: Encoder, report, tmp_path: Path
) -> None:
    source = folder_of(small, tmp_path / "export")
    kept = snapshots.take(source)
    file = tmp_path / "model.safetensors"
    TriageModel.fit(snapshots.read(str(kept)), encoder).save(file)
    registry.register(file, report, "champion")

    renamed = small.train.replace("item_damaged", "item_broken")
    other = replace(
        small, train=renamed, test=small.test.replace("item_damaged", "item_broken")
    )
    new = snapshots.take(folder_of(other, tmp_path / "new"))
    retraining.check_data(str(new), 0, environment())  # alone it is fine
    with pytest.raises(Refused, match="labels that nobody knows"):
        retraining.check_data(str(new), 1, environment())


def test_steps_of_different_code_do_not_mix(tmp_path: Path) -> None:
    other, data = "0" * 64, "sha256:123456"
    file = tmp_path / "model.safetensors"
    for step in (
        lambda: retraining.check_data(data, 0, other),
        lambda: retraining.train(data, other, file),
        lambda: retraining.judge(World(data, 0, "", other), file),
    ):
        with pytest.raises(TriageError, match="same image"):
            step()
    assert not file.exists()


# judge


def test_a_candidate_that_fails_a_behavioural_test_is_not_promoted(
    small: Dataset,
    model_file: Path,
    encoder: Encoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    class Failing:
        ok, name, passed, cases = False, "casing", 1, 9

    monkeypatch.setattr(behaviour, "check", lambda *_: [Failing])
    kept = snapshots.take(folder_of(small, tmp_path / "export"))
    world = World(str(kept), 0, "", environment())
    _, decision = retraining.judge(world, model_file, encoder)
    assert decision == Decision(False, ["casing: 1 of 9 passed"], {})


def test_a_report_is_the_same_after_its_answers_have_travelled(
    report: Report, tmp_path: Path
) -> None:
    report.answers.to_parquet(tmp_path / "answers")
    again = report_on(pd.read_parquet(tmp_path / "answers"), report.intents)
    assert again.summary() == report.summary()
    pd.testing.assert_frame_equal(again.answers, report.answers)


# settle


def test_a_better_candidate_takes_the_place(
    champion: int, model_file: Path, report: Report, desk: mlflow.MlflowClient
) -> None:
    outcome = retraining.settle(champion, model_file, report, YES, "new data")
    assert outcome == Outcome("promoted", 2, ["better"])
    tags = desk.get_model_version(registry.NAME, "2").tags
    assert tags["promoted_from"] == "1"
    assert tags["promoted_reason"] == "new data"


def test_a_refused_candidate_is_kept_with_the_reason(
    champion: int, model_file: Path, report: Report, desk: mlflow.MlflowClient
) -> None:
    outcome = retraining.settle(champion, model_file, report, NO, "new data")
    assert outcome == Outcome("refused", 2, ["worse"])
    version = desk.get_model_version_by_alias(registry.NAME, "candidate")
    assert int(version.version) == 2
    assert version.tags["refused_reason"] == "worse"
    assert registry.champion(desk) == champion


def test_the_same_model_again_changes_nothing(
    champion: int, model_file: Path, report: Report, desk: mlflow.MlflowClient
) -> None:
    retraining.settle(champion, model_file, report, YES, "new data")
    again = retraining.settle(2, model_file, report, NO, "a job ran twice")
    assert again.ending == "unchanged"
    assert desk.get_model_version(registry.NAME, "2").tags["confirmed_at"]
    assert len(desk.search_model_versions(f"name = '{registry.NAME}'")) == 2


def test_a_decision_about_a_former_champion_moves_nothing(
    champion: int, model_file: Path, report: Report, desk: mlflow.MlflowClient
) -> None:
    desk.create_model_version(registry.NAME, "file:/nowhere")
    desk.set_registered_model_alias(registry.NAME, "champion", "2")
    with pytest.raises(Refused, match="meanwhile 2 took its place"):
        retraining.settle(champion, model_file, report, YES, "new data")
    assert registry.champion(desk) == 2


def test_what_was_rolled_back_does_not_come_back_by_itself(
    champion: int, model_file: Path, report: Report, desk: mlflow.MlflowClient
) -> None:
    retraining.settle(champion, model_file, report, YES, "new data")
    registry.rollback("too slow")
    outcome = retraining.settle(champion, model_file, report, YES, "the same night")
    assert outcome.ending == "refused"
    assert "was rolled back (too slow)" in outcome.reasons[0]
    assert registry.champion(desk) == champion


class CutOff(BaseException):
    """As a kill is: nothing catches it."""


WRITES = ("create_model_version", "set_model_version_tag", "set_registered_model_alias")


def test_cut_off_before_any_write_the_champion_stays_and_a_second_run_ends_well(
    champion: int,
    model_file: Path,
    report: Report,
    desk: mlflow.MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = type(desk._get_registry_client().store)
    left = 0

    def until_cut_off(write):
        def counted(*arguments, **named):
            nonlocal left
            if left == 0:
                raise CutOff
            left -= 1
            return write(*arguments, **named)

        return counted

    with monkeypatch.context() as patch:
        for name in WRITES:
            patch.setattr(store, name, until_cut_off(getattr(store, name)))
        for writes in range(20):
            left = writes
            try:
                outcome = retraining.settle(champion, model_file, report, YES, "new")
            except CutOff:
                assert registry.champion(desk) == champion
            else:
                break
    assert writes >= 5  # version, alias, two tags and a third, alias
    assert outcome == Outcome("promoted", 2, ["better"])
    assert registry.champion(desk) == 2
    versions = desk.search_model_versions(f"name = '{registry.NAME}'")
    assert len(versions) == 2
    assert desk.get_model_version(registry.NAME, "2").tags["promoted_from"] == "1"
    uri = f"models:/{registry.NAME}@champion"
    fetched = registry.fetch(uri, model_file.parent / "fetched")
    assert sha256(fetched) == sha256(model_file)
