"""What a training reads: noise, waveforms and labelled windows, each opened and split by itself.

Every source keeps one protocol, as do the kinds of `datasets.negatives`:

- `open(data)` reads it from its part of the configuration, the room `Data`;
- `split(share)` returns what is trained on and what is held out;
- `fingerprint(...)` says of these parts what the card of a network keeps.
"""
