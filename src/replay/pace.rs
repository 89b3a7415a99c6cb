//! When ops are issued, and why that way.

use super::{Engine, Options, Order};
use crate::schema::Manifest;
use crate::words::words;

words! {
    /// How the issue times of ops are chosen.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    Pace {
        Asap     "asap"     "as soon as the order allows";
        Realtime "realtime" "at their captured times";
        Think    "think"    "the captured time after the call before in their lane";
        App      "app"      "as the program would: after what each op waited for, and for as long as its own thread computed";
    }
}

words! {
    /// Why a replay has its pace.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    Chosen {
        Asked   "asked"    "it was asked for";
        Waits   "waits"    "the capture tells what threads waited for";
        Untold  "untold"   "the capture does not tell what threads waited for";
        NoCause "no_cause" "the workload was made without causes";
        Order   "order"    "only order resource has causes";
        Null    "null"     "engine null measures what ioriot itself costs";
    }
}

/// Are the causes of ops in the workload with this manifest: what their threads waited for, and how long these computed?
pub fn tells_waits(manifest: &Manifest) -> bool {
    let waits = manifest.get("capture").and_then(|capture| capture.get("waits")?.as_bool()).unwrap_or(false);
    waits && !left_out(manifest)
}

/// Was the workload made without causes (`generate --no-cause`)?
fn left_out(manifest: &Manifest) -> bool {
    manifest.get("options").and_then(|options| options.get("no_cause")?.as_bool()).unwrap_or(false)
}

impl Options {
    /// The pace of a replay of the workload with this manifest, and why: the one that was asked for; else app where causes are known and replayed,
    /// and asap where not.
    pub fn choose(&self, manifest: &Manifest) -> (Pace, Chosen) {
        match (self.pace, self.engine, self.order) {
            (Some(pace), ..) => (pace, Chosen::Asked),
            (None, Engine::Null, _) => (Pace::Asap, Chosen::Null),
            (None, _, Order::Strict | Order::Thread) => (Pace::Asap, Chosen::Order),
            _ if tells_waits(manifest) => (Pace::App, Chosen::Waits),
            _ if left_out(manifest) => (Pace::Asap, Chosen::NoCause),
            _ => (Pace::Asap, Chosen::Untold),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_pace_follows_from_what_is_known_unless_it_is_asked_for() {
        let workload = |waits: Option<bool>, no_cause: bool| {
            let mut manifest = Manifest::new();
            manifest.insert("capture".into(), json!({ "waits": waits }));
            manifest.insert("options".into(), json!({ "no_cause": no_cause }));
            manifest
        };
        let options = Options::new("w".into(), "r".into(), "o".into());
        let told = workload(Some(true), false);
        assert_eq!(options.choose(&told), (Pace::App, Chosen::Waits));
        assert_eq!(options.choose(&workload(Some(true), true)), (Pace::Asap, Chosen::NoCause));
        for untold in [workload(Some(false), false), workload(None, false)] {
            assert_eq!(options.choose(&untold), (Pace::Asap, Chosen::Untold));
        }
        for (options, chosen) in [
            (Options { order: Order::Strict, ..options.clone() }, Chosen::Order),
            (Options { engine: Engine::Null, ..options.clone() }, Chosen::Null),
            (Options { pace: Some(Pace::Asap), ..options }, Chosen::Asked),
        ] {
            assert_eq!(options.choose(&told), (Pace::Asap, chosen));
        }
    }
}
