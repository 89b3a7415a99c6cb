//! From a capture to a workload: runs the stages, checks the ledger.
