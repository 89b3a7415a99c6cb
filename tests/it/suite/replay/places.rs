//! Attacks of a neighbour: another user of the machine, who puts things where ioriot works, and swaps them between its steps.
//! Each against root and against a user. Afterwards the world outside is what it was.

use super::witness::{Look, look, same};
use super::work::{Work, op};
use crate::skip::{Need, skip};
use crate::tool::copy_program;
use ioriot::init;
use libc::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const NEIGHBOUR: u32 = 65533;
/// Who may be attacked.
const VICTIMS: [u32; 2] = [0, 65534];

/// A directory that all can write, as /tmp, with a workload and a witness of the victim in it.
struct Street {
    work: Work,
    victim: u32,
    before: BTreeMap<PathBuf, String>,
}

/// Runs an attack against each victim.
fn attack(scene: fn(&Street)) {
    if !crate::tool::root() {
        return skip(Need::Root, "two users");
    }
    for victim in VICTIMS {
        let street = Street::new(victim);
        scene(&street);
        street.safe("in the end");
    }
}

/// Does something as another user; only this thread becomes that user (setresuid(2): the raw calls).
fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    let thread = || {
        // SAFETY: no groups, so no array; plain numbers.
        let done = unsafe {
            syscall(SYS_setgroups, 0, std::ptr::null::<u32>())
                + syscall(SYS_setresgid, uid, uid, uid)
                + syscall(SYS_setresuid, uid, uid, uid)
        };
        assert_eq!(done, 0);
        act()
    };
    std::thread::scope(|scope| scope.spawn(thread).join().unwrap())
}

impl Street {
    fn new(victim: u32) -> Street {
        let mut work = Work::new();
        work.need("/d", "dir", 0).need("/d/f", "file", 10).need("/f", "file", 1);
        work.op(op("open", 3).raw("/d/f").flags(O_RDWR | O_CREAT | O_TRUNC).ofd(0));
        work.op(op("write", 5).ofd(0).count(5)).op(op("unlink", 0).raw("/f")).op(op("mkdir", 0).raw("/new").set("mode", 0o777));
        work.write();
        fs::set_permissions(work.dir.path(), Permissions::from_mode(0o1777)).unwrap();
        let street = Street { work, victim, before: BTreeMap::new() };
        copy_program(Path::new(env!("CARGO_BIN_EXE_ioriot")), &street.at("ioriot"));
        fs::create_dir_all(street.at("witness/d")).unwrap();
        for file in ["witness/f", "witness/d/f", "witness/d/g"] {
            fs::write(street.at(file), "mine").unwrap();
        }
        for dir in ["work", "witness", "witness/d"] {
            for entry in fs::read_dir(street.at(dir)).unwrap() {
                chown(entry.unwrap().path(), Some(victim), Some(victim)).unwrap();
            }
            chown(street.at(dir), Some(victim), Some(victim)).unwrap();
        }
        let before = look(&street.at("witness"), Look::All, &[]);
        Street { before, ..street }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.work.place(name)
    }

    /// The victim makes a directory.
    fn own(&self, name: &str) {
        as_user(self.victim, || fs::create_dir(self.at(name)).unwrap());
    }

    /// The victim runs ioriot.
    fn ioriot(&self, args: &[&str]) -> Output {
        self.asked_by(None, args)
    }

    /// The same, and sudo is said to have been called by somebody.
    fn asked_by(&self, asker: Option<u32>, args: &[&str]) -> Output {
        // Who waits for what never comes is ended.
        let mut command = Command::new("timeout");
        command.arg("20").arg(self.at("ioriot")).args(args).current_dir(self.work.dir.path()).stdin(Stdio::null());
        command.env_remove("SUDO_UID").envs(asker.map(|uid| ("SUDO_UID", uid.to_string())));
        command.uid(self.victim).gid(self.victim).output().unwrap()
    }

    /// It must refuse, and say why.
    fn refused(&self, args: &[&str], why: &str) {
        let output = self.ioriot(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(why), "{args:?}: {}\n{text}", output.status);
    }

