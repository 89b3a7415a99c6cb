//! Machines that are lost: the replay ends soon, and says so.

use super::processes::{LIMIT, Shared, finish, outcomes, refused, summary, within};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Waits until the replay is under way: some of its directories have been made.
pub fn under_way(shared: &Shared) {
    let began = Instant::now();
    while !shared.root.join("tree/top/e50").exists() {
        assert!(began.elapsed() < LIMIT, "{:?}", shared.processes());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_server_ends_the_replay() {
    let shared = Shared::new(1000, 12);
    let mut servers = shared.servers(3);
    for victim in [2, 0] {
        let on: Vec<&str> = servers.iter().map(|server| server.at.as_str()).collect();
        let out = format!("run{victim}");
        let mut replay = shared.replay(&on, &out, &["--delay", "3"]);
        let replay = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        under_way(&shared);
        servers[victim].kill();
        let began = Instant::now();
        let said = summary(&finish(LIMIT, replay), 1);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!((&said["complete"], &said["different"]), (&false.into(), &0.into()));
        let gone = servers.remove(victim);
        for machine in said["machines"].as_array().unwrap() {
            let lost = machine["lost"].to_string();
            if machine["name"] != gone.at.as_str() {
                assert!(lost.contains(&format!("{} was lost", gone.at)), "{lost}");
            }
            assert_eq!(machine["run"].is_null(), machine["name"] == gone.at.as_str(), "{machine}");
        }
        // What the others did until then is kept.
        let runs = shared.runs(&out);
        assert_eq!(runs.len(), servers.len());
        assert!(!outcomes(&runs).is_empty());
        shared.nothing_left();
        shared.init();
    }
}

/// The servers are as good as before, and another replay goes well.
#[test]
fn a_killed_coordinator_leaves_nothing() {
    let shared = Shared::new(1000, 12);
    let servers = shared.servers(2);
    let on: Vec<&str> = servers.iter().map(|server| server.at.as_str()).collect();
    let mut replay = shared.replay(&on, "run", &["--delay", "3"]);
    let mut replay = replay.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    under_way(&shared);
    // A second one is told to wait.
    let busy = refused(&within(LIMIT, shared.replay(&on, "other", &[])));
    assert!(busy.contains("busy"), "{busy}");
    assert!(!shared.work.place("other").exists());
    replay.kill().unwrap();
    replay.wait().unwrap();
    shared.nothing_left();
    shared.init();
    let _ = std::fs::remove_dir_all(shared.work.place("run"));
    summary(&within(LIMIT, shared.replay(&on, "again", &[])), 0);
}

#[test]
fn a_signal_ends_it_in_order() {
    let shared = Shared::new(1000, 12);
    let servers = shared.servers(2);
    let on: Vec<&str> = servers.iter().map(|server| server.at.as_str()).collect();
    let mut replay = shared.replay(&on, "run", &["--delay", "3"]);
    let replay = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    under_way(&shared);
    // SAFETY: a child that was not waited for.
    unsafe { libc::kill(replay.id() as i32, libc::SIGINT) };
    let said = summary(&finish(LIMIT, replay), 130);
    assert_eq!((&said["complete"], &said["signal"]), (&false.into(), &"SIGINT".into()));
    assert_eq!(shared.runs("run").len(), 2);
    shared.nothing_left();
    // Servers that are asked to end do so, and take their directories with them.
    for mut server in servers {
        // SAFETY: a child that was not waited for.
        unsafe { libc::kill(server.child.id() as i32, libc::SIGTERM) };
        assert_eq!(server.child.wait().unwrap().code(), Some(143));
    }
    assert_eq!(std::fs::read_dir(shared.work.place("spools")).unwrap().count(), 0);
}
