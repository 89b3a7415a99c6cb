//! Caveats: why the time of a run cannot be believed to be that of the captured program on this device.
//!
//! Match says whether the calls did what they did in the capture; it says nothing of when. A caveat leaves match and exit code as
//! they are. What is judged is what a capture and a run know of themselves ([`Evidence`]).

use crate::amount::Bytes;
use crate::os::device::Metadata;
use crate::replay::{Engine, Order, Pace};
use crate::words::words;
use serde::{Deserialize, Serialize, Serializer};

words! {
    /// A reason why the time of a run cannot be believed; without any it is `believable`.
    Caveat {
        Flawed       "flawed"        "the run has a flaw, so it did not do what was captured";
        NullEngine   "null_engine"   "engine null issues no calls";
        Untimed      "untimed"       "the capture has no times, or no durations: there is nothing to hold the run against";
        Coverage     "coverage"      "more than 1 % of the calls on files were not replayed";
        Requests     "requests"      "requests to io_uring or libaio are missing in the capture";
        Idle         "idle"          "threads spent more than 10 % of their time between calls, and pace asap leaves that out";
        Waits        "waits"         "several threads spent more than 10 % of their time between calls: where they waited for each other pace think does not, and pace app only where the capture tells waits";
        Unexplained  "unexplained"   "threads slept for more than 10 % of their time until something woke them of which nobody knows whose work it was: pace app lets them sleep as long on any device";
        Shared       "shared"        "captured threads that ran at the same time share workers: they wait for each other's calls and times";
        Mapped       "mapped"        "files were mapped for writing, or data of more than a tenth of the bytes that calls moved, or more than 64 MiB in all, and the capture does not tell of page faults; or faults on more than 64 MiB were not replayed";
        Speed        "speed"         "--speed changed the captured times";
        OpenLoop     "open_loop"     "at pace realtime calls come at their captured times: a program that waits for its calls would not";
        Order        "order"         "only order resource lets calls of several lanes overlap as they may, and no more";
        Concurrency  "concurrency"   "calls in flight on average are 1.5 times as many as captured, or 1.5 times as few (below 1 counts as 1)";
        CriticalPath "critical_path" "calls that wait for each other in the replay took longer than the whole capture: the program did not wait so";
        Processors   "processors"    "the replay kept the processors busy for more than 90 % of the time: it waited for them, too";
        Stolen       "stolen"        "the host of the virtual machine took more than 5 % of the time of its processors, in the capture or in the run";
        Compute      "compute"       "the program computed on more processors at once, on average, than this machine has";
        Settings     "settings"      "the memory limit, the limits of dirty memory (vm.dirty_*) or how far the device is read ahead are not those of the capture";
        Names        "names"         "the program read names and inodes from its devices, and the run found them in memory: by root, with --cache captured or cold, it does not";
        Stalled      "stalled"       "workers waited for results being written";
        Polls        "polls"         "a thread looked at the same name again and again at intervals for more than 10 % of the time, and the run took less time than the capture: the program would have looked less often, and the run waits for all of them";
        Adapts       "adapts"        "several threads write the same file back, or one writes back what it hears from others, now more and now less: if it is for several at once, they would make other calls on another device";
    }
}

impl Serialize for Caveat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Least share of the calls on files that must be replayed, percent.
const COVERED: f64 = 99.0;
/// Largest share of their time that threads may spend between calls where that is not replayed.
const IDLE: f64 = 0.1;
/// Bytes of data, mapped and not to be executed, that any program may have: tables of its language, caches of the linker.
const TABLES: u64 = 1 << 20;
/// Largest share of the bytes moved by calls that mapped data may have beyond that.
const DATA: f64 = 0.1;
/// Largest share of ops before which a worker may have come back from another lane.
const SHARED: f64 = 0.01;
/// Largest share of the time of threads that may be asleep without anybody knowing why.
const UNEXPLAINED: f64 = 0.1;
/// Largest share of the captured time in which a thread may have looked at the same name at intervals.
const POLLED: f64 = 0.1;
/// Bytes mapped for reading that programs and their libraries may have; what is read of these is cached mostly.
const LIBRARIES: u64 = 64 << 20;
/// Largest factor between calls in flight, captured and replayed.
const APART: f64 = 1.5;
/// Largest share of the time of all processors that the host of a virtual machine may take.
const STOLEN: f64 = 0.05;
/// Largest share of the time of all processors that a replay may use.
const BUSY: f64 = 0.9;

