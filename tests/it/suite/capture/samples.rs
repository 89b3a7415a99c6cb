//! What the content of files is like (`--content-samples`): the numbers that are kept, and that nothing else is.

use super::*;

/// Data that compresses to a share of its size that is known, that does not, zeroes, and a copy.
fn files(home: &Path) -> Vec<u8> {
    let mut random = vec![0; 256 << 10];
    ioriot::dice::Dice::new(11).fill(&mut random);
    let text: Vec<u8> =
        (0..40_000_u64).flat_map(|line| format!("line {:08x}\n", line * 0x9e37_79b9 % 0xffff_ffff).into_bytes()).collect();
    std::fs::write(home.join("random"), &random).unwrap();
    std::fs::write(home.join("copy"), &random).unwrap();
    std::fs::write(home.join("text"), &text).unwrap();
    std::fs::write(home.join("zero"), vec![0; 300_000]).unwrap();
    std::fs::write(home.join("empty"), "").unwrap();
    text
}

#[test]
fn only_numbers_of_contents_are_kept() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let [home, out] = ["home", "capture"].map(|name| dir.path().canonicalize().unwrap().join(name));
    std::fs::create_dir(&home).unwrap();
    let text = files(&home);
    let script = "cd \"$0\" && cat random copy text zero empty > /dev/null; cat text text > written; cat random > part; mv part whole; echo secret > gone; rm gone";
    let summary = capture(0, &out, &["--content-samples", "--", "sh", "-c", script, home.to_str().unwrap()]);
    assert!(int(&summary, "/contents/sampled") >= 5 && int(&summary, "/contents/gone") >= 1, "{summary}");
    assert!(int(&summary, "/contents/empty") >= 1 && summary["contents"]["refused"].is_null(), "{summary}");
    assert_eq!(int(&summary, "/sum/lost"), 0);
    let name = format!("substr(path, {})", home.to_str().unwrap().chars().count() + 2);
    let sql = format!(
        "SELECT {name} AS name, size, sampled, zeroes, incompressible FROM contents WHERE path LIKE '{}/%' ORDER BY name",
        home.to_str().unwrap()
    );
    let long = text.len();
    let whole = 256 << 10;
    let expected = [
        format!("copy,{whole},{whole},0,{whole}"),
        format!("part,{whole},{whole},0,{whole}"),
        format!("random,{whole},{whole},0,{whole}"),
        format!("text,{long},{long},0,0"),
        format!("written,{0},{0},0,0", 2 * long),
        "zero,300000,300000,300000,0".to_owned(),
    ];
    assert_eq!(rows(&[&out], &sql), expected);
    let profiles =
        format!("SELECT {name} AS name, profile FROM contents WHERE path LIKE '{}/%' ORDER BY name", home.to_str().unwrap());
    let profiles = rows(&[&out], &profiles);
    assert_eq!([&profiles[0], &profiles[2], &profiles[5]], ["copy,AA", "random,AA", "zero,ZZZ"], "{profiles:?}");
    let letters = profiles[3].strip_prefix("text,").unwrap();
    assert!(
        letters.len() == text.len().div_ceil(128 << 10) && letters.bytes().all(|letter| (b'B'..b'W').contains(&letter)),
        "{letters}"
    );
    let alone: usize = text.chunks(128 << 10).map(|sample| zstd::bulk::compress(sample, 3).unwrap().len()).sum();
    let of = |what: &str| format!("SELECT {what} FROM contents WHERE path LIKE '{}/%'", home.to_str().unwrap());
    assert_eq!(rows(&[&out], &format!("{} AND path LIKE '%/text'", of("compressed"))), [alone.to_string()]);
    // One of the two copies repeats the other, and `written` has the text twice, at another place within blocks.
    assert_eq!(rows(&[&out], &format!("{} AND path NOT LIKE '%/text'", of("sum(repeated) >= 262144"))), ["true"]);
    for file in std::fs::read_dir(&out).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(memchr::memmem::find(&bytes, &text[12_000..12_040]).is_none());
    }

    let without = dir.path().join("without");
    let summary = capture(0, &without, &["--", "cat", home.join("text").to_str().unwrap()]);
    assert!(summary["contents"].is_null() && !without.join("contents.parquet").exists());
}

