//! How files lay on their device and when they were created, live: in the capture and in the workload.

use super::*;
use ioriot::os::extents;
use std::fs::File;
use std::os::fd::AsRawFd;

/// Makes a file of this many pieces; `None` where the file system cannot, or does not say.
fn fragmented(path: &Path, pieces: u64) -> Option<u64> {
    const PIECE: i64 = 16 << 10;
    let file = File::create(path).unwrap();
    // SAFETY: plain numbers.
    let able = |mode, at, length| unsafe { libc::fallocate(file.as_raw_fd(), mode, at, length) } == 0;
    let made = able(0, 0, 2 * PIECE * pieces as i64)
        && (1..pieces as i64).all(|at| able(libc::FALLOC_FL_COLLAPSE_RANGE, at * PIECE, PIECE));
    file.sync_all().unwrap();
    let found = made.then(|| extents::of(&file, u64::MAX).ok())??.pieces;
    (found > 2).then_some(found)
}

#[test]
fn files_that_are_opened_are_looked_at() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let [home, out, work] = ["home", "capture", "work"].map(|name| dir.path().canonicalize().unwrap().join(name));
    std::fs::create_dir(&home).unwrap();
    let Some(pieces) = fragmented(&home.join("aged"), 20) else {
        return skip(Need::Disk("extents"), "no file in pieces can be made here");
    };
    std::fs::write(home.join("later"), "later").unwrap();
    let script = "cd \"$0\" && cat aged later > /dev/null && cat ./later; : < \"$0\"/aged; echo new > new; cat new";
    let [c, w] = [&out, &work].map(|path| path.to_str().unwrap());
    let summary = capture(0, &out, &["--", "sh", "-c", script, home.to_str().unwrap()]);
    assert!(int(&summary, "/layouts") >= 2, "{summary}");
    let like = format!("path LIKE '{}/%'", home.to_str().unwrap());
    let name = format!("substr(path, {})", home.to_str().unwrap().chars().count() + 2);
    let sql = format!("SELECT {name}, pieces FROM layouts WHERE {like} AND {name} <> 'new' ORDER BY created");
    assert_eq!(rows(&[&out], &sql), [format!("aged,{pieces}"), "later,".to_owned()]);
    expect(0, &["generate", c, "-o", w]);
    let sql = format!("SELECT {name}, pieces, created IS NOT NULL FROM fileset WHERE {like} AND kind = 'file' ORDER BY 1");
    assert_eq!(rows(&[&work], &sql), [format!("aged,{pieces},true"), "later,,true".to_owned()]);

    let without = dir.path().join("without");
    let summary = capture(0, &without, &["--no-layouts", "--", "cat", home.join("aged").to_str().unwrap()]);
    assert_eq!(int(&summary, "/layouts"), 0);
    expect(0, &["generate", without.to_str().unwrap(), "-o", dir.path().join("work2").to_str().unwrap()]);
}
