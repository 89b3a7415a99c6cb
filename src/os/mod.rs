//! Operating system services beside files: users, capabilities, kcmp(2), accounting, and kernel constants that libc lacks.

pub mod description;
pub mod descriptor;
pub mod device;
pub mod kernel;
pub mod rights;
pub mod task_io;
pub mod tmpfs;
pub mod user;
