"""Many long kernels at a stride by FFT: overlap-save, with the spectrum folded to the rate of the output before it is turned back."""

from __future__ import annotations

import numpy as np
import scipy.fft

# Samples that are transformed at once.
BLOCK = 8192


class Kernels:
    """Kernels that see strain every `stride` samples; equal to a convolution to float32 rounding.

    A product of spectra, each `stride`-th sample of it kept, is the spectrum whose values that far apart are added: so few are turned back.

    Args:
        taps: Array (samples, kernels), in the order of time.
        before: Value i is the sum of taps[k] times sample i * stride - before + k.
        stride: Samples, a power of two.
    """

    def __init__(self, taps: np.ndarray, before: int, stride: int) -> None:
        self._before, self._stride, self._taps = before, stride, taps.astype(np.float32)
        self._block = max(BLOCK, 1 << (2 * len(taps) - 1).bit_length())
        self._kept = (self._block - len(taps)) // stride + 1
        whole = np.conj(np.fft.fft(taps, self._block, axis=0)) / stride
        rate = self._block // stride
        half = np.arange(rate // 2 + 1)
        # (frequencies, what is folded onto each, kernels)
        self._spectra = np.stack([whole[half + rate * fold] for fold in range(stride)], axis=1).astype(np.complex64)

    def __call__(self, strain: np.ndarray) -> np.ndarray:
        """Filter strain, float32 array (samples,), zeros beyond its ends; return a float32 array (samples / stride, kernels)."""
        steps, rate = len(strain) // self._stride, self._block // self._stride
        blocks, hop = -(-steps // self._kept), self._kept * self._stride
        cut = self._cut(strain, self._block, hop, blocks)
        found = scipy.fft.rfft(cut).T
        folded, half = np.empty((rate // 2 + 1, blocks, self._stride), np.complex64), rate // 2
        for fold in range(self._stride):
            at = rate * fold
            if 2 * fold < self._stride:
                folded[:, :, fold] = found[at : at + half + 1]
            else:  # the spectrum of what is real, mirrored
                folded[:, :, fold] = found[self._block - at - half : self._block - at + 1][::-1].conj()
        values = scipy.fft.irfft(folded @ self._spectra, rate, axis=0)[: self._kept]
        return np.concatenate(values.transpose(1, 0, 2))[:steps]

    def _cut(self, strain, length, step, number):
        """Cut strain into pieces that overlap, zeros beyond its ends."""
        padded = np.zeros((number - 1) * step + length, np.float32)
        padded[self._before : self._before + len(strain)] = strain[: len(padded) - self._before]
        return np.lib.stride_tricks.sliding_window_view(padded, length)[::step]

    def one_by_one(self, strain: np.ndarray) -> np.ndarray:
        """Filter strain without FFT, one value after the other."""
        seen = self._cut(strain, len(self._taps), self._stride, len(strain) // self._stride)
        return np.ascontiguousarray(seen) @ self._taps