/// How long the captured calls took, from the manifest of the workload (stage times.sql), ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// From the start of the first call to the end of the last, ns.
    pub span: u64,
    /// Sum of the durations of all calls, ns; `None` when the capture has none.
    pub in_calls: Option<u64>,
    /// From the first to the last call of each lane, summed over the lanes, ns.
    pub in_lanes: u64,
    /// Time between calls in which threads slept and nobody knows what woke them, ns.
    #[serde(default)]
    pub unexplained: u64,
    /// The longest time in which a thread looked at the same name again and again at intervals, ns.
    #[serde(default)]
    pub polled: u64,
}

impl Captured {
    /// Share of the time of the lanes in which they slept and nobody knows why, 0 to 1.
    pub fn unexplained(&self) -> f64 {
        self.unexplained as f64 / self.in_lanes.max(1) as f64
    }

    /// Calls in flight on average: the sum of their durations divided by the span; `None` without durations.
    pub fn in_flight(&self) -> Option<f64> {
        self.in_calls.filter(|_| self.span > 0).map(|busy| busy as f64 / self.span as f64)
    }

    /// Share of the time of the lanes that lies between their calls, 0 to 1; `None` without durations.
    pub fn idle(&self) -> Option<f64> {
        self.in_calls.filter(|_| self.in_lanes > 0).map(|busy| (1.0 - busy as f64 / self.in_lanes as f64).max(0.0))
    }
}

/// What the time of a run is judged by.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Evidence {
    /// Number of flaws of the run.
    #[serde(skip)]
    pub flaws: usize,
    /// What issued the ops.
    #[serde(skip)]
    pub engine: Engine,
    /// Which earlier ops an op waited for.
    #[serde(skip)]
    pub order: Order,
    /// How the issue times of ops were chosen.
    #[serde(skip)]
    pub pace: Pace,
    /// Factor by which captured times were divided.
    pub speed: f64,
    /// Calls on files that were replayed, percent; `None` when unknown.
    #[serde(skip)]
    pub coverage: Option<f64>,
    /// Number of requests, or of calls that may hide some, that are missing in the capture.
    #[serde(skip)]
    pub requests: u64,
    /// Bytes of files that were mapped for writing; 0 where the capture tells of page faults.
    pub mapped_write: u64,
    /// Bytes of files that were mapped otherwise; where the capture tells of page faults, bytes of those that are not replayed.
    pub mapped: u64,
    /// Bytes of files that were mapped and never to be executed.
    pub mapped_data: u64,
    /// Bytes that calls moved from files and to files.
    #[serde(skip)]
    pub moved: u64,
    /// Number of lanes (captured threads).
    pub lanes: u64,
    /// Number of ops with which workers came back to a lane after ops of others.
    pub returns: u64,
    /// Number of ops.
    #[serde(skip)]
    pub ops: u64,
    /// Does the capture tell what threads waited for?
    pub tells_waits: bool,
    /// Times of the captured calls; `None` when the capture has none.
    pub captured: Option<Captured>,
    /// Captured time of the calls on the longest path, ns.
    #[serde(skip)]
    pub critical: i64,
    /// How long the run took, ns.
    #[serde(skip)]
    pub wall: i64,
    /// Calls in flight on average in the run: the sum of their durations divided by its time.
    pub in_flight: f64,
    /// Processor time of the replay's threads divided by the time that the processors had, 0 to 1; 0 for a run of a moment.
    pub processors: f64,
    /// Share of the time of the processors that the host of the virtual machine took, in the capture and in the run, 0 to 1.
    pub stolen: [f64; 2],
    /// Processor time of the captured threads between their calls, ns; `None` where the capture does not tell.
    pub computed: Option<u64>,
    /// Number of processors of this machine.
    #[serde(skip)]
    pub cpus: usize,
    /// How often a loader waited for the supervisor to free a result block.
    #[serde(skip)]
    pub stalls: i64,
    /// Memory limits of the captured process and of the replay, bytes; `None` where there is none. Equal where the captured one is not known.
    pub memory_limits: [Option<u64>; 2],
    /// Number of limits of dirty memory that differ.
    pub dirty_limits: usize,
    /// How far the devices are read ahead that the capture and the replay used most, KiB, where both are known.
    pub read_ahead: Option<[u64; 2]>,
    /// Reads of devices for metadata in the capture.
    pub metadata: Metadata,
    /// Were names and inodes dropped from memory before the first op of the run?
    pub dropped: bool,
    /// Number of files that several lanes write back, or one for others.
    pub shared_syncs: u64,
}

