//! The tracer process `staprun`, and the lines that it prints.
//!
//! Both of its outputs are read by one thread: this process drops capabilities later, which belong to single threads.

use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that are read at once, and the size that is asked for the pipe.
const CHUNK: usize = 1 << 20;
/// Bytes without a newline after which they are handed out as a line, to be rejected; real lines have at most 8,192 bytes.
const LONGEST: usize = 64 << 10;
/// How long the tracer may be silent after it was asked to end, and may take to exit, before it is given up or killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Parameters of a capture that are passed to `staprun`.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// File of the kernel module to load.
    pub module: &'a Path,
    /// Size of the buffer between the kernel and this process, bytes.
    pub buffer: u64,
    /// Id of this process, which reads the capture and is left out of it.
    pub reader: u32,
    /// Are processes that captured processes start captured too?
    pub children: bool,
    /// Ids of the processes to capture; empty: not chosen by id.
    pub pids: &'a [u32],
    /// Name of the processes to capture; `None`: not chosen by name.
    pub name: Option<&'a str>,
}

impl Wanted<'_> {
    /// The command-line arguments for staprun(8); they are passed without a shell.
    pub fn arguments(&self) -> Vec<OsString> {
        let megabytes = self.buffer.div_ceil(1 << 20).clamp(1, 4095);
        // -R loads the module under a name of its own, so that several captures can run at once.
        let mut arguments: Vec<OsString> = vec!["-R".into(), "-b".into(), megabytes.to_string().into(), self.module.into()];
        arguments.push(format!("reader={}", self.reader).into());
        if !self.children {
            arguments.push("children=0".into());
        }
        if !self.pids.is_empty() {
            let pids: Vec<String> = self.pids.iter().map(u32::to_string).collect();
            arguments.push(format!("pids={}", pids.join(",")).into());
        }
        if let Some(name) = self.name {
            arguments.push(format!("name={name}").into());
        }
        arguments
    }
}

/// Splits chunks of bytes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    at: usize,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.at));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line without its newline; `None` when there is none yet. More than 64 KiB without a newline are returned as
    /// one line, which the parser will reject.
    pub fn next(&mut self) -> Option<&[u8]> {
        let rest = &self.bytes[self.at..];
        let (line, taken) = match memchr::memchr(b'\n', rest) {
            Some(end) => (&rest[..end], end + 1),
            None if rest.len() > LONGEST => (rest, rest.len()),
            None => return None,
        };
        self.at += taken;
        Some(line)
    }

    /// The bytes behind the last whole line, taken out of the buffer; `None` when there are none.
    pub fn rest(&mut self) -> Option<&[u8]> {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        Some(rest).filter(|rest| !rest.is_empty())
    }
}

/// An output pipe of the tracer (standard output or standard error) and the lines read from it.
struct Pipe {
    source: Option<File>,
    lines: Lines,
}

impl Pipe {
    fn new(end: OwnedFd) -> Pipe {
        Pipe { source: Some(end.into()), lines: Lines::default() }
    }

    fn poll(&self) -> libc::pollfd {
        // poll(2) passes over negative descriptors.
        libc::pollfd { fd: self.source.as_ref().map_or(-1, File::as_raw_fd), events: libc::POLLIN, revents: 0 }
    }

    /// Reads once from the pipe; at its end the source is dropped.
    fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        let Some(source) = &mut self.source else { return Ok(()) };
        match source.read(buffer) {
            Ok(0) => self.source = None,
            Ok(length) => self.lines.push(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot read what staprun prints"),
        }
        Ok(())
    }
}

/// The process of `staprun`, with its output.
pub struct Tracer {
    child: Child,
    status: Option<ExitStatus>,
    text: Pipe,
    said: Pipe,
    buffer: Vec<u8>,
    /// When it was asked to end, or last printed something after that; `None` before.
    heard: Option<Instant>,
}

