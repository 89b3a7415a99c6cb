//! Live captures by eBPF: whose calls they take, what ends them, and that an older kernel's programs tell the same.

use super::capture::{Running, allowed, attached, capture, closes, int, interrupt, looping, more_calls, scratch, wait_for};
use crate::skip::{Need, skip};
#[cfg(feature = "sql")]
use crate::tool::rows;
use crate::tool::{asked, command, ioriot, open_scratch, root};
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A user that nobody is.
const STRANGER: u32 = 54_321;
/// Another: of the calls of the first one a test takes a number, and they are to be its own.
const OTHER: u32 = 54_322;

/// A shell that runs this copy of dd again and again until it is killed: few enough calls for any reader.
fn busy(program: &Path, user: u32) -> Running {
    let script = "while :; do \"$0\" if=/dev/zero of=/dev/null bs=512 count=20 status=none; done";
    Running(Command::new("sh").args(["-c", script]).arg(program).uid(user).gid(user).spawn().unwrap())
}

/// May this process capture those of other users, and make control groups?
pub fn with_root() -> bool {
    if !root() {
        skip(Need::Root, "other users, control groups");
    }
    root() && allowed()
}

/// A directory that everybody may enter, with dd in it.
fn with_dd(name: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    if !with_root() {
        return None;
    }
    let dir = open_scratch();
    let program = dir.path().join(name);
    std::fs::copy("/bin/dd", &program).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    Some((dir, program))
}

/// Events of the capture that are so.
#[cfg(feature = "sql")]
fn events(out: &Path, of: &str) -> u64 {
    rows(&[out], &format!("SELECT count(*) FROM events WHERE {of}"))[0].parse().unwrap()
}

#[test]
fn scopes_find_what_they_name() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some(_) = looping(dir.path()) else { return };
    let program = dir.path().join("ioriot-scope");
    std::fs::copy(dir.path().join("loop"), &program).unwrap();
    let running = Running(Command::new(&program).args(["1000000000", "/dev/zero"]).spawn().unwrap());
    let scopes = [["--comm", "ioriot-scope"], ["--user", "root"]];
    for [flag, value] in scopes.into_iter().take(if root() { 2 } else { 1 }) {
        let out = dir.path().join(&flag[2..]);
        let summary = capture(0, &out, &[flag, value, "--max-events", "2000", "--syscalls", "pread64", "--on-drop", "report"]);
        // That a thread was killed or waited, and what a process had when it came, is told whatever calls are asked for.
        let told = ["exit", "joined_cwd", "joined_fd", "waited"].iter();
        let told = told.filter_map(|name| summary.pointer(&format!("/syscalls/{name}")).and_then(Value::as_u64));
        assert_eq!(int(&summary, "/syscalls/pread64") + told.sum::<u64>(), 2000, "{flag}");
    }
    drop(running);
    let error = ioriot(&["capture", "-o", dir.path().join("none").to_str().unwrap(), "--pid", "4194304"]);
    assert!(String::from_utf8_lossy(&error.stderr).contains("no process 4194304"));
}

/// Kernel stacks go from strangers to children of the captured and back; what was known of the one must not be believed of
/// the other.
#[test]
fn children_are_captured_whoever_ran_there_before() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let forking = |count: &str| ["-c".into(), format!("i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i+1)); done")];
    let strangers = [(); 2].map(|()| Running(Command::new("sh").args(forking("1000000")).spawn().unwrap()));
    let out = dir.path().join("children");
    let [flag, script] = forking("400");
    let summary = capture(0, &out, &["--", "sh", &flag, &script]);
    closes(&summary);
    assert_eq!((int(&summary, "/syscalls/execve"), int(&summary, "/syscalls/exit_group")), (401, 401), "{summary}");
    drop(strangers);
}

#[test]
fn a_user_is_captured_and_nobody_else() {
    let Some((dir, program)) = with_dd("ioriot-user") else { return };
    let (theirs, ours) = (busy(&program, STRANGER), busy(&program, 0));
    let out = dir.path().join("user");
    let summary = capture(0, &out, &["--user", &STRANGER.to_string(), "--max-events", "3000"]);
    closes(&summary);
    assert_eq!(int(&summary, "/events"), 3000);
    #[cfg(feature = "sql")]
    {
        assert!(events(&out, "syscall = 'execve' AND path LIKE '%/ioriot-user'") > 5);
        // The shells' own children, and the stranger's shell, are all there is.
        let pids = rows(&[&out], "SELECT DISTINCT uid FROM processes");
        assert_eq!(pids, [STRANGER.to_string()]);
        assert_eq!(events(&out, &format!("pid = {}", ours.0.id())), 0);
        assert!(events(&out, &format!("pid = {}", theirs.0.id())) > 0);
    }
    drop((theirs, ours));
}

