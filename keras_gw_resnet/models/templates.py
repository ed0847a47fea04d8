"""A stem that filters strain with templates, as a matched filter does, so that the residual stack sees signal-to-noise ratios.

A convolution whose kernels are whitened waveforms is a matched filter (arXiv 1909.13442). As in arXiv 1005.0012 the strain is
filtered with a few orthonormal kernels, and the templates, each in phase and in quadrature, are sums of what those give. None of
it is trained: before the first epoch a training fills both from the waveforms of its bank (`training.templates`).
"""

import keras
from keras import layers, ops

# Samples from one value of the signal-to-noise ratio to the next that the residual stack sees: finer than an autocorrelation is wide.
STRIDE = 8
# Samples from one time at which a template is tried to the next; the stack sees the largest of each `STRIDE`.
STRIDES = (8, 4, 2, 1)
# Orthonormal kernels: 64 hold 99 % of the power of binary black holes of 7 to 50 solar masses in 0.5 s.
BASIS = 64
# Share of a template that lies behind the coalescence.
RINGDOWN = 1 / 16
# Values of the signal-to-noise ratio, each detector's own, that are joined as one: the middle and so many at both sides make up for
# the 10 ms that a signal needs from H1 to L1 at most, half of it before and half behind.
COINCIDENT = 3
BASIS_LAYER, TEMPLATE_LAYERS = "template_basis", ("templates_in_phase", "templates_in_quadrature")
SNR_LAYER = "snr"
NEAR_LAYER = "snr_near"
LARGEST_LAYER = "snr_largest"
# Layers of a shortcut from the stem to the head, as their names begin, and those of that head.
SHORTCUT_LAYERS, HEAD_LAYERS = "statistic_", ("crop_edges", "dropout", "score")
JOIN_LAYER = f"{SHORTCUT_LAYERS}and_features"
# Squares of signal-to-noise ratios and their exponentials need more digits than half precision has.
PRECISION = "float32"
FIXED = {"use_bias": False, "trainable": False, "dtype": PRECISION}


def template_stem(strain, templates, samples, coincidence=False, stride=STRIDE):
    """Filter each detector with templates.

    With `coincidence` the detectors are joined template by template, as a search for coincident triggers does (arXiv 1508.02357):
    the largest half squared signal-to-noise ratios of each detector within 4 ms (5 with a finer `stride`) are added, so that only the
    same template at nearly the same time adds up. Of what this gives, and of each detector's alone, goes the log-sum-exp over the
    templates with it: the log of the likelihood ratio where all templates are alike likely, but for their amplitudes.

    Args:
        strain: Whitened strain (batch, samples, detectors).
        templates: How many.
        samples: Their length.
        coincidence: Whether to join the detectors.
        stride: Samples from one time at which each template is tried to the next, 8, 4, 2 or 1. Of those within 8 samples the largest
            half squared signal-to-noise ratio counts: the templates shifted by so little are sums of the same orthonormal kernels.

    Returns:
        Tensor (batch, samples / 8, 2 * templates * detectors): of each detector half the squared signal-to-noise ratio of each
        template, the largest of its times, and its root. With `coincidence` as many channels more as there are templates, and one, and
        one for each detector.
    """
    basis = layers.Conv1D(min(BASIS, samples), samples, strides=STRIDE, padding="same", **FIXED, name=BASIS_LAYER)
    filtered = [basis(strain[:, :, detector : detector + 1]) for detector in range(strain.shape[-1])]
    powers = template_powers(filtered, templates, stride)
    # The root of zero has no derivative.
    seen = [part for power in powers for part in (power, ops.sqrt(power + 1e-3))]
    if coincidence:
        near = near_powers(powers)
        joined = layers.Add(dtype=PRECISION, name="snr_joined")(near) if len(near) > 1 else near[0]
        seen += [joined, *(ops.logsumexp(power, axis=-1, keepdims=True) for power in (joined, *powers))]
    return layers.Concatenate(dtype=PRECISION, name=SNR_LAYER)(seen)


