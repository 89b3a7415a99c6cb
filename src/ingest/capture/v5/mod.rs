//! `.capture` version 5: what the probes in `systemtap/` write.
//!
//! Unlike in versions 3 and 4 a key means the same in every call, so a line is read by one table; text is escaped, so a
//! line has no separators but its own; and nothing was made up in the kernel: a key that is not there was not known.
//! Every line has a serial number, and the last line says how many there were.

use super::{SEPARATOR, id};
use crate::event::{Col, Event, TIME_NOW, TIME_OMIT, Text};
use crate::ingest::parse::{Ended, Stamp, Why, digits};
use crate::syscall::Ret;
use memchr::{memchr, memmem};

/// What the value of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Int(Col),
    Time(Col),
    Text(Text),
    Outcome,
}

/// What stands under a key, after the five that every line begins with.
fn key(key: u8) -> Option<To> {
    Some(match key {
        b's' => To::Outcome,
        b'd' => To::Int(Col::Fd),
        b'e' => To::Int(Col::Fd2),
        b'h' => To::Int(Col::DirFd),
        b'H' => To::Int(Col::DirFd2),
        b'c' => To::Int(Col::Count),
        b'v' => To::Int(Col::IovCnt),
        b'O' => To::Int(Col::Offset),
        b'E' => To::Int(Col::Offset2),
        b'f' => To::Int(Col::Flags),
        b'm' => To::Int(Col::Mode),
        b'W' => To::Int(Col::Whence),
        b'F' => To::Int(Col::Cmd),
        b'G' => To::Int(Col::Arg),
        b'u' => To::Int(Col::Uid),
        b'g' => To::Int(Col::Gid),
        b'R' => To::Int(Col::Resolve),
        b'M' => To::Int(Col::StMode),
        b'S' => To::Int(Col::StSize),
        b'A' => To::Time(Col::Atime),
        b'B' => To::Time(Col::Mtime),
        b'p' => To::Text(Text::Path),
        b'P' => To::Text(Text::Path2),
        b'w' => To::Text(Text::DirPath),
        b'y' => To::Text(Text::Dir2Path),
        b'x' => To::Text(Text::FdPath),
        b'X' => To::Text(Text::Fd2Path),
        b'N' => To::Text(Text::Name),
        _ => return None,
    })
}

/// Is it the first line of a capture, which promises a last one?
pub fn is_header(line: &[u8]) -> bool {
    line.starts_with(b"#|capture_version=5|")
}

/// Is it a line of an event?
pub fn is_event(line: &[u8]) -> bool {
    line.starts_with(b"n=") && memmem::find(&line[..line.len().min(64)], b";:,t=").is_some()
}

/// The tokens of a line: key and value.
struct Tokens<'a>(&'a [u8]);

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, Why> {
        match self.0 {
            b"" => Ok(None),
            [key, b'=', rest @ ..] => {
                // No value has a semicolon.
                let end = memchr(b';', rest).ok_or(Why::Cut)?;
                self.0 = rest[end..].strip_prefix(SEPARATOR).ok_or(Why::Cut)?;
                Ok(Some((*key, &rest[..end])))
            }
            [_] => Err(Why::Cut),
            _ => Err(Why::Key),
        }
    }

    /// The value of the next key, which must be this one.
    fn expect(&mut self, key: u8) -> Result<&'a [u8], Why> {
        match self.next()? {
            Some((found, value)) if found == key => Ok(value),
            Some(_) => Err(Why::Key),
            None => Err(Why::Cut),
        }
    }
}

