"""Who vouches for a model: a signature over all its files, in the format of OpenSSF's model signing.

A digest in the registry proves that a file is what the registry says it is, and who may write there writes
the digest too. A signature takes a private key, which the registry has never seen. It is kept with the run.
It says who released these files, and not that they are the newest: an older signed version still verifies.
"""

import re
import tempfile
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from model_signing import hashing, signing, verifying

from triage import registry
from triage.errors import TriageError
from triage.files import sha256
from triage.revision import code_digest

SIGNATURE = "model.sig"
ADDED_BY_MLFLOW = "registered_model_meta"
"""A file that a download has and the model that was logged has not."""
EVERY_FILE = hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)


# region sign
def sign(which: str | int, key: Path, uri: str | None = None) -> int:
    """Sign a version (number or alias) with a private key; return its number.

    The key is an elliptic curve's, in PEM. Raises TriageError if it cannot be used.
    """
    client = registry.connect(uri)
    version = registry.resolve(client, which)
    with tempfile.TemporaryDirectory(prefix="triage-") as folder:
        files = download(f"models:/{registry.NAME}/{version.version}", Path(folder))
        refuse_altered(files, client.get_run(version.run_id or "").data.params)
        signature = Path(folder) / SIGNATURE
        try:
            config = signing.Config().set_hashing_config(EVERY_FILE)
            config.use_elliptic_key_signer(private_key=key).sign(files, signature)
        except (OSError, ValueError, TypeError) as error:
            raise TriageError(
                f"Cannot sign with {key}: {registry.first_line(error)} Make a key with "
                "`openssl ecparam -name prime256v1 -genkey -noout -out model.key`."
            ) from error
        client.log_artifact(version.run_id, str(signature))
    return int(version.version)


# endregion sign


# region verify
def verify(model_uri: str, files: Path, key: Path) -> None:
    """Raise TriageError unless the holder of this public key signed these files."""
    if not key.is_file():
        raise TriageError(f"There is no key at {key}. Correct TRIAGE_TRUST.")
    (files / ADDED_BY_MLFLOW).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="triage-") as folder:
        signature = signature_of(model_uri, Path(folder))
        try:
            config = verifying.Config().set_hashing_config(EVERY_FILE)
            config.use_elliptic_key_verifier(public_key=key).verify(files, signature)
        except Exception as error:  # a forged one may be of any form
            raise TriageError(
                f"{model_uri} is not what the holder of {key} signed, "
                f"and was not loaded: {plain(str(error))}."
            ) from error


# endregion verify


def refuse_altered(files: Path, recorded: dict[str, str]) -> None:
    """Raise TriageError unless weights and code are those that `register` noted in the run."""
    [weights] = (files / "artifacts").iterdir()
    found = sha256(weights), code_digest(files / "code" / "triage")
    if found != (recorded.get("model_sha256"), recorded.get("code_digest")):
        raise TriageError(
            "The registry's files are not those that were registered. Nothing was signed. "
            "Find out who wrote there."
        )


def plain(text: str) -> str:
    """The library's message without the digests, which are bytes in it, and without the list it is in."""
    text = text.replace("\\'", "'").split(": Expected")[0].strip(" .")
    return re.sub(r"^Signature mismatch: \[[\"']|[\"']\]$", "", text)


def signature_of(model_uri: str, folder: Path) -> Path:
    """The signature that was kept with this model's run; TriageError if there is none."""
    name, _, which = re.split("(@|/)", model_uri.removeprefix("models:/"), maxsplit=1)
    if name != registry.NAME:
        raise TriageError(f"{model_uri} is not one of the models that are signed here.")
    client = mlflow.MlflowClient()
    try:
        run = registry.resolve(client, which).run_id or ""
        return Path(client.download_artifacts(run, SIGNATURE, str(folder)))
    except (MlflowException, OSError) as error:
        raise TriageError(
            f"{model_uri} has no signature, and TRIAGE_TRUST asks for one. "
            "Sign it with `python -m triage sign`, or unset TRIAGE_TRUST."
        ) from error


def download(model_uri: str, folder: Path) -> Path:
    """The model's files as they were logged."""
    files = Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=str(folder)))
    (files / ADDED_BY_MLFLOW).unlink(missing_ok=True)
    return files
