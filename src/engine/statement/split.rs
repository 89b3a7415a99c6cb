//! Splits SQL text into statements: at each `;` that the parser's own tokenizer sees as one.

use super::dialect::POSTGRES;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// SQL text cut into statements.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut<'a> {
    /// The statements that a `;` ends, without the `;`. Blanks and comments alone are no statement.
    pub ended: Vec<&'a str>,
    /// The text after the last `;`.
    pub rest: &'a str,
    /// Kind of the text after the last `;`: blank, a statement begun, one that ends inside a quote, or no SQL.
    pub is: Rest,
}

/// What the text after the last `;` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Only blanks and comments follow the last `;`.
    Blank,
    /// A statement that no `;` ends, or the beginning of one.
    Begun,
    /// A beginning of a statement that ends inside a quoted text, a quoted name or a comment.
    Inside,
    /// Text that no SQL begins with, whatever may follow.
    Wrong,
}

/// Cuts SQL text into statements at each `;` outside quotes and comments.
pub fn cut(sql: &str) -> Cut<'_> {
    let mut tokens = Vec::new();
    let read = Tokenizer::new(&POSTGRES, sql).tokenize_with_location_into_buf(&mut tokens);
    // The tokenizer gives line and column in characters; slices need bytes.
    let mut places = sql.char_indices().scan((1, 1), |place, (at, letter)| {
        let here = *place;
        *place = if letter == '\n' { (here.0 + 1, 1) } else { (here.0, here.1 + 1) };
        Some((here, at))
    });
    let (mut ended, mut start, mut is) = (Vec::new(), 0, Rest::Blank);
    for token in &tokens {
        match token.token {
            Token::Whitespace(_) => {}
            Token::SemiColon => {
                let place = (token.span.start.line, token.span.start.column);
                let Some((_, at)) = places.find(|(here, _)| *here == place) else { break };
                if is == Rest::Begun {
                    ended.push(&sql[start..at]);
                }
                (start, is) = (at + 1, Rest::Blank);
            }
            _ => is = Rest::Begun,
        }
    }
    if let Err(error) = read {
        let more = ["Unterminated", "EOF"].iter().any(|word| error.message.contains(word));
        is = if more { Rest::Inside } else { Rest::Wrong };
    }
    Cut { ended, rest: &sql[start..], is }
}

/// The statements of a SQL text, without their `;`; the last one needs none.
pub fn statements(sql: &str) -> Vec<&str> {
    let Cut { mut ended, rest, is } = cut(sql);
    if is != Rest::Blank {
        ended.push(rest);
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_quotes_and_comments() {
        let sql = "SELECT ';' AS \"a;b\" -- not ; here\n; SELECT /* ; */ 'ü''s;';\n-- done\n";
        assert_eq!(statements(sql), ["SELECT ';' AS \"a;b\" -- not ; here\n", " SELECT /* ; */ 'ü''s;'"]);
        assert_eq!(statements("/* ; */ ; -- ;"), [""; 0]);
        assert_eq!(statements("a;\r\n;b"), ["a", "b"]);
        assert_eq!(statements("é; ;ü\t;\n\n;$$;$$"), ["é", "ü\t", "$$;$$"]);
    }

    #[test]
    fn what_is_not_ended_is_told() {
        let is = |sql| cut(sql).is;
        for inside in ["'a;", "E'a\\';", "\"a;", "/* /* */ ;", "$$a;", "$a$;$$;", "U&'a;", "1; 'a\n"] {
            assert_eq!(is(inside), Rest::Inside, "{inside}");
        }
        assert_eq!((is("1"), is("-- 1"), is("1; /**/ "), is("")), (Rest::Begun, Rest::Blank, Rest::Blank, Rest::Blank));
        assert_eq!(is("SELECT U&'\\zzzz';"), Rest::Wrong);
        let Cut { ended, rest, is } = cut("1; 2;'3;");
        assert_eq!((ended.as_slice(), rest, is), (["1", " 2"].as_slice(), "'3;", Rest::Inside));
    }
}
