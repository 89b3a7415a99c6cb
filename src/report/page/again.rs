//! The commands by which datasets were made, for whoever wants to do it again.

use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use crate::text::{decode, shown, word, word_and};
use serde_json::Value;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Words of a command that are shown.
const WORDS: usize = 64;

/// The commands, captures first. What manifests say is shown and quoted, not believed.
pub fn commands(datasets: &[Dataset]) -> Vec<String> {
    let mut commands = Vec::new();
    let dir = |kind: Kind| datasets.iter().find(|data| data.kind == kind).map(|data| data.dir.clone());
    let capture = dir(Kind::Capture).unwrap_or_else(|| "CAPTURE".into());
    for data in datasets.iter().filter(|data| data.kind == Kind::Capture) {
        let words = data.manifest.get("command").and_then(Value::as_array);
        let words: Vec<String> = words.into_iter().flatten().filter_map(Value::as_str).take(WORDS).map(quoted).collect();
        commands.push(if words.is_empty() {
            format!("ioriot capture -o {} -- COMMAND", word(&data.dir))
        } else {
            words.join(" ")
        });
    }
    for data in datasets.iter().filter(|data| data.kind == Kind::Workload) {
        commands.push(format!("ioriot generate {} -o {}{}", word(&capture), word(&data.dir), chosen(data)));
    }
    for data in datasets.iter().filter(|data| data.kind == Kind::Run) {
        let said = data.manifest.get("workload").and_then(Value::as_str).map(place);
        let work = dir(Kind::Workload).or(said).unwrap_or_else(|| "WORKLOAD".into());
        let root = word_and(&data.dir, ".root");
        let summary = |key: &str| data.manifest.get("summary").and_then(|summary| summary.get(key)).and_then(Value::as_str);
        let options = [("order", "resource"), ("pace", "asap"), ("engine", "sys")].map(|(key, usual)| match summary(key) {
            Some(value) if value != usual => format!(" --{key} {}", quoted(value)),
            _ => String::new(),
        });
        commands.push(format!("ioriot init {} --root {root}", word(&work)));
        commands.push(format!("ioriot replay {} --root {root} -o {}{}", word(&work), word(&data.dir), options.concat()));
    }
    commands.iter().map(|command| shown(command).into_owned()).collect()
}

fn chosen(workload: &Dataset) -> String {
    let text = workload.manifest.get("where").and_then(Value::as_str);
    text.map(|text| format!(" --where {}", quoted(text))).unwrap_or_default()
}

fn quoted(text: &str) -> String {
    word(Path::new(text))
}

fn place(text: &str) -> PathBuf {
    OsString::from_vec(decode(text).into_owned()).into()
}