    fn succeeds(&self, args: &[&str]) -> String {
        let output = self.ioriot(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {text}");
        text
    }

    /// The neighbour does something in the street.
    fn neighbour<T: Send>(&self, act: impl FnOnce(&Path) -> T + Send) -> T {
        let dir = self.work.dir.path();
        as_user(NEIGHBOUR, || act(dir))
    }

    /// Nothing of the victim's was touched.
    fn safe(&self, when: &str) {
        same(&format!("user {}, {when}", self.victim), &self.before, &look(&self.at("witness"), Look::All, &[]));
    }
}

/// A directory of the neighbour's that all may write.
fn open_dir(dir: &Path) {
    fs::create_dir(dir).unwrap();
    fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
}

/// Lets all look into a directory and the files in it, whatever the umask of who runs the tests.
fn readable(dir: &Path) {
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    for entry in fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.file_type().unwrap().is_file()) {
        fs::set_permissions(entry.path(), Permissions::from_mode(0o644)).unwrap();
    }
}

/// A root or place that the neighbour made up, whose tree leads to the witness.
fn planted(dir: &Path, stamp: serde_json::Value) {
    fs::create_dir(dir).unwrap();
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.join(".ioriot-root.json"), stamp.to_string()).unwrap();
    fs::write(dir.join(".ioriot-inodes"), vec![0; 16]).unwrap();
    symlink("../witness", dir.join("tree")).unwrap();
}

fn stamp(state: &str) -> serde_json::Value {
    json!({"state": state, "fingerprint": "1234", "workload": "work", "ioriot": "0.1.0", "made": [1]})
}

#[test]
fn a_directory_of_a_neighbour_becomes_no_root() {
    attack(|street| {
        street.neighbour(|dir| open_dir(&dir.join("r")));
        street.refused(&["init", "work", "--root", "r"], "belongs to user 65533");
        // Had it been taken:
        street.neighbour(|dir| {
            let _ = fs::rename(dir.join("r/tree"), dir.join("r/aside"));
            let _ = symlink(dir.join("witness"), dir.join("r/tree"));
        });
        street.ioriot(&["replay", "work", "--root", "r", "-o", "run"]);
        street.safe("replayed");
        street.ioriot(&["init", "work", "--root", "r", "--reset"]);
    });
}

#[test]
fn a_root_in_a_directory_of_a_neighbour_is_refused() {
    attack(|street| {
        street.neighbour(|dir| open_dir(&dir.join("theirs")));
        street.refused(&["init", "work", "--root", "theirs/r"], "is another user's");
        street.neighbour(|dir| {
            let _ = fs::rename(dir.join("theirs/r"), dir.join("theirs/aside"));
            planted(&dir.join("theirs/r"), stamp("fresh"));
            fs::remove_file(dir.join("theirs/r/tree")).unwrap();
            symlink("../../witness", dir.join("theirs/r/tree")).unwrap();
        });
        street.ioriot(&["replay", "work", "--root", "theirs/r", "-o", "run"]);
    });
}

#[test]
fn a_root_in_a_directory_that_others_can_write_is_refused() {
    attack(|street| {
        fs::create_dir(street.at("open")).unwrap();
        chown(street.at("open"), Some(street.victim), Some(street.victim)).unwrap();
        fs::set_permissions(street.at("open"), Permissions::from_mode(0o777)).unwrap();
        street.refused(&["init", "work", "--root", "open/r"], "chmod go-w");
        assert!(!street.at("open/r").exists());
    });
}

#[test]
fn a_planted_root_is_neither_used_nor_reset_nor_moved() {
    attack(|street| {
        street.neighbour(|dir| planted(&dir.join("r"), stamp("used")));
        let why = "belongs to user 65533";
        street.refused(&["replay", "work", "--root", "r", "-o", "run", "--dirty"], why);
        street.safe("replayed");
        street.refused(&["init", "work", "--root", "r", "--reset"], why);
        street.safe("reset");
        street.refused(&["init", "work", "--root", "r", "--force"], why);
        street.refused(&["init", "work", "--root", "r"], why);
    });
}

