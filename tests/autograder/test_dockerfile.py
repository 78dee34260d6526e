"""What a Dockerfile may say, and what the judge makes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.dockerfile import parse, rewrite
from autograder.errors import LearnerError

FROM = "FROM python:3.11-slim\n"
DIGEST = "sha256:" + "0" * 64


def rewritten(source: str) -> list[str]:
    text = rewrite(source, base="BASE", labels={"job": "1"}, architecture="amd64")
    assert text.endswith("\n")
    return text.splitlines()


def refused(source: str) -> LearnerError:
    with pytest.raises(LearnerError) as caught:
        rewritten(source)
    assert caught.value.advice.endswith(".")
    return caught.value


@pytest.mark.parametrize(
    "image",
    [
        "python:3.11-slim",
        "python:3.11-slim-bookworm",
        "python:3.11.14-slim",
        "docker.io/library/python:3.11-slim",
        "docker.io/python:3.11.9-slim-bookworm",
        f"python:3.11-slim@{DIGEST}",
    ],
)
def test_the_bases_that_are_allowed(image):
    assert rewritten(f"FROM {image}") == ["FROM BASE", 'LABEL job="1"']
    assert rewritten(f"{FROM}COPY --from={image} /a /b")[2] == "COPY --from=BASE /a /b"


@pytest.mark.parametrize(
    "image",
    [
        *("python", "python:latest", "python:3.11", "python:3.12-slim", "alpine"),
        *("python:3.11-slim-trixie", "evil/python:3.11-slim", "python:3.11-slimmer"),
        *("localhost/the-pivot-abc-1:build", "localhost/the-pivot-base:0123456789ab"),
        *(f"alpine@{DIGEST}", f"python@{DIGEST}", "$UNKNOWN", "PYTHON:3.11-SLIM"),
    ],
)
def test_every_other_base_is_refused_with_its_line(image):
    error = refused(f"# why\n\nFROM {image}\n")
    assert error.seen.startswith(f"Line 3 of the Dockerfile (FROM {image[:40]}")
    assert "python:3.11-slim" in error.advice


def test_stages_get_the_labels_and_are_known_by_name_and_number():
    source = """
    from python:3.11-slim As Build
    RUN true
    FROM build AS second
    FROM scratch
    COPY --from=BUILD --chown=1:1 /a /a
    COPY --from=1 /b /b
    """
    assert rewritten(source) == [
        *("FROM BASE AS build", 'LABEL job="1"', "RUN true"),
        *("FROM build AS second", 'LABEL job="1"', "FROM scratch", 'LABEL job="1"'),
        *("COPY --from=BUILD --chown=1:1 /a /a", "COPY --from=1 /b /b"),
    ]


@pytest.mark.parametrize(
    "source", ["2", "1", "-1", "later", "a-peers-image:latest", "$X"]
)
def test_only_earlier_stages_can_be_copied_from(source):
    error = refused(f"{FROM}{FROM}COPY --from={source} /a /a\nFROM scratch AS later\n")
    if source == "1":
        assert "no earlier stage" in error.seen, "a stage is not its own source"
    assert error.seen.startswith("Line 3")


def test_theirs_cannot_replace_the_labels():
    assert rewritten(FROM + "LABEL job=2\n")[2:] == ["LABEL job=2", 'LABEL job="1"']


def test_arguments_before_from():
    source = (
        'ARG TAG=3.11\nARG REPO=python IMAGE="$REPO:${TAG}-slim"\n'
        "FROM ${IMAGE}\nFROM ${NONE:-python:3.11-slim}\nFROM python:${TAG:+3.11}-slim\n"
    )
    assert rewritten(source).count("FROM BASE") == 3
    assert "without a value" in refused("ARG TAG\nFROM python:$TAG").seen


def test_platforms():
    for platform in ("linux/amd64", "$BUILDPLATFORM", "${TARGETPLATFORM}"):
        assert (
            rewritten(f"FROM --platform={platform} python:3.11-slim")[0] == "FROM BASE"
        )
    error = refused("FROM --platform=linux/arm64 python:3.11-slim")
    assert "linux/arm64" in error.seen
    assert "linux/amd64" in error.seen


def test_continued_lines_comments_and_empty_lines():
    source = (
        FROM
        + "RUN one && \\\n# not this\n\n  # nor this\n    two \\  \n three\nENV A=1 # 2\n"
    )
    assert rewritten(source)[2:] == ["RUN one &&     two  three", "ENV A=1 # 2"]
    assert [one.line for one in parse(source)] == [1, 2, 8]
    assert rewritten("\ufeff" + FROM + "RUN x \\")[2:] == ["RUN x"]


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("RUN --mount=type=bind,source=/,target=/host ls", "--mount"),
        ("RUN --network=host ls", "--network"),
        ("run --security=insecure ls", "--security"),
        ("RUN \\\n --mount=type=secret,id=x ls", "--mount"),
        ("COPY --chmod=755 a /a", "--chmod"),
        ("ADD https://example.org/x /x", "address"),
        ("ADD http\\://example.org/x /x", "address"),
        ('ADD ["ftp://example.org/x", "/x"]', "address"),
        ("ADD git@example.org:x.git /x", "address"),
        ("ARG U=http://example.org\nADD $U /x", "address"),
        ("ADD --checksum=sha256:0 x /x", "--checksum"),
        ("RUN cat <<EOF > /x\nhello\nEOF", "here-document"),
        ("COPY <<'EOF' /x\nhello\nEOF", "here-document"),
        ("ONBUILD RUN curl example.org", "built from this one"),
        ("INCLUDE x", "not an instruction"),
        ("FROM python:3.11-slim AS", "cannot be read"),
    ],
)
def test_what_is_refused(line, seen):
    error = refused(FROM + line)
    assert error.seen.startswith(("Line 2 ", "Line 3 "))
    assert seen in error.seen


@pytest.mark.parametrize(
    "line",
    [
        "RUN python -c 'print(1<<3, 1 << x)'",
        "RUN echo --mount=x",
        'HEALTHCHECK --interval=5s --start-period=1s CMD curl --fail "http://127.0.0.1"',
        "HEALTHCHECK NONE",
        'CMD ["python", "-m", "x"]',
        "ENV URL=http://example.org A='b c'",
    ],
)
def test_what_is_left_as_it_is(line):
    assert rewritten(FROM + line)[2:] == [line]


@pytest.mark.parametrize("rest", ["data.tar.gz $HOME/", '["a b", "/x"]'])
def test_add_becomes_copy_which_fetches_and_unpacks_nothing(rest):
    assert rewritten(f"{FROM}ADD {rest}")[2:] == [f"COPY {rest}"]


@pytest.mark.parametrize("blank", ["\u00a0", "\u2003", "\x1f", "\x0b", "\x85"])
def test_blanks_that_only_python_takes_for_blanks_are_refused(blank):
    """Stripped after a backslash, one would join two lines that were vetted apart."""
    source = f"{FROM}ENV A=x\nADD r.txt $A\\{blank}\nCMD http://127.0.0.1/x /out/\n"
    assert f"U+{ord(blank):04X}" in refused(source).seen
    assert "docker does not accept" in refused("FROM python:3.11-slim AS a:1").seen


@pytest.mark.parametrize("keyword", ["ARG", "ENV"])
def test_variables_that_double_each_other_are_refused(keyword):
    lines = [f"{keyword} A{n}=$A{n - 1}$A{n - 1}" for n in range(1, 42)]
    before, after = (lines, []) if keyword == "ARG" else ([], lines)
    source = "\n".join([*before, "FROM python:3.11-slim", *after])
    assert "variables more than" in refused(source).seen


def test_options_that_change_nothing_are_left_out():
    assert rewritten(FROM + "COPY --link a /a")[2:] == ["COPY a /a"]


@pytest.mark.parametrize(
    "line", ["# syntax=docker/dockerfile:1", "#Syntax = evil", "# escape=`"]
)
def test_parser_directives(line):
    assert refused(f"{line}\n{FROM}").seen.startswith("Line 1 of the Dockerfile")
    assert rewritten(f"# a comment\n{line}\n{FROM}")[0] == "FROM BASE", "only a comment"


def test_files_without_a_start():
    assert "no FROM" in refused("").seen
    assert "no FROM" in refused("# nothing\nARG X=1\n").seen
    assert "before FROM" in refused("RUN true\n" + FROM).seen


@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.sampled_from(
                [
                    "FROM ",
                    "FROM x",
                    "python:3.11-slim",
                    "RUN ",
                    "\\",
                    "--mount=x",
                    "ARG A=",
                ]
            ),
        ),
        max_size=8,
    ).map("\n".join)
)
def test_any_text_is_rewritten_or_refused_and_never_builds_on_anything_else(source):
    try:
        lines = rewritten(source)
    except LearnerError:
        return
    for line in lines:
        if line.startswith("FROM"):
            assert line.split()[1] in ("BASE", "scratch") or "AS" in source.upper()
