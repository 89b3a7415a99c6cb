//! Replays on many machines: servers as processes of this one, and in network namespaces.

mod lost;
mod machines;
mod namespaces;
mod processes;
mod refused;
