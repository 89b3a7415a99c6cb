//! Checks the form in which strace prints an argument whose value has no column: a text of any other form was never printed
//! there, and the line is damaged.

use super::lex;

/// Is it what strace prints for an argument of any kind?
///
/// Forms of calls that the table does not have: `ffffffff` (a number of futex in old versions), `(nil)`, and in place of what
/// restart_syscall(2) goes on with `<... resuming interrupted nanosleep ...>`.
pub fn any(arg: &[u8]) -> bool {
    let resuming = arg.starts_with(b"<... resuming interrupted ") && arg.ends_with(b" ...>");
    memory(lex::uncontext(arg)) || memory(arg) || number(arg) || hex(arg) || arg == b"(nil)" || resuming
}

/// Is it what strace prints for memory: a string, a list, a structure, an address, a comment in place of them? Behind it
/// may stand what the call made of it (`{...} => {...}`), and a comment.
pub fn memory(arg: &[u8]) -> bool {
    let Some(mut rest) = block(arg) else { return false };
    if let Some(after) = rest.strip_prefix(b" => ") {
        let Some(behind) = block(after) else { return false };
        rest = behind;
    }
    rest.is_empty() || lex::is_comment(rest.trim_ascii_start())
}

/// Is it what strace prints for memory that it did not read: an address, a comment, or what `-s 0` leaves of a list or
/// structure?
pub fn elsewhere(arg: &[u8]) -> bool {
    matches!(arg, b"[...]" | b"{...}") || lex::is_comment(arg) || address(arg)
}

/// The rest of a text behind the string, list, structure, address or comment at its start; `None` when none is there.
fn block(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'"', ..] => {
            let rest = &text[lex::string_len(text)?..];
            Some(rest.strip_prefix(b"...").unwrap_or(rest))
        }
        [b'[' | b'{', ..] => list(text),
        // A set of signals except for some: `~[INT]`
        [b'~', set @ ..] if set.starts_with(b"[") => list(set),
        [b'/', b'*', ..] => Some(&text[lex::comment_len(text)?..]),
        _ => {
            let (word, rest) = text.split_at(word(text));
            address(word).then_some(rest)
        }
    }
}

/// The rest of a text behind the list or structure at its start; `None` when a member is a word that is neither constant nor
/// number.
fn list(text: &[u8]) -> Option<&[u8]> {
    let mut good = true;
    let rest = lex::members(text, |member| {
        good &= word(member) < member.len() || constant(member) || hex(member) || lex::number(member).is_some()
    })?;
    good.then_some(rest)
}

fn address(word: &[u8]) -> bool {
    matches!(word, b"NULL" | b"0") || word.starts_with(b"0x") && lex::number(word).is_some()
}

/// Is it what strace prints for a number: digits, constants and what looks like a call of a macro, joined by operators, with
/// comments and annotations of descriptors?
pub fn number(arg: &[u8]) -> bool {
    let mut rest = lex::uncontext(arg);
    let mut complete = false;
    while !rest.is_empty() {
        rest = match rest {
            [b' ', tail @ ..] => tail,
            [b'/', b'*', ..] => match lex::comment_len(rest) {
                Some(len) => &rest[len..],
                None => return false,
            },
            [b'|' | b'*' | b'^' | b'+', tail @ ..] | [b'<', b'<', tail @ ..] | [b'o', b'r', b' ', tail @ ..] if complete => {
                complete = false;
                tail
            }
            _ if complete => return false,
            _ => match term(rest.strip_prefix(b"~").unwrap_or(rest)) {
                Some(tail) => {
                    complete = true;
                    tail
                }
                None => return false,
            },
        };
    }
    complete
}

/// The rest of a text behind the number, constant or macro at its start (and its annotation); `None` when none is there.
fn term(text: &[u8]) -> Option<&[u8]> {
    let (word, rest) = text.split_at(word(text));
    let numeric = matches!(word.first()?, b'0'..=b'9' | b'-');
    let rest = match rest {
        [b'(', ..] if !numeric => lex::group(rest)?,
        _ if numeric => lex::number(word).map(|_| rest)?,
        _ => constant(word).then_some(rest)?,
    };
    match rest {
        [b'<', b'<', ..] => Some(rest),
        [b'<', ..] => {
            let rest = &rest[lex::annotation_len(rest)?..];
            Some(rest.strip_prefix(b"(deleted)").unwrap_or(rest))
        }
        _ => Some(rest),
    }
}

