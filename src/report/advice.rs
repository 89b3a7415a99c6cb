//! What to do about a statement that cannot be planned: the names that were probably meant, instead of all there are.

use super::tables::Desk;
use anyhow::{Error, anyhow};
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use std::path::Path;

/// Names shown at most.
const SHOWN: usize = 3;

/// The error in words of ours, when we know better.
pub fn better(error: Error, desk: &Desk) -> Error {
    let said = error.chain().find_map(|cause| match cause.downcast_ref::<DataFusionError>()?.find_root() {
        DataFusionError::SchemaError(fault, _) => match fault.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
                let lists = "`ioriot query DATASET` and \\d TABLE there list all";
                Some(format!("there is no column {}{}: {lists}", field.name, meant(&field.name, &names)))
            }
            _ => None,
        },
        DataFusionError::Plan(text) => {
            let name = text.strip_prefix("table '")?.strip_suffix("' not found")?;
            let name = name.strip_prefix("datafusion.public.").unwrap_or(name);
            let table = name.rsplit('.').next()?;
            Some(match desk.missing.get(table) {
                None if name.contains('/') || Path::new(name).is_file() => {
                    format!("there is no table {name}; a query reads files by their names with --allow-files")
                }
                Some(why) => format!("{table} cannot be asked: {why}"),
                None => {
                    let names = desk.names();
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    format!("there is no table {table}{}; there are {}", meant(table, &names), names.join(", "))
                }
            })
        }
        _ => None,
    });
    said.map_or(error, |said| anyhow!(said))
}

/// `, perhaps a, b or c`: the names that are nearest to a wrong one.
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

/// Letters to insert, leave out or change to make one word of the other, in any case.
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
