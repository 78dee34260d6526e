"""Makes vectors.npz: the tickets as the encoder sees them, in 16 numbers each.

    python make_data.py

Kept: `vectors`, float32 [messages, 16], the principal components scaled to a spread of one, and `intents`,
one string a message. Run once; what it made is in the repository.
"""

from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from triage import data
from triage.encoder import Encoder

HERE = Path(__file__).parent
WIDTH = 16


def main() -> None:
    tickets = data.load(data.TICKETS)
    rows = [
        row for split in (tickets.train, tickets.test) for row in split.itertuples()
    ]
    vectors = np.array(Encoder.load().encode([row.text for row in rows]))
    reduced = PCA(WIDTH, svd_solver="full").fit_transform(vectors)
    np.savez_compressed(
        HERE / "vectors.npz",
        vectors=(reduced / reduced.std()).round(3).astype(np.float32),
        intents=np.array([row.category for row in rows]),
    )


if __name__ == "__main__":
    main()
