//! Every table of every dataset: name, columns, types, meaning, sort order and encoding.

use super::arguments::ARGUMENTS;
use super::column::{Column, int, int_, text, text_, yes};
use super::dataset::Kind;
use super::{contents, layouts};
use crate::event::{Col, Text, Unit};
use arrow::datatypes::{Field, Schema, SchemaRef};
use std::sync::Arc;

/// Parquet encoding of a column, before compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Dictionary encoding: each distinct value once. For values that repeat.
    Dictionary,
    /// DELTA_BINARY_PACKED: the difference of each value from the one before. For values that grow or change little.
    Differences,
    /// PLAIN: for values that neither repeat nor grow; the compressor finds that their high bytes are alike.
    Plain,
}

/// A table of a dataset; each is one Parquet file `NAME.parquet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Capture: the captured syscalls (events).
    Events,
    /// Capture: input lines that could not be parsed.
    Rejects,
    /// Capture: processes that were there when a live capture began, or came into its scope later.
    Processes,
    /// Capture: descriptors that were open when a live capture began. Those of processes that came later are events
    /// `joined_fd`.
    OpenFiles,
    /// Capture: mounts that the processes of a live capture saw.
    Mounts,
    /// Capture: what was missed, by kind.
    Losses,
    /// Capture: how files lay on their device.
    Layouts,
    /// Capture: what the content of files is like.
    Contents,
    /// Workload: what became of each event.
    Fates,
    /// Workload: the ops, which are replayed.
    Ops,
    /// Workload: for each lane (captured thread with ops) where its ops and edges are.
    Lanes,
    /// Workload: which ops wait for which ops of other lanes.
    Edges,
    /// Workload: what must exist, and what must not, before the replay.
    Fileset,
    /// Workload: ranges of files of the fileset that are read, known holes, and what was in the page cache.
    Extents,
    /// Workload: what the content of files is like that are written.
    Written,
    /// Workload: the tree that the model predicts after the replay.
    Expect,
    /// Run: what each op returned, when and how long it took, beside the captured outcome.
    Results,
    /// Run: the tree after the replay, predicted and found.
    State,
    /// Run: readings of /proc and /sys during the replay.
    Samples,
}

impl Table {
    /// The encoding of a column of this table.
    pub fn packing(&self, column: &Column) -> Packing {
        match (self, column.name) {
            // Measured on tar and sqlite: durations take three quarters of what their differences take. BYTE_STREAM_SPLIT
            // would take 6 % less than this, but DuckDB before 2.0 reads it of floating point numbers only.
            (Table::Events, "dur" | "ino" | "st_size") => Packing::Plain,
            // Where they are ns they seldom repeat: a quarter smaller than a dictionary, and the cheapest to write.
            (Table::Ops, "think" | "compute" | "unexplained" | "timer") => Packing::Plain,
            // Within a lane these stay the same for long, or change among a few recent values.
            (Table::Ops, "lane" | "vpid" | "vtid" | "ofd" | "file") => Packing::Differences,
            // Mostly the same as in the row before.
            (Table::Results, "lane" | "process" | "worker" | "errno" | "captured_errno") => Packing::Differences,
            _ if column.differs() => Packing::Differences,
            _ => Packing::Dictionary,
        }
    }

