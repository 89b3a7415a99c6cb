//! Where statements end, and what in between is none.

use crate::suite::generate::{capture, story};
use crate::tool::{ioriot, piped};
use std::fs;

/// SQL and what it is answered, as CSV.
const ASKED: &[(&str, &str)] = &[
    ("SELECT 1 AS a; /* done */", "a\n1\n"),
    ("/* ; /* ; */ ; */ SELECT 1 AS a; -- ;\n;;\n/* ; */", "a\n1\n"),
    ("SELECT $$a;b$$ AS a; SELECT $x$ $$; $x$ AS b", "a\na;b\nb\n $$; \n"),
    ("SELECT E'it\\'s; x' AS a; SELECT 'it''s;\n' || ';' AS b;", "a\nit's; x\nb\n\"it's;\n;\"\n"),
    ("SELECT ';' AS \"a;\"\"b\" -- not ; here\n; SELECT 'ü;' AS ü; SELECT 2 AS b", "\"a;\"\"b\"\n;\nü\nü;\nb\n2\n"),
    // What looks like a command is none inside a text or a comment.
    ("SELECT 'a\n\\q\nb' AS x;\nSELECT 2 AS b;\n", "x\n\"a\n\\q\nb\"\nb\n2\n"),
    ("SELECT 1 AS a /*\n\\d\nexit\n*/;\n", "a\n1\n"),
    ("SELECT $$\n\\x\n$$ AS a, \"b\n\\q\n\" FROM (SELECT 1 AS \"b\n\\q\n\");", "a,\"b\n\\q\n\"\n\"\n\\x\n\",1\n"),
];

#[test]
fn statements_end_where_the_parser_ends_them() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let (place, file) = (capture.to_str().unwrap(), dir.path().join("ask.sql"));
    for (sql, answer) in ASKED {
        fs::write(&file, sql).unwrap();
        let ways = [
            piped(&["query", place, "--format", "csv"], sql),
            ioriot(&["query", place, "--format", "csv", "-f", file.to_str().unwrap()]),
            ioriot(&["query", place, "--format", "csv", sql]),
        ];
        for (way, output) in ["piped", "-f", "argument"].iter().zip(ways) {
            let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!((said.as_ref(), output.status.code()), (*answer, Some(0)), "{way}: {sql}\n{wrong}");
        }
    }
}

#[test]
fn commands_stand_between_statements_and_within_them() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let args = ["query", capture.to_str().unwrap(), "--format", "csv"];
    for sql in ["/* nothing\nyet */\nexit\nSELECT 1;", "-- nothing\n\\q\nSELECT 1;", "quit"] {
        let output = piped(&args, sql);
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), output.status.code()), ("", Some(0)), "{sql}\n{wrong}");
    }
    for sql in ["SELECT 'a;\n", "SELECT 1; SELECT $$;", "SELECT /* ; /* */ ;", "SELECT U&'\\zzzz';\nSELECT 1;"] {
        let output = piped(&args, sql);
        assert!(output.status.code() == Some(2), "{sql}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("no SQL"), "{sql}: {output:?}");
    }
}

/// What is piped in has nobody who would see a hint and go on.
#[test]
fn a_command_that_says_nothing_ends_what_is_piped_in() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let args = ["query", capture.to_str().unwrap(), "--format", "csv"];
    for (sql, why) in [
        ("\\foo", "\\foo is no command"),
        ("\\q now", "\\q now is no command"),
        (".mode line", ".mode line is no command"),
        ("\\d nosuch", "no table nosuch"),
        (".schema nosuch", "no table nosuch"),
    ] {
        let output = piped(&args, &format!("SELECT 1 AS a;\n{sql}\nSELECT 2 AS b;\n"));
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (String::from_utf8_lossy(&output.stdout).as_ref(), output.status.code()),
            ("a\n1\n", Some(2)),
            "{sql}\n{wrong}"
        );
        assert!(wrong.contains(why), "{sql}\n{wrong}");
    }
    for (sql, answer) in [
        ("SELECT 1 AS a\n\\q\nSELECT 2;", "a\n1\n"),
        ("SELECT 1 AS a\n-- done\n\\q\n;", "a\n1\n"),
        ("SELECT 1 AS a; SELECT 2\nAS b\n\\q\n", "a\n1\nb\n2\n"),
    ] {
        let output = piped(&args, sql);
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), output.status.code()), (answer, Some(0)), "{sql}\n{wrong}");
    }
    let output = piped(&args, "SELECT nothing\n\\q\n");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn commands_change_how_answers_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let asked = "SELECT 1 AS a, 'x|y' AS b;\n";
    let input = format!("{asked}\\x\n{asked}.mode markdown\n{asked}\\mode ndjson\n{asked}\\x off\n{asked}");
    let output = piped(&["query", capture.to_str().unwrap(), "--format", "csv"], &input);
    let table = "+---+-----+\n| a | b   |\n+---+-----+\n| 1 | x|y |\n+---+-----+\n1 row\n";
    let answers = [
        "a,b\n1,x|y\n",
        "-[ row 1 ]\na | 1\nb | x|y\n1 row\n",
        "| a | b |\n|---|---|\n| 1 | x\\|y |\n",
        "{\"a\":1,\"b\":\"x|y\"}\n",
        table,
    ];
    assert_eq!(String::from_utf8_lossy(&output.stdout), answers.concat(), "{output:?}");
}
