//! Generates docs/SQL.md from the head comments of the stages and views.

use super::STAGES;
use super::lint::{RULES, head};
use crate::engine::{Parameter, Stage, usage};
use crate::export::EXPORTS;
use crate::report;
use crate::report::page::sections::{FINDINGS, SECTIONS, finding};
use anyhow::{Context, Result};

/// The text of docs/SQL.md.
///
/// # Errors
/// When the head of a stage is malformed; a test of the stages would have found it.
pub fn sql_markdown() -> Result<String> {
    let mut page = String::from(
        "# SQL\n\nMade from the heads of the files in `sql/`; do not edit.\n\n\
         ## Stages of generate\n\nIn the order in which they run; `ioriot generate --sql-dir DIR` takes edited ones from DIR, and new \
         ones that add tables (docs/WHATIF.md, \"Stages of your own\"); `--explain STAGE` shows a plan.\n",
    );
    lineage(&mut page, STAGES.iter().map(|(stage, _)| stage))?;
    for (stage, _) in STAGES {
        describe(&mut page, "generate", stage)?;
    }
    page.push_str(
        "\n## Views for queries\n\n`ioriot query` defines each of them whose tables are in the datasets it is given. \
         Besides there are `syscall_def` (docs/SYSCALLS.md as a table) and `manifests` (columns dataset, kind, key, value: \
         what each dataset says of itself), and `clock` (columns dataset, clock: what the times of each capture count from, `unix`, `boot`, \
         `day`, `relative` or `none`).\n\n\
         A table that several of the datasets have is their union, with a column `dataset`; `results_1`, `results_2` ... are \
         its parts. A view of it is worked out for each dataset by itself and has that column too, in front. Runs are joined \
         with their own workload, which the fingerprints tell.\n\n\
         `percentile(x, share)` is the value that this share (0 to 1) of the integers x does not exceed: never too small, at most \
         1/128 too large, and the same whatever the query around it; what is negative counts as 0. It takes as much memory as \
         there are magnitudes, in steps of 1/128. The summary of a replay counts in the same way. An exact one, which holds \
         every value, is `percentile_cont(share) WITHIN GROUP (ORDER BY x)`. `touch(kind, id, access)` makes a number of column \
         `touches` of the walk: the kind is a word as in column `resource` of table edges, the access `read`, `add`, `write` or \
         `end`; `resource_kind(resource)` gives the number of a resource's kind.\n\n\
         `bucket(x, bits)` is the integer x with all but its highest binary digit and the `bits` (a literal) behind that cleared: \
         the lower end of a bucket of a histogram. `bucket(x, 0)` are powers of two; what is negative counts as 0. \
         `at_most(x, most, text)` is x, and an error with the text where x is larger.\n\n\
         The dialect is DataFusion's, with the words of PostgreSQL. Other than in DuckDB, `/` of integers is an integer, \
         sums, differences, products, negations and sum() of integers that leave their type are errors (`checked_add`, \
         `checked_subtract` and `checked_multiply` are what +, - and * do; conditions between ANDs are tried in no order: \
         CASE guards one, as in `CASE WHEN ret < 1000 THEN ret * ret END`), `2.5` is a floating-point number \
         (`CAST(2.5 AS BIGINT)` is 2), absent values come first when descending, and a name in ORDER BY means a column of the \
         answer first, also in `x + 0`. \
         What the engine would answer wrongly is refused, with what to write instead: `x IN (SELECT ...)` that does not stand \
         alone between the ANDs of WHERE, ANY and ALL of a subquery, NOT IN and OFFSET of one that names columns from outside, \
         USING and NATURAL with FULL or RIGHT JOIN, TABLESAMPLE. Neither joins nor the tables that statements make spill: they \
         need `--memory`. Statements that read or write files beside the datasets (COPY, CREATE EXTERNAL TABLE, INSERT, \
         `FROM 'file.parquet'`), or SET options, need `--allow-files`.\n",
    );
    lineage(&mut page, report::VIEWS.iter().chain(report::REPORTS).chain(report::MACROS))?;
    for view in report::VIEWS {
        describe(&mut page, "query", view)?;
    }
    page.push_str(
        "\n## Table macros\n\nFunctions in FROM with arguments, which stand for a query (DuckDB: `CREATE MACRO ... AS TABLE`). An \
         argument is a number, or a text in single quotes; times and sizes may have units: `'100ms'`, `'4K'`. It stands in its place \
         or behind its name (`width => '1s'`); what has a default may be left out. The names in a macro mean what they mean where it \
         is called: `WITH io AS (SELECT * FROM io WHERE pid = 7), accesses AS (SELECT * FROM accesses WHERE pid = 7) SELECT * FROM \
         access_sizes()` is about one process. Of several datasets each is answered by itself, with a column `dataset` in front. \
         The examples are answered in the tests, for the rows at the top of the `.slt` file beside each.\n",
    );
    for (stage, test) in report::MACROS.iter().zip(report::ANSWERS) {
        describe_macro(&mut page, stage, test)?;
    }
    page.push_str("\n## Reports on runs\n\nViews likewise.\n");
    for report in report::REPORTS {
        describe(&mut page, "report", report)?;
    }
    page.push_str(
        "\n## Sections of reports\n\n`ioriot report` asks each of them whose tables and views are there, and draws what comes out. \
         They are statements over the tables and views above, not views: `ioriot query DATASET... -f sql/sections/NAME.sql` gives \
         the rows.\n",
    );
    for section in SECTIONS {
        describe(&mut page, "sections", section)?;
    }
    page.push_str(
        "\n## A look at datasets\n\n`ioriot cat` and `ioriot head` answer the one that fits the dataset: statements as above, not views.\n",
    );
    for look in report::LOOKS {
        describe(&mut page, "look", look)?;
    }
    page.push_str("\n## Exports\n\n`ioriot export` makes its files of the rows of these ([EXPORT.md](EXPORT.md)); they are no views either.\n");
    for export in EXPORTS {
        describe(&mut page, "export", export)?;
    }
    page.push_str(
        "\n## Findings of reports\n\nRules likewise: each gives a row for what it has found, and none otherwise; its text is the \
         condition. Columns: `subject`, `evidence`, `cost_ns` (time of the calls that it is about, ns).\n\n\
         | finding | severity | condition | advice | source |\n|---|---|---|---|---|\n",
    );
    for stage in FINDINGS {
        let head = finding(stage)?;
        let cells = [head.meaning, head.advice, head.source].map(|cell| cell.replace('|', "\\|"));
        let [meaning, advice, source] = cells;
        page.push_str(&format!(
            "| {} (`{}`) | {} | {meaning} | {advice} | {source} |\n",
            head.title,
            stage.name,
            head.severity.name()
        ));
    }
    page.push_str(
        "\n## Rules of the linter\n\n`ioriot lint WORKLOAD` asks each of them, and so does `generate` after options that choose or change \
         something. A rule gives a row (`subject`, `evidence`) for each fault; with one of severity error no workload is made.\n\n\
         | rule | severity | fault | advice | source |\n|---|---|---|---|---|\n",
    );
    for rule in RULES {
        let head = head(rule)?;
        let cells = [head.meaning, head.advice, head.source].map(|cell| cell.replace('|', "\\|"));
        let [meaning, advice, source] = cells;
        page.push_str(&format!(
            "| {} (`{}`) | {} | {meaning} | {advice} | {source} |\n",
            head.title,
            rule.name,
            head.severity.name()
        ));
    }
    Ok(page)
}