#[test]
fn a_name_is_captured_and_no_other() {
    let Some((dir, program)) = with_dd("ioriot-comm") else { return };
    let other = dir.path().join("ioriot-other");
    std::fs::copy(&program, &other).unwrap();
    let (named, unnamed) = (busy(&program, 0), busy(&other, 0));
    let out = dir.path().join("comm");
    // Some come into the scope at the very moment at which those that are there already are looked for.
    for _ in 0..asked("IORIOT_CAPTURES").unwrap_or(1) {
        let _ = std::fs::remove_dir_all(&out);
        // exec gives the name, so that what comes after it is there: reads and writes, and no exec of another program.
        closes(&capture(0, &out, &["--comm", "ioriot-comm", "--max-events", "3000"]));
    }
    #[cfg(feature = "sql")]
    {
        assert!(events(&out, "syscall = 'write' AND ret = 512") > 100);
        assert_eq!(events(&out, "path LIKE '%/ioriot-other'"), 0);
        assert_eq!(events(&out, &format!("pid IN ({}, {})", named.0.id(), unnamed.0.id())), 0);
    }
    drop((named, unnamed));
}

#[test]
fn all_is_everybody_but_the_capture() {
    let Some((dir, program)) = with_dd("ioriot-all") else { return };
    let running = [busy(&program, OTHER), busy(&program, 0)];
    let out = dir.path().join("all");
    let args = ["capture", "-o", out.to_str().unwrap(), "--format", "json", "--all", "--max-events", "20000"];
    let started = command(&args).stdout(Stdio::piped()).spawn().unwrap();
    let own = started.id();
    let said = started.wait_with_output().unwrap();
    assert!(said.status.success());
    closes(&serde_json::from_slice(&said.stdout).unwrap());
    #[cfg(feature = "sql")]
    {
        assert_eq!(events(&out, &format!("pid = {own}")), 0);
        for running in &running {
            assert!(events(&out, &format!("pid = {}", running.0.id())) > 0);
        }
    }
    let _ = (own, running);
}

/// A control group of version 2 that goes away with this value.
pub struct Group(pub PathBuf);

impl Group {
    pub fn new(name: &str) -> Option<Group> {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let place = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|words| words[2] == "cgroup2");
        let made = place.map(|words| Path::new(words[1]).join(name)).filter(|path| std::fs::create_dir(path).is_ok());
        if made.is_none() {
            skip(Need::Groups, "no control group of version 2 can be made");
        }
        made.map(Group)
    }

    fn take(&self, pid: u32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_control_group_is_captured_with_those_below_it() {
    let Some((dir, program)) = with_dd("ioriot-group") else { return };
    let Some(group) = Group::new(&format!("ioriot-{}", std::process::id())) else { return };
    let below = Group(group.0.join("below"));
    std::fs::create_dir(&below.0).unwrap();
    let (inside, nested, outside) = (busy(&program, 0), busy(&program, 0), busy(&program, 0));
    group.take(inside.0.id());
    below.take(nested.0.id());
    let out = dir.path().join("group");
    closes(&capture(0, &out, &["--cgroup", group.0.to_str().unwrap(), "--max-events", "5000"]));
    #[cfg(feature = "sql")]
    {
        for (running, captured) in [(&inside, true), (&nested, true), (&outside, false)] {
            assert_eq!(events(&out, &format!("pid = {}", running.0.id())) > 0, captured);
        }
    }
    drop((inside, nested, outside));
    // A group is busy until the last of its processes is gone.
    wait_for(|| [&below, &group].iter().all(|group| std::fs::read(group.0.join("cgroup.procs")).unwrap().is_empty()));
}

/// A shell that does something all the time, until it is killed.
fn cats() -> Running {
    Running(Command::new("sh").args(["-c", "while :; do cat /dev/null; done"]).spawn().unwrap())
}

#[test]
fn signals_end_a_capture_in_a_whole_dataset() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    for (signal, name) in [(libc::SIGTERM, "term"), (libc::SIGINT, "int"), (libc::SIGHUP, "hup")] {
        let running = cats();
        let out = dir.path().join(name);
        let pid = running.0.id().to_string();
        let args = ["capture", "-o", out.to_str().unwrap(), "--format", "json", "--pid", &pid];
        let mut started = command(&args);
        // SAFETY: between fork and exec it makes one call, which is async-signal-safe.
        unsafe {
            // These tests may run under nohup themselves.
            started.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_DFL);
                Ok(())
            })
        };
        let started = started.stdout(Stdio::piped()).spawn().unwrap();
        attached(&out);
        more_calls(&running);
        // SAFETY: a signal to a child of ours.
        unsafe { libc::kill(started.id() as i32, signal) };
        let said = started.wait_with_output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let summary: Value = serde_json::from_slice(&said.stdout).unwrap();
        closes(&summary);
        assert_eq!(summary["ended"], "signal");
        assert!(int(&summary, "/events") > 0 && out.join("manifest.json").exists());
    }
}

