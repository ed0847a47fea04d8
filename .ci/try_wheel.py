"""Try the installed wheel as a user would, from an empty folder: what it holds, and whether it finds GW150914."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

from keras_gw_resnet.models.weights import list_saved, saved_models_folder

LARGEST_BYTES = 40e6
GW150914 = 1126259462.42
wheel, checkout = map(Path, sys.argv[1:])
package = Path(saved_models_folder()).parent
assert package.is_relative_to(sys.prefix), f"{package} is not of this environment"
assert wheel.stat().st_size < LARGEST_BYTES, f"{wheel.name} holds {wheel.stat().st_size / 1e6:.0f} MB"
expected = {card.parent.name for card in (checkout / "saved_models").glob("*/card.json")}
assert set(list_saved()) == expected, f"saved networks {set(list_saved()) ^ expected} are not in both"
installed = {re.sub(r"[-_.]+", "-", found.name).lower() for found in importlib.metadata.distributions()}
assert not installed & {"pytest", "hypothesis", "ruff", "ty"}, "tools of the tests are among the dependencies"

truth = GW150914
for folder in (package / "data" / "gw150914", checkout.parent / "shared" / "data" / "gwosc"):
    files = sorted(folder.glob("?-?1_*-112625944[67]-32.hdf5"))
    if len(files) == 2:
        print(f"real strain of GW150914, from {folder}")
        break
else:
    from keras_gw_resnet.simulation.example_event import SIMULATED_COALESCENCE, write_simulated_event

    print("SIMULATED strain: no files of GW150914 in the package or beside the checkout")
    files, truth = write_simulated_event(Path("event")), SIMULATED_COALESCENCE
program = Path(sys.executable).with_name("keras-gw-resnet")
search = [program, "search", "flagship", *files, "--output", "events.hdf", "--top", "1"]
shown = subprocess.run(search, capture_output=True, text=True, check=False)
print(shown.stdout, shown.stderr)
loudest = float(re.search(r"^ +1 +(\d+\.\d+)", shown.stdout, re.M)[1])
assert shown.returncode == 0 and abs(loudest - truth) < 0.1, f"the loudest event is at {loudest}, not at {truth}"
print(f"{wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB: finds the event at GPS {loudest}")
