//! The smallest workload for which a command succeeds.

use super::replay::work::{Work, op};
use super::what_if::replayed;
use crate::skip::{Need, skip};
use crate::tool::{command, copy_program, data, expect, ioriot, number, open_scratch, root, rows, shell_text};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The workload of a capture in tests/data.
fn workload(dir: &Path, input: &str) -> PathBuf {
    let [cap, work] = ["cap", "work"].map(|name| dir.join(name));
    let output = ioriot(&["ingest", &data(input), "-o", cap.to_str().unwrap()]);
    assert!(output.status.code().is_some_and(|code| code <= 1));
    expect(0, &["generate", cap.to_str().unwrap(), "-o", work.to_str().unwrap()]);
    work
}

fn reduced(work: &Path, out: &Path, command: &str, more: &[&str]) -> serde_json::Value {
    let mut args = vec!["reduce", work.to_str().unwrap(), "-o", out.to_str().unwrap(), "--while", command, "--format", "json"];
    args.extend(more);
    serde_json::from_str(&expect(0, &args)).unwrap()
}

/// Lints, makes and replays a workload: nothing differs, neither outcomes nor the tree.
fn same(work: &Path) {
    replayed(work);
    let sum = "SELECT count(*) FROM fates WHERE fate = 'op'";
    assert_eq!(number(&[work], sum), number(&[work], "SELECT count(*) FROM ops WHERE origin = 'event'"));
}

/// Of a file with two names the second is made as a link to the first: whoever asks for the second needs the first, too.
#[test]
fn names_of_one_file_stay_together() {
    let mut work = Work::new();
    work.need("/a", "file", 10).need("/b", "file", 10).need("/c", "file", 10);
    work.fileset[1] = work.fileset[1].clone().set("target", "/a");
    work.op(op("stat", 0).raw("/c").set("path", "/c"));
    let (made, out) = (work.write(), work.place("small"));
    let asks = "SELECT 1 / count(*) FROM fileset WHERE path = '/b'";
    let asks = format!("{} query \"$1\" \"{asks}\"", shell_text(Path::new(env!("CARGO_BIN_EXE_ioriot"))));
    reduced(&made, &out, &asks, &[]);
    assert_eq!(rows(&[&out], "SELECT path FROM fileset ORDER BY path"), ["/a", "/b", "/c"]);
    expect(0, &["init", out.to_str().unwrap(), "--root", work.place("root").to_str().unwrap()]);
}

/// Parts that a command takes at random do what the whole does.
#[test]
fn random_parts_have_the_captured_outcomes() {
    let dir = tempfile::tempdir().unwrap();
    // By which number the command decides, how often it is asked, and how much it wants to keep, percent.
    type Decides = (u8, &'static str, u64);
    let cases: [(&str, &[Decides]); 3] = [
        ("matrix.strace", &[(1, "4", 0), (2, "12", 0), (3, "60", 0)]),
        ("d-files.strace.gz", &[(2, "20", 20)]),
        ("a-sqlite.strace.gz", &[(2, "10", 20)]),
    ];
    for (at, (input, seeds)) in cases.into_iter().enumerate() {
        let place = dir.path().join(at.to_string());
        fs::create_dir(&place).unwrap();
        let work = workload(&place, input);
        let mut fewer = 0;
        let whole = fs::metadata(work.join("ops.parquet")).unwrap().len();
        for (seed, tries, percent) in seeds {
            let (small, flag) = (place.join(format!("small{seed}")), place.join(format!("flag{seed}")));
            let flag = shell_text(&flag);
            let random = format!(
                "test -e {flag} || {{ touch {flag}; exit 0; }}; test $(stat -c %s \"$1/ops.parquet\") -gt {} && \
                 test $((($(cksum < \"$1/ops.parquet\" | cut -d ' ' -f 1) / {seed}) % 2)) = 0",
                whole * percent / 100
            );
            let said = reduced(&work, &small, &random, &["--tries", tries]);
            println!("{input}: {said}");
            fewer += u32::from(said["ops"]["is"].as_u64() < said["ops"]["was"].as_u64());
            same(&small);
        }
        assert!(fewer > 0, "{input}: nothing was left out");
    }
}

/// What is left holds what is asked for, with what it needs, and nothing else.
#[test]
fn one_call_keeps_what_it_needs_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let work = workload(dir.path(), "matrix.strace");
    let small = dir.path().join("small");
    let program = shell_text(command(&[]).get_program().as_ref());
    let asks = format!(
        "test \"$({program} query \"$1\" \"SELECT count(*) FROM ops WHERE op = 'renameat' AND path LIKE '%openat.txt'\" --format csv | tail -n 1)\" = 1"
    );
    let said = reduced(&work, &small, &asks, &[]);
    assert_eq!(said["end"], "smallest", "{said}");
    let kept = rows(&[&small], "SELECT op, path FROM ops ORDER BY op_id");
    let at = |name: &str| format!("/home/ioriot/matrix{name}");
    let wanted = [
        format!("mkdir,{}", at("")),
        format!("openat,{}", at("")),
        format!("mkdirat,{}", at("/dirA")),
        format!("openat,{}", at("/dirA")),
        format!("openat,{}", at("/dirA/openat.txt")),
        format!("renameat,{}", at("/dirA/openat.txt")),
    ];
    assert_eq!(kept, wanted);
    assert!(said["files"]["is"].as_u64().unwrap() <= 4, "{said}");
    same(&small);
}

