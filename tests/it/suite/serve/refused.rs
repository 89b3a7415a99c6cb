//! What servers and coordinators refuse.

use super::processes::{LIMIT, Server, Shared, refused, summary, within};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn only_who_may_is_let_in() {
    let shared = Shared::new(1, 2);
    let servers = shared.servers(2);
    let [one, two] = [&servers[0].at, &servers[1].at].map(String::as_str);
    let ask = |on: &[&str], more: &[&str]| refused(&within(LIMIT, shared.replay(on, "run", more)));
    for (on, more, says) in [
        (vec![one, one], vec![], "twice"),
        (vec!["nothing"], vec![], "no HOST:PORT"),
        (vec![one, "127.0.0.1:1"], vec![], "nobody answers"),
        (vec!["192.0.2.1:1"], vec![], "--tls"),
        (vec![one, two], vec!["--root", "/etc"], "was not told the root"),
        (vec![one, two], vec!["--order", "strict"], "order resource"),
        (vec![one, two], vec!["--user", "nobody"], "cannot be used with"),
        (vec![one, two], vec!["--tls", "x"], "x/ca.pem"),
    ] {
        let said = ask(&on, &more);
        assert!(said.contains(says), "{says}: {said}");
        assert!(!shared.work.place("run").exists(), "{says}");
    }
    // With another token nobody comes in.
    let right = fs::read(&shared.token).unwrap();
    fs::write(&shared.token, "another secret of some length").unwrap();
    let said = ask(&[one], &[]);
    assert!(said.contains("the token is missing or another one"), "{said}");
    fs::write(&shared.token, &right).unwrap();
    // A tree that is used already, which the first machine finds.
    within(LIMIT, shared.replay(&[one, two], "first", &[]));
    let said = ask(&[one, two], &[]);
    assert!(said.contains("is used") && said.contains(one) && said.contains("init WORKLOAD --root"), "{said}");
    shared.nothing_left();
}

/// Connections of strangers who say nothing, or nothing that has the token, are not many at a time, and not in the way of others.
#[test]
fn strangers_do_not_keep_others_out() {
    let shared = Shared::new(1, 2);
    let mut server = Server::start(shared.server(&[])).unwrap();
    let mut strangers = Vec::new();
    for number in 0..400 {
        let mut stranger = TcpStream::connect(&server.at).unwrap();
        if number % 2 == 0 {
            let _ = stranger.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        }
        strangers.push(stranger);
    }
    let said = summary(&within(LIMIT, shared.replay(&[&server.at], "run", &[])), 0);
    assert_eq!(said["different"], 0);
    let open = fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count();
    assert!(open < 300, "{open} descriptors");
    // The first ones had to make room.
    strangers[1].set_read_timeout(Some(LIMIT)).unwrap();
    let _ = strangers[1].read_to_end(&mut Vec::new());
    // The others are gone, too, when their time is over, and the server ends soon when it is told to.
    let began = Instant::now();
    while fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count() > 40 {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(100));
    }
    let began = Instant::now();
    // SAFETY: a child that was not waited for.
    unsafe { libc::kill(server.child.id() as i32, libc::SIGTERM) };
    assert_eq!(server.child.wait().unwrap().code(), Some(143));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_server_opens_only_to_who_can_be_known() {
    let shared = Shared::new(1, 2);
    let said = |more: &[&str]| Server::start(shared.server(more)).err().unwrap_or_else(|| panic!("{more:?}"));
    assert!(said(&["--bind", "0.0.0.0:0"]).contains("--tls"));
    fs::write(&shared.token, "short").unwrap();
    assert!(said(&[]).contains("16 at least"));
}

#[test]
fn a_workload_that_is_too_large_or_damaged_is_refused() {
    let shared = Shared::new(30, 4);
    let small = Server::start(shared.server(&["--limit", "1K"])).unwrap();
    let said = refused(&within(LIMIT, shared.replay(&[&small.at], "run", &[])));
    assert!(said.contains("--limit"), "{said}");
    let server = Server::start(shared.server(&[])).unwrap();
    let ops = shared.work.place("work/lanes.parquet");
    let mut bytes = fs::read(&ops).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&ops, bytes).unwrap();
    let said = refused(&within(LIMIT, shared.replay(&[&server.at], "run", &[])));
    assert!(said.contains(&server.at), "{said}");
    shared.nothing_left();
}