impl Evidence {
    /// Every caveat that applies; none when the time is believable.
    pub fn caveats(&self) -> Vec<Caveat> {
        Caveat::ALL.iter().copied().filter(|caveat| self.shows(*caveat)).collect()
    }

    /// Processors that the captured program kept busy between its calls, on average; 0 where the capture does not tell.
    fn computing(&self) -> f64 {
        let span = self.captured.map_or(0, |captured| captured.span);
        self.computed.filter(|_| span > 0).map_or(0.0, |ns| ns as f64 / span as f64)
    }

    fn shows(&self, caveat: Caveat) -> bool {
        let paced = self.pace != Pace::Asap;
        let idle = self.captured.and_then(|captured| captured.idle()).is_some_and(|idle| idle > IDLE);
        match caveat {
            Caveat::Flawed => self.flaws > 0,
            Caveat::NullEngine => self.engine == Engine::Null,
            Caveat::Untimed => self.captured.is_none_or(|captured| captured.in_flight().is_none()),
            Caveat::Coverage => self.coverage.is_some_and(|percent| percent < COVERED),
            Caveat::Requests => self.requests > 0,
            Caveat::Idle => !paced && idle,
            Caveat::Waits => match self.pace {
                Pace::Think => self.lanes > 1 && idle,
                Pace::App => self.lanes > 1 && idle && !self.tells_waits,
                Pace::Asap | Pace::Realtime => false,
            },
            Caveat::Unexplained => {
                let captured = self.captured.unwrap_or_default();
                self.pace == Pace::App && self.tells_waits && captured.unexplained() > UNEXPLAINED
            }
            Caveat::Shared => matches!(self.pace, Pace::App | Pace::Think) && self.returns as f64 > SHARED * self.ops as f64,
            Caveat::Mapped => {
                let data = self.mapped_data > TABLES && self.mapped_data as f64 > DATA * self.moved as f64;
                self.mapped_write > 0 || data || self.mapped > LIBRARIES
            }
            Caveat::Speed => paced && self.speed != 1.0,
            Caveat::OpenLoop => self.pace == Pace::Realtime,
            Caveat::Order => self.order != Order::Resource && self.lanes > 1,
            Caveat::Concurrency => self.captured.and_then(|captured| captured.in_flight()).is_some_and(|captured| {
                // Below one call at a time there is nothing to overlap: how much of the time that is, is up to the pace.
                let (captured, replayed) = (captured.max(1.0), self.in_flight.max(1.0));
                captured.max(replayed) > APART * captured.min(replayed)
            }),
            Caveat::CriticalPath => self.captured.is_some_and(|captured| self.critical as f64 > 1.01 * captured.span as f64),
            Caveat::Processors => self.processors > BUSY,
            Caveat::Stolen => self.stolen.iter().any(|share| *share > STOLEN),
            Caveat::Compute => self.computing() > self.cpus as f64,
            Caveat::Settings => {
                let ahead = self.read_ahead.is_some_and(|[captured, replayed]| captured != replayed);
                self.memory_limits[0] != self.memory_limits[1] || self.dirty_limits > 0 || ahead
            }
            Caveat::Names => self.metadata.cold() && !self.dropped,
            Caveat::Stalled => self.stalls > 0,
            Caveat::Polls => self.captured.is_some_and(|captured| {
                let paced = matches!(self.pace, Pace::App | Pace::Think);
                paced && captured.polled as f64 > POLLED * captured.span as f64 && self.wall.unsigned_abs() < captured.span
            }),
            Caveat::Adapts => self.shared_syncs > 0,
        }
    }