/// Parses the line of an event.
pub fn event(line: &[u8]) -> Result<(Event, Stamp), Why> {
    if memchr(0, line).is_some() {
        return Err(Why::Nul);
    }
    let mut tokens = Tokens(line);
    if digits(tokens.expect(b'n')?)? <= 0 {
        return Err(Why::Number);
    }
    let exit = digits(tokens.expect(b't')?)?;
    let dur = digits(tokens.expect(b'D')?)?;
    if exit <= 0 || dur < -1 || dur > exit {
        return Err(Why::Number);
    }
    let ids = tokens.expect(b'i')?;
    let colon = memchr(b':', ids).ok_or(Why::Number)?;
    let (pid, tid) = (id(&ids[..colon])?, id(&ids[colon + 1..])?);
    let mut event = super::named(tokens.expect(b'o')?)?;
    let mut seen = 0u64;
    while let Some((letter, value)) = tokens.next()? {
        let to = match key(letter) {
            Some(to) => to,
            // A second line begins inside this one.
            None if letter == b'n' => return Err(Why::Glued),
            None => return Err(Why::Key),
        };
        let bit = 1 << (letter - b'A');
        if seen & bit != 0 {
            return Err(Why::Key);
        }
        seen |= bit;
        match to {
            To::Int(col) => event.set(col, digits(value)?),
            To::Time(col) => event.set(col, time(value)?),
            To::Text(text) => event.set_text(text, unescape(value)?),
            // It never returned to the program, or was begun again.
            To::Outcome if value == b"?" => {}
            To::Outcome => {
                let value = digits(value)?;
                if value < -4095 && !matches!(event.syscall.def().ret, Ret::Addr | Ret::Value) {
                    return Err(Why::Number);
                }
                event.set_outcome(value);
            }
        }
    }
    let entry = (dur >= 0).then_some(exit - dur);
    event.set(Col::Pid, pid);
    event.set(Col::Tid, tid);
    event.put(Col::Ts, entry);
    event.put(Col::Dur, entry.map(|_| dur));
    Ok((event, Stamp::Span(entry, exit)))
}

fn time(value: &[u8]) -> Result<i64, Why> {
    match value {
        b"now" => Ok(TIME_NOW),
        b"omit" => Ok(TIME_OMIT),
        _ => digits(value),
    }
}

/// The bytes of a value in which some stand as `\ooo`.
fn unescape(value: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, Why> {
    if memchr(b'\\', value).is_none() {
        return Ok(value.into());
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] = rest else { return Err(Why::Argument) };
        bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
        rest = tail;
    }
    Ok(bytes.into())
}

