//! Mount points that a capture knows, and where the user puts what lay on them: the program as a user runs it.

use crate::tool::{expect, ioriot};
use std::fs;
use std::path::Path;

#[test]
fn mounts_of_the_captured_machine_rule() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    let mounts = "22 1 252:0 / / rw - ext4 /dev/vda rw\n23 22 0:21 / /scratch rw - tmpfs tmpfs rw\n\
        24 22 7:0 / /proc/kept rw - xfs /dev/loop0 rw\n25 22 7:1 / /m rw - xfs /dev/loop1 rw\n";
    fs::write(place("mountinfo"), mounts).unwrap();
    let call = |name: &str, args: &str, result: &str| format!("100 1700000000.000001 {name}({args}) = {result} <0.000010>\n");
    let trace = [
        call("openat", "AT_FDCWD, \"/scratch/x\", O_RDONLY", "3"),
        call("close", "3", "0"),
        call("openat", "AT_FDCWD, \"/proc/kept/x\", O_RDONLY", "3"),
        call("close", "3", "0"),
        call("rename", "\"/m/a\", \"/b\"", "-1 EXDEV (Invalid cross-device link)"),
        call("rename", "\"/m/a\", \"/m/b\"", "0"),
    ];
    fs::write(place("t.strace"), trace.concat()).unwrap();
    expect(0, &["ingest", &place("t.strace"), "--mounts", &place("mountinfo"), "-o", &place("cap")]);
    let error = ioriot(&["ingest", &place("t.strace"), "--mounts", &place("t.strace"), "-o", &place("cap2")]);
    assert!(error.status.code() == Some(2) && String::from_utf8_lossy(&error.stderr).contains("t.strace:1"), "{error:?}");
    assert!(!Path::new(&place("cap2")).exists());
    if cfg!(not(feature = "sql")) {
        return;
    }
    expect(0, &["generate", &place("cap"), "-o", &place("work")]);
    let text = expect(0, &["init", &place("work"), "--dry-run"]);
    assert!(text.contains("/m (xfs): a mount point of its own") && text.contains("/proc/kept (xfs)"), "{text}");
    assert!(!text.contains("/scratch ("), "{text}");
    expect(0, &["init", &place("work")]);
    // A rename that failed with EXDEV does so again; what the tmpfs had is dropped.
    let story: serde_json::Value =
        serde_json::from_str(&expect(0, &["replay", &place("work"), "-o", &place("run"), "--format", "json"])).unwrap();
    assert_eq!((&story["different"], &story["same"]), (&0.into(), &4.into()), "{story}");
    assert_eq!(story["drops"]["pseudo_fs"], 2, "{story}");
}

#[test]
fn what_is_kept_below_what_is_not_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    let mounts = "22 1 252:0 / / rw - ext4 /dev/vda rw\n23 22 0:5 / /dev rw - devtmpfs devtmpfs rw\n\
        24 23 0:30 / /dev/shm rw - tmpfs tmpfs rw,size=65536k\n";
    fs::write(place("mountinfo"), mounts).unwrap();
    let call = |name: &str, args: &str, result: &str| format!("100 1700000000.000001 {name}({args}) = {result} <0.000010>\n");
    let trace = [
        call("openat", "AT_FDCWD, \"/dev/shm/x\", O_WRONLY|O_CREAT, 0600", "3"),
        call("write", "3, \"x\"..., 4000", "4000"),
        call("close", "3", "0"),
        call("openat", "AT_FDCWD, \"/dev/shm/../null\", O_WRONLY", "3"),
        call("close", "3", "0"),
        call("mkdir", "\"/dev/shm/d\", 0700", "0"),
        call("chdir", "\"/dev/shm/d\"", "0"),
        call("rename", "\"../x\", \"y\"", "0"),
        call("openat", "AT_FDCWD, \"/dev/null\", O_WRONLY", "3"),
        call("close", "3", "0"),
    ];
    fs::write(place("t.strace"), trace.concat()).unwrap();
    expect(0, &["ingest", &place("t.strace"), "--mounts", &place("mountinfo"), "-o", &place("cap")]);
    if cfg!(not(feature = "sql")) {
        return;
    }
    expect(0, &["generate", &place("cap"), "-o", &place("work"), "--keep", "/dev/shm"]);
    expect(0, &["init", &place("work")]);
    let story = expect(0, &["replay", &place("work"), "-o", &place("run"), "--format", "json"]);
    let story: serde_json::Value = serde_json::from_str(&story).unwrap();
    assert_eq!((&story["different"], &story["same"], &story["drops"]["pseudo_fs"]), (&0.into(), &6.into(), &4.into()), "{story}");
    let seat = &story["memory"][0];
    assert_eq!(seat["path"], "/dev/shm", "{story}");
    assert_eq!(seat["on_disk"].is_null(), crate::tool::root(), "{story}");
    assert!(story["elsewhere"].get("tmpfs_on_disk").is_some() != crate::tool::root(), "{story}");
    let verdicts = story["state"]["verdicts"].as_object().unwrap();
    assert_eq!(verdicts.keys().collect::<Vec<_>>(), ["same"], "{story}");
}