#[test]
fn a_capture_under_nohup_outlives_its_session() {
    if !allowed() {
        return;
    }
    let (dir, running) = (scratch(), cats());
    let out = dir.path().join("capture");
    let pid = running.0.id().to_string();
    let args = ["capture", "-o", out.to_str().unwrap(), "--format", "json", "--pid", &pid];
    let ioriot = command(&args);
    let mut nohup = Command::new("nohup");
    let mut started = nohup.arg(ioriot.get_program()).args(ioriot.get_args()).stdout(Stdio::piped()).spawn().unwrap();
    attached(&out);
    more_calls(&running);
    // SAFETY: a signal to a child of ours.
    unsafe { libc::kill(started.id() as i32, libc::SIGHUP) };
    // A capture that takes it ends within a tenth of this.
    std::thread::sleep(Duration::from_secs(1));
    assert!(started.try_wait().unwrap().is_none());
    interrupt(&started);
    let said = started.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let summary: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(summary["ended"], "signal");
}

#[test]
fn a_loss_ends_the_capture_when_that_is_asked_for() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    // Far more than a buffer this small can hold while its reader sleeps.
    let script = ["--", "dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=300000", "status=none"];
    let mut args = vec!["--buffer", "64K", "--on-drop", "stop"];
    args.extend(script);
    let summary = capture(1, &dir.path().join("stopped"), &args);
    assert_eq!(summary["ended"], "drop");
    assert!(int(&summary, "/sum/lost") > 0);
    closes(&summary);
}

/// What kernels before 6.2 load is loaded and run by this one; both tell the same of the same calls.
#[test]
fn an_older_kernel_tells_the_same() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::symlink("/usr/lib/os-release", home.join("link")).unwrap();
    let script = "cd \"$0\" && cat link /dev/null /proc/version > both && ls -l . /usr > list && rm both list";
    let captured = |kernel: &str| {
        let out = dir.path().join(kernel);
        let args = ["capture", "-o", out.to_str().unwrap(), "--format", "json", "--", "sh", "-c", script];
        let said = command(&args).arg(&home).env("IORIOT_AS_KERNEL", kernel).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let warned = String::from_utf8_lossy(&said.stderr).contains("copied one by one");
        closes(&serde_json::from_slice(&said.stdout[said.stdout.iter().position(|byte| *byte == b'{').unwrap()..]).unwrap());
        (out, warned)
    };
    let (old, warned) = captured("5.12");
    assert!(warned, "a fallback is said at the start");
    let (new, _) = captured("999.0");
    #[cfg(feature = "sql")]
    {
        // What a run does not share with the next: process ids, which begin anew when there are no higher ones, and the sizes
        // and inodes of pipes and of what it made.
        let sql = "SELECT syscall, path, fd, errno, position, st_mode, dev, \
            CASE WHEN path LIKE '/usr/%' OR path LIKE '/lib/%' OR path = 'link' THEN concat(ino, ' ', st_size, ' ', fd_path) ELSE fd_path END \
            FROM (SELECT *, min(seq) OVER (PARTITION BY tid) AS first FROM events) \
            WHERE syscall IN ('openat', 'read', 'write', 'newfstatat', 'fstat', 'lseek', 'getdents64') \
            AND NOT coalesce(path LIKE '/proc/%', false) ORDER BY first, seq";
        let [old, new] = [&old, &new].map(|out| rows(&[out], sql));
        assert!(old.iter().any(|row| row.contains(",link,") && row.contains("/usr/lib/os-release")), "{old:#?}");
        for (old, new) in old.iter().zip(&new) {
            assert_eq!(old, new);
        }
        assert_eq!(old.len(), new.len());
    }
    let _ = (old, new);
}
