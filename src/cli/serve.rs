//! `ioriot serve`: a machine for replays on many.

use super::{Exit, ui};
use crate::amount::typed;
use crate::serve::{self, Server};
use anyhow::Result;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Replay parts of workloads, for `ioriot replay --on`
///
/// Takes one replay at a time, from whoever has the token, and in the trees named with --root only. What is sent is kept in a private
/// directory and removed afterwards. Beyond the loopback device both sides must show certificates (docs/SERVE.md).
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot serve --root /shared/work.root --token secret              # on this machine, for tests
  ioriot serve --bind 10.0.0.1:50060 --root /shared/work.root --token secret --tls certificates
  ioriot replay work --on 10.0.0.1:50060,10.0.0.2:50060 -o run --token secret --tls certificates")]
pub struct Args {
    /// Listen at this address and port; port 0: any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:50060")]
    bind: SocketAddr,
    /// Replay in this tree, made by `ioriot init`; give it again for more
    #[arg(long = "root", value_name = "ROOT", required = true)]
    roots: Vec<PathBuf>,
    /// Keep workloads and runs in this directory (default: TMPDIR, else /tmp)
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Take workloads of at most so many bytes, with unit K, M or G
    #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = typed::bytes)]
    limit: u64,
    #[command(flatten)]
    access: Access,
    /// Say a time that is ahead by so many ns
    #[arg(long, value_name = "NS", hide = true, default_value = "0", allow_negative_numbers = true)]
    clock_ahead: i64,
    /// Say a time that gains so many millionths
    #[arg(long, value_name = "PPM", hide = true, default_value = "0", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    clock_gains: i32,
}

/// How both sides know each other: shared by `serve` and `replay --on`.
#[derive(Debug, clap::Args)]
pub struct Access {
    /// File with the secret that servers and who asks them have, 16 bytes at least
    #[arg(long, value_name = "FILE", required = true)]
    token: PathBuf,
    /// Encrypt, and check each other, by the certificates in this directory: ca.pem, and cert.pem with key.pem of this machine
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let told = Server {
            bind: self.bind,
            roots: self.roots,
            spool: self.spool,
            limit: self.limit,
            token: self.access.token,
            certificates: self.access.tls,
            wrong: (self.clock_ahead, f64::from(self.clock_gains)),
        };
        let signal = serve::serve(&told, "/proc/self/exe".into(), |at| ui::say(format_args!("server at {at}")))?;
        Ok(Exit::Asked(signal))
    }
}
