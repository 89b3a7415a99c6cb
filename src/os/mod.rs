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

/// How long the host of this virtual machine has let its processors wait since it began, ns, all together (`steal` of
/// proc_stat(5), in units of a hundredth of a second); 0 on a machine of its own. `None` where nobody says.
pub fn stolen() -> Option<u64> {
    const FIELD: usize = 8;
    const TICK: u64 = 10_000_000;
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let all = stat.lines().find(|line| line.starts_with("cpu "))?;
    all.split_ascii_whitespace().nth(FIELD)?.parse::<u64>().ok()?.checked_mul(TICK)
}

/// Number of processors that this process may use (sched_getaffinity(2), and quotas of control groups); 1 when nobody says.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}
