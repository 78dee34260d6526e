"""A finding if the median message takes the candidate more than five times as long as the champion."""

import json
import os
from pathlib import Path

champion, candidate = (
    json.loads(Path(f"{name}.json").read_text())["median_seconds"]
    for name in ("champion", "candidate")
)
print(f"{candidate / champion:.1f} times the champion's median")
if candidate > 5 * champion:
    with open(os.environ["FINDINGS"], "a") as findings:
        print("latency", file=findings)
