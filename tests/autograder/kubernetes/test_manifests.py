"""What a cluster would not take is refused with a sentence, whatever it is made of."""

from pathlib import Path

import pytest

from autograder.errors import LearnerError
from autograder.kubernetes import manifests, quantities

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: triage}\ndata: {A: b}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "triage.yaml"


def test_several_manifests_are_read_in_order(path: Path) -> None:
    path.write_text(f"{CONFIG}---\n---\n{CONFIG.replace('triage', 'other')}")
    assert [manifests.name_of(each) for each in manifests.read(path)] == [
        "triage",
        "other",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 manifests"),
        (CONFIG + f"---\n{CONFIG}" * 20, "has 21 manifests"),
        ("a: [1, 2", "is not YAML at line"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("- 1\n- 2\n", "it has no kind"),
        ("kind: 3\n", "it has no kind"),
        (CONFIG.replace("\ndata", "\ndta"), "ConfigMap triage: at the top"),
        (CONFIG.replace("{A: b}", "{A: 1}"), "data.A"),
        (CONFIG.replace("v1", "v9"), "has no such kind in v9"),
        (CONFIG.replace("name: triage", "name: [1]"), "without a name"),
        ("x" * (65 << 10), "has 65 KiB"),
        ("[" * 5000, "is not YAML"),
        ("a: \x00\n", "is not YAML"),
    ],
)
def test_what_a_cluster_would_not_take(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(LearnerError) as caught:
        manifests.read(path)
    assert said in caught.value.seen
    assert caught.value.advice


def test_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00kind")
    with pytest.raises(LearnerError, match="UTF-8"):
        manifests.read(path)


def test_one_of_a_kind(path: Path) -> None:
    path.write_text(f"{CONFIG}---\n{CONFIG}")
    with pytest.raises(LearnerError, match="are 2 manifests"):
        manifests.only(manifests.read(path), "ConfigMap")
    with pytest.raises(LearnerError, match="is no Service"):
        manifests.only(manifests.read(path), "Service")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("500m", 0.5), ("1", 1), (2, 2), ("1Ki", 1024), ("1.5Gi", 1.5 * 2**30)],
)
def test_quantities(written: str | int, meant: float) -> None:
    assert quantities.amount(written) == meant


@pytest.mark.parametrize(
    "written", ["", "Mi", "1 Gi", "-1", "0", 0, "1X", "NaN", "Infinity", "1_0"]
)
def test_what_is_no_quantity(written: str | int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the library's words
        quantities.amount(written)


def test_shares_of_pods_are_rounded_as_kubernetes_does() -> None:
    assert quantities.share("25%", 3, up=True) == 1
    assert quantities.share("25%", 3, up=False) == 0
    assert quantities.share(2, 3, up=False) == 2
    for odd in ("abc", "25", "%", "2.5%"):
        with pytest.raises(ValueError):  # noqa: PT011  int's words or ours
            quantities.share(odd, 3, up=False)


def test_a_field_without_a_value_is_not_there(path: Path) -> None:
    """The schema lets `resources:` pass with nothing after it, and so does a cluster."""
    path.write_text(CONFIG + "immutable:\nbinaryData: {a: null}\n")
    assert manifests.read(path) == [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "triage"},
            "data": {"A": "b"},
            "binaryData": {},
        }
    ]


def test_what_is_wanted_must_be_said() -> None:
    with pytest.raises(LearnerError, match="Service triage has no spec"):
        manifests.spec_of({"kind": "Service", "metadata": {"name": "triage"}})
    with pytest.raises(LearnerError, match="The template has no spec"):
        manifests.spec_of({"metadata": {"labels": {}}})
    with pytest.raises(LearnerError, match="has no name"):
        manifests.only([{"kind": "Service", "metadata": {}}], "Service")
