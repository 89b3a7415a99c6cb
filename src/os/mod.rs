//! Operating system services beside files: users, capabilities, kcmp(2), extents, accounting, and kernel constants that libc lacks.

pub mod description;
pub mod descriptor;
pub mod device;
pub mod extents;
pub mod kernel;
pub mod limit;
pub mod rights;
pub mod settings;
pub mod task_io;
pub mod tmpfs;
pub mod user;

/// Number of processors that this process may use (sched_getaffinity(2), and quotas of control groups); 1 when nobody says.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}
