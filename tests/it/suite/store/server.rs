//! The servers, and what they saw.

use crate::skip::{Need, skip};
use crate::tool::command;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A server that is stopped when this is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    log: PathBuf,
    pub dir: TempDir,
}

/// A request that a server has answered.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub range: String,
    pub bytes: u64,
}

impl Server {
    /// An S3 server without buckets but `bucket`; `None` when the test is skipped without moto.
    pub fn s3() -> Option<Server> {
        let server = Server::start(&["s3"], &[])?;
        server.put("/bucket", b"");
        Some(server)
    }

    /// A web server of a directory.
    pub fn http(root: &Path) -> Option<Server> {
        Server::start(&["http"], &[root.to_str().unwrap()])
    }

    fn start(kind: &[&str], rest: &[&str]) -> Option<Server> {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("requests");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/store_server.py");
        let named = std::env::var_os("IORIOT_PYTHON");
        let mut python = Command::new(named.as_deref().unwrap_or("python3".as_ref()));
        python.arg(script).args(kind).arg(&log).args(rest).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = match python.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                skip(Need::Readers, "there is no python3");
                return None;
            }
            child => child.unwrap(),
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match line.trim().parse() {
            Ok(port) => Some(Server { child, port, log, dir }),
            Err(_) => {
                assert!(child.wait().unwrap().code() == Some(77) && named.is_none(), "{line}");
                skip(Need::Readers, format_args!("python3 {line}"));
                None
            }
        }
    }

    /// Puts an object, or makes a bucket.
    pub fn put(&self, path: &str, content: &[u8]) {
        assert_eq!(self.ask("PUT", path, content).0, 200, "{path}");
    }

    /// Sends a request; status and body of the answer.
    pub fn ask(&self, method: &str, path: &str, content: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = content.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", self.port).unwrap();
        // It asks for a signature, and does not look at it.
        let signed = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        write!(stream, "Authorization: {signed}\r\n").unwrap();
        write!(stream, "Content-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
        stream.write_all(content).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        let body = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        (status, answer[body..].to_vec())
    }

    /// Puts all files of a directory, and of those in it, below a prefix of the bucket.
    pub fn put_all(&self, dir: &Path, prefix: &str) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let key = format!("{prefix}/{}", path.file_name().unwrap().to_str().unwrap());
            match path.is_dir() {
                true => self.put_all(&path, &key),
                false => self.put(&format!("/bucket/{key}"), &fs::read(&path).unwrap()),
            }
        }
    }

    /// The program with these arguments and the credentials of this server.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = bare(args);
        command.env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port)).env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
        command
    }

    /// Runs the program, which must end with this exit code; what it wrote to standard output and standard error.
    pub fn expect(&self, code: i32, args: &[&str]) -> (String, String) {
        ended(code, args, &self.command(args).output().unwrap())
    }

    /// Rows of a query, each as CSV.
    pub fn rows(&self, places: &[&str], sql: &str) -> Vec<String> {
        let args = [&["query"], places, &[sql, "--format", "csv"]].concat();
        self.expect(0, &args).0.lines().skip(1).map(str::to_owned).collect()
    }

    /// What was asked of the server since this was called last.
    pub fn seen(&self) -> Vec<Request> {
        let text = fs::read_to_string(&self.log).unwrap();
        fs::write(&self.log, "").unwrap();
        let request = |line: &str| {
            let words: Vec<&str> = line.split('\t').collect();
            let word = |at: usize| words[at].to_owned();
            Request { method: word(0), path: word(1), range: word(2), bytes: words[4].parse().unwrap() }
        };
        text.lines().map(request).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with these arguments, and nothing in the environment that says where a store is.
pub fn bare(args: &[&str]) -> Command {
    let mut command = command(args);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
}

/// What a program that must have ended with this code wrote to standard output and standard error.
pub fn ended(code: i32, args: &[&str], output: &Output) -> (String, String) {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert_eq!(output.status.code(), Some(code), "ioriot {}\n{out}\n{err}", args.join(" "));
    (out, err)
}
