//! Options of I/O Riot in C, for scripts and fingers that still know them: the commands that do the same now.
//!
//! That program had no verbs: `-c FILE` captured, with `-r FILE` it generated, and so on (docs/MIGRATE.md).

use crate::ingest::Input;
use crate::limits::THREADS;
use crate::text::word;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Options with an argument, and those without one that this program does not have first on its command line too.
const WITH: &[u8] = b"rRScuinwptsxm";
const WITHOUT: &[u8] = b"dDTPU";

/// Speeds of this size kept the captured pace, or nearly: milliseconds stood for nanoseconds.
const SLIPPED: f64 = 10_000.0;
const SLIP: f64 = 1_000_000.0;

/// What to say to a command line of the old program; none when it is not one.
pub fn instead(args: &[OsString]) -> Option<String> {
    let first = args.first()?.as_bytes();
    let old = |option: &u8| WITH.contains(option) || WITHOUT.contains(option);
    if first.first() != Some(&b'-') || !first.get(1).is_some_and(old) {
        return None;
    }
    let (commands, notes) = Old::parse(args).now();
    let mut lines = vec![format!("error: {} is how I/O Riot in C was called; now that is", shown(args))];
    lines.extend(commands.iter().map(|command| format!("  {command}")));
    lines.extend(notes);
    lines.push("docs/MIGRATE.md has all of its options.".into());
    Some(lines.join("\n"))
}

fn shown(args: &[OsString]) -> String {
    args.iter().map(|arg| word(Path::new(arg))).collect::<Vec<_>>().join(" ")
}

/// The options, as getopt(3) finds them.
#[derive(Debug, Default)]
struct Old {
    capture: Option<PathBuf>,
    /// The first one of -i, -r and -R counts.
    replay: Option<PathBuf>,
    inits: bool,
    replays: bool,
    seen: Vec<u8>,
    values: Vec<(u8, OsString)>,
}

