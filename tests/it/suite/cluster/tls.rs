//! Certificates: who has none, or one of another authority, neither asks nor serves.

use super::processes::{Cluster, LIMIT, Process, refused, said, within};
use crate::tool::{command, data, expect};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::tempdir;

/// Makes an authority, and a certificate for the loopback device that it has signed: ca.pem, cert.pem and key.pem.
fn certificates(dir: &Path) {
    fs::create_dir(dir).unwrap();
    fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let openssl = |args: &[&str]| {
        let output = Command::new("openssl").current_dir(dir).args(args).output().expect("openssl is there (.ci/run)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let authority = ["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&authority[..], &key].concat());
    openssl(&[&["req", "-subj", "/CN=member", "-keyout", "key.pem", "-out", "member.csr"][..], &key].concat());
    let sign = ["x509", "-req", "-days", "2", "-in", "member.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&[&sign[..], &["-extfile", "names", "-out", "cert.pem"]].concat());
}

#[test]
fn only_who_has_a_certificate_comes_in() {
    let dir = tempdir().unwrap();
    let capture = dir.path().join("cap");
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture.to_str().unwrap()]);
    let [ours, others] = ["ours", "others"].map(|name| {
        certificates(&dir.path().join(name));
        dir.path().join(name).to_str().unwrap().to_owned()
    });
    let token = dir.path().join("token");
    fs::write(&token, "0123456789abcdef").unwrap();
    let token = token.to_str().unwrap();
    let scheduler = command(&["cluster", "scheduler", "--bind", "127.0.0.1:0", "--token", token, "--tls", &ours]);
    let mut cluster = Cluster { scheduler: Process::start(scheduler).unwrap(), executors: Vec::new(), rows: tempdir().unwrap() };
    for tls in [&[][..], &["--tls", &others]] {
        let mut executor = cluster.executor(dir.path());
        executor.args(["--token", token]).args(tls);
        let error = Process::start(executor).map(drop).unwrap_err();
        assert!(error.contains("nobody answers") || error.contains("does not take this executor"), "{error}");
    }
    for _ in 0..2 {
        let mut executor = cluster.executor(dir.path());
        executor.args(["--token", token, "--tls", &ours]);
        cluster.executors.push(Process::start(executor).unwrap());
    }
    let sql = "SELECT syscall, count(*) FROM events GROUP BY 1";
    for (tls, right) in [(&[][..], false), (&["--tls", &others], false), (&["--tls", &ours], true)] {
        let mut query = cluster.query(&[&capture], sql);
        query.args(["--token", token]).args(tls);
        let output = within(LIMIT, query);
        match right {
            // Executors hand each other rows, and the client fetches some.
            true => assert!(said(&output).lines().count() > 10),
            false => drop(refused(&output)),
        }
    }
    // The certificate does not stand for the token.
    let mut query = cluster.query(&[&capture], sql);
    query.args(["--tls", &ours]);
    assert!(refused(&within(LIMIT, query)).contains("the token is missing"));
    // With both a server may be open to others: it fails only since this machine has not that address.
    for part in [&["scheduler"][..], &["executor", "--scheduler", "127.0.0.1:1", "--allow", "/"]] {
        let mut server = command(&["cluster"]);
        server.args(part).args(["--bind", "192.0.2.1:0", "--token", token, "--tls", &ours]);
        let error = refused(&within(LIMIT, server));
        assert!(error.contains("cannot listen"), "{error}");
    }
    let error = refused(&within(LIMIT, command(&["cluster", "scheduler", "--bind", "127.0.0.1:0", "--tls", "/none"])));
    assert!(error.contains("/none/ca.pem"), "{error}");
    fs::write(Path::new(&others).join("key.pem"), "no key").unwrap();
    refused(&within(LIMIT, command(&["cluster", "scheduler", "--bind", "127.0.0.1:0", "--tls", &others])));
}
