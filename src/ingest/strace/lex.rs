//! Lexer for strace lines: strings, comments, annotations, numbers, argument lists.

use super::kinds::DIR;
use super::names::{self, Kind};
use memchr::{memchr, memchr2, memmem, memrchr};

/// The most arguments that any printed call has.
const MAX_ARGS: usize = 12;

/// The arguments of a call as printed, without the blanks around them.
#[derive(Debug, Default)]
pub struct Args<'a> {
    list: [&'a [u8]; MAX_ARGS],
    len: usize,
}

impl<'a> Args<'a> {
    fn push(&mut self, arg: &'a [u8]) {
        // Arguments beyond MAX_ARGS are dropped; no known call has so many.
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = arg.trim_ascii();
            self.len += 1;
        }
    }

    /// The printed arguments in order.
    pub fn as_slice(&self) -> &[&'a [u8]] {
        &self.list[..self.len]
    }
}

/// Splits `text`, which starts after the opening parenthesis, at the commas of its top level. Returns the arguments and what
/// follows the closing parenthesis; `None` for the latter when the text ends before it (a call that never returned). `None` in
/// all when a string, comment or annotation does not end.
pub fn split(text: &[u8]) -> Option<(Args<'_>, Option<&[u8]>)> {
    let mut args = Args::default();
    let rest = scan(text, b')', |arg| args.push(arg))?;
    Some((args, rest))
}

fn scan<'a>(text: &'a [u8], close: u8, mut each: impl FnMut(&'a [u8])) -> Option<Option<&'a [u8]>> {
    let (mut start, mut at, mut depth, mut first) = (0, 0, 0usize, true);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at += string_len(&text[at..])? - 1,
            b'<' if annotated(&text[start..at]) => at += annotation_len(&text[at..])? - 1,
            b'/' if text.get(at + 1) == Some(&b'*') => at += comment_len(&text[at..])? - 1,
            b'(' | b'[' | b'{' => depth += 1,
            _ if byte == close && depth == 0 => {
                if start < at || !first {
                    each(&text[start..at]);
                }
                return Some(Some(&text[at + 1..]));
            }
            b')' | b']' | b'}' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                each(&text[start..at]);
                (start, first) = (at + 1, false);
            }
            _ => {}
        }
        at += 1;
    }
    if !text[start..].trim_ascii().is_empty() {
        each(&text[start..]);
    }
    Some(None)
}

/// Splits the fields of a struct, whose opening brace has been passed; also returns what follows its closing brace.
pub fn split_braces(text: &[u8]) -> Option<(Args<'_>, &[u8])> {
    let mut args = Args::default();
    let rest = scan(text, b'}', |field| args.push(field))??;
    Some((args, rest))
}