def template_phases(filtered, templates, stride, prefix=""):
    """Return what each template gives in phase and in quadrature, at all of its times within a step of the stem.

    Args:
        filtered: What the orthonormal kernels gave, a tensor (batch, steps, kernels) a detector.
        templates: How many.
        stride: See `template_stem`.
        prefix: Of the names of the layers.

    Returns:
        List of pairs of tensors (batch, steps, 8 / stride * templates), one a detector; all templates at the earliest time, then all at the next.
    """
    phases = [layers.Conv1D(templates * (STRIDE // stride), 1, **FIXED, name=prefix + name) for name in TEMPLATE_LAYERS]
    return [tuple(phase(kernels) for phase in phases) for kernels in filtered]


def half_square(in_phase, in_quadrature):
    """Return half the squared signal-to-noise ratio."""
    return 0.5 * (in_phase * in_phase + in_quadrature * in_quadrature)


def template_powers(filtered, templates, stride, prefix=""):
    """Return half the squared signal-to-noise ratio of each template, of those of its times within a step of the stem the largest.

    Args:
        filtered, templates, stride, prefix: As of `template_phases`.

    Returns:
        List of tensors (batch, steps, templates), one a detector.
    """
    powers = []
    for detector, phases in enumerate(template_phases(filtered, templates, stride, prefix)):
        power = half_square(*phases)
        if stride < STRIDE:
            power = layers.Maximum(dtype=PRECISION, name=f"{prefix}{LARGEST_LAYER}_{detector}")(
                slices(power, templates)
            )
        powers.append(power)
    return powers


def slices(tensor, width):
    """Cut the channels of a tensor into parts of equal width."""
    return [tensor[:, :, start : start + width] for start in range(0, tensor.shape[-1], width)]


def near_powers(powers, prefix=""):
    """Return the largest of each `COINCIDENT` neighbouring values, each detector's own."""
    return [
        layers.MaxPooling1D(
            COINCIDENT, strides=1, padding="same", dtype=PRECISION, name=f"{prefix}{NEAR_LAYER}_{detector}"
        )(power)
        for detector, power in enumerate(powers)
    ]


def has_templates(model):
    """Say whether a network has a stem of templates."""
    return any(layer.name == BASIS_LAYER for layer in model.layers)


def has_shortcut(model):
    """Say whether a network has a shortcut from its stem to its head; see `shortcut.with_shortcut`."""
    return any(layer.name == JOIN_LAYER for layer in model.layers)


def stem_layers(model):
    """Return the names of the layers of stems of templates and of shortcuts from them, those of the members of an ensemble too."""
    names = set().union(*(stem_layers(layer) for layer in model.layers if isinstance(layer, keras.Model)))
    if has_templates(model):
        names |= {layer.name for layer in keras.Model(model.input, model.get_layer(SNR_LAYER).output).layers}
    if has_shortcut(model):
        names |= {*HEAD_LAYERS, *(layer.name for layer in model.layers if layer.name.startswith(SHORTCUT_LAYERS))}
    return names


def coalescence_behind_middle(model):
    """Return how many samples behind the middle of a template its coalescence lies; None without a stem of templates."""
    if not has_templates(model):
        return None
    samples = model.get_layer(BASIS_LAYER).kernel_size[0]
    return samples * (0.5 - RINGDOWN)


def templates_of(model):
    """Return (templates, stride): how many templates the stem of a network has, and at every how many samples each is tried."""
    filters = model.get_layer(TEMPLATE_LAYERS[0]).filters
    largest = next((layer for layer in model.layers if layer.name.startswith(LARGEST_LAYER)), None)
    templates = largest.output.shape[-1] if largest else filters
    return templates, STRIDE * templates // filters


def set_templates(model, basis, in_phase, in_quadrature):
    """Fill the stem of a network.

    Args:
        model: `keras.Model` with a stem of templates.
        basis: Orthonormal kernels, array (kernels, samples), in the order of time.
        in_phase, in_quadrature: Templates, arrays (templates, kernels), coefficients of the basis; where they are tried more often than
            every 8 samples, all of them at one shift, then all at the next.
    """
    model.get_layer(BASIS_LAYER).set_weights([basis.T[:, None, :]])
    for name, coefficients in zip(TEMPLATE_LAYERS, (in_phase, in_quadrature), strict=True):
        model.get_layer(name).set_weights([coefficients.T[None]])
