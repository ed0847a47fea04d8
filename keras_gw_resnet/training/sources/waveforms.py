"""The signals of a training: the one waveform bank of its folder."""

from dataclasses import dataclass
from pathlib import Path

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import HDF5_SUFFIXES
from keras_gw_resnet.simulation.bank import WaveformBank, is_bank, load_bank


@dataclass(frozen=True)
class Waveforms:
    """A waveform bank.

    Attributes:
        bank: WaveformBank.
    """

    bank: WaveformBank

    @classmethod
    def open(cls, data):
        """Load the bank.

        Args:
            data: Data, the room of the configuration.

        Raises:
            InputError: None or several, of another sample rate, or of a single waveform.
        """
        bank, rate = find_bank(data.path), data.whitening.sample_rate
        if bank.sample_rate != rate:
            raise InputError(f"{data.path}: the waveform bank is sampled at {bank.sample_rate} Hz; expected {rate} Hz")
        if len(bank) < 2:
            raise InputError(f"{data.path}: the waveform bank holds {len(bank)} waveform; expected at least 2")
        return cls(bank)

    def split(self, share):
        """Return (WaveformBank, WaveformBank held out), the latter from the end."""
        kept = max(1, min(len(self.bank) - 1, round(len(self.bank) * (1 - share))))
        return self.bank.subset(0, kept), self.bank.subset(kept, len(self.bank))

    def fingerprint(self, bank, held_out):
        """Return which bank it is, and how many waveforms are trained on."""
        whole = self.bank
        about = {"population": whole.population, "seed": whole.seed, "fingerprint": whole.fingerprint()}
        return {"bank": {**about, "waveforms": len(bank)}}


def find_bank(folder):
    """Load the one waveform bank in a folder.

    Raises:
        InputError: The folder is missing, or holds none or several.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; --data takes a folder with strain files and a waveform bank")
    banks = [path for path in sorted(folder.iterdir()) if path.suffix in HDF5_SUFFIXES and is_bank(path)]
    if len(banks) != 1:
        found = f"{len(banks)} waveform banks" if banks else "no waveform bank"
        remedy = f"make one with 'keras-gw-resnet simulate bank --number 2000 --output {folder}/bank.hdf'"
        raise InputError(f"{folder}: {found} there, expected one; {'take the others away' if banks else remedy}")
    return load_bank(banks[0])