#[test]
fn limits_and_refusals_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let work = workload(dir.path(), "matrix.strace");
    let small = dir.path().join("small");
    let [name, out] = [&work, &small].map(|path| path.to_str().unwrap());
    let output = ioriot(&["reduce", name, "-o", out, "--while", "false"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not succeed for the workload as it is"));
    assert!(!small.exists() && !dir.path().join(".small.tries").exists());
    let flag = dir.path().join("flag");
    let unsure = format!("test -e {0} && exit 125; touch {0}", shell_text(&flag));
    let said = reduced(&work, &small, &unsure, &["--tries", "5"]);
    assert_eq!((&said["tries"], &said["unknown"], &said["end"]), (&5.into(), &4.into(), &"tries".into()), "{said}");
    assert_eq!(said["ops"]["is"], said["ops"]["was"]);
    assert!(!dir.path().join(".small.tries").exists());
    let output = ioriot(&["reduce", name, "-o", out, "--while", "true"]);
    assert_eq!(output.status.code(), Some(2), "it is there already");
}

/// A signal ends the search, and what was found is written.
#[test]
fn a_signal_leaves_the_smallest_so_far() {
    let dir = tempfile::tempdir().unwrap();
    let work = workload(dir.path(), "matrix.strace");
    let small = dir.path().join("small");
    let [name, out] = [&work, &small].map(|path| path.to_str().unwrap());
    // The third try sends it to the search.
    let count = shell_text(&dir.path().join("count"));
    let asks =
        format!("echo >> {count}; test $(wc -l < {count}) -lt 3 || kill -INT $PPID; test $(wc -l < {count}) -lt 2 || sleep 1");
    let output = ioriot(&["reduce", name, "-o", out, "--while", &asks]);
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(number(&[&small], "SELECT count(*) FROM ops") < number(&[&work], "SELECT count(*) FROM ops"));
    same(&small);
}

/// A command that hangs is ended with all that it started, after a while or when a signal comes.
#[test]
fn commands_that_hang_are_ended() {
    let dir = tempfile::tempdir().unwrap();
    let work = workload(dir.path(), "matrix.strace");
    let [flag, pids] = ["flag", "pids"].map(|name| shell_text(&dir.path().join(name)));
    let hangs = format!("test -e {flag} || {{ touch {flag}; exit 0; }}; sleep 1000 & echo $! >> {pids}; sleep 1000");
    let said = reduced(&work, &dir.path().join("small"), &hangs, &["--tries", "4", "--timeout", "200ms"]);
    assert_eq!((&said["tries"], &said["unknown"], &said["late"]), (&4.into(), &3.into(), &3.into()), "{said}");
    fs::remove_file(dir.path().join("flag")).unwrap();
    let began = Instant::now();
    let said = reduced(&work, &dir.path().join("other"), &hangs, &["--duration", "2s"]);
    assert!(said["end"] == "duration" && began.elapsed() < Duration::from_secs(100), "{said}");
    // The whole is not judged in time.
    let never = dir.path().join("never");
    let args = ["reduce", work.to_str().unwrap(), "-o", never.to_str().unwrap(), "--while", "sleep 100", "--timeout", "100ms"];
    let output = ioriot(&args);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--timeout"), "{output:?}");
    fs::remove_file(dir.path().join("flag")).unwrap();
    let out = dir.path().join("asked");
    let args = ["reduce", work.to_str().unwrap(), "-o", out.to_str().unwrap(), "--while", &hangs];
    let known = fs::read_to_string(dir.path().join("pids")).unwrap().lines().count();
    let mut child = command(&args).spawn().unwrap();
    while fs::read_to_string(dir.path().join("pids")).unwrap().lines().count() == known {
        thread::sleep(Duration::from_millis(20));
    }
    let began = Instant::now();
    // SAFETY: plain numbers; the child has not been waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(100));
    same(&out);
    for pid in fs::read_to_string(dir.path().join("pids")).unwrap().lines() {
        let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while state().contains("sleep") && !state().contains(") Z ") {
            assert!(began.elapsed() < Duration::from_secs(100), "{}", state());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// One try is enough to say that the workload is of interest.
#[test]
fn one_try_is_that_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let work = workload(dir.path(), "matrix.strace");
    let said = reduced(&work, &dir.path().join("small"), "true", &["--tries", "1"]);
    assert_eq!((&said["tries"], &said["end"], &said["ops"]["is"]), (&1.into(), &"tries".into(), &said["ops"]["was"]), "{said}");
    // It may clear up behind itself.
    let said = reduced(&work, &dir.path().join("other"), "rm -r \"${1%/*}\"", &["--tries", "3"]);
    assert_eq!(said["tries"], 3, "{said}");
}

/// Daemons, which leave the process group and whose parents end, write on into what is removed.
#[test]
fn daemons_end_with_the_try() {
    let dir = tempfile::tempdir().unwrap();
    let work = workload(dir.path(), "matrix.strace");
    let [pids, daemon] = ["pids", "daemon.sh"].map(|name| dir.path().join(name));
    fs::write(&daemon, "echo $$ >> \"$1\"; while :; do mkdir -p \"$2.d\"; : > \"$2.d/$((n += 1))\"; done 2> /dev/null\n")
        .unwrap();
    let [list, script] = [&pids, &daemon].map(|path| shell_text(path));
    let known = format!("$(cat {list} 2> /dev/null | wc -l)");
    let starts = format!(
        "known={known}; (setsid sh {script} {list} \"$1\" &) & wait; while test {known} -le $known; do sleep 0.01; done; sleep 0.05"
    );
    let said = reduced(&work, &dir.path().join("small"), &starts, &["--tries", "4"]);
    assert_eq!((&said["tries"], &said["unknown"]), (&4.into(), &0.into()), "{said}");
    assert!(!dir.path().join(".small.tries").exists());
    let began = fs::read_to_string(pids).unwrap();
    assert_eq!(began.lines().count(), 4);
    for pid in began.lines() {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&words).contains("daemon.sh"), "{pid} goes on");
    }
}

/// What a killed one leaves is in nobody's way.
#[test]
fn what_a_killed_reduce_leaves_goes() {
    let dir = tempfile::tempdir().unwrap();
    let work = workload(dir.path(), "matrix.strace");
    let [small, flag, tries] = ["small", "flag", ".small.tries"].map(|name| dir.path().join(name));
    let [name, out] = [&work, &small].map(|path| path.to_str().unwrap());
    let asks = format!("mkdir \"$1.tree\"; chmod 0 \"$1.tree\"; touch {}; exec sleep 2", shell_text(&flag));
    let begun = || {
        let child = command(&["reduce", name, "-o", out, "--while", &asks]).spawn().unwrap();
        while !flag.exists() {
            thread::sleep(Duration::from_millis(10));
        }
        child
    };
    let mut child = begun();
    // Nobody else may work there meanwhile.
    let second = ioriot(&["reduce", name, "-o", out, "--while", "true"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(2) && said.contains("(ioriot reduce)"), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(tries.join("try/work.tree").exists());
    reduced(&work, &small, "true", &["--tries", "3"]);
    assert!(!tries.exists());

    fs::remove_file(&flag).unwrap();
    fs::remove_dir_all(&small).unwrap();
    let mut child = begun();
    let clean = || expect(0, &["clean", dir.path().to_str().unwrap(), "--yes"]);
    assert!(clean().contains("left what a killed reduce tried") && tries.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(clean().contains("deleted what a killed reduce tried") && !tries.exists());

    // What cannot be deleted yet is still known: a process that was left makes files as fast as they go.
    fs::remove_file(&flag).unwrap();
    let mut child = begun();
    child.kill().unwrap();
    child.wait().unwrap();
    let part = tries.join("try/busy");
    fs::create_dir(&part).unwrap();
    let mut maker = Command::new("sh");
    maker.arg("-c").arg("while :; do : > $((n += 1)); done").current_dir(&part).stderr(std::process::Stdio::null());
    let mut maker = maker.spawn().unwrap();
    while !part.join("100").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    let _ = ioriot(&["clean", dir.path().to_str().unwrap(), "--yes"]);
    maker.kill().unwrap();
    maker.wait().unwrap();
    let _ = ioriot(&["clean", dir.path().to_str().unwrap(), "--yes"]);
    assert!(!tries.exists());

    // What only has such a name is somebody else's.
    fs::create_dir(&tries).unwrap();
    fs::set_permissions(&tries, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(tries.join("thesis"), "").unwrap();
    let refused = ioriot(&["reduce", name, "-o", out, "--while", "true"]);
    assert!(refused.status.code() == Some(2) && String::from_utf8_lossy(&refused.stderr).contains("is not ioriot's"));
    assert!(clean().contains("nothing to delete") && tries.join("thesis").exists());
}

/// Trees of captured directories that nobody may write to are removed after each try.
#[test]
fn closed_directories_are_removed() {
    let dir = open_scratch();
    let work = workload(dir.path(), "matrix.strace");
    let small = dir.path().join("small");
    let program = dir.path().join("ioriot");
    copy_program(command(&[]).get_program().as_ref(), &program);
    let mut reduce = command(&[]);
    if root() {
        let user = 54_321;
        let owned = Command::new("chown").args(["-R", &user.to_string()]).arg(dir.path()).status().unwrap();
        assert!(owned.success());
        reduce = Command::new(&program);
        reduce.uid(user).gid(user);
    }
    let closes = "mkdir -p \"$1.tree/a/b\" && touch \"$1.tree/a/b/c\" && chmod 0 \"$1.tree/a/b\" && chmod 0 \"$1.tree/a\"";
    reduce.args(["reduce", work.to_str().unwrap(), "-o", small.to_str().unwrap(), "--while", closes, "--tries", "4"]);
    let output = reduce.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!dir.path().join(".small.tries").exists());
}

/// Stands between a program and the kernel. From some version on write(2) writes too little.
const LIBRARY: &str = r#"
#include <errno.h>
#include <stdarg.h>

long syscall(long number, ...) {
    va_list list;
    long args[6], ret;
    va_start(list, number);
    for (int at = 0; at < 6; at++)
        args[at] = va_arg(list, long);
    va_end(list);
    FAULT
    register long r10 __asm__("r10") = args[3];
    register long r8 __asm__("r8") = args[4];
    register long r9 __asm__("r9") = args[5];
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(number), "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    if (ret < 0 && ret > -4096) {
        errno = (int) -ret;
        return -1;
    }
    return ret;
}
"#;

/// The recipe of docs/WHATIF.md: a workload is reduced to what differs with the newest version, and its program finds the version
/// that brought the difference.
#[test]
fn git_bisect_run_finds_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let run = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).current_dir(at("repository")).env("HOME", dir.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {said}");
        Some(said)
    };
    fs::create_dir(at("repository")).unwrap();
    if run("cc", &["--version"]).is_none() || run("git", &["init", "-q"]).is_none() {
        skip(Need::Program("git"), "git bisect run, with cc");
        return;
    }
    let work = workload(dir.path(), "matrix.strace");
    let [program, small, source, tree] = ["program", "small", "small.c", "tree"].map(|name| shell_text(&at(name)));
    let check = format!(
        "#!/bin/sh\ncc -shared -fPIC library.c -o library.so || exit 125\nrm -rf {tree}\nLD_PRELOAD=./library.so {program} {tree}\n"
    );
    for version in 1..=9 {
        let fault = match version {
            3 => "#error",
            6.. => "if (number == 1 && args[2] > 1)\n        args[2]--;",
            _ => "",
        };
        let library = LIBRARY.replace("    FAULT\n", &format!("    {fault}\n    /* version {version} */\n"));
        fs::write(at("repository/library.c"), library).unwrap();
        fs::write(at("repository/check.sh"), &check).unwrap();
        run("git", &["add", "library.c", "check.sh"]);
        run("git", &["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", &format!("version {version}")]);
    }
    let ioriot = shell_text(command(&[]).get_program().as_ref());
    let library = shell_text(&at("library.so"));
    run("sh", &["-c", &format!("cc -shared -fPIC library.c -o {library}")]);
    let differs = format!(
        "{ioriot} export \"$1\" --to c -o \"$1.c\" 2>/dev/null && cc \"$1.c\" -o \"$1.program\" -lpthread || exit 125; \
         LD_PRELOAD={library} \"$1.program\" \"$1.tree\"; test $? = 1"
    );
    if Command::new("sh").arg("-c").arg(&differs).arg("sh").arg(&work).output().unwrap().status.code() != Some(0) {
        skip(Need::Root, "programs have no root of their own here");
        return;
    }
    fs::remove_dir_all(at("work.tree")).unwrap();
    let said = reduced(&work, &at("small"), &differs, &[]);
    assert!(said["ops"]["is"].as_u64().unwrap() < 10 && said["end"] == "smallest", "{said}");
    run("sh", &["-c", &format!("{ioriot} export {small} --to c -o {source} && cc -O2 {source} -o {program} -lpthread")]);
    run("git", &["bisect", "start", "HEAD", "HEAD~8"]);
    let said = run("git", &["bisect", "run", "sh", "./check.sh"]).unwrap();
    assert!(said.contains("is the first bad commit") && said.contains("version 6"), "{said}");
}