#[test]
fn a_planted_place_is_no_part_of_a_root() {
    attack(|street| {
        fs::create_dir(street.at("target")).unwrap();
        fs::set_permissions(street.at("target"), Permissions::from_mode(0o1777)).unwrap();
        let root = street.at("r");
        let stamp = json!({"state": "used", "fingerprint": "1234", "workload": "work", "ioriot": "0.1.0", "part_of": root});
        street.neighbour(|dir| {
            planted(&dir.join("target/r.d"), stamp);
            fs::remove_file(dir.join("target/r.d/tree")).unwrap();
            symlink("../../witness", dir.join("target/r.d/tree")).unwrap();
        });
        let map = format!("/d={}", street.at("target").display());
        for force in [&[][..], &["--force"]] {
            let args = [&["init", "work", "--root", "r", "--map", &map], force].concat();
            street.refused(&args, "belongs to user 65533");
            assert!(!root.exists(), "all or nothing");
        }
    });
}

#[test]
fn an_empty_place_of_a_neighbour_is_not_filled() {
    attack(|street| {
        fs::create_dir(street.at("target")).unwrap();
        fs::set_permissions(street.at("target"), Permissions::from_mode(0o1777)).unwrap();
        street.neighbour(|dir| open_dir(&dir.join("target/r.d")));
        let map = format!("/d={}", street.at("target").display());
        street.refused(&["init", "work", "--root", "r", "--map", &map], "belongs to user 65533");
        assert_eq!(fs::read_dir(street.at("target/r.d")).unwrap().count(), 0);
    });
}

#[test]
fn an_empty_directory_of_ones_own_becomes_a_root_that_is_closed() {
    attack(|street| {
        as_user(street.victim, || open_dir(&street.at("r")));
        street.succeeds(&["init", "work", "--root", "r"]);
        assert_eq!(fs::metadata(street.at("r")).unwrap().permissions().mode() & 0o7777, 0o700);
        // Opened to others meanwhile, it is not believed any more.
        fs::set_permissions(street.at("r"), Permissions::from_mode(0o755)).unwrap();
        street.refused(&["replay", "work", "--root", "r", "-o", "run"], "has mode 0755");
        street.refused(&["init", "work", "--root", "r", "--reset"], "has mode 0755");
        fs::set_permissions(street.at("r"), Permissions::from_mode(0o700)).unwrap();
        street.ioriot(&["replay", "work", "--root", "r", "-o", "run"]);
        street.succeeds(&["init", "work", "--root", "r", "--reset"]);
    });
}

/// A tree that is a symlink leads nowhere, even in a root of one's own.
#[test]
fn a_tree_that_is_a_symlink_is_no_tree() {
    attack(|street| {
        street.succeeds(&["init", "work", "--root", "r"]);
        fs::rename(street.at("r/tree"), street.at("aside")).unwrap();
        symlink(street.at("witness"), street.at("r/tree")).unwrap();
        street.refused(&["replay", "work", "--root", "r", "-o", "run"], "cannot open");
        street.refused(&["init", "work", "--root", "r", "--reset"], "cannot open");
        street.safe("replayed and reset");
        street.succeeds(&["clean", "r", "--roots", "--yes"]);
    });
}

