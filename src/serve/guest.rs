//! What a coordinator knows of one machine, from the start of a replay to its run.

use super::message::Body;
use super::parcel::Parcel;
use super::summary::Machine;
use crate::schema::dataset::Kind;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is known of one machine, from the start on.
pub struct Guest {
    place: PathBuf,
    room: u64,
    /// Whether it still hears frames.
    pub replays: bool,
    parcel: Option<Parcel>,
    /// What came of it, once that is known.
    pub end: Option<Machine>,
    heard: Instant,
}

impl Guest {
    /// A machine whose run, of at most so many bytes, will stand at `place`.
    pub fn new(place: PathBuf, room: u64) -> Guest {
        Guest { place, room, replays: true, parcel: None, end: None, heard: Instant::now() }
    }

    /// Notes that it says something, which shows that it gets on.
    pub fn hear(&mut self) {
        self.heard = Instant::now();
    }

    /// Since when it has said nothing that shows so.
    pub fn silence(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Notes that there is no run of it, unless it is here already.
    pub fn lose(&mut self, name: &str, why: String) {
        self.replays = false;
        self.parcel = None;
        self.end.get_or_insert_with(|| Machine::lost(name, why));
    }

    /// Takes a part of its run.
    ///
    /// # Errors
    /// When it was not asked for, or the run is refused.
    pub fn take(&mut self, name: &str, body: Body, clock: serde_json::Value) -> Result<()> {
        ensure!(!self.replays && self.end.is_none(), "it sends what was not asked for");
        self.hear();
        let parcel = match &mut self.parcel {
            Some(parcel) => parcel,
            none => none.insert(Parcel::new(&self.place, Kind::Run, self.room)?),
        };
        match body {
            Body::File(head) => parcel.begin(&head),
            Body::Piece(bytes) => parcel.piece(&bytes),
            Body::Whole(_) => {
                let Some(parcel) = self.parcel.take() else { return Ok(()) };
                let run = parcel.whole(|manifest| {
                    manifest.insert("host".into(), json!(name));
                    manifest.insert("clock".into(), clock);
                })?;
                self.end = Some(Machine::of(name, self.place.clone(), &run.manifest));
                Ok(())
            }
            _ => bail!("it sends what was not asked for"),
        }
        .context("its run is refused")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::message;

    #[test]
    fn a_run_that_was_not_asked_for_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let guest = || Guest::new(dir.path().join("host=a:1"), 100);
        let refused = |guest: &mut Guest, body: Body| guest.take("a:1", body, json!(null)).unwrap_err().to_string();
        let file = |table: &str, size| Body::File(message::File { table: table.into(), size });
        assert!(refused(&mut guest(), Body::Whole(true)).contains("not asked for"));
        let ended = || Guest { replays: false, ..guest() };
        assert!(refused(&mut ended(), file("ops", 1)).contains("its run is refused"));
        assert!(refused(&mut ended(), file("results", 101)).contains("its run is refused"));
        assert!(refused(&mut ended(), Body::Hello(1)).contains("not asked for"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let text = br#"{"format": 1, "kind": "run", "summary": {"complete": true, "ops": 3}}"#;
        let mut whole = ended();
        for body in [file("", text.len() as u64), Body::Piece(text.to_vec()), Body::Whole(true)] {
            whole.take("a:1", body, json!({ "before": 1 })).unwrap();
        }
        assert_eq!(whole.end.as_ref().map(|machine| (machine.complete, machine.ops)), Some((true, 3)));
        assert!(refused(&mut whole, file("results", 1)).contains("not asked for"));
    }
}
