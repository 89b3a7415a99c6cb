use super::*;
use datafusion::sql::parser::DFParserBuilder;

fn parameters(lines: &[&str]) -> Vec<Parameter> {
    lines.iter().map(|line| Parameter::parse(line).unwrap()).collect()
}

/// The statement with calls replaced, as text, or the message of the error.
fn expanded(sql: &str, macros: &[TableMacro]) -> Result<String, String> {
    let dialect = Postgres::bounded(sql);
    let mut parser = DFParserBuilder::new(sql).with_dialect(&dialect).build().unwrap();
    let mut statement = parser.parse_statements().unwrap().pop_front().unwrap();
    expand(&mut statement, macros).map_err(|error| format!("{error:#}"))?;
    Ok(statement.to_string())
}

fn some() -> Vec<TableMacro> {
    let wide = parameters(&["width DURATION 1s how long", "least BIGINT 0 at least", "name VARCHAR - whose"]);
    let inner = parameters(&["size SIZE - how large", "share DOUBLE 0.5 of all"]);
    vec![
        TableMacro::new("outer_one", wide, "SELECT $width, $least FROM inner_one(4096) WHERE name = $name".into()),
        TableMacro::new("inner_one", inner, "SELECT * FROM io WHERE bytes > $size AND x < $share".into()),
        TableMacro::new("endless", vec![], "SELECT * FROM endless()".into()),
        TableMacro::new("many", vec![], "SELECT * FROM inner_one(1), inner_one(2), inner_one(3)".into()),
    ]
}

#[test]
fn a_call_stands_for_the_query_with_its_arguments() {
    let macros = some();
    for (sql, whole) in [
        ("SELECT * FROM inner_one('4K')", "SELECT * FROM (SELECT * FROM io WHERE bytes > 4096 AND x < 0.5) AS inner_one"),
        ("SELECT * FROM Inner_One(-1, 1) i", "SELECT * FROM (SELECT * FROM io WHERE bytes > -1 AND x < 1.0) i"),
        (
            "SELECT * FROM inner_one(share => 1e3, size => 7)",
            "SELECT * FROM (SELECT * FROM io WHERE bytes > 7 AND x < 1000.0) AS inner_one",
        ),
        (
            "SELECT * FROM outer_one('1.5ms', name => 'it''s')",
            "SELECT * FROM (SELECT 1500000, 0 FROM (SELECT * FROM io WHERE bytes > 4096 AND x < 0.5) AS inner_one \
             WHERE name = 'it''s') AS outer_one",
        ),
        (
            "EXPLAIN SELECT * FROM inner_one(1)",
            "EXPLAIN SELECT * FROM (SELECT * FROM io WHERE bytes > 1 AND x < 0.5) AS inner_one",
        ),
        ("SELECT * FROM other(1)", "SELECT * FROM other(1)"),
        ("SELECT inner_one(1)", "SELECT inner_one(1)"),
    ] {
        assert_eq!(expanded(sql, &macros).unwrap(), whole, "{sql}");
    }
}

#[test]
fn what_it_does_not_take_is_said() {
    let macros = some();
    for (sql, says) in [
        ("SELECT * FROM inner_one()", "is called as inner_one(size SIZE, share DOUBLE = 0.5): size SIZE must be given"),
        ("SELECT * FROM inner_one(1, 2, 3)", "there are 3 arguments"),
        ("SELECT * FROM inner_one(1, size => 2)", "size is given twice"),
        ("SELECT * FROM inner_one(1, siz => 2)", "no parameter siz"),
        ("SELECT * FROM inner_one('4Q')", "no unit of bytes"),
        ("SELECT * FROM inner_one(1.5)", "1.5 is no whole number"),
        ("SELECT * FROM inner_one(1 + 1)", "1 + 1 is no number and no text"),
        ("SELECT * FROM inner_one((SELECT 1))", "is no number and no text"),
        ("SELECT * FROM inner_one(99999999999999999999)", "more than 64 bits"),
        ("SELECT * FROM inner_one(1, 'x')", "a number is expected"),
        ("SELECT * FROM inner_one(1, 1e999)", "is no number"),
        ("SELECT * FROM outer_one(name => 1)", "a text in single quotes is expected"),
        ("SELECT * FROM outer_one('-1s', name => 'a')", "is no time"),
        ("SELECT * FROM endless()", "without end"),
    ] {
        let error = expanded(sql, &macros).unwrap_err();
        assert!(error.contains(says), "{sql}: {error}");
    }
}

#[test]
fn a_statement_comes_to_a_bounded_number_of_calls() {
    let macros = some();
    let sql = |calls: usize| format!("SELECT * FROM {}", vec!["many()"; calls].join(", "));
    assert!(expanded(&sql(250), &macros).is_ok());
    assert!(expanded(&sql(251), &macros).unwrap_err().contains("without end"));
}

#[test]
fn a_head_and_its_sql_must_agree() {
    let width = || parameters(&["width DURATION 1s how long"]);
    for (parameters, sql, says) in [
        (width(), "SELECT $with", "$with is no parameter"),
        (width(), "SELECT 1", "parameter width of m is not used"),
        (vec![], "SELECT 1; SELECT 2", "one SELECT"),
        (vec![], "DROP TABLE events", "one SELECT"),
        (vec![], "SELECT (", "sql parser error"),
    ] {
        let error = format!("{:#}", TableMacro::new("m", parameters, sql.into()).query().unwrap_err());
        assert!(error.contains(says), "{sql}: {error}");
    }
    for line in ["width", "width TIME 1s x", "width DURATION 1parsec x", "n BIGINT x y", "n DOUBLE inf y"] {
        assert!(Parameter::parse(line).is_err(), "{line}");
    }
}
