//! docs/SQL.md, made from the heads of the stages and views.

use super::STAGES;
use crate::engine::Stage;
use crate::report;
use anyhow::Result;

/// The page, as Markdown.
///
/// # Errors
/// When the head of a stage is malformed; a test of the stages would have found it.
pub fn sql_markdown() -> Result<String> {
    let mut page = String::from(
        "# SQL\n\nMade from the heads of the files in `sql/`; do not edit.\n\n\
         ## Stages of generate\n\nIn the order in which they run; `ioriot generate --sql-dir DIR` takes edited ones from DIR, \
         `--explain STAGE` shows a plan.\n",
    );
    for (stage, _) in STAGES {
        describe(&mut page, "generate", stage)?;
    }
    page.push_str(
        "\n## Views for queries\n\n`ioriot query` defines each of them whose tables are in the datasets it is given.\n",
    );
    for view in report::VIEWS {
        describe(&mut page, "query", view)?;
    }
    for view in report::CHECKS {
        describe(&mut page, "report", view)?;
    }
    Ok(page)
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
