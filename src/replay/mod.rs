//! Issues the ops of a workload in a sandbox and records what happened.