/// The last line, if it is that: what the probes say of the whole.
pub fn end(line: &[u8]) -> Option<Result<Ended, Why>> {
    let fields = line.strip_prefix(b"#|capture_end=5|")?;
    let field = |name: &[u8]| {
        let field = fields.split(|byte| *byte == b'|').find_map(|field| field.strip_prefix(name)?.strip_prefix(b"="));
        digits(field.ok_or(Why::Cut)?).and_then(|number| u64::try_from(number).map_err(|_| Why::Number))
    };
    let ended = || {
        Ok(Ended {
            events: field(b"events")?,
            skipped: field(b"skipped")?,
            unstarted: field(b"unstarted")?,
            unreadable: field(b"unreadable")?,
            crowded: field(b"crowded")?,
            in_flight: field(b"in_flight")?,
        })
    };
    Some(ended())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Syscall;

    fn parse(tail: &str) -> Result<Event, Why> {
        event(format!("n=7;:,t=1760000000000001000;:,D=5021;:,i=2000:2001;:,{tail}").as_bytes()).map(|(event, _)| event)
    }

    #[test]
    fn keys_are_columns() {
        let event = parse("o=renameat2;:,s=-17;:,h=3;:,p=a;:,w=/home;:,H=-100;:,P=b c;:,y=/home/u;:,f=1;:,").unwrap();
        assert_eq!((event.syscall, event.failure(), event.int(Col::DirFd)), (Syscall::renameat2, Some(17), Some(3)));
        assert_eq!((event.int(Col::DirFd2), event.int(Col::Flags)), (Some(-100), Some(1)));
        assert_eq!((event.text(Text::DirPath), event.text(Text::Dir2Path)), (Some(&b"/home"[..]), Some(&b"/home/u"[..])));
        assert_eq!((event.text(Text::Path), event.text(Text::Path2)), (Some(&b"a"[..]), Some(&b"b c"[..])));
        let event = parse("o=preadv;:,s=300;:,d=3;:,x=/home/data;:,v=2;:,c=300;:,O=200;:,").unwrap();
        assert_eq!((event.int(Col::Count), event.int(Col::IovCnt), event.int(Col::Offset)), (Some(300), Some(2), Some(200)));
        let event = parse("o=utimensat;:,s=0;:,h=-100;:,p=a;:,w=/;:,A=now;:,B=-5000000000;:,f=0;:,").unwrap();
        assert_eq!((event.int(Col::Atime), event.int(Col::Mtime)), (Some(TIME_NOW), Some(-5_000_000_000)));
    }

    #[test]
    fn any_byte_can_be_in_a_name() {
        let event = parse("o=unlink;:,s=0;:,p=/a\\073:,b\\012\\134\u{fc}\\377;:,").unwrap();
        assert_eq!(event.text(Text::Path), Some(&b"/a;:,b\n\\\xc3\xbc\xff"[..]));
        for bad in ["\\", "\\07", "\\400", "\\n"] {
            assert_eq!(parse(&format!("o=unlink;:,s=0;:,p={bad};:,")).unwrap_err(), Why::Argument, "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let (event, stamp) = event(b"n=1;:,t=1000;:,D=-1;:,i=7:8;:,o=read;:,s=?;:,d=0;:,c=12;:,").unwrap();
        assert_eq!(stamp, Stamp::Span(None, 1000));
        assert_eq!((event.int(Col::Ts), event.int(Col::Fd), event.int(Col::Ret)), (None, Some(0), None));
        assert_eq!(parse("o=exit_group;:,").unwrap().int(Col::Ret), None);
        assert_eq!(parse("o=futex;:,s=0;:,").unwrap().name(), "futex");
    }

    #[test]
    fn damaged_lines_are_rejected() {
        let cases = [
            ("o=close;:,s=0;:,d=3", Why::Cut),
            ("o=close;:,s=0;:,d", Why::Cut),
            ("o=close;:,s=0;:,d=3;", Why::Cut),
            ("o=close;:,s=0;:,d=3;:,d=3;:,", Why::Key),
            ("o=close;:,s=0;:,Q=3;:,", Why::Key),
            ("o=close;:,s=0;:,d=3;:,n=8;:,t=1;:,", Why::Glued),
            ("o=close;:,s=zero;:,", Why::Number),
            ("o=close;:,s=-99999;:,", Why::Number),
            ("o=clo se;:,s=0;:,", Why::Key),
            ("o=close;:,s=0;:,\0", Why::Nul),
            ("", Why::Cut),
        ];
        for (tail, why) in cases {
            assert_eq!(parse(tail).unwrap_err(), why, "{tail}");
        }
        assert_eq!(event(b"n=0;:,t=5;:,D=1;:,i=1:1;:,o=sync;:,s=0;:,").unwrap_err(), Why::Number);
        assert_eq!(event(b"n=1;:,t=5;:,D=9;:,i=1:1;:,o=sync;:,s=0;:,").unwrap_err(), Why::Number);
    }

    #[test]
    fn the_end_is_read() {
        let line = b"#|capture_end=5|events=12|skipped=1|unstarted=2|unreadable=3|crowded=4|in_flight=5|";
        let ended = Ended { events: 12, skipped: 1, unstarted: 2, unreadable: 3, crowded: 4, in_flight: 5 };
        assert_eq!(end(line), Some(Ok(ended)));
        assert_eq!(end(b"#|capture_end=5|events=12|"), Some(Err(Why::Cut)));
        assert_eq!(end(b"# a comment"), None);
    }
}
