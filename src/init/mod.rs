//! Makes the tree that a workload needs.