impl Old {
    fn parse(args: &[OsString]) -> Old {
        let mut old = Old::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(mut rest) = arg.as_bytes().strip_prefix(b"-") else { continue };
            while let [option, tail @ ..] = rest {
                old.seen.push(*option);
                if WITH.contains(option) {
                    let value = if tail.is_empty() { args.next().cloned() } else { Some(OsString::from_vec(tail.to_vec())) };
                    old.take(*option, value.unwrap_or_else(|| "FILE".into()));
                    break;
                }
                rest = tail;
            }
        }
        old
    }

    fn take(&mut self, option: u8, value: OsString) {
        self.inits |= matches!(option, b'i' | b'R');
        self.replays |= matches!(option, b'r' | b'R');
        match option {
            b'c' => self.capture = Some(value.into()),
            b'i' | b'r' | b'R' => drop(self.replay.get_or_insert(value.into())),
            _ => self.values.push((option, value)),
        }
    }

    fn value(&self, option: u8) -> Option<&OsStr> {
        self.values.iter().rev().find(|(known, _)| *known == option).map(|(_, value)| value.as_os_str())
    }

    fn has(&self, option: u8) -> bool {
        self.seen.contains(&option)
    }

    /// A value as a word of an option of ours.
    fn option(&self, option: u8, name: &str) -> String {
        self.value(option).map_or(String::new(), |value| format!(" {name} {}", word(Path::new(value))))
    }

    /// The commands that do the same, and what to know of them.
    fn now(&self) -> (Vec<String>, Vec<String>) {
        let mut notes = Vec::new();
        let commands = if self.has(b'd') {
            notes.push("`ioriot replay --drop-caches` does so before its first op.".into());
            vec!["sync && echo 3 | sudo tee /proc/sys/vm/drop_caches".into()]
        } else if self.has(b'U') {
            vec!["cargo test --locked".into()]
        } else if self.has(b'P') {
            notes.push(
                "It looks into the directories named, here if none is. What the old program left is in .ioriot on each mount."
                    .into(),
            );
            vec!["ioriot clean --roots --runs".into()]
        } else if self.has(b'T') {
            notes.push("It makes the tree anew and moves the old one aside; `ioriot clean` deletes what is aside.".into());
            vec![self.init("WORKLOAD")]
        } else {
            match (&self.capture, &self.replay) {
                (Some(capture), Some(replay)) => generated(capture, &place(replay, "work")),
                (None, Some(replay)) => self.tree_and_run(replay, &mut notes),
                (capture, None) if capture.is_some() || self.has(b'x') || self.has(b'm') => {
                    vec![self.captures(capture.as_deref(), &mut notes)]
                }
                _ => vec!["ioriot --help".into()],
            }
        };
        if self.has(b'w') {
            notes.push("There is no working directory (-w): `ioriot init --root ROOT` says where the tree goes.".into());
        }
        (commands, notes)
    }

    fn captures(&self, file: Option<&Path>, notes: &mut Vec<String>) -> String {
        let module = self.value(b'm').map(|module| module.to_string_lossy().into_owned());
        let scope = match module.as_deref() {
            Some("javaioriot.ko") => " --comm java".into(),
            _ if self.has(b'x') => self.option(b'x', "--pid"),
            _ => " --all".into(),
        };
        if module.is_some_and(|module| !["ioriot.ko", "javaioriot.ko", "targetedioriot.ko"].contains(&&*module)) {
            notes.push(
                "No kernel module is needed where there is eBPF; --backend stap takes one that `make -C systemtap` made.".into(),
            );
        }
        let out = file.map_or("CAPTURE".into(), |file| word(&place(file, "cap")));
        notes.push(format!("{out} becomes a directory; nothing needs to be stopped before, since what is open is captured too."));
        format!("sudo ioriot capture -o {out}{scope}")
    }

    fn tree_and_run(&self, file: &Path, notes: &mut Vec<String>) -> Vec<String> {
        let work = place(file, "work");
        let mut commands = Vec::new();
        if work != *file {
            notes.push(format!("{} itself cannot be read: its .capture is what a workload is made of.", word(file)));
            commands = generated(&stem(file).with_extension("capture"), &work);
        }
        let work = word(&work);
        if self.inits {
            commands.push(self.init(&work));
        }
        if self.replays {
            commands.push(self.replay(&work, &word(&ended(file, "run")), notes));
        }
        commands
    }

    fn init(&self, work: &str) -> String {
        let named = self.option(b'n', "--layout mounts --name");
        let user = self.option(b'u', "--user");
        let sudo = if named.is_empty() && user.is_empty() { "" } else { "sudo " };
        format!("{sudo}ioriot init {work} --force{user}{named}")
    }

    fn replay(&self, work: &str, run: &str, notes: &mut Vec<String>) -> String {
        let number = |option| self.value(option).and_then(|value| value.to_str()?.parse::<usize>().ok());
        let (processes, threads) = (number(b'p').map(|p| p.max(1)), number(b't').map(|t| t.max(1)));
        let most = THREADS / processes.unwrap_or(1).clamp(1, THREADS);
        let count = |name: &str, number: Option<usize>| number.map_or(String::new(), |number| format!(" {name} {number}"));
        let drop = if self.has(b'D') { "" } else { " --drop-caches" };
        let user = self.option(b'u', "--user");
        let speed = self.value(b's').and_then(|value| value.to_str()?.parse::<f64>().ok()).filter(|speed| *speed > 0.0);
        let pace = speed.map_or(String::new(), |speed| {
            let meant = if speed >= SLIPPED { speed / SLIP } else { speed };
            if meant != speed {
                notes.push(format!("-s {speed} was needed for {meant} times the captured pace, by a fault of its units."));
            }
            format!(" --pace realtime --speed {meant}")
        });
        let stats = self.option(b'S', "--format json >");
        let sudo = if drop.is_empty() && user.is_empty() { "" } else { "sudo " };
        let workers = count("--processes", processes.map(|p| p.min(THREADS))) + &count("--threads", threads.map(|t| t.min(most)));
        format!("{sudo}ioriot replay {work} -o {run}{drop}{user}{workers}{pace}{stats}")
    }
}

