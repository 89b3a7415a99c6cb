//! Bounds how deeply a statement nests: planning and running it recurse, and a thread's stack is finite.
//!
//! The parser counts what is in parentheses, but makes of `a OR b OR c ...` a tree that is as deep as the chain is long.

use super::{dialect, refuse};
use crate::limits;
use anyhow::{Context, Result, ensure};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// A chain of terms that operators join, between one comma or parenthesis and the next: its length so far.
#[derive(Clone, Copy, Default)]
struct Chain {
    length: usize,
    /// Is it in a FROM clause? There a comma is a join and adds depth; elsewhere it begins a new chain.
    tables: bool,
}

/// Refuses a statement with more than [`limits::SQL`] bytes or with chains of more than [`limits::TERMS`] operators,
/// and words that `refuse::words` refuses.
///
/// # Errors
/// When a limit is exceeded, or the text cannot be tokenized (a text or comment without an end).
pub fn check(sql: &str) -> Result<()> {
    ensure!(sql.len() <= limits::SQL, "the statement has {} bytes, and {} are the limit", sql.len(), limits::SQL);
    let tokens = Tokenizer::new(&dialect::POSTGRES, sql).tokenize().context("this is no SQL")?;
    refuse::words(&tokens)?;
    let depth = depth(&tokens);
    ensure!(
        depth <= limits::TERMS,
        "the statement joins {depth} terms by operators, and {} are the limit: `x IN (1, 2, ...)` may be as long as it likes",
        limits::TERMS
    );
    Ok(())
}

/// The largest number of operators that nest around any one term.
fn depth(tokens: &[Token]) -> usize {
    let (mut outer, mut chain) = (Vec::new(), Chain::default());
    let (mut above, mut deepest) = (0, 0);
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                above += chain.length;
                outer.push(std::mem::take(&mut chain));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                chain = outer.pop().unwrap_or_default();
                above -= chain.length;
            }
            Token::Comma if chain.tables => chain.length += 1,
            Token::Comma | Token::SemiColon => chain.length = 0,
            Token::Word(word) => match word.keyword {
                Keyword::FROM => chain.tables = true,
                Keyword::WHEN | Keyword::THEN | Keyword::ELSE => chain.length = 0,
                Keyword::WHERE | Keyword::GROUP | Keyword::ORDER | Keyword::SELECT => chain.tables = false,
                Keyword::AND | Keyword::OR | Keyword::JOIN | Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
                    chain.length += 1;
                }
                _ => {}
            },
            Token::Number(..) | Token::Whitespace(_) | Token::Period | Token::SingleQuotedString(_) => {}
            _ => chain.length += 1,
        }
        deepest = deepest.max(above + chain.length);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> usize {
        depth(&Tokenizer::new(&dialect::POSTGRES, sql).tokenize().unwrap())
    }

    #[test]
    fn chains_are_deep_and_lists_are_not() {
        assert_eq!(of("SELECT a, b + 1, 'x' FROM t WHERE a IN (1, 2, 3)"), 1, "what commas part is not deep");
        assert_eq!(of("SELECT 1 + 2 * (3 - (4 / 5))"), 4);
        assert_eq!(of("SELECT a FROM t, u, v JOIN w"), 3);
        assert_eq!(of(&format!("SELECT {}1", "1 OR ".repeat(30_000))), 30_000);
        assert_eq!(of(&format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(500))), 500);
        assert!(of(&format!("SELECT CASE {} END", "WHEN a = 1 THEN 2 ".repeat(5000))) < 3);
        assert!(of(&format!("VALUES {} (1)", "(-1, 'a'), ".repeat(5000))) < 4);
        assert_eq!(of("SELECT )))"), 0);
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        assert!(check("SELECT 1").is_ok() && check("SELECT 'a").is_err());
        let error = check(&format!("SELECT {}1", "1 + ".repeat(30_000))).unwrap_err().to_string();
        assert!(error.contains("30000 terms"), "{error}");
        assert!(check(&" ".repeat(limits::SQL + 1)).is_err());
    }
}