    /// The numbers behind a caveat, for people; empty where its sentence says all.
    pub fn numbers(&self, caveat: Caveat) -> String {
        let captured = self.captured.unwrap_or_default();
        match caveat {
            Caveat::Coverage => self.coverage.map_or(String::new(), |percent| format!("{percent:.3} % were")),
            Caveat::Requests => format!("{} of them", self.requests),
            Caveat::Unexplained => format!("{:.0} % of their time", 100.0 * captured.unexplained()),
            Caveat::Shared => format!("{} ops came after ops of others", self.returns),
            Caveat::Mapped => {
                let [write, read, data] = [self.mapped_write, self.mapped, self.mapped_data].map(Bytes);
                format!("{write} for writing, {read} for reading; of data {data}")
            }
            Caveat::Idle | Caveat::Waits => {
                captured.idle().map_or(String::new(), |idle| format!("{:.0} % of their time", 100.0 * idle))
            }
            Caveat::Speed => format!("divided by {}", self.speed),
            Caveat::Names => {
                let Metadata { reads, of } = self.metadata;
                format!("{reads} of {of} captured requests")
            }
            Caveat::Concurrency => format!("{:.2}, captured {:.2}", self.in_flight, captured.in_flight().unwrap_or_default()),
            Caveat::Settings => {
                let limit = |limit: Option<u64>| limit.map_or("none".into(), |bytes| Bytes(bytes).to_string());
                let [captured, replayed] = self.memory_limits.map(limit);
                let ahead = self
                    .read_ahead
                    .map_or(String::new(), |[captured, replayed]| format!(", read-ahead {replayed} KiB, captured {captured}"));
                let dirty = self.dirty_limits;
                format!("memory limit {replayed}, captured {captured}; {dirty} limits of dirty memory differ{ahead}")
            }
            Caveat::Stolen => {
                let [captured, replayed] = self.stolen.map(|share| 100.0 * share);
                format!("{replayed:.0} %, captured {captured:.0} %")
            }
            Caveat::Compute => format!("{:.1} on {}", self.computing(), self.cpus),
            Caveat::Processors => format!("{:.0} %", 100.0 * self.processors),
            Caveat::Polls => {
                format!("{:.0} % of the captured time", 100.0 * captured.polled as f64 / captured.span.max(1) as f64)
            }
            Caveat::Adapts => format!("{} such files", self.shared_syncs),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two threads that are in calls for 95 % of their time, and a run that is as busy.
    const GOOD: Evidence = Evidence {
        flaws: 0,
        engine: Engine::Sys,
        order: Order::Resource,
        pace: Pace::Asap,
        speed: 1.0,
        coverage: Some(99.9),
        requests: 0,
        mapped_write: 0,
        mapped: 10 << 20,
        mapped_data: 2 << 20,
        moved: 20 << 20,
        lanes: 2,
        returns: 10,
        ops: 1000,
        tells_waits: true,
        captured: Some(Captured { span: 1000, in_calls: Some(1900), in_lanes: 2000, unexplained: 200, polled: 100 }),
        critical: 1000,
        wall: 999,
        in_flight: 1.9,
        processors: 0.5,
        stolen: [0.05, 0.05],
        computed: Some(1900),
        cpus: 2,
        stalls: 0,
        memory_limits: [None; 2],
        dirty_limits: 0,
        read_ahead: Some([128; 2]),
        metadata: Metadata { reads: 100, of: 1000 },
        dropped: true,
        shared_syncs: 0,
    };

    #[test]
    fn each_caveat_stands_alone() {
        let captured = |in_calls, in_lanes| Some(Captured { span: 1000, in_calls, in_lanes, unexplained: 0, polled: 0 });
        let unknown = Some(Captured { unexplained: 201, ..GOOD.captured.unwrap() });
        let polls = Some(Captured { polled: 101, ..GOOD.captured.unwrap() });
        assert_eq!(GOOD.caveats(), []);
        for (evidence, caveat) in [
            (Evidence { flaws: 1, ..GOOD }, Caveat::Flawed),
            (Evidence { engine: Engine::Null, ..GOOD }, Caveat::NullEngine),
            (Evidence { captured: None, ..GOOD }, Caveat::Untimed),
            (Evidence { captured: captured(None, 2000), ..GOOD }, Caveat::Untimed),
            (Evidence { coverage: Some(98.9), ..GOOD }, Caveat::Coverage),
            (Evidence { requests: 1, ..GOOD }, Caveat::Requests),
            (Evidence { captured: captured(Some(1700), 2000), ..GOOD }, Caveat::Idle),
            (Evidence { pace: Pace::Think, captured: captured(Some(1700), 2000), ..GOOD }, Caveat::Waits),
            (Evidence { pace: Pace::App, tells_waits: false, captured: captured(Some(1700), 2000), ..GOOD }, Caveat::Waits),
            (Evidence { mapped_write: 1, ..GOOD }, Caveat::Mapped),
            (Evidence { mapped: 65 << 20, ..GOOD }, Caveat::Mapped),
            (Evidence { mapped_data: 3 << 20, ..GOOD }, Caveat::Mapped),
            (Evidence { pace: Pace::App, captured: unknown, ..GOOD }, Caveat::Unexplained),
            (Evidence { pace: Pace::App, returns: 11, ..GOOD }, Caveat::Shared),
            (Evidence { pace: Pace::Think, speed: 2.0, ..GOOD }, Caveat::Speed),
            (Evidence { pace: Pace::Realtime, ..GOOD }, Caveat::OpenLoop),
            (Evidence { order: Order::Strict, ..GOOD }, Caveat::Order),
            (Evidence { order: Order::Thread, ..GOOD }, Caveat::Order),
            (Evidence { in_flight: 2.9, ..GOOD }, Caveat::Concurrency),
            (Evidence { in_flight: 0.9, ..GOOD }, Caveat::Concurrency),
            (Evidence { critical: 1011, ..GOOD }, Caveat::CriticalPath),
            (Evidence { processors: 0.91, ..GOOD }, Caveat::Processors),
            (Evidence { computed: Some(2001), ..GOOD }, Caveat::Compute),
            (Evidence { memory_limits: [Some(1), None], ..GOOD }, Caveat::Settings),
            (Evidence { memory_limits: [None, Some(1)], ..GOOD }, Caveat::Settings),
            (Evidence { dirty_limits: 1, ..GOOD }, Caveat::Settings),
            (Evidence { read_ahead: Some([128, 4096]), ..GOOD }, Caveat::Settings),
            (Evidence { stalls: 1, ..GOOD }, Caveat::Stalled),
            (Evidence { pace: Pace::App, captured: polls, ..GOOD }, Caveat::Polls),
            (Evidence { stolen: [0.0, 0.051], ..GOOD }, Caveat::Stolen),
            (Evidence { stolen: [0.051, 0.0], ..GOOD }, Caveat::Stolen),
            (Evidence { dropped: false, ..GOOD }, Caveat::Names),
            (Evidence { shared_syncs: 1, ..GOOD }, Caveat::Adapts),
        ] {
            assert_eq!(evidence.caveats(), [caveat], "{evidence:?}");
            assert!(!evidence.numbers(caveat).contains("NaN"));
        }
    }

    #[test]
    fn what_is_right_is_no_caveat() {
        let thinks = Some(Captured { span: 1000, in_calls: Some(500), in_lanes: 1000, unexplained: 0, polled: 0 });
        for evidence in [
            // One thread that thinks half its time, at the pace that lets it think; and on a device where it waits more.
            Evidence { pace: Pace::Think, lanes: 1, captured: thinks, in_flight: 0.5, ..GOOD },
            Evidence { pace: Pace::Think, lanes: 1, captured: thinks, in_flight: 0.9, ..GOOD },
            Evidence { pace: Pace::App, captured: Some(Captured { in_calls: Some(1700), ..GOOD.captured.unwrap() }), ..GOOD },
            Evidence { pace: Pace::App, tells_waits: false, ..GOOD },
            Evidence { order: Order::Strict, lanes: 1, ..GOOD },
            Evidence { returns: 500, ..GOOD },
            Evidence { mapped_data: 1 << 20, moved: 0, ..GOOD },
            Evidence { speed: 2.0, ..GOOD },
            Evidence { coverage: None, ..GOOD },
            // Few of many requests, and few at all.
            Evidence { metadata: Metadata { reads: 50, of: 1000 }, dropped: false, ..GOOD },
            Evidence { metadata: Metadata { reads: 15, of: 15 }, dropped: false, ..GOOD },
            Evidence { computed: None, cpus: 1, ..GOOD },
            Evidence { memory_limits: [Some(1); 2], read_ahead: None, ..GOOD },
        ] {
            assert_eq!(evidence.caveats(), [], "{evidence:?}");
        }
    }
}
