//! Whose credentials are used, and what is said when a store is away.

use super::server::{Server, bare, ended};
use crate::tool::{data, expect};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const ASK: [&str; 3] = ["query", "s3://bucket/cap", "SELECT count(*) FROM events"];

#[test]
fn without_credentials_no_metadata_service_is_asked() {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    service.set_nonblocking(true).unwrap();
    let place = format!("http://{}", service.local_addr().unwrap());
    let output = bare(&ASK).env("AWS_METADATA_ENDPOINT", &place).output().unwrap();
    let (_, said) = ended(2, &ASK, &output);
    assert!(said.contains("AWS_ACCESS_KEY_ID") && said.contains("IORIOT_INSTANCE_CREDENTIALS"), "{said}");
    assert!(service.accept().is_err(), "it was asked");
    // That of a container is one, too.
    let output = bare(&ASK).env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x").output().unwrap();
    assert!(ended(2, &ASK, &output).1.contains("AWS_ACCESS_KEY_ID"));
    // When it is to be asked, it is.
    let mut asking = bare(&ASK);
    asking.env("AWS_METADATA_ENDPOINT", &place).env("IORIOT_INSTANCE_CREDENTIALS", "1");
    let mut asking = asking.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let asked = loop {
        match service.accept() {
            Ok(_) => break true,
            Err(_) if begun.elapsed() > Duration::from_secs(30) => break false,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    asking.kill().unwrap();
    asking.wait().unwrap();
    assert!(asked);
}

#[test]
fn a_profile_of_the_user_is_read() {
    let Some(server) = Server::s3() else { return };
    let cap = server.dir.path().join("cap");
    expect(0, &["ingest", &data("matrix.strace"), "-o", cap.to_str().unwrap()]);
    server.put_all(&cap, "cap");
    let aws = server.dir.path().join(".aws");
    fs::create_dir(&aws).unwrap();
    fs::write(aws.join("credentials"), "[mine]\naws_access_key_id = a\naws_secret_access_key = very-secret\n").unwrap();
    let with = |profile: &str| {
        let mut command = server.command(&ASK);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env("AWS_PROFILE", profile);
        command.env("HOME", server.dir.path());
        command
    };
    ended(0, &ASK, &with("mine").output().unwrap());
    let said = ended(2, &ASK, &with("other").output().unwrap()).1;
    assert!(said.contains("other") && !said.contains("very-secret"), "{said}");
    if crate::tool::root() {
        std::os::unix::fs::chown(aws.join("credentials"), Some(1), Some(1)).unwrap();
        assert!(ended(2, &ASK, &with("mine").output().unwrap()).1.contains("another user"));
    } else {
        crate::skip::skip(crate::skip::Need::Root, "credentials of another user");
    }
}

#[test]
fn a_store_that_is_away_is_told_soon() {
    // One refuses connections, the other takes them and says nothing.
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (address, limit) in [(refusing, 10), (silent.local_addr().unwrap(), 25)] {
        let mut command = bare(&ASK);
        command.env("AWS_ENDPOINT", format!("http://{address}")).env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "very-secret");
        let begun = Instant::now();
        let said = ended(2, &ASK, &command.output().unwrap()).1;
        assert!(begun.elapsed() < Duration::from_secs(limit), "{:?}: {said}", begun.elapsed());
        assert!(said.contains("s3://bucket/cap") && !said.contains("very-secret"), "{said}");
    }
}

/// One that sends a byte now and then does not hold anybody up for as long as it likes.
#[test]
fn a_store_that_drips_is_told_soon() {
    let dripping = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/cap", dripping.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in dripping.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                // An answer that comes before the request is none.
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
                while stream.write_all(b" ").is_ok() {
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
        }
    });
    let (begun, ask) = (Instant::now(), ["query", &url, "SELECT 1"]);
    let said = ended(2, &ask, &bare(&ask).output().unwrap()).1;
    assert!(begun.elapsed() < Duration::from_secs(40) && said.contains("in a second"), "{:?}: {said}", begun.elapsed());
}

/// Without AWS_ALLOW_HTTP nothing goes over the network in the clear.
#[test]
fn http_must_be_allowed() {
    let Some(server) = Server::s3() else { return };
    server.seen();
    let output = server.command(&ASK).env_remove("AWS_ALLOW_HTTP").output().unwrap();
    ended(2, &ASK, &output);
    assert!(server.seen().is_empty());
}