impl Tracer {
    /// Starts `program` (`staprun`) with these arguments and pipes for its outputs.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn start(program: &OsStr, arguments: &[OsString]) -> Result<Tracer> {
        let mut command = Command::new(program);
        // In a process group of its own: an interrupt from the keyboard reaches only this program, which then ends the tracer.
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot execute {}", program.display()))?;
        let text: OwnedFd = child.stdout.take().context("no pipe")?.into();
        let said: OwnedFd = child.stderr.take().context("no pipe")?.into();
        // SAFETY: sets the size of a pipe that is ours; a smaller one works as well.
        unsafe { libc::fcntl(text.as_raw_fd(), libc::F_SETPIPE_SZ, CHUNK as libc::c_int) };
        Ok(Tracer { child, status: None, text: Pipe::new(text), said: Pipe::new(said), buffer: vec![0; CHUNK], heard: None })
    }

    /// Waits for output, at most `patience`, and reads it. False when both outputs are closed, or when the tracer was asked to
    /// end and has printed nothing for 30 s.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&mut self, patience: Duration) -> Result<bool> {
        if self.text.source.is_none() && self.said.source.is_none() {
            return Ok(false);
        }
        if self.heard.is_some_and(|heard| heard.elapsed() > PATIENCE) {
            return Ok(false);
        }
        let mut polls = [self.text.poll(), self.said.poll()];
        // SAFETY: poll writes to the two structs of the array (poll(2)).
        unsafe { libc::poll(polls.as_mut_ptr(), 2, patience.as_millis() as libc::c_int) };
        for (poll, pipe) in polls.iter().zip([&mut self.text, &mut self.said]) {
            if poll.revents != 0 {
                pipe.read(&mut self.buffer)?;
                self.heard = self.heard.map(|_| Instant::now());
            }
        }
        Ok(true)
    }

    /// Lines read from standard output: the capture.
    pub const fn text(&mut self) -> &mut Lines {
        &mut self.text.lines
    }

    /// Lines read from standard error: warnings and errors.
    pub const fn said(&mut self) -> &mut Lines {
        &mut self.said.lines
    }

    /// Asks the tracer to end by SIGTERM: it then writes what it still has, and the last line. SIGINT would not do, since
    /// commands that a script starts in the background ignore it (sh(1), of `&`); stapio treats both alike
    /// (staprun/mainloop.c).
    pub fn stop(&mut self) {
        if self.ended().is_none() {
            // SAFETY: a child that was not waited for, so the number is still its own.
            unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
            self.heard = Some(Instant::now());
        }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Waits for the tracer to exit and returns its status; kills it after 30 s.
    pub fn wait(&mut self) -> Option<ExitStatus> {
        let began = Instant::now();
        while self.ended().is_none() {
            if began.elapsed() > PATIENCE {
                log::warn!("staprun does not end: it is killed, and its module may stay (see lsmod)");
                let _ = self.child.kill();
                self.status = self.child.wait().ok();
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.status
    }
}

impl Drop for Tracer {
    /// Stops a tracer that still runs when a capture fails, so that it unloads its module.
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.stop();
            // Its output is read meanwhile, since it may have more to write than the pipe holds.
            while self.read(Duration::from_millis(20)).unwrap_or(false) {
                while self.text.lines.next().is_some() {}
                while self.said.lines.next().is_some() {}
            }
            self.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(wanted: &Wanted<'_>) -> String {
        let arguments = wanted.arguments();
        arguments.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn arguments_say_who_is_captured_and_who_reads() {
        let module = Path::new("/tmp/a b/targetedioriot.ko");
        let all = Wanted { module, buffer: 64 << 20, reader: 17, children: true, pids: &[], name: None };
        assert_eq!(words(&all), "-R -b 64 /tmp/a b/targetedioriot.ko reader=17");
        assert!(all.arguments().contains(&module.as_os_str().to_owned()), "a name with a blank is one word");
        let two = Wanted { buffer: 1, children: false, pids: &[4711, 4712], ..all.clone() };
        assert_eq!(words(&two), "-R -b 1 /tmp/a b/targetedioriot.ko reader=17 children=0 pids=4711,4712");
        let java = Wanted { buffer: u64::MAX, name: Some("java"), ..all };
        assert_eq!(words(&java), "-R -b 4095 /tmp/a b/targetedioriot.ko reader=17 name=java");
    }

    #[test]
    fn lines_are_put_together() {
        let mut lines = Lines::default();
        lines.push(b"one\ntw");
        assert_eq!(lines.next(), Some(&b"one"[..]));
        assert_eq!(lines.next(), None);
        lines.push(b"o\n\nrest");
        assert_eq!((lines.next().map(<[u8]>::len), lines.next().map(<[u8]>::len), lines.next()), (Some(3), Some(0), None));
        assert_eq!(lines.rest(), Some(&b"rest"[..]));
        assert_eq!(lines.rest(), None);
        lines.push(&vec![b'x'; LONGEST + 1]);
        assert_eq!(lines.next().map(<[u8]>::len), Some(LONGEST + 1));
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn a_tracer_is_read_until_it_has_ended() {
        let script = "trap 'echo end; echo WARNING: late >&2; exit 3' TERM; echo begin; while :; do sleep 0.01; done";
        let mut tracer = Tracer::start(OsStr::new("sh"), &["-c".into(), script.into()]).unwrap();
        let mut text = Vec::new();
        while text.is_empty() {
            assert!(tracer.read(Duration::from_millis(20)).unwrap());
            text.extend(tracer.text().next().map(<[u8]>::to_vec));
        }
        tracer.stop();
        while tracer.read(Duration::from_millis(20)).unwrap() {}
        text.extend(tracer.text().next().map(<[u8]>::to_vec));
        assert_eq!(text, [b"begin".to_vec(), b"end".to_vec()]);
        assert_eq!(tracer.said().next(), Some(&b"WARNING: late"[..]));
        assert_eq!(tracer.wait().and_then(|status| status.code()), Some(3));
        assert!(Tracer::start(OsStr::new("/no/such/staprun"), &[]).is_err());
    }
}