#[test]
fn a_workload_is_laid_out_replayed_reset_and_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    let trace = "100 1700000000.000001 openat(AT_FDCWD, \"/var/db/x\", O_RDWR) = 3 <0.00001>\n\
        100 1700000000.000100 pwrite64(3, \"x\"..., 4096, 0) = 4096 <0.00001>\n\
        100 1700000000.000200 close(3) = 0 <0.00001>\n";
    fs::write(place("t.strace"), trace).unwrap();
    fs::create_dir(place("disk")).unwrap();
    let (map, wrong) = (format!("/var/db={}", place("disk")), format!("/var={}", place("disk")));
    expect(0, &["ingest", &place("t.strace"), "-o", &place("cap")]);
    expect(0, &["generate", &place("cap"), "-o", &place("work")]);

    let init = ["init", &place("work"), "--map", &map, "--data", "compress=3", "--seed", "5"];
    let text = expect(0, &[&init[..], &["--dry-run"]].concat());
    assert!(text.contains("data of kind compress=3") && text.contains("does not know its mount points"), "{text}");
    assert!(text.contains(&format!("would put /var/db in {}/work.root.var-db", place("disk"))), "{text}");
    assert!(!Path::new(&place("work.root")).exists());
    let text = expect(0, &init);
    assert!(text.contains("Mapped /var/db in"), "{text}");
    assert!(Path::new(&place("disk/work.root.var-db/tree/x")).exists());
    let text = expect(2, &[&init[..], &["--dry-run"]].concat());
    assert!(text.contains("would refuse:") && text.contains("--reset"), "{text}");

    // The mapping need not be said again; when it is, it must be the same.
    let replay = ["replay", &place("work"), "-o"];
    let text = String::from_utf8(ioriot(&[&replay[..], &[&place("no"), "--map", &wrong]].concat()).stderr).unwrap();
    assert!(text.contains("was not made with"), "{text}");
    expect(0, &[&replay[..], &[&place("run"), "--map", &map, "--nice", "1", "--rlimit", "nofile=500"]].concat());
    expect(0, &["init", &place("work"), "--reset"]);
    expect(0, &[&replay[..], &[&place("run2")]].concat());
    expect(2, &["init", &place("work"), "--reset", "--data", "zero"]);
    expect(2, &["replay", &place("work"), "-o", &place("no"), "--rlimit", "cpu=1"]);
    expect(2, &["replay", &place("work"), "-o", &place("no"), "--dirty", "--user", "no-such-user-here"]);

    let text = expect(0, &["clean", &place("disk")]);
    assert!(text.contains("left the part, which goes with its tree"), "{text}");
    let text = expect(0, &["clean", &place(""), "--roots", "--runs", "--yes"]);
    assert!(text.contains("work.root with ") && text.contains("disk/work.root.var-db"), "{text}");
    assert_eq!(fs::read_dir(place("disk")).unwrap().count(), 0);
    assert!(Path::new(&place("work")).exists() && !Path::new(&place("run")).exists());
}
