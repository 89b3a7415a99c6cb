//! Stages of the user: tables and columns that they add to a workload, and what is refused.

use crate::tool::{data, expect, ioriot, number, rows};
use std::fs;
use std::path::{Path, PathBuf};

/// A capture, a directory for stages, and a place for workloads.
struct Made {
    dir: tempfile::TempDir,
    capture: PathBuf,
    stages: PathBuf,
}

fn made() -> Made {
    let dir = tempfile::tempdir().unwrap();
    let (capture, stages) = (dir.path().join("cap"), dir.path().join("the stages"));
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture.to_str().unwrap()]);
    fs::create_dir(&stages).unwrap();
    Made { dir, capture, stages }
}

impl Made {
    fn put(&self, name: &str, sql: &str) {
        fs::write(self.stages.join(name), sql).unwrap();
    }

    fn generate(&self, name: &str) -> Result<PathBuf, String> {
        let work = self.dir.path().join(name);
        let words = [&self.capture, &work, &self.stages].map(|path| path.to_str().unwrap());
        let output = ioriot(&["generate", words[0], "-o", words[1], "--sql-dir", words[2]]);
        match output.status.code() {
            Some(0) => Ok(work),
            Some(2) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    fn refused(&self, says: &[&str]) {
        let said = self.generate("bad").unwrap_err();
        assert!(says.iter().all(|says| said.contains(says)), "{said}");
        assert!(!self.dir.path().join("bad").exists());
    }
}

/// The example of docs/WHATIF.md.
fn example() -> &'static str {
    let page = include_str!("../../../docs/WHATIF.md");
    let from = page.find("-- What each directory costs.").unwrap();
    page[from..].split("```").next().unwrap()
}

const TWICE: &str = "-- The directories with two calls and more.\n-- @makes table\n-- @needs per_directory many\n\
    -- @column directory VARCHAR the directory\n-- @column share DOUBLE of all calls\n\
    SELECT directory, CAST(calls AS DOUBLE) / (SELECT sum(calls) FROM per_directory) AS share FROM many";
const MANY: &str = "-- Those.\n-- @makes view\n-- @needs per_directory\n-- @column directory VARCHAR x\n-- @column calls BIGINT x\n\
    SELECT directory, calls FROM per_directory WHERE calls > 1";

#[test]
fn a_stage_of_ones_own_makes_a_table_of_the_workload() {
    let made = made();
    made.put("per_directory.sql", example());
    made.put("busy.sql", TWICE);
    made.put("many.sql", MANY);
    // A view for queries lies beside them, and needs what only queries have.
    made.put("of_queries.sql", "-- x\n-- @needs per_directory\n-- @column n BIGINT x\nSELECT count(*) AS n FROM per_directory");
    let work = made.generate("work").unwrap();
    let calls = number(&[&work], "SELECT count(*) FROM ops WHERE path IS NOT NULL");
    assert_eq!(number(&[&work], "SELECT sum(calls) FROM per_directory"), calls);
    let shares = number(&[&work], "SELECT sum(share) FROM busy");
    assert!(shares > 0.1 && shares <= 1.0, "{shares}");
    let own = rows(&[&work], "SELECT key, value FROM manifests WHERE key LIKE 'own.%' ORDER BY key");
    assert_eq!(own.len(), 2, "{own:?}");
    // Tables that are there are not changed by it, nor is what the workload is.
    made.stages.read_dir().unwrap().for_each(|file| fs::remove_file(file.unwrap().path()).unwrap());
    let plain = made.generate("plain").unwrap();
    let print = "SELECT value FROM manifests WHERE key = 'fingerprint'";
    assert_eq!(rows(&[&work], print), rows(&[&plain], print));
    // Of two workloads: the union, with the dataset of each row.
    made.put("per_directory.sql", example());
    let other = made.generate("other").unwrap();
    let both = "SELECT count(DISTINCT dataset) AS n FROM per_directory";
    assert_eq!(number(&[&work, &other], both), 2.0);
    assert_eq!(
        number(&[&work, &plain], "SELECT count(*) FROM per_directory"),
        number(&[&work], "SELECT count(*) FROM per_directory")
    );
    let word = |path: &Path| path.to_str().unwrap().to_owned();
    let found = expect(0, &["query", &word(&work), "--sql-dir", &word(&made.stages), "SELECT sum(calls) FROM per_directory"]);
    assert!(found.contains(&format!("{calls}")), "{found}");
    // It is replayed as any other.
    let (root, run) = (word(&made.dir.path().join("root")), word(&made.dir.path().join("run")));
    expect(0, &["init", &word(&work), "--root", &root]);
    expect(0, &["replay", &word(&work), "--root", &root, "-o", &run]);
}

#[test]
fn an_edited_stage_may_add_columns_behind_those_of_its_table() {
    let made = made();
    let ops = include_str!("../../../sql/generate/ops.sql");
    let ops = ops.replace("-- @from ops\n", "-- @from ops\n-- @column tenant VARCHAR first directory of its path\n");
    let more = ops.replace("settled, changed\n", "settled, changed, substr(at_path, 1, 5) AS tenant\n");
    assert!(more.matches("tenant").count() == 2, "{more}");
    made.put("ops.sql", &more);
    let work = made.generate("work").unwrap();
    assert_eq!(number(&[&work], "SELECT count(*) FROM ops WHERE tenant IS DISTINCT FROM substr(path, 1, 5)"), 0.0);
    assert!(number(&[&work], "SELECT count(DISTINCT tenant) FROM ops") > 1.0);
    let (root, run) = (made.dir.path().join("root"), made.dir.path().join("run"));
    let [work, root, run] = [&work, &root, &run].map(|path| path.to_str().unwrap());
    expect(0, &["lint", work]);
    expect(0, &["init", work, "--root", root]);
    expect(0, &["replay", work, "--root", root, "-o", run]);
    let by = "SELECT count(*) FROM results JOIN ops ON ops.op_id = results.op_id WHERE tenant IS NOT NULL AND outcome = 'same'";
    assert!(number(&[Path::new(work), Path::new(run)], by) > 1.0);

    // What would take the place of a column breaks every reader, so it is refused.
    let swapped = ops.replace("-- @column tenant VARCHAR first directory of its path\n", "");
    let swapped = swapped.replace("-- @from ops\n", "-- @from ops op_id\n-- @column rest BIGINT x\n");
    made.put(
        "ops.sql",
        &swapped.replace(
            "SELECT op_id, {op}, think, compute, unexplained, timer, {arguments}, reaped, settled, changed",
            "SELECT op_id, reaped AS rest",
        ),
    );
    made.refused(&["ops.sql", "column 2 is `rest BIGINT`", "`seq BIGINT`"]);
}

#[test]
fn a_stage_that_cannot_be_used_is_named() {
    let made = made();
    let head = "-- x\n-- @makes table\n-- @column n BIGINT x\n";
    for (name, sql, says) in [
        ("broken.sql", format!("{head}SELECT count(* FROM ops"), "broken.sql"),
        ("broken.sql", format!("{head}SELECT nothing AS n FROM ops"), "broken.sql"),
        ("broken.sql", format!("{head}SELECT 'a' AS n FROM ops"), "its head says `n BIGINT`"),
        ("broken.sql", format!("-- @needs walk\n{head}SELECT count(*) AS n FROM walk"), "broken.sql"),
        ("broken.sql", format!("-- @needs io\n{head}SELECT count(*) AS n FROM io"), "broken.sql"),
        ("broken.sql", format!("{head}SELECT count(*) AS n FROM other"), "-- @needs other"),
        ("results.sql", format!("{head}SELECT 1 AS n"), "a table or a view already"),
        ("broken.sql", format!("{head}COPY ops TO '/tmp/x'"), "broken.sql"),
        ("broken.sql", format!("{head}SELECT at_most(op_id, 0, 'too many') AS n FROM ops"), "too many"),
    ] {
        made.put(name, &sql);
        made.refused(&[says]);
        fs::remove_file(made.stages.join(name)).unwrap();
    }
}

/// Later stages, the summary and the manifest read what our stages make, tables or not.
#[test]
fn an_edited_stage_that_is_no_table_keeps_its_columns() {
    let made = made();
    let memory = include_str!("../../../sql/generate/memory.sql");
    let first = memory.lines().find(|line| line.starts_with("-- @column") || line.starts_with("-- @from")).unwrap();
    made.put("memory.sql", &memory.replace(first, "-- @column other BIGINT x"));
    made.refused(&["memory.sql", "its head lists `other BIGINT` as column 1, and what reads it needs"]);
    made.put("memory.sql", "SELECT 1 AS other");
    made.refused(&["memory.sql", "its head lists nothing as column 1"]);
    made.put("memory.sql", memory);
    made.generate("work").unwrap();
    // A replay would refuse the workload, or take one file for another.
    for rows in
        ["SELECT CAST(NULL AS BIGINT) AS file", "SELECT CAST(-5 AS BIGINT) AS file", "SELECT * FROM (VALUES (2), (2)) AS f(file)"]
    {
        made.put("grouped.sql", &format!("-- @from ops file\n{rows}"));
        made.refused(&["stage grouped.sql"]);
    }
}