/// Is the word the name of a constant? Those are in capitals, all but AF_DECnet and PF_DECnet.
fn constant(word: &[u8]) -> bool {
    let capital = |c: &u8| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, b'_' | b'?');
    word.strip_suffix(b"net").filter(|word| word.ends_with(b"F_DEC")).unwrap_or(word).iter().all(capital)
}

/// Hexadecimal without a sign of it, as old versions print a set of processors: `{f}`.
fn hex(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|c| c.is_ascii_digit() || matches!(c, b'a'..=b'f'))
}

fn word(text: &[u8]) -> usize {
    text.iter().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'?')).count()
}

/// Does an argument begin with its name, as in `flags=SIGCHLD`?
pub fn named(arg: &[u8]) -> bool {
    let name = arg.iter().take_while(|c| c.is_ascii_lowercase() || **c == b'_').count();
    name > 0 && arg.get(name) == Some(&b'=')
}

/// Is it a part of a structure that has no name: `...` for fields left out, or a comment on bytes that strace has no names for?
pub fn unnamed(field: &[u8]) -> bool {
    field == b"..." || field.starts_with(b"/*")
}

/// The values behind these names in a structure (`None` where a field is missing). `None` in all when the text is no whole
/// structure, has a field twice, or has another field for which `fine` is false.
pub fn structure<'a, const N: usize>(
    arg: &'a [u8],
    names: [&str; N],
    fine: impl Fn(&[u8]) -> bool,
) -> Option<[Option<&'a [u8]>; N]> {
    let (mut found, mut good) = ([None; N], true);
    let behind = lex::members(arg.starts_with(b"{").then_some(arg)?, |field| {
        match names.iter().zip(&mut found).find_map(|(name, found)| Some((field.strip_prefix(name.as_bytes())?, found))) {
            Some((value, found)) => good &= found.replace(value).is_none(),
            None => good &= fine(field),
        }
    })?;
    (good && behind.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_printed_whole_or_as_an_address() {
        for arg in [
            r#""abc""#,
            r#""a)b\"c"..."#,
            "[INT TERM]",
            "~[RTMIN RT_1]",
            "[]",
            "[128->16]",
            "{a=1, b={c=[2, 3]}}",
            "{a=1} => {b=2}",
            "[5 => 7]",
            "{...} => 0x7ffd",
            "0x7ffd /* 23 vars */",
            "NULL /* 0 entries */",
            "/* 3 entries */",
            r#"["sh", "-c"..., ...]"#,
            "0",
        ] {
            assert!(memory(arg.as_bytes()), "{arg}");
        }
        for arg in [
            "",
            "0junk",
            "junk",
            "{a=1} junk",
            "{a=1",
            "[5]7",
            r#""a"b"#,
            "{a=1} => ",
            "{a=1} => x",
            "{junk}",
            "[5, junk]",
            "0x7f /* a",
            "NULLx",
        ] {
            assert!(!memory(arg.as_bytes()), "{arg}");
        }
    }

    #[test]
    fn numbers_are_digits_names_and_macros() {
        for arg in [
            "5",
            "-1",
            "0x7f",
            "O_RDWR|O_CLOEXEC",
            "makedev(0x1, 0x3)",
            "SNDCTL_TMR_TIMEBASE or TCGETS",
            "_IOC(_IOC_READ|_IOC_WRITE, 0x12, 0x72, 0x8)",
            "21<<MAP_HUGE_SHIFT",
            "8192*1024",
            "0x1f /* AF_??? */",
            "MS_???",
            "0 /* QCMD(0 /* Q_??? */, USRQUOTA) */",
            "0x1 /* A */|0x2",
            "3</a b>(deleted)",
            "5<sh>",
            "3 [user_home_t]",
            "AT_FDCWD</x>",
            "AF_DECnet",
        ] {
            assert!(number(arg.as_bytes()), "{arg}");
        }
        for arg in [
            "",
            "0junk",
            "junk",
            "5 6",
            "O_RDWRjunk",
            "Junk",
            "O_RDWR|",
            "O_RDWR O_CREAT",
            "{a=1}",
            "makedev(0x1",
            "3</a>b",
            "/* a */",
            "\"a\"",
        ] {
            assert!(!number(arg.as_bytes()), "{arg}");
        }
    }
}