#[test]
fn a_run_of_a_command_with_such_data_takes_samples() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let home = dir.path().canonicalize().unwrap().join("home");
    std::fs::create_dir(&home).unwrap();
    let text = files(&home);
    let out = dir.path().join("out");
    let script = "cd \"$0\" && while read -r line; do echo \"$line\"; done < text > lines.txt; cat random > /dev/null";
    let words = ["run", "--data", "captured", "-o", out.to_str().unwrap(), "--", "sh", "-c", script, home.to_str().unwrap()];
    let done = ioriot(&words);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let tree = out.join("root/tree").join(home.strip_prefix("/").unwrap());
    let share = |bytes: &[u8]| {
        let small: usize =
            bytes.chunks(128 << 10).map(|piece| zstd::bulk::compress(piece, 3).unwrap().len().min(piece.len())).sum();
        small as f64 / bytes.len() as f64
    };
    for (name, real) in [("text", share(&text)), ("lines.txt", share(&text)), ("random", 1.0)] {
        let made = std::fs::read(tree.join(name)).unwrap();
        assert!(made != std::fs::read(home.join(name)).unwrap(), "{name}");
        assert!((share(&made) / real - 1.0).abs() < 0.1, "{name}: {} made, {real} captured", share(&made));
    }
}

/// A capture that has ended is not to be waited for: Ctrl-C ends what is looked at afterwards, and the capture is whole.
#[test]
fn a_signal_ends_the_sampling_and_keeps_the_capture() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let [home, out] = ["home", "capture"].map(|name| dir.path().canonicalize().unwrap().join(name));
    std::fs::create_dir(&home).unwrap();
    files(&home);
    for at in 0..3000 {
        std::fs::hard_link(home.join("random"), home.join(format!("{at}"))).unwrap();
    }
    let words = ["capture", "-o", out.to_str().unwrap(), "--format", "json", "--content-samples", "--"];
    let script = "cd \"$0\" && cat [0-9]* > /dev/null";
    let mut capture = command(&words);
    capture.args(["sh", "-c", script, home.to_str().unwrap()]).stdout(Stdio::piped());
    let child = capture.spawn().unwrap();
    let samples = || {
        let of = |pid: &str| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let parent = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let begins = |pid: &str| memchr::memmem::find(&of(pid), ioriot::capture::child::VERB.as_bytes()).is_some();
        let mine = |pid: &str| {
            parent(pid).rsplit(')').next().is_some_and(|rest| rest.split(' ').nth(2) == Some(child.id().to_string().as_str()))
        };
        let names = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.into_iter().any(|pid| begins(&pid) && mine(&pid))
    };
    let began = Instant::now();
    while !samples() {
        assert!(began.elapsed().as_secs() < 60);
        std::thread::sleep(Duration::from_millis(5));
    }
    let came = Instant::now();
    // SAFETY: plain numbers; the child has not been waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    let output = child.wait_with_output().unwrap();
    // How many files were left out tells that it ended early; this, that it ended.
    assert!(came.elapsed().as_secs() < 60, "{:?}", came.elapsed());
    let printed = String::from_utf8(output.stdout).unwrap();
    let summary: Value = serde_json::from_str(&printed[printed.find("{\n").unwrap()..]).unwrap();
    assert!(int(&summary, "/contents/left_out") > 1000 && summary["contents"]["refused"].is_null(), "{summary}");
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(number(&[&out], "SELECT count(*) FROM events") > 6000.0);
}

/// The process that sees samples, as it is while it waits for the next.
#[test]
fn nobody_looks_into_the_process_that_measures() {
    use std::io::{Read, Write};
    let mut child = Command::new(env!("CARGO_BIN_EXE_ioriot"));
    let mut child = child.arg(ioriot::capture::child::VERB).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut answer = [0; 40 + ioriot::schema::profile::SAMPLES];
    output.read_exact(&mut answer).unwrap();
    let proc = |name: &str| PathBuf::from(format!("/proc/{}/{name}", child.id()));
    let status = std::fs::read_to_string(proc("status")).unwrap();
    let said = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned();
    assert_eq!((said("Seccomp:"), said("NoNewPrivs:"), said("CapEff:")), ("2".into(), "1".into(), "0".repeat(16)), "{status}");
    let limits = std::fs::read_to_string(proc("limits")).unwrap();
    assert!(
        limits.lines().any(|line| line.starts_with("Max core file size") && line.split_whitespace().nth(4) == Some("0")),
        "{limits}"
    );
    // What is not dumpable belongs to root in /proc (proc(5)).
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(proc("environ")).unwrap().uid(), 0);
    if let Ok(open) = std::fs::read_dir(proc("fd")) {
        assert_eq!(open.count(), 3);
    }
    // A sample of which half is valid, then the end of the file; a length that cannot be ends the process.
    let mut say = |bytes: &[u8]| input.write_all(bytes).unwrap();
    say(&8192_u32.to_le_bytes());
    say(&[0; 8192]);
    say(&4096_u32.to_le_bytes());
    say(&u32::MAX.to_le_bytes());
    output.read_exact(&mut answer).unwrap();
    let numbers: Vec<i64> = answer.as_chunks::<8>().0.iter().map(|word| i64::from_le_bytes(*word)).collect();
    assert!(numbers[0] == 4096 && numbers[3] == 4096 && numbers[1] < 100, "{numbers:?}");
    assert_eq!(answer[40..42], *b"Z\0");
    say(&200_000_u32.to_le_bytes());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}