/// Calls `each` with every member inside the bracket at the start of a text, and returns what follows the bracket.
pub fn members<'a>(text: &'a [u8], mut each: impl FnMut(&'a [u8])) -> Option<&'a [u8]> {
    let close = match text.first()? {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        _ => return None,
    };
    scan(&text[1..], close, |member| each(member.trim_ascii()))?
}

/// The rest of a text behind the bracketed group at its start.
pub fn group(text: &[u8]) -> Option<&[u8]> {
    members(text, |_| {})
}

/// Does a `<` after this text begin the annotation of a descriptor, as it does after a number or AT_FDCWD?
fn annotated(before: &[u8]) -> bool {
    before.last().is_some_and(u8::is_ascii_digit) || before.ends_with(b"AT_FDCWD") || before.ends_with(b"AT_FDCWD */")
}

/// Length of the quoted string at the start of `text`, quotes included.
pub fn string_len(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Length of the comment at the start of `text`, with its marks. With `-X verbose` comments nest:
/// `0x1007 /* 0x7 /* MAP_??? */|MAP_EXECUTABLE */`.
pub fn comment_len(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        match text.get(at..)? {
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [] => return None,
            _ => at += 1,
        }
    }
    Some(at)
}

/// Is the text one comment and nothing else?
pub fn is_comment(text: &[u8]) -> bool {
    text.starts_with(b"/*") && comment_len(text) == Some(text.len())
}

/// Length of the annotation `<...>` at the start of `text`, both signs included. In a path strace escapes both signs, since
/// version 5 or so; elsewhere (`<TCP:[a->b]>`, `<\x2f\x64<char 1:3>>`, `<pid:12<sh>>`) they nest or stand inside brackets.
/// `1<<2` is no annotation.
pub fn annotation_len(text: &[u8]) -> Option<usize> {
    if text.get(1) == Some(&b'<') {
        return Some(1);
    }
    if text.get(1) == Some(&b'/') {
        let mut at = 1;
        loop {
            at += memchr(b'>', text.get(at..)?)? + 1;
            if let Some(gone) = text[at..].strip_prefix(GONE).filter(|_| ends_in_device(&text[..at])) {
                return Some(text.len() - gone.len());
            }
            // A `>` inside the path is followed by more of the path.
            if matches!(text.get(at), None | Some(b',' | b')' | b' ' | b']' | b'}' | b'(' | b'=')) {
                return Some(at);
            }
        }
    }
    let (mut at, mut depth) = (1, 0usize);
    loop {
        match text.get(at)? {
            b'"' => at += string_len(&text[at..])? - 1,
            b'<' if device(&text[at..]).is_some() || process(&text[1..at]).is_some() => {
                at += memchr(b'>', &text[at..])?;
                let rest = &text[at + 1..];
                let end = rest.strip_prefix(GONE).or_else(|| rest.strip_prefix(b">"))?;
                return Some(text.len() - end.len());
            }
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'>' if depth == 0 => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
}

/// What a descriptor is open on, as its annotation says (`-y`).
#[derive(Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Path, or `pipe:[N]`, `socket:[N]` and the like.
    pub path: Vec<u8>,
    /// S_IFCHR or S_IFBLK for a device (inode(7)); `None` for anything else.
    pub kind: Option<i64>,
}

/// The kind of the device whose numbers a mark at the start of a text tells: `<char 1:3>`, `<block 8:0>`.
fn device(mark: &[u8]) -> Option<i64> {
    match mark {
        _ if mark.starts_with(b"<char ") => Some(0o020000),
        _ if mark.starts_with(b"<block ") => Some(0o060000),
        _ => None,
    }
}

/// Is it the process that a descriptor is open on, `pid:12`? With `--decode-pids=comm` its name follows: `pid:12<sh>`.
fn process(text: &[u8]) -> Option<&[u8]> {
    let number = text.strip_prefix(b"pid:")?;
    (!number.is_empty() && number.iter().all(u8::is_ascii_digit)).then_some(text)
}

/// What ends the annotation of a device node that was deleted: `</dev/x<block 8:1>(deleted)>`.
const GONE: &[u8] = b"(deleted)>";

fn ends_in_device(text: &[u8]) -> bool {
    memrchr(b'<', text).is_some_and(|mark| device(&text[mark..]).is_some())
}

/// A descriptor with its annotation, if it has one: `3`, `3</path>`, `3</dev/null<char 1:3>>`, `3</gone>(deleted)`,
/// `3</dev/gone<char 1:3>(deleted)>`, `3</path> [user_home_t]` (`--secontext`).
pub fn descriptor(text: &[u8]) -> Option<(i64, Option<Annotation>)> {
    // No products are printed for descriptors.
    let plain = |text: &[u8]| value(text, DIR).filter(|_| !text.contains(&b'*') || text.ends_with(b"*/"));
    let Some(open) = memchr(b'<', text) else { return Some((plain(uncontext(text))?, None)) };
    let number = plain(&text[..open])?;
    let end = open + annotation_len(&text[open..])?;
    let mut inner = text.get(open + 1..end.checked_sub(1)?)?;
    let (mut kind, mut gone) = (None, false);
    if let Some(node) = inner.strip_suffix(b"(deleted)").filter(|node| node.ends_with(b">") && ends_in_device(node)) {
        (inner, gone) = (node, true);
    }
    if inner.last() == Some(&b'>')
        && let Some(mark) = memrchr(b'<', inner)
    {
        kind = device(&inner[mark..]);
        if kind.is_some() {
            inner = &inner[..mark];
        }
    }
    // A process may change its name, and is the same.
    if let Some(mark) = memchr(b'<', inner)
        && let Some(process) = process(&inner[..mark])
    {
        inner = process;
    }
    let mut path = unescape(inner)?;
    match uncontext(&text[end..]) {
        b"" if !gone => {}
        b"" | b"(deleted)" => path.extend_from_slice(b" (deleted)"),
        _ => return None,
    }
    Some((number, Some(Annotation { path, kind })))
}

/// A string argument as printed.
#[derive(Debug, PartialEq, Eq)]
pub enum Printed {
    /// The whole string, with strace's escapes decoded.
    Whole(Vec<u8>),
    /// Cut by strace (`"..."...`), longer than a path can be, or printed as an address.
    Lost,
    /// A NULL pointer was printed: the call was given no string.
    Null,
}

/// Parses a string argument: a quoted string, NULL, an address or a comment; `None` when it is malformed.
pub fn string(text: &[u8]) -> Option<Printed> {
    if text.first() != Some(&b'"') {
        // An address that was not or could not be read, or a comment.
        return match text {
            b"NULL" | b"0" => Some(Printed::Null),
            [b'0', b'x', ..] => value(uncontext(text), &[]).map(|_| Printed::Lost),
            _ if is_comment(text) => Some(Printed::Lost),
            _ => None,
        };
    }
    let len = string_len(text)?;
    match &text[len..] {
        rest if uncontext(rest).is_empty() => Some(match unescape(&text[1..len - 1])? {
            // No name is longer (PATH_MAX): such a text is data, and events are kept in memory.
            bytes if bytes.len() > 4096 => Printed::Lost,
            bytes => Printed::Whole(bytes),
        }),
        rest if uncontext(rest) == b"..." => Some(Printed::Lost),
        _ => None,
    }
}

/// Decodes strace's escapes: `\n` and the like, octal, `\x` (`-x`, `-xx`); `None` when one is none of these.
pub fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let Some(first) = memchr(b'\\', text) else { return Some(text.to_vec()) };
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&code, tail) = rest.split_first()?;
        rest = tail;
        match code {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'v' => out.push(0x0b),
            b'f' => out.push(0x0c),
            b'x' => {
                let digits = rest.iter().take(2).take_while(|c| c.is_ascii_hexdigit()).count();
                if digits == 0 {
                    return None;
                }
                out.push(rest[..digits].iter().fold(0, |n, c| n << 4 | hex(*c)));
                rest = &rest[digits..];
            }
            b'0'..=b'7' => {
                let digits = rest.iter().take(2).take_while(|c| (b'0'..=b'7').contains(c)).count();
                let first = u32::from(code - b'0');
                out.push(u8::try_from(rest[..digits].iter().fold(first, |n, c| n << 3 | u32::from(c - b'0'))).ok()?);
                rest = &rest[digits..];
            }
            b'"' | b'\\' => out.push(code),
            _ => return None,
        }
    }
    Some(out)
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// The process id in strace's own namespace, in a comment behind the id that the program got: `/* 12 in strace's PID NS */`
pub fn translated(text: &[u8]) -> Option<i64> {
    number(text.trim_ascii().strip_prefix(b"/* ")?.strip_suffix(b" in strace's PID NS */")?)
}

