"""What a damaged or malicious archive raises, as a sentence for the learner."""

import lzma
import struct
import tarfile
import zipfile
import zlib

from autograder.errors import LearnerError

# What the readers of zipfile, tarfile and the decompressors raise on damaged or malicious input.
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    IndexError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def damaged(error: Exception) -> LearnerError:
    """What to say of an exception in DAMAGE. Raises it if it is the machine's: only that has an error
    number."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
    return LearnerError(
        f"The archive is damaged: {reason.rstrip('.')}.", "Pack your folder again."
    )
