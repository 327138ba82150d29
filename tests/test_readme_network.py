"""The README's script for one's own network runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).resolve().parents[1]


def test_the_script_for_ones_own_network(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (script,) = [block for block in blocks if "MyNetwork" in block]
    assert len(script.splitlines()) < 40
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    (folder,) = (tmp_path / "lightning_logs").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    names = {"loss", "gradient/norm", "alignment/own_min", "mass/u_plus", "mass/u_minus", "structure/clusters"}
    assert names <= set(events.Tags()["scalars"])
    assert "neurons/own_cosine" in events.Tags()["histograms"]
    steps = [event.step for event in events.Scalars("loss")]
    assert steps[0] == 0 and steps[-1] == 200  # 50 epochs of 4 batches
    assert events.Scalars("loss")[-1].value < events.Scalars("loss")[0].value
