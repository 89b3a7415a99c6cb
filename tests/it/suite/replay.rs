//! Tests of init and replay, on workloads made in code.

mod hostile;
mod ops;
mod order;
mod roots;
mod work;
