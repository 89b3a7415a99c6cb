//! Tables that stages of the user have made: files `own-NAME.parquet` of a workload, which its manifest names.

use super::dataset::Manifest;
use super::{Dataset, GROUP_BYTES, ROW_GROUP};
use crate::store;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::path::PathBuf;

/// Key of a manifest: an object with the number of rows of each such table, by its name.
pub const KEY: &str = "own";
/// What the names of their files begin with.
const PREFIX: &str = "own-";
/// Most of them that are looked for in a manifest.
const MOST: usize = 100;
/// Most bytes of a name.
const LONGEST: usize = 64;

/// Can this be the name of such a table? Lower-case letters, digits and `_`, and no digit in front.
pub fn name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let first = name.bytes().next().is_some_and(letter);
    first && name.len() <= LONGEST && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
}

/// Name of the file of such a table.
pub fn file(name: &str) -> String {
    format!("{PREFIX}{name}.parquet")
}

/// Is this, without its ending, the name of the file of such a table?
pub fn is_file(stem: &str) -> bool {
    stem.strip_prefix(PREFIX).is_some_and(name)
}

/// The names of these tables in a manifest.
pub fn names(manifest: &Manifest) -> Vec<String> {
    let said = manifest.get(KEY).and_then(|own| own.as_object()).into_iter().flatten();
    said.map(|(name, _)| name.clone()).filter(|known| name(known)).take(MOST).collect()
}

/// Parquet settings of such a table; of columns (name, SQL type, meaning) the meanings are in the file.
pub fn properties(columns: &[(String, String, String)]) -> WriterProperties {
    let meanings = columns.iter().map(|(name, _, meaning)| KeyValue::new(format!("column.{name}"), meaning.clone()));
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_created_by(format!("ioriot {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(meanings.collect()))
        .build()
}

impl Dataset {
    /// The tables of the user's stages, by name, with their files.
    pub fn own(&self) -> Vec<(String, PathBuf)> {
        let files = names(&self.manifest).into_iter().map(|name| (name.clone(), self.dir.join(file(&name))));
        files.filter(|(_, file)| if store::is(file) { store::holds(file) } else { file.exists() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_those_of_relations() {
        for good in ["a", "_", "per_tenant_2"] {
            assert!(name(good) && is_file(&format!("own-{good}")), "{good}");
        }
        for bad in ["", "2a", "A", "a-b", "a/b", "..", "a\u{e9}", &"a".repeat(LONGEST + 1)] {
            assert!(!name(bad) && !is_file(&format!("own-{bad}")), "{bad}");
        }
        let manifest = json!({ "own": { "good": 1, "../bad": 2, "also": "x" } });
        assert_eq!(names(manifest.as_object().unwrap()), ["also", "good"]);
        for other in [json!({}), json!({ "own": ["x"] }), json!({ "own": 7 })] {
            assert!(names(other.as_object().unwrap()).is_empty());
        }
    }
}
