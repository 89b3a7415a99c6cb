//! The manifest of a capture without names: numbers and truth values stay, and those texts that are known to be harmless.

use super::Names;
use crate::schema::{Manifest, entries};
use crate::text;
use anyhow::Result;
use serde_json::{Map, Value};

/// Keys whose texts are words of ours or of the kernel, at whatever depth.
const WORDS: &[&str] =
    &["kind", "ioriot", "backend", "clock", "on_drop", "ended", "source", "formats", "fs", "name", "why", "reason", "unit"];
/// Keys whose texts are paths.
const PATHS: &[&str] = &["path", "root"];

/// The manifest without names, and how many of its values were left out.
///
/// # Errors
/// When a path becomes too long.
pub fn clean(manifest: &Manifest, names: &mut Names) -> Result<(Manifest, u64)> {
    let mut left_out = 0;
    let mut clean = object(manifest, names, &mut left_out)?;
    if let Some(kernel) = manifest.get("kernel").and_then(Value::as_str) {
        // The name of the build tells whose it is.
        let numbers: String = kernel.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        clean.insert("kernel".into(), numbers.trim_end_matches('.').into());
    }
    clean.insert("anonymised".into(), true.into());
    Ok((clean, left_out))
}

fn object(object: &Map<String, Value>, names: &mut Names, left_out: &mut u64) -> Result<Map<String, Value>> {
    let mut clean = Map::new();
    // What a manifest says of the files of its dataset is said anew of those that are written.
    for (key, value) in object.iter().filter(|(key, _)| *key != entries::FILES) {
        let word = !key.is_empty() && key.len() <= 40 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match value_of(key, value, names, left_out)?.filter(|_| word) {
            Some(value) => drop(clean.insert(key.clone(), value)),
            None => *left_out += 1,
        }
    }
    Ok(clean)
}

/// A value without names; `None` when nothing is left of it.
fn value_of(key: &str, value: &Value, names: &mut Names, left_out: &mut u64) -> Result<Option<Value>> {
    Ok(match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::Object(inner) => Some(Value::Object(object(inner, names, left_out)?)),
        Value::Array(values) => {
            let mut clean = Vec::with_capacity(values.len());
            for value in values {
                match value_of(key, value, names, left_out)? {
                    Some(value) => clean.push(value),
                    None => *left_out += 1,
                }
            }
            Some(Value::Array(clean))
        }
        Value::String(word) if WORDS.contains(&key) && plain(word) => Some(value.clone()),
        Value::String(path) if PATHS.contains(&key) => {
            let path = names.path(&text::decode(path))?;
            Some(text::encode(&path).into_owned().into())
        }
        Value::String(host) if key == "host" => {
            Some(String::from_utf8_lossy(&names.word("host", &text::decode(host), 13)).into_owned().into())
        }
        Value::String(_) => None,
    })
}

/// A word of ours or of the kernel: a name of a file system, a device or a state has no more than this.
fn plain(word: &str) -> bool {
    word.len() <= 20 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_may_name_something_is_left_out() {
        let Value::Object(given) = json!({
            "kind": "capture", "events": 7, "faults": true, "host": "db1.smith", "kernel": "6.1.0-smith-amd64",
            "command": ["ioriot", "capture", "smith"], "scope": "command smith", "inputs": ["/srv/smith.gz"], "status": "smith",
            "mounts": [{"path": "/srv/smith", "fs": "ext4"}], "syscalls": {"openat": 3, "/smith": 4},
            "device": [{"name": "vda", "tasks": {"reads": 1}}], "source": "smith/x", "new": "smith"
        }) else {
            panic!("it is an object")
        };
        let (clean, left_out) = clean(&given, &mut Names::new(b"0123456789abcdef", false)).unwrap();
        let text = serde_json::to_string(&clean).unwrap();
        assert!(!text.contains("smith"), "{text}");
        assert_eq!((&clean["kind"], &clean["events"], &clean["kernel"]), (&json!("capture"), &json!(7), &json!("6.1.0")));
        assert_eq!(clean["mounts"][0]["fs"], "ext4");
        assert!(clean["mounts"][0]["path"].as_str().unwrap().starts_with('/'));
        assert_eq!(clean["syscalls"], json!({"openat": 3}));
        assert_eq!(clean["device"][0]["name"], "vda");
        assert_eq!(left_out, 10);
    }
}
