//! `ioriot cluster`: the machines that compute the rows of queries.

use super::values;
use super::{Exit, ui};
use crate::amount::typed;
use crate::engine::cluster::{self, Executor, Exposure, Scheduler, Secrets, Target};
use anyhow::Result;
use clap::Subcommand;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Let several machines compute the rows of queries: a scheduler, and executors
///
/// Then ask with `ioriot query --cluster HOST:PORT` (docs/CLUSTER.md). All machines must see the datasets at the same paths, and have
/// the same version of ioriot.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot cluster scheduler
  ioriot cluster executor --scheduler 127.0.0.1:50050 --allow /data
  ioriot query --cluster 127.0.0.1:50050 /data/fleet 'SELECT count(*) FROM events'
  ioriot cluster scheduler --bind 10.0.0.1:50050 --token secret --tls certificates")]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    Scheduler(SchedulerArgs),
    Executor(ExecutorArgs),
}

/// Takes queries, and deals their parts to the executors
#[derive(Debug, clap::Args)]
struct SchedulerArgs {
    /// Listen at this address and port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:50050")]
    bind: SocketAddr,
    #[command(flatten)]
    access: Access,
}

/// Computes parts of queries
#[derive(Debug, clap::Args)]
struct ExecutorArgs {
    /// Address of the scheduler
    #[arg(long, value_name = "HOST:PORT")]
    scheduler: String,
    /// Read files below this directory; give it again for more
    #[arg(long, value_name = "DIR", required = true)]
    allow: Vec<PathBuf>,
    /// Listen at this address and port; port 0: any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    bind: SocketAddr,
    /// Run so many tasks at once (default: one per processor)
    #[arg(long, value_name = "N", value_parser = values::threads)]
    slots: Option<usize>,
    /// Memory for sorts, joins and aggregations of all tasks together; rows that go from one stage to the next, and what spills, are
    /// in TMPDIR, else /tmp: bytes with unit K, M or G
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = typed::bytes)]
    memory: u64,
    #[command(flatten)]
    access: Access,
}

/// Who may come in.
#[derive(Debug, clap::Args)]
struct Access {
    #[command(flatten)]
    keys: Keys,
    /// Let others than this machine come in without encryption (docs/CLUSTER.md)
    #[arg(long, conflicts_with = "tls")]
    insecure: bool,
}

impl Access {
    fn exposure(&self) -> Exposure {
        if self.insecure { Exposure::Clear } else { Exposure::Encrypted }
    }
}

/// What all of a cluster have.
#[derive(Debug, clap::Args)]
struct Keys {
    /// The secret of the cluster is in this file; needed where --bind is open to others
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// Encrypt, and check each other, by the certificates in this directory: ca.pem, and cert.pem with key.pem of this machine
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,
}

impl Keys {
    fn secrets(self) -> Secrets {
        Secrets { token: self.token, tls: self.tls }
    }
}

/// The cluster that a verb asks.
#[derive(Debug, clap::Args)]
pub struct Asked {
    /// Let the executors of this scheduler compute the rows (docs/CLUSTER.md)
    #[arg(long, value_name = "HOST:PORT")]
    cluster: Option<String>,
    /// The secret of the cluster is in this file
    #[arg(long, value_name = "FILE", requires = "cluster")]
    token: Option<PathBuf>,
    /// Encrypt, and check each other, by the certificates in this directory: ca.pem, and cert.pem with key.pem of this machine
    #[arg(long, value_name = "DIR", requires = "cluster")]
    tls: Option<PathBuf>,
}

impl Asked {
    /// Where it is, if one is asked.
    pub fn target(self) -> Option<Target> {
        let secrets = Secrets { token: self.token, tls: self.tls };
        self.cluster.map(|scheduler| Target { scheduler, secrets })
    }
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        match self.part {
            Part::Scheduler(args) => {
                let exposure = args.access.exposure();
                let told = Scheduler { bind: args.bind, secrets: args.access.keys.secrets(), exposure };
                cluster::schedule(&told, |at| ui::say(format_args!("scheduler at {at}")))?;
                Ok(Exit::Done)
            }
            Part::Executor(args) => {
                let exposure = args.access.exposure();
                let told = Executor {
                    scheduler: args.scheduler,
                    bind: args.bind,
                    allow: args.allow,
                    slots: args.slots,
                    memory: args.memory,
                    secrets: args.access.keys.secrets(),
                    exposure,
                };
                let signal = cluster::execute(&told, |at| ui::say(format_args!("executor at {at}")))?;
                Ok(Exit::Asked(signal))
            }
        }
    }
}
