"""What the judge finds in an image, in every layer of it."""

import pytest
from engines import context, engine

from autograder.probes.image import (
    change,
    contents,
    read,
    size_over_base,
)

__all__ = ["context", "engine"]
pytestmark = pytest.mark.slow
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA1234567890\n"


def found(engine, image, planted=()):
    return {
        (secret.where, secret.what)
        for secret in contents(
            image, read(engine, image, texts=planted), planted
        ).secrets
    }


def test_an_image_without_secrets(engine, context):
    image = engine.build(
        context(
            *("COPY . /srv", "RUN pip install httpx", "ENV MODE=real SSL_CERT_FILE=/x"),
            **{
                "_dot_env.example": "TOKEN=\n",
                "key_dot_pem": "-----BEGIN PRIVATE KEY-----",
            },
        )
    )
    assert found(engine, image, ["planted"]) == set()


def test_secrets_in_any_layer_deleted_ones_too(engine, context):
    token = "hf_" + "a1" * 17
    image = engine.build(
        context(
            *("COPY . /srv/", "RUN rm -rf /srv", "RUN mkdir /srv"),
            *(
                f"RUN echo {token} | base64 -d -i > /dev/null; printf 'x%sx' 'gone' > /g",
                "",
            ),
            _dot_env="PASSWORD=correct-horse\n",
            server_dot_pem=KEY,
            settings_dot_py="KEY = 'AKIAABCDEFGHIJKLMNOP'",
        )
    )
    said = found(engine, image, ["correct-horse", "xgonex", "not-there"])
    assert ("/srv/.env", "a file that holds secrets") in said
    assert ("/srv/.env", "the value 'correct-horse'") in said
    assert ("/srv/server.pem", "a private key") in said
    assert ("/srv/settings.py", "an AWS access key") in said
    assert ("/g", "the value 'xgonex'") in said
    assert any(
        where.startswith("the step") and what == "a Hugging Face token"
        for where, what in said
    )
    assert not any("not-there" in what for _, what in said)


def test_secrets_in_variables_and_build_arguments(engine, context):
    image = engine.build(
        context(
            "ARG PIP_TOKEN=of-the-build", "RUN true && touch /x", "ENV API_KEY=kept"
        )
    )
    said = found(engine, image)
    assert ("ENV API_KEY", "a variable with a secret's name") in said
    assert any("PIP_TOKEN" in what for _, what in said)


def test_what_a_change_of_the_code_rebuilds(engine, context):
    lines = [
        "RUN head -c 300000 /dev/urandom > /installed",
        "COPY a /a",
        "WORKDIR /srv",
    ]
    first = engine.build(context(*lines, a="x" * 10_000))
    again = engine.build(context(*lines, a="x" * 10_000))
    second = engine.build(context(*lines, a="y" * 10_000))

    assert again.digests == first.digests
    assert change(first, again, {}, "mark").size == 0
    base = len(engine.base_image.digests)
    assert second.digests[: base + 1] == first.digests[: base + 1]
    assert second.digests[base + 1] != first.digests[base + 1]
    layers = read(engine, first, second, texts=["yyy", "zzz"])
    found = change(first, second, layers, "yyy")
    assert 10_000 <= found.size < 50_000
    assert found.found
    assert not change(first, second, layers, "zzz").found
    assert "a" in contents(first, layers).names
    assert 310_000 <= size_over_base(engine, first) < 700_000