#[test]
fn what_a_neighbour_planted_is_not_cleaned() {
    attack(|street| {
        // A directory of the victim's that others may write in, as for a common project.
        fs::create_dir(street.at("common")).unwrap();
        chown(street.at("common"), Some(street.victim), Some(street.victim)).unwrap();
        fs::set_permissions(street.at("common"), Permissions::from_mode(0o1777)).unwrap();
        fs::write(street.at("common/file"), "mine").unwrap();
        let orphan = json!({"state": "used", "fingerprint": "1", "workload": "w", "ioriot": "0", "part_of": "/nowhere"});
        street.neighbour(|dir| fs::write(dir.join("common/.ioriot-root.json"), orphan.to_string()).unwrap());
        street.neighbour(|dir| planted(&dir.join("orphan"), orphan.clone()));
        // A root that claims the victim's directory for a part of it.
        let maps = json!([{"captured": "/d", "place": street.at("common")}]);
        let claims = json!({"state": "used", "fingerprint": "1", "workload": "w", "ioriot": "0", "maps": maps});
        street.neighbour(|dir| planted(&dir.join("claims"), claims));
        let before = look(&street.at("common"), Look::All, &[]);
        street.succeeds(&["clean", "--yes", "--roots", "--runs", ".", "witness", "orphan", "claims", "common"]);
        same("cleaned", &before, &look(&street.at("common"), Look::All, &[]));
        for kept in ["orphan", "claims"] {
            assert!(street.at(kept).exists(), "{kept} is not the victim's");
        }
    });
}