/// From a capture of the old program, or one of ours, to a workload.
fn generated(capture: &Path, work: &Path) -> Vec<String> {
    let (from, work) = (word(capture), word(work));
    if capture.is_dir() {
        return vec![format!("ioriot generate {from} -o {work}")];
    }
    let cap = word(&ended(capture, "cap"));
    vec![format!("ioriot ingest {from} -o {cap}"), format!("ioriot generate {cap} -o {work}")]
}

/// The name as it is for a dataset, unless a file of the old program has it.
fn place(name: &Path, ending: &str) -> PathBuf {
    if name.is_file() { ended(name, ending) } else { name.to_owned() }
}

fn ended(name: &Path, ending: &str) -> PathBuf {
    let mut stem = stem(name).into_os_string();
    stem.push(".");
    stem.push(ending);
    stem.into()
}

fn stem(name: &Path) -> PathBuf {
    let stem = Input::parse(name).stem();
    name.with_file_name(stem.strip_suffix(".replay").unwrap_or(&stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        instead(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).unwrap()
    }

    /// The commands alone.
    fn now(line: &str) -> Vec<String> {
        said(line).lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
    }

    #[test]
    fn old_options_become_commands() {
        for (old, new) in [
            ("-c io.capture", &["sudo ioriot capture -o io.capture --all"][..]),
            ("-cio.capture -x 4711", &["sudo ioriot capture -o io.capture --pid 4711"]),
            ("-c io.capture -m javaioriot.ko", &["sudo ioriot capture -o io.capture --comm java"]),
            ("-c io.capture -m targetedioriot.ko -x 7", &["sudo ioriot capture -o io.capture --pid 7"]),
            ("-x 4711", &["sudo ioriot capture -o CAPTURE --pid 4711"]),
            (
                "-c /d/io.capture -r /d/io.replay -u nobody -n test1",
                &["ioriot ingest /d/io.capture -o /d/io.cap", "ioriot generate /d/io.cap -o /d/io.replay"],
            ),
            ("-i io.replay", &["ioriot init io.replay --force"]),
            ("-i io.replay -n test1 -u u", &["sudo ioriot init io.replay --force --user u --layout mounts --name test1"]),
            ("-r io.replay", &["sudo ioriot replay io.replay -o io.run --drop-caches"]),
            (
                "-D -r io.replay -p 2 -t 1024 -S stats",
                &["ioriot replay io.replay -o io.run --processes 2 --threads 512 --format json > stats"],
            ),
            (
                "-DR io.replay -s 2",
                &["ioriot init io.replay --force", "ioriot replay io.replay -o io.run --pace realtime --speed 2"],
            ),
            ("-Dr io.replay -s 1000000", &["ioriot replay io.replay -o io.run --pace realtime --speed 1"]),
            ("-d", &["sync && echo 3 | sudo tee /proc/sys/vm/drop_caches"]),
            ("-P", &["ioriot clean --roots --runs"]),
            ("-T -n test1", &["sudo ioriot init WORKLOAD --force --layout mounts --name test1"]),
            ("-U", &["cargo test --locked"]),
            ("-n test1", &["ioriot --help"]),
        ] {
            assert_eq!(now(old), new, "{old}");
        }
        assert!(said("-i io.replay -w /home/u/wd").contains("no working directory"));
    }

    #[test]
    fn files_of_the_old_program_are_taken_for_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(at("io.replay"), "#|replay_version=3|").unwrap();
        let [capture, cap, work, replay] = ["io.capture", "io.cap", "io.work", "io.replay"].map(at);
        let anew = [
            format!("ioriot ingest {capture} -o {cap}"),
            format!("ioriot generate {cap} -o {work}"),
            format!("ioriot init {work} --force"),
        ];
        assert_eq!(now(&format!("-i {replay}")), anew);
        std::fs::create_dir(&capture).unwrap();
        assert_eq!(now(&format!("-c {capture} -r {replay}")), [format!("ioriot generate {capture} -o {work}")]);
    }

    #[test]
    fn what_is_ours_is_left_alone() {
        for line in ["run -c", "--help", "-h", "-V", "-v", "-vv", "-", "", "-z"] {
            assert_eq!(instead(&line.split(' ').map(OsString::from).collect::<Vec<_>>()), None, "{line}");
        }
    }
}
