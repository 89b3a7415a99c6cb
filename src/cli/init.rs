//! `ioriot init`: the tree that a workload needs.

use super::Exit;
use super::given;
use super::ui::{self, Output};
use super::values;
use crate::amount::typed;
use crate::init::{self, Allocation, Data, Fill, Map, Owner, Reflink, Source};
use crate::os::user::{User, is_root, us};
use anyhow::{Result, ensure};
use clap::ValueEnum;
use std::path::PathBuf;

/// Make the tree of files that a workload needs (fio: lay out files)
///
/// Files are filled with data, not with holes, except where the captured file had holes, and where a file
/// is only known to be long by a read 64 MiB or more behind all others. Refuses when there is not
/// enough space, and refuses a directory that holds anything it did not make.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot init work                                        # the tree goes to work.root
  ioriot init work --dry-run                              # what would be made, and is there room
  ioriot init work --root /mnt/nvme1/work.root --map /var/log=/mnt/hdd1
  ioriot init work --data compress=2.5 --seed 7           # the replay writes such data, too
  ioriot init work --data captured                        # after capture --content-samples
  ioriot init work --from /mnt/snapshot                   # contents from there, the rest made up
  ioriot init work --root r --layout captured --fill 80%   # as many pieces, nearly full
  ioriot init work --reset                                # after a replay: restore what it changed
  ioriot init work --force                                # anew; an old tree is moved aside
  sudo ioriot init work --user postgres                   # for `replay --user postgres`
  ioriot init work --layout mounts --name test1           # /.ioriot/test1, /home/.ioriot/test1 ...")]
pub struct Args {
    /// The workload: a directory made by `ioriot generate`
    #[arg(value_name = "WORKLOAD")]
    workload: PathBuf,
    /// Directory of the tree (default: WORKLOAD.root)
    #[arg(long, value_name = "ROOT")]
    root: Option<PathBuf>,
    /// Move an old tree aside
    #[arg(long)]
    force: bool,
    /// Restore a tree that a replay has used: only what it changed is made again, as it was first made
    #[arg(long, conflicts_with_all = ["force", "maps", "layout", "fill", "seed", "sparse_unread", "from", "fill_up", "user", "dry_run"])]
    reset: bool,
    #[command(flatten)]
    tree: Tree,
    /// Fill the file systems of root and mapped directories to this percentage before the tree is made, with files that go with the
    /// root; 1 to 95 %
    #[arg(long = "fill", value_name = "PERCENT", requires = "root", value_parser = share)]
    fill_up: Option<f64>,
    /// Give this user what the capture knows no owner of (takes root): name, number or UID:GID
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Threads that write files (default: one per processor)
    #[arg(long, value_name = "N", value_parser = values::threads)]
    threads: Option<usize>,
    #[command(flatten)]
    output: Output,
}

/// What the tree is like and where its parts are: shared by `init` and `run`.
#[derive(Debug, clap::Args)]
pub struct Tree {
    /// Put what lies below a captured directory into a directory of another file system (may be given several times)
    ///
    /// Init makes a directory of its own in TARGET, and the replay finds it in the place of CAPTURED.
    #[arg(long = "map", value_name = "CAPTURED=TARGET", value_parser = values::map())]
    maps: Vec<Map>,
    /// How files lie on their device, or (mounts) where the parts of the tree are
    #[arg(long, value_enum, value_name = "LAYOUT")]
    layout: Option<Layout>,
    /// Name of the trees of --layout mounts
    #[arg(long, value_name = "NAME", requires = "layout", required_if_eq("layout", "mounts"))]
    name: Option<String>,
    #[command(flatten)]
    data: FileData,
}

/// What files hold: shared by `init`, `run` and `predict`.
#[derive(Clone, Debug, clap::Args)]
pub struct FileData {
    /// What files hold and writes send: zero, random, compress=RATIO, dedupe=PERCENT or compress=RATIO,dedupe=PERCENT (fio:
    /// zero_buffers, buffer_compress_percentage, dedupe_percentage); captured: as samples of the captured files say
    /// (capture --content-samples, which `run` adds)
    #[arg(long = "data", value_name = "DATA", default_value = "random", value_parser = Fill::parse)]
    fill: Fill,
    /// Another seed gives other data of the same kind (fio: randseed)
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Leave ranges of files that no op reads or writes as holes
    #[arg(long)]
    sparse_unread: bool,
    /// Take what files hold from a directory that has them below their captured paths: a restored backup, a snapshot, or / for the
    /// files of this machine; what it lacks is made up (`--data`)
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Whether files taken with --from share their blocks with it (cp: --reflink)
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = values::word(Reflink::ALL, Reflink::name, Reflink::doc))]
    reflink: Reflink,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// As the file system puts them when they are written one after the other (the default)
    Plain,
    /// Made in the order in which they were created, in about as many pieces (extents) as they lay in; takes longer
    Captured,
    /// MOUNT/.ioriot/NAME on every mount point, as the tools of old had it
    Mounts,
}

impl Tree {
    /// The options of `init` for such a tree.
    pub fn options(self, workload: PathBuf, root: PathBuf) -> init::Options {
        let allocation = match self.layout {
            Some(Layout::Captured) => Allocation::Captured,
            Some(Layout::Plain | Layout::Mounts) | None => Allocation::Plain,
        };
        let layout = self.name.filter(|_| self.layout == Some(Layout::Mounts));
        init::Options { maps: self.maps, layout, allocation, ..self.data.options(workload, root) }
    }
}

impl FileData {
    /// The options of `init` for files that hold this.
    pub fn options(self, workload: PathBuf, root: PathBuf) -> init::Options {
        let data = Data { fill: self.fill, seed: self.seed };
        let source = self.from.map(|dir| Source { dir, reflink: self.reflink });
        init::Options { data, source, sparse_unread: self.sparse_unread, ..init::Options::new(workload, root) }
    }
}

/// How full a file system is to be, 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share = typed::percent(text).ok().filter(|share| (1.0..=95.0).contains(share));
    share.map(|share| share / 100.0).ok_or_else(|| "a percentage from 1 to 95, as in 80%".into())
}

/// The owner that a user becomes of what nobody is known to own.
///
/// # Errors
/// When there is no such user, or what belongs to us cannot be given to him.
pub fn owner(name: &str) -> Result<Owner> {
    let User { uid, gid, .. } = User::find(name)?;
    ensure!(is_root() || uid == us(), "only root can give a tree to user {name}: run it as root, or leave --user out");
    Ok(Owner { uid, gid })
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let (workload, root) = given::workload(self.workload, self.root)?;
        let options = init::Options {
            force: self.force,
            fill: self.fill_up,
            owner: self.user.as_deref().map(owner).transpose()?,
            threads: self.threads.unwrap_or_else(crate::os::processors),
            ..self.tree.options(workload, root)
        };
        if self.output.dry_run {
            let outline = init::outline(&options)?;
            self.output.format.print(&outline)?;
            return Ok(if outline.refused.is_none() { Exit::Done } else { Exit::Failed });
        }
        let make = if self.reset { init::reset } else { init::run };
        let summary = ui::watched(|progress| make(&options, progress))?;
        self.output.format.print(&summary)?;
        summary.whole()?;
        Ok(Exit::Done)
    }
}