#[test]
fn what_moved_between_the_looks_is_not_deleted() {
    if !crate::tool::root() {
        return skip(Need::Root, "two users");
    }
    for victim in VICTIMS {
        let street = Street::new(victim);
        fs::create_dir(street.at("shared")).unwrap();
        chown(street.at("shared"), Some(NEIGHBOUR), Some(NEIGHBOUR)).unwrap();
        fs::set_permissions(street.at("shared"), Permissions::from_mode(0o777)).unwrap();
        let unfinished = |dir: &Path| {
            fs::create_dir_all(dir.join(".thing.unfinished")).unwrap();
            fs::set_permissions(dir.join(".thing.unfinished"), Permissions::from_mode(0o700)).unwrap();
            fs::write(dir.join(".thing.unfinished/begun.json"), r#"{"kind": "run", "ioriot": "0.1.0"}"#).unwrap();
            fs::write(dir.join(".thing.unfinished/events.parquet"), "mine").unwrap();
        };
        as_user(victim, || {
            unfinished(&street.at("shared/q"));
            fs::create_dir(street.at("home")).unwrap();
            unfinished(&street.at("home"));
        });
        let before = look(&street.at("home"), Look::All, &[]);
        let found = as_user(victim, || init::find(&street.at("shared")).unwrap());
        let found = found.first().unwrap();
        street.neighbour(|dir| {
            fs::rename(dir.join("shared/q"), dir.join("shared/aside")).unwrap();
            symlink(dir.join("home"), dir.join("shared/q")).unwrap();
        });
        let error = as_user(victim, || init::remove(found)).unwrap_err().to_string();
        assert!(error.contains("is not what it was"), "{error}");
        same("swapped", &before, &look(&street.at("home"), Look::All, &[]));
        assert!(street.at("shared/aside/.thing.unfinished/events.parquet").exists());
    }
}

/// sudo says who asked: what is theirs becomes root's. Nobody but root is told so.
#[test]
fn the_directory_of_who_calls_sudo_becomes_a_root() {
    attack(|street| {
        street.neighbour(|dir| open_dir(&dir.join("r")));
        let init = |asker: u32| street.asked_by(Some(asker), &["init", "work", "--root", "r"]);
        for other in [street.victim, NEIGHBOUR + 1] {
            assert!(!init(other).status.success());
        }
        let output = init(NEIGHBOUR);
        assert_eq!(output.status.success(), street.victim == 0, "{}", String::from_utf8_lossy(&output.stderr));
        if street.victim == 0 {
            let root = fs::metadata(street.at("r")).unwrap();
            assert_eq!((root.uid(), root.permissions().mode() & 0o7777), (0, 0o700));
        }
    });
}

#[test]
fn only_ones_own_datasets_make_way() {
    attack(|street| {
        let capture = |dir: &Path| {
            fs::create_dir_all(dir).unwrap();
            fs::write(dir.join("manifest.json"), r#"{"format": 1, "kind": "capture"}"#).unwrap();
            readable(dir);
        };
        let kept = street.at("kept/capture");
        street.own("kept");
        as_user(street.victim, || capture(&kept));
        street.own("d");
        fs::set_permissions(street.at("d"), Permissions::from_mode(0o777)).unwrap();
        fs::copy(crate::tool::data("matrix.strace"), street.at("log")).unwrap();
        fs::set_permissions(street.at("log"), Permissions::from_mode(0o644)).unwrap();
        let refused = |dir: &str, why: &str| {
            street.refused(&["run", "log", "-o", dir, "--force"], why);
            assert!(kept.join("manifest.json").exists(), "{why}");
        };
        street.neighbour(|dir| symlink("../kept/capture", dir.join("d/capture")).unwrap());
        refused("d", "is not yours alone");
        street.neighbour(|dir| fs::remove_file(dir.join("d/capture")).unwrap());
        as_user(street.victim, || capture(&street.at("d/capture")));
        refused("d", "chmod go-w");
        street.neighbour(|dir| {
            open_dir(&dir.join("theirs"));
            capture(&dir.join("theirs/capture"));
        });
        refused("theirs", "is not yours alone");
        street.neighbour(|dir| fs::rename(dir.join("theirs/capture"), dir.join("theirs/aside")).unwrap());
        as_user(street.victim, || capture(&street.at("theirs/capture")));
        refused("theirs", "is another user's");
        fs::set_permissions(street.at("d"), Permissions::from_mode(0o755)).unwrap();
        street.ioriot(&["run", "log", "-o", "d", "--force"]);
        assert!(fs::read(street.at("d/capture/manifest.json")).is_ok_and(|text| text.len() > 100), "a new one");
    });
}

#[test]
fn nothing_is_written_in_a_directory_of_a_neighbour() {
    attack(|street| {
        street.neighbour(|dir| open_dir(&dir.join("theirs")));
        street.succeeds(&["init", "work", "--root", "r"]);
        street.refused(&["replay", "work", "--root", "r", "-o", "theirs/run"], "is another user's");
        // What a writer left there could be anything.
        street.neighbour(|dir| {
            open_dir(&dir.join(".run.unfinished"));
            fs::write(dir.join(".run.unfinished/begun.json"), r#"{"ioriot": "0.1.0", "kind": "run"}"#).unwrap();
            fs::write(dir.join(".run.unfinished/results-000000.parquet"), "").unwrap();
            readable(&dir.join(".run.unfinished"));
            fs::set_permissions(dir.join(".run.unfinished"), Permissions::from_mode(0o777)).unwrap();
            symlink("../witness/f", dir.join(".run.unfinished/results.parquet.unfinished")).unwrap();
        });
        street.refused(&["replay", "--recover", "run"], "belongs to user 65533");
    });
}

#[test]
fn nothing_waits_for_what_is_no_file() {
    attack(|street| {
        street.succeeds(&["init", "work", "--root", "r"]);
        let fifo = |name: &str| {
            let path = std::ffi::CString::new(street.at(name).to_str().unwrap()).unwrap();
            // SAFETY: the path ends in NUL.
            assert_eq!(unsafe { mkfifo(path.as_ptr(), 0o666) }, 0);
            fs::set_permissions(street.at(name), Permissions::from_mode(0o666)).unwrap();
        };
        for (dataset, table) in
            [("w1", "manifest.json"), ("w2", "ops.parquet"), ("w3", "fileset.parquet"), ("w4", "lanes.parquet")]
        {
            fs::create_dir(street.at(dataset)).unwrap();
            for entry in fs::read_dir(street.at("work")).unwrap().flatten().filter(|entry| entry.file_name() != table) {
                fs::copy(entry.path(), street.at(dataset).join(entry.file_name())).unwrap();
                chown(street.at(dataset).join(entry.file_name()), Some(street.victim), None).unwrap();
            }
            readable(&street.at(dataset));
            fifo(&format!("{dataset}/{table}"));
        }
        let why = "only a regular file";
        for (dataset, verb) in [("w1", "init"), ("w1", "replay"), ("w2", "replay"), ("w3", "init"), ("w4", "replay")] {
            let place: &[&str] = if verb == "init" { &["--root", "other"] } else { &["--root", "r", "-o", "run"] };
            street.refused(&[&[verb, dataset], place].concat(), why);
        }
        // A symlink is not followed, and nothing is read without end.
        fs::remove_file(street.at("w1/manifest.json")).unwrap();
        symlink("/dev/zero", street.at("w1/manifest.json")).unwrap();
        street.refused(&["init", "w1", "--root", "other"], why);
        fs::create_dir(street.at("stamped")).unwrap();
        readable(&street.at("stamped"));
        fifo("stamped/.ioriot-root.json");
        fifo("stamped/manifest.json");
        for dir in ["stamped", "."] {
            street.succeeds(&["clean", "--yes", "--roots", "--runs", dir]);
        }
    });
}

#[test]
fn manual_pages_follow_no_link_of_a_neighbour() {
    attack(|street| {
        street.neighbour(|dir| {
            open_dir(&dir.join("theirs"));
            symlink(dir.join("witness/file"), dir.join("theirs/ioriot.1")).unwrap();
        });
        street.refused(&["man", "theirs"], "is another user's");
        street.safe("manual pages");
        street.own("pages");
        as_user(street.victim, || symlink(street.at("witness/file"), street.at("pages/ioriot.1")).unwrap());
        street.succeeds(&["man", "pages"]);
        street.safe("manual pages of one's own");
        assert!(fs::symlink_metadata(street.at("pages/ioriot.1")).unwrap().is_file());
    });
}

#[test]
fn an_answer_does_not_go_to_a_fifo_of_a_neighbour() {
    attack(|street| {
        street.neighbour(|dir| {
            open_dir(&dir.join("theirs"));
            assert!(Command::new("mkfifo").arg(dir.join("theirs/out")).status().unwrap().success());
        });
        fs::copy(crate::tool::data("matrix.strace"), street.at("log")).unwrap();
        street.succeeds(&["ingest", "log", "-o", "cap"]);
        // A reader that waits for nobody.
        let nonblocking = std::os::unix::fs::OpenOptionsExt::custom_flags(fs::File::options().read(true), O_NONBLOCK)
            .open(street.at("theirs/out"));
        let mut reader = nonblocking.unwrap();
        street.refused(&["query", "cap", "SELECT 'mine' AS a", "-o", "theirs/out"], "");
        let mut read = String::new();
        std::io::Read::read_to_string(&mut reader, &mut read).unwrap();
        assert_eq!(read, "");
    });
}

/// Content that a neighbour has laid out is read as far as it is in files, and leads nowhere else.
#[test]
fn content_of_a_neighbour_leads_nowhere() {
    attack(|street| {
        street.neighbour(|dir| {
            let from = dir.join("from");
            fs::create_dir_all(from.join("real")).unwrap();
            fs::set_permissions(&from, Permissions::from_mode(0o755)).unwrap();
            fs::write(from.join("real/f"), "0123456789").unwrap();
            symlink("../witness/d", from.join("d")).unwrap();
            // A FIFO that nobody writes to, whose opening would wait.
            fifo(&from.join("f"));
        });
        let text = street.succeeds(&["init", "work", "--from", "from", "--format", "json"]);
        let taken = &serde_json::from_str::<serde_json::Value>(text.trim()).unwrap()["taken"];
        let count = |what: &str| taken["differences"][what]["count"].as_u64().unwrap_or(0);
        assert_eq!((count("unreadable"), count("kind"), taken["files"].as_u64()), (1, 2, Some(0)), "{taken}");
        for (file, size) in [("d/f", 10), ("f", 1)] {
            let made = fs::read(street.at("work.root/tree").join(file)).unwrap();
            assert!(made.len() == size && made != b"mine"[..size.min(4)], "{file}");
        }
        assert_eq!(fs::metadata(street.at("work.root")).unwrap().mode() & 0o7777, 0o700);
    });
}

fn fifo(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path ends in NUL.
    assert_eq!(unsafe { mkfifo(path.as_ptr(), 0o666) }, 0);
}