    /// Every table of every kind of dataset.
    pub const ALL: &'static [Table] = &[
        Table::Events,
        Table::Rejects,
        Table::Processes,
        Table::OpenFiles,
        Table::Mounts,
        Table::Losses,
        Table::Layouts,
        Table::Contents,
        Table::Fates,
        Table::Ops,
        Table::Lanes,
        Table::Edges,
        Table::Fileset,
        Table::Extents,
        Table::Written,
        Table::Expect,
        Table::Results,
        Table::State,
        Table::Samples,
    ];

    /// Name of the table in SQL; its file is `NAME.parquet`.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Rejects => "rejects",
            Table::Processes => "processes",
            Table::OpenFiles => "open_files",
            Table::Mounts => "mounts",
            Table::Losses => "losses",
            Table::Layouts => "layouts",
            Table::Contents => "contents",
            Table::Fates => "fates",
            Table::Ops => "ops",
            Table::Lanes => "lanes",
            Table::Edges => "edges",
            Table::Fileset => "fileset",
            Table::Extents => "extents",
            Table::Written => "written",
            Table::Expect => "expect",
            Table::Results => "results",
            Table::State => "state",
            Table::Samples => "samples",
        }
    }

    /// The table of this name; `None` when there is none.
    pub fn parse(name: &str) -> Option<Table> {
        Table::ALL.iter().copied().find(|table| table.name() == name)
    }

    /// Name of the table's file in a dataset.
    pub fn file(self) -> String {
        format!("{}.parquet", self.name())
    }

    /// The kind of dataset that has this table.
    pub const fn kind(self) -> Kind {
        match self {
            Table::Events | Table::Rejects | Table::Processes | Table::OpenFiles | Table::Mounts => Kind::Capture,
            Table::Losses | Table::Layouts | Table::Contents => Kind::Capture,
            Table::Fates | Table::Ops | Table::Lanes | Table::Edges => Kind::Workload,
            Table::Fileset | Table::Extents | Table::Written | Table::Expect => Kind::Workload,
            Table::Results | Table::State | Table::Samples => Kind::Run,
        }
    }

    /// What a row of the table is, for docs/SCHEMA.md.
    pub const fn doc(self) -> &'static str {
        match self {
            Table::Events => "One captured syscall per row, in the order of their effects.",
            Table::Rejects => "Input lines that could not be parsed: nothing is lost silently.",
            Table::Processes => "Processes in the scope of a live capture that were there when it began.",
            Table::OpenFiles => "Descriptors that those processes had open then.",
            Table::Mounts => "Mounts that they saw.",
            Table::Losses => "What a capture missed, and when: calls, or parts of them.",
            Table::Layouts => "How regular files lay on their device when a live capture first saw them open.",
            Table::Contents => {
                "What the content of regular files was like when a live capture ended (`--content-samples`): numbers, no content."
            }
            Table::Fates => "What became of each event; one row per event.",
            Table::Ops => "What is replayed: one row per op, by lane, inside a lane in order.",
            Table::Lanes => "Where the ops of each lane are.",
            Table::Edges => {
                "Which ops of other lanes an op must follow in resource order, by lane; what follows from others is left out."
            }
            Table::Fileset => "What must exist, and what must not, before the replay.",
            Table::Extents => {
                "Ranges of files of the fileset that calls read, known holes, and what was in the page cache when it was read first."
            }
            Table::Written => "What the content is like that open file descriptions write; none without samples of content.",
            Table::Expect => "The end state that the model predicts.",
            Table::Results => "What happened to each op, beside what had been captured.",
            Table::State => "The tree after the replay: predicted against found.",
            Table::Samples => {
                "What the machine did during the replay: one reading per row, once a second, at the start and at the end."
            }
        }
    }

    /// Columns by which the rows are sorted, ascending; empty when the order says nothing.
    pub const fn sorted_by(self) -> &'static [&'static str] {
        match self {
            Table::Events | Table::Fates => &["seq"],
            Table::Ops => &["lane", "op_id"],
            Table::Lanes => &["lane"],
            Table::Edges => &["lane", "op_id"],
            Table::Samples => &["taken"],
            Table::Written => &["ofd"],
            Table::Layouts | Table::Contents => &["path"],
            Table::Processes | Table::OpenFiles | Table::Mounts | Table::Losses => &[],
            Table::Rejects | Table::Fileset | Table::Extents | Table::Expect | Table::Results | Table::State => &[],
        }
    }

    /// The columns of the table, in order.
    pub fn columns(self) -> Vec<Column> {
        match self {
            Table::Events => {
                let mut columns =
                    vec![text("host", "name of the captured host"), int("seq", "total order of the events of a host, from 0")];
                columns.push(text("syscall", "name of the call"));
                columns.extend(arguments());
                columns
            }
            Table::Rejects => vec![
                text("input", "name of the input"),
                int("line", "line number, from 1"),
                text("reason", "why the line was rejected"),
                text("text", "start of the line"),
            ],
            Table::Processes => vec![
                int("pid", "process id"),
                int("parent", "process id of its parent"),
                int("uid", "its user"),
                int("gid", "its group"),
                text("comm", "its name, cut to 15 bytes by the kernel"),
                text_("cwd", "its working directory, when it could be seen"),
                text_("root", "its root directory, when it could be seen"),
                int_("mount_space", "which mounts it sees: mount_space of table mounts"),
                text_(
                    "command_line",
                    "first words of its command line then, at most 128 bytes, with `...` behind them where more was cut off",
                ),
                text_(
                    "cgroup",
                    "its control group (version 2) then, that of a container too: its path below where these are mounted",
                ),
                int_("rank", "its rank in a parallel program, from PMIX_RANK, PMI_RANK, OMPI_COMM_WORLD_RANK or SLURM_PROCID"),
                text_("job", "the id of its job of a batch system, from SLURM_JOB_ID, PBS_JOBID or LSB_JOBID"),
            ],
            Table::OpenFiles => vec![
                int("pid", "process id"),
                int("fd", "the descriptor"),
                int("ofd", "open file description, dense from 0: equal ones are shared (dup, fork)"),
                text("path", "what it is open on, as in column fd_path of events"),
                int("flags", "O_ flags of the description"),
                yes("cloexec", "is it closed by exec?"),
                int("position", "position").unit(Unit::Bytes),
                int("dev", "device of the file, as st_dev of stat(2)"),
                int("ino", "inode number"),
                int("st_size", "size of the file").unit(Unit::Bytes),
                int("st_mode", "kind and permission bits (inode(7))"),
            ],
            Table::Mounts => vec![
                int("mount_space", "mount namespace, dense from 0"),
                text("path", "where it is mounted"),
                int("dev", "device of the file system, as st_dev of stat(2)"),
                text("root", "directory of the file system that is shown there"),
                text("kind", "kind of file system"),
                text("source", "what is mounted"),
                text("options", "mount options"),
            ],
            Table::Losses => vec![
                text("kind", "what was missed"),
                int("count", "how much of it"),
                yes("event", "does each stand for an event, or for events that nobody could count, that are not in the capture?"),
                int_("first", "earliest time it may have happened, on the clock of ts").unit(Unit::Ns),
                int_("last", "latest time").unit(Unit::Ns),
            ],
            Table::Layouts => layouts::columns(),
            Table::Contents => contents::columns(),
            Table::Fates => vec![
                int("seq", "the event"),
                text("fate", "op, model or drop"),
                text_("reason", "why it is dropped"),
                text("syscall", "name of the call"),
                yes(
                    "on_file",
                    "does coverage count it: a call on a regular file, directory or symlink outside pseudo file systems, or one that nobody knows?",
                ),
            ],
            Table::Ops => {
                let mut columns = vec![
                    int("op_id", "dense, in order of effect, from 0"),
                    int("seq", "the captured event, or the one that caused an inserted op"),
                    text("origin", "event for a captured call, else why the op was inserted"),
                    int("lane", "the lane the op runs in: its vtid"),
                    int("vpid", "process, dense, never reused"),
                    int("vtid", "thread, dense, never reused"),
                    text("syscall", "name of the captured call"),
                    text("op", "syscall that is issued"),
                    int_("ofd", "open file description the call uses or makes, never reused"),
                    int_("ofd2", "second open file description"),
                    int_(
                        "dir",
                        "open file description of dirfd, or of a removed working directory, when a relative path starts at it",
                    ),
                    int_("dir2", "the same for the second path"),
                    int_("file", "identity of the file"),
                    int_("file2", "identity of the second file"),
                    text_("path", "absolute path at this moment, symlinks on the way resolved"),
                    text_("path2", "the same for the second path; content of a symlink"),
                    text_("cwd", "working directory, when a relative path starts at it"),
                    text_("raw", "path argument as issued"),
                    text_("raw2", "second path argument as issued"),
                    text_("name", "name of an extended attribute"),
                    int_(
                        "offset",
                        "position in the file: the argument of the call where it has one, else where the shared position was; of a \
                         record lock its start",
                    )
                    .unit(Unit::Bytes),
                    int_(
                        "think",
                        "time between the end of the lane's op before (for its first op, from the start of the first op of all) and the \
                         start of this call in which the lane did not wait for another one; absent for an inserted op, and for a \
                         first op that another lane's op caused",
                    )
                    .unit(Unit::Ns),
                    int_("compute", "processor time of the lane's thread in that time; absent where waits were not captured").unit(Unit::Ns),
                    int_(
                        "unexplained",
                        "how long the lane's thread slept since its op before until something woke it of which nobody knows whose work \
                         it was (unknown, interrupt)",
                    )
                    .unit(Unit::Ns),
                    int_(
                        "timer",
                        "when a timer let the lane go: how long after the op before which one did so last, if the timer is periodic; 0 \
                         if it is not, or was the lane's first",
                    )
                    .unit(Unit::Ns),
                ];
                columns.extend(ARGUMENTS.iter().map(|col| int_(col.name(), col.doc()).unit(col.unit())));
                columns.push(int_(
                    "reaped",
                    "in a lane with requests: how many of those before it must be done before the op is issued, as many as the program \
                     had taken the result of then; of a request those of its ring, of any other op all",
                ));
                columns.push(int_(
                    "settled",
                    "in a lane with requests: all of its requests up to this op must be done, since one of them touches what the op does",
                ));
                columns.push(int_(
                    "changed",
                    "1 where it is not known what the call returns, since --set changed its arguments or a call on its file before it; \
                     the replay compares only that it succeeds",
                ));
                columns
            }
            Table::Lanes => vec![
                int("lane", "the lane"),
                int("vpid", "its process"),
                int("first_row", "number of its first row in ops, from 0"),
                int("ops", "number of its ops"),
                int("first_op", "its first op_id"),
                int("last_op", "its last op_id"),
                int("first_edge", "number of its first row in edges, from 0"),
                int("edges", "number of its edges"),
                int_("busy", "how long its calls took; absent when the capture has no durations").unit(Unit::Ns),
                int_("bytes", "what they moved").unit(Unit::Bytes),
            ],
            Table::Edges => vec![
                int("op_id", "the op that waits"),
                int("lane", "its lane"),
                int("after", "the op it must follow, always an earlier one"),
                int("after_lane", "the lane of that op, always another one"),
                text("resource", "kind of the resource that both touch"),
                int_(
                    "delay",
                    "of what the op waited for (message, wake, task): how long after the end of the other op it began, without \
                     waits for others",
                )
                .unit(Unit::Ns),
            ],
            Table::Fileset => {
                let mut columns = vec![
                    text("path", "absolute path"),
                    text("kind", "file, dir, link, fifo, socket, or absent for what must not exist"),
                    int("size", "size of a regular file").unit(Unit::Bytes),
                    yes("size_exact", "was the size observed, rather than inferred as the least that explains every call?"),
                    int_("mode", "permission bits, when known"),
                    int_("uid", "owner, when known"),
                    int_("gid", "group, when known"),
                    int_("mtime", "modification time, when known").unit(Unit::Epoch),
                    text_(
                        "target",
                        "content of a symlink; of a file with several names, the one that is made: this is a link to it",
                    ),
                    text_(
                        "xattrs",
                        "names of extended attributes that a call found, separated by commas; a backslash stands before a comma or backslash in a name",
                    ),
                    int_("pieces", layouts::PIECES),
                    int_("created", layouts::CREATED).unit(Unit::Epoch),
                ];
                // Of the file itself, of files whose names end alike, or of all that were looked at; absent of what is no file, or empty.
                columns.extend(contents::known(false));
                columns
            }
            Table::Extents => vec![
                text("path", "absolute path"),
                text(
                    "what",
                    "read: calls read it or found it to be data; hole: the captured file had a hole; warm: it was in the page cache when \
                     calls or page faults read it first",
                ),
                int("offset", "where it begins").unit(Unit::Bytes),
                int("length", "how long it is").unit(Unit::Bytes),
            ],
            Table::Written => {
                let mut columns = vec![int("ofd", "open file description that is opened for writing")];
                columns.extend(contents::known(true));
                columns
            }
            Table::Expect => vec![
                text("path", "absolute path"),
                text("kind", "file, dir, link, fifo, socket or absent"),
                int_("size", "size of a regular file, when the model knows it").unit(Unit::Bytes),
                text_("target", "content of a symlink"),
            ],
            Table::Results => vec![
                int("op_id", "the op"),
                int("seq", "its event"),
                text("origin", "event for a captured call, else why the op was inserted"),
                int("lane", "its lane"),
                int("process", "the process of the replay that issued it"),
                int("worker", "its worker that did"),
                text("syscall", "name of the captured call"),
                text("op", "syscall that was issued"),
                int_("scheduled", "when the pace wanted it issued, since the start of the replay; absent as soon as possible")
                    .unit(Unit::Ns),
                int("begin", "start of the call, since the start of the replay").unit(Unit::Ns),
                int_("lag", "how much later than scheduled it was issued").unit(Unit::Ns),
                int_(
                    "dur",
                    "duration; absent where no call was issued: withheld, a sync that was left out, no such working directory",
                )
                .unit(Unit::Ns),
                int("ret", "return value; -1 when the call failed"),
                int("errno", "0, or the error of a failed call"),
                int_("captured_ret", "return value in the capture"),
                int_("captured_errno", "error in the capture"),
                int_("captured_dur", "duration in the capture").unit(Unit::Ns),
                text("outcome", "same, different or uncompared"),
                text_("kind", "how it differs, or why it is not compared"),
            ],
            Table::State => vec![
                text("path", "absolute path"),
                text("expected", "what the model predicted: kind, and size or target"),
                text("found", "what was there"),
                text("verdict", "same, missing, extra, kind, size or target"),
            ],
            Table::Samples => vec![
                int("taken", "time of the reading, since the start of the replay").unit(Unit::Ns),
                text("kind", "what was read: device, memory, pressure, cpu, load or process"),
                text_("name", "which one: a device, or all for every disk; cpu, io or memory; supervisor or replay N"),
                text("metric", "what is measured"),
                int("value", "the reading; metrics that count do so from just before the start of the replay"),
            ],
        }
    }

    /// The table's column of this name; `None` when it has none.
    pub fn column(self, name: &str) -> Option<Column> {
        self.columns().into_iter().find(|column| column.name == name)
    }

    /// The Arrow schema of the table, with the meaning and the unit of each column as metadata of its field.
    pub fn described(self) -> Schema {
        let field = |column: Column| {
            let unit = (column.unit != Unit::None).then(|| ("unit".to_owned(), column.unit.name().to_owned()));
            let meaning = ("meaning".to_owned(), column.doc.to_owned());
            Field::new(column.name, column.ty.arrow(), column.nullable).with_metadata(unit.into_iter().chain([meaning]).collect())
        };
        Schema::new(self.columns().into_iter().map(field).collect::<Vec<_>>())
    }

    /// The Arrow schema of the table.
    pub fn schema(self) -> SchemaRef {
        let fields = self.columns().into_iter().map(|c| Field::new(c.name, c.ty.arrow(), c.nullable));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// The columns of table `events` for arguments and outcome of a call, numbers first, then texts.
fn arguments() -> impl Iterator<Item = Column> {
    let ints = Col::ALL
        .iter()
        .map(|col| Column { nullable: !matches!(col, Col::Pid | Col::Tid), ..int_(col.name(), col.doc()).unit(col.unit()) });
    ints.chain(Text::ALL.iter().map(|text| text_(text.name(), text.doc())))
}