/// Parses a number: decimal, hexadecimal (0x), octal (leading 0), negative; values up to 2^64-1 keep their bits.
pub fn number(text: &[u8]) -> Option<i64> {
    let (minus, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    };
    let (radix, digits) = match digits {
        [b'0', b'x', rest @ ..] => (16, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        _ => (10, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut total = 0u64;
    for &digit in digits {
        if !digit.is_ascii_hexdigit() || u64::from(hex(digit)) >= radix {
            return None;
        }
        total = total.checked_mul(radix)?.checked_add(u64::from(hex(digit)))?;
    }
    let total = total as i64;
    Some(if minus { total.wrapping_neg() } else { total })
}

/// Evaluates a number, a name of one of these kinds, or several of them joined with `|`. Comments are skipped
/// (`0x1 /* MAP_SHARED */`); of `X or Y` the first known name counts, since both have the same number. `None` when it is none of
/// these.
pub fn value(text: &[u8], kinds: &[Kind]) -> Option<i64> {
    // No number is printed longer than this, and the evaluation below recurses.
    if text.len() > 4096 {
        return None;
    }
    if let Some(at) = memmem::find(text, b"/*") {
        let end = comment_len(&text[at..]).map_or(text.len(), |len| at + len);
        return match (text[..at].trim_ascii(), text[end..].trim_ascii()) {
            (b"", text) | (text, b"") => value(text, kinds),
            (first, [b'|', rest @ ..]) if names::join(kinds) => Some(value(first, kinds)? | value(rest, kinds)?),
            _ => None,
        };
    }
    if text.starts_with(b"_IOC(") {
        return ioc(text).filter(|_| kinds.contains(&Kind::Ioctl));
    }
    if text.contains(&b' ') {
        let at = memmem::find(text, b" or ")?;
        return value(&text[..at], kinds).or_else(|| value(&text[at + 4..], kinds));
    }
    if memchr(b'|', text).is_some() && !names::join(kinds) {
        return None;
    }
    let mut total = 0;
    for part in text.split(|c| *c == b'|') {
        total |= match part.first()? {
            b'0'..=b'9' | b'-' => number(part).or_else(|| product(part, kinds))?,
            _ => names::number(part, kinds).or_else(|| product(part, kinds))?,
        };
    }
    Some(total)
}

/// Evaluates `1<<12`, `21<<MAP_HUGE_SHIFT` and `8192*1024`.
fn product(text: &[u8], kinds: &[Kind]) -> Option<i64> {
    let factor = |text: &[u8]| number(text).or_else(|| names::number(text, kinds));
    if let Some(at) = memmem::find(text, b"<<") {
        return factor(&text[..at])?.checked_shl(u32::try_from(factor(&text[at + 2..])?).ok()?);
    }
    let at = memchr(b'*', text)?;
    factor(&text[..at])?.checked_mul(factor(&text[at + 1..])?)
}

/// The text without the security context that `--secontext` adds at the end: `3 [user_home_t]`.
pub fn uncontext(text: &[u8]) -> &[u8] {
    match text.strip_suffix(b"]").and_then(|inner| memmem::rfind(inner, b" [")) {
        Some(at) => &text[..at],
        None => text,
    }
}

/// Evaluates `_IOC(_IOC_READ|_IOC_WRITE, 0x12, 0x72, 0x8)`: an ioctl(2) request that strace has no name for.
fn ioc(text: &[u8]) -> Option<i64> {
    let inner = text.strip_prefix(b"_IOC(")?.strip_suffix(b")")?;
    let mut parts = inner.split(|c| *c == b',').map(|part| part.trim_ascii());
    let direction = match parts.next()? {
        b"_IOC_NONE" => 0,
        b"_IOC_WRITE" => 1,
        b"_IOC_READ" => 2,
        b"_IOC_READ|_IOC_WRITE" => 3,
        _ => return None,
    };
    let (kind, nr, size) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    Some(direction << 30 | size << 16 | kind << 8 | nr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> (Vec<String>, Option<String>) {
        let (args, rest) = split(text.as_bytes()).unwrap();
        let list = args.as_slice().iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
        (list, rest.map(|rest| String::from_utf8_lossy(rest).into_owned()))
    }

    #[test]
    fn arguments_split_outside_strings_and_annotations() {
        let (list, rest) = args(r#"3</a,b)c>, "x\"),y", {f=[1, 2]}, 4<TCP:[1.2.3.4:5->6.7.8.9:1]>, 0x5 /* 2, 3 */) = 0"#);
        assert_eq!(list, ["3</a,b)c>", r#""x\"),y""#, "{f=[1, 2]}", "4<TCP:[1.2.3.4:5->6.7.8.9:1]>", "0x5 /* 2, 3 */"]);
        assert_eq!(rest.as_deref(), Some(" = 0"));
        assert_eq!(args(") = 1"), (vec![], Some(" = 1".into())));
        assert_eq!(args(r#"-1, "ab"#.trim_end_matches("\"ab")), (vec!["-1".into()], None));
    }

    #[test]
    fn descriptors_say_what_they_are_open_on() {
        let on = |text: &str| descriptor(text.as_bytes()).unwrap();
        assert_eq!(on("3"), (3, None));
        assert_eq!(on("AT_FDCWD</x y>").1.unwrap().path, b"/x y");
        assert_eq!(on("0</dev/null<char 1:3>>"), (0, Some(Annotation { path: b"/dev/null".into(), kind: Some(0o20000) })));
        assert_eq!(on("0<\\x2f\\x64\\x3e<block 8:0>>"), (0, Some(Annotation { path: b"/d>".into(), kind: Some(0o60000) })));
        assert_eq!((on("3<pid:12<a (b>>"), on("3<pid:12>").1.unwrap().path), (on("3<pid:12>"), b"pid:12".to_vec()));
        for node in ["5</dev/x<block 8:1>(deleted)>", "5<\\x2f\\x64\\x65\\x76/x<block 8:1>(deleted)>"] {
            assert_eq!(on(node), (5, Some(Annotation { path: b"/dev/x (deleted)".into(), kind: Some(0o60000) })));
        }
        assert_eq!(descriptor(b"5</dev/x<block 8:1>(deleted)>x"), None);
        assert_eq!(on("5<\\x2f\\xc3<char 5:0>>(deleted)").1.unwrap().path, b"/\xc3 (deleted)");
        assert_eq!(on("5</tmp/\\74a\\76\\n>(deleted)").1.unwrap().path, b"/tmp/<a>\n (deleted)");
        assert_eq!(on("5<UNIX-STREAM:[1->2,\"/a>b\"]>").1.unwrap().path, b"UNIX-STREAM:[1->2,\"/a>b\"]");
        assert_eq!(on("5<TCPv6:[[::1]:80->[::1]:81]>").1.unwrap().path, b"TCPv6:[[::1]:80->[::1]:81]");
    }

    #[test]
    fn strings_become_bytes() {
        assert_eq!(string(br#""a\"\\\n\0\1772\x2f\x4""#), Some(Printed::Whole(b"a\"\\\n\0\x7f2/\x04".to_vec())));
        assert_eq!(string(br#""abc"..."#), Some(Printed::Lost));
        assert_eq!(string(b"0x7ffd"), Some(Printed::Lost));
        assert_eq!(string(b"\"abc"), None);
    }

    #[test]
    fn values_are_numbers_and_names() {
        let any = |text: &[u8]| value(text, &[Kind::Open, Kind::Mode, Kind::Map, Kind::Ioctl]);
        assert_eq!(any(b"O_RDWR|O_CREAT|0x4000000"), Some(0o102 | 0x4000000));
        assert_eq!(any(b"0644"), Some(0o644));
        assert_eq!(any(b"S_IFREG|0644"), Some(0o100644));
        assert_eq!(any(b"BTRFS_IOC_CLONE or FICLONE"), Some(0x40049409));
        assert_eq!(any(b"0x80000 /* O_CLOEXEC */"), Some(0x80000));
        assert_eq!(any(b"0x1200000 /* CLONE_A|CLONE_B */|17 /* SIGCHLD */"), Some(0x1200011));
        assert_eq!(any(b"1 /* a */ 2"), None);
        assert_eq!(any(b"MAP_HUGETLB|21<<MAP_HUGE_SHIFT"), Some(0x40000 | 21 << 26));
        assert_eq!(any(b"18446744073709551615"), Some(-1));
        assert_eq!(any(b"_IOC(_IOC_READ, 0x12, 0x72, 0x8)"), Some(0x80081272));
        assert_eq!(any(b"1<<12"), Some(4096));
        assert_eq!(any(b"O_NEVER"), None);
        assert_eq!(any(b"089"), None);
    }
}
