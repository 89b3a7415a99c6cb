//! Better messages for statements that name an unknown table or column: the names that were probably meant, instead of
//! all there are.

use super::tables::Desk;
use crate::engine::{no_column, no_table};
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Table};
use crate::text::{word, word_and};
use anyhow::{Error, anyhow};
use std::path::Path;

/// Number of similar names that a message suggests, at most.
const SHOWN: usize = 3;

/// Replaces the engine's error by a message of our own where the statement names a column or table that does not exist;
/// any other error is returned as it is. `desk` is the session with the opened datasets.
pub fn better(error: Error, statement: &str, desk: &Desk) -> Error {
    if let Some((name, columns)) = no_column(&error, statement) {
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        let list = if name.contains(": ") { String::new() } else { format!("{}: {LISTS}", meant(&name, &names)) };
        return anyhow!("there is no column {name}{list}");
    }
    let Some(name) = no_table(&error) else { return error };
    let table = name.rsplit('.').next().unwrap_or_default();
    if let Some(usage) = desk.engine.macros().into_iter().find(|usage| usage.split('(').next() == Some(table)) {
        return anyhow!("{table} is a table macro: FROM {table}(...), with its arguments: {usage}");
    }
    if let Some(why) = desk.missing.get(table) {
        return anyhow!("{table} cannot be asked: {why}");
    }
    if name.contains('/') || Path::new(&name).is_file() {
        return anyhow!("there is no table {name}; a query reads files by their names with --allow-files");
    }
    match Table::ALL.iter().find(|known| known.name() == table) {
        Some(known) => anyhow!("{}", elsewhere(*known, desk.datasets())),
        None => {
            let mut names = desk.names();
            names.extend(
                desk.engine.macros().iter().filter_map(|usage| usage.split_once('(')).map(|(name, _)| format!("{name}()")),
            );
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let tables: Vec<&str> = names.iter().copied().filter(|name| !name.ends_with("()")).collect();
            anyhow!("there is no table {table}{}; there are {}", meant(table, &names), tables.join(", "))
        }
    }
}

/// Advice for messages: how to list all columns.
const LISTS: &str = "`ioriot query DATASET` and \\d TABLE there list all";

/// Says which kind of dataset has this table, and which commands make one from the datasets that are open.
pub fn elsewhere(table: Table, here: &[Dataset]) -> String {
    let (name, kind) = (table.name(), table.kind());
    let place = |kind: Kind| here.iter().find(|data| data.kind == kind).map(|data| data.dir.as_path());
    if let Some(dir) = place(kind) {
        return format!("{} has no table {name}: not every {} has one", dir.display(), kind.name());
    }
    let how = match (kind, place(Kind::Capture), place(Kind::Workload)) {
        (Kind::Workload, Some(cap), _) => format!("`ioriot generate {} -o {}` makes one", word(cap), word_and(cap, ".work")),
        (Kind::Run, _, Some(work)) => {
            let (work, run) = (word(work), word_and(work, ".run"));
            format!("`ioriot init {work}` and `ioriot replay {work} -o {run}` make one")
        }
        (Kind::Run, Some(cap), None) => {
            let (cap, work, run) = (word(cap), word_and(cap, ".work"), word_and(cap, ".run"));
            format!("`ioriot generate {cap} -o {work}`, `ioriot init {work}` and `ioriot replay {work} -o {run}` make one")
        }
        _ => format!("name it beside the others: `ioriot query {} ... 'SQL'`", kind.name().to_uppercase()),
    };
    format!("{name} is a table of a {}, and none is given: {how}", kind.name())
}

/// Text `, perhaps a, b or c` with the names that are most similar to a wrong one; empty when none is.
fn meant(wrong: &str, names: &[&str]) -> String {
    let mut near: Vec<(usize, &str)> = names.iter().map(|name| (distance(wrong, name), *name)).collect();
    near.retain(|(distance, name)| *distance <= 1 + wrong.len() / 3 || name.contains(wrong) && wrong.len() > 2);
    near.sort_unstable();
    near.dedup();
    let near: Vec<&str> = near.iter().take(SHOWN).map(|(_, name)| *name).collect();
    match near.as_slice() {
        [] => String::new(),
        [one] => format!(", perhaps {one}"),
        [some @ .., last] => format!(", perhaps {} or {last}", some.join(", ")),
    }
}

/// Levenshtein distance of two words, upper and lower case taken as equal.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.chars().enumerate() {
            let change = corner + usize::from(from != to);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_are_meant() {
        assert_eq!(distance("kitten", "Sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let names = ["path", "path2", "pid", "captured_dur", "dur", "results"];
        assert_eq!(meant("pth", &names), ", perhaps path, path2 or pid");
        assert_eq!(meant("resuls", &names), ", perhaps results");
        assert_eq!(meant("dur_", &names), ", perhaps dur");
        assert_eq!(meant("nothing_like_it", &names), "");
    }
}