/// What is made from what, as a picture (Mermaid).
fn lineage<'a>(page: &mut String, stages: impl Iterator<Item = &'a Stage>) -> Result<()> {
    page.push_str("\n```mermaid\ngraph LR\n");
    for stage in stages {
        let needs = stage.doc()?.needs;
        if !needs.is_empty() {
            page.push_str(&format!("    {} --> {}\n", needs.join(" & "), stage.name));
        }
    }
    page.push_str("```\n");
    Ok(())
}

fn describe_macro(page: &mut String, stage: &Stage, test: &str) -> Result<()> {
    let doc = stage.doc()?;
    describe(page, "macros", stage)?;
    page.push_str(&format!("\nCalled as `{}`.\n\n", usage(stage.name, &doc.parameters)));
    if !doc.parameters.is_empty() {
        page.push_str("| parameter | kind | default | meaning |\n|---|---|---|---|\n");
    }
    for Parameter { name, kind, default, meaning } in &doc.parameters {
        page.push_str(&format!("| {name} | {} | {} | {meaning} |\n", kind.name(), default.as_deref().unwrap_or("none")));
    }
    let example = doc.mark("example");
    let rows = answer(example, test).with_context(|| format!("{}.slt does not answer the example {example}", stage.name))?;
    let names: Vec<&str> = doc.columns.iter().map(|(name, ..)| name.as_str()).collect();
    page.push_str(&format!("\n```sql\n{example}\n```\n\n```text\n{}\n{rows}\n```\n", names.join(" ")));
    Ok(())
}

/// The rows that a test expects of a statement.
fn answer<'a>(statement: &str, test: &'a str) -> Option<&'a str> {
    let asked = format!("\n{statement}\n----\n");
    let rows = &test[test.find(&asked)? + asked.len()..];
    Some(rows.split("\n\n").next().unwrap_or_default().trim_end())
}

fn describe(page: &mut String, dir: &str, stage: &Stage) -> Result<()> {
    let doc = stage.doc()?;
    page.push_str(&format!("\n### {}\n\n{}\n\n", stage.name, doc.text.trim()));
    let needs = doc.needs.iter().map(|need| format!("`{need}`")).collect::<Vec<_>>().join(", ");
    page.push_str(&format!("File `sql/{dir}/{}.sql`, made from {needs}.\n\n", stage.name));
    page.push_str("| column | type | meaning |\n|---|---|---|\n");
    for (name, ty, meaning) in doc.columns {
        page.push_str(&format!("| {name} | {ty} | {} |\n", meaning.replace('|', "\\|")));
    }
    Ok(())
}
