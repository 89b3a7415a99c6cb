//! Synthetic captures (to be written).
