"""Keras symbols only: tensors in, `keras.Model` out."""
