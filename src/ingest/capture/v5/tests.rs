//! Tests of parsing lines of `.capture` version 5.

use super::*;
use crate::syscall::Syscall;
use proptest::prelude::*;

fn parse(tail: &str) -> Result<Event, Why> {
    line(&format!("n=7;:,t=1760000000000001000;:,D=5021;:,i=2000:2001;:,{tail}")).map(|(event, _)| event)
}

fn line(body: &str) -> Result<(Event, Stamp), Why> {
    event(sealed(body, ";:,").as_bytes())
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
    let (event, stamp) = line("n=1;:,t=1000;:,D=-1;:,i=7:8;:,o=read;:,s=?;:,d=0;:,c=12;:,").unwrap();
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
        ("o=close;:,s=0;:,d=3;:,n=8;:,", Why::Key),
        ("o=close;:,s=zero;:,", Why::Number),
        ("o=close;:,s=-99999;:,", Why::Number),
        ("o=clo se;:,s=0;:,", Why::Key),
        ("o=close;:,s=0;:,\0", Why::Nul),
        ("", Why::Cut),
    ];
    for (tail, why) in cases {
        assert_eq!(parse(tail).unwrap_err(), why, "{tail}");
    }
    assert_eq!(parse("o=ftruncate;:,s=0;:,d=3;:,").unwrap_err(), Why::Key);
    assert_eq!(line("n=0;:,t=5;:,D=1;:,i=1:1;:,o=sync;:,s=0;:,").unwrap_err(), Why::Number);
    assert_eq!(line("n=1;:,t=5;:,D=9;:,i=1:1;:,o=sync;:,s=0;:,").unwrap_err(), Why::Number);
}

#[test]
fn the_end_is_read() {
    let whole = "#|capture_end=5|events=12|skipped=1|unstarted=2|unreadable=3|crowded=4|in_flight=5|";
    let ended = Ended { events: 12, skipped: 1, unstarted: 2, unreadable: 3, crowded: 4, in_flight: 5 };
    assert_eq!(end(sealed(whole, "|").as_bytes()), Some(Ok(ended)));
    assert_eq!(end(whole.as_bytes()), Some(Err(Why::Cut)));
    assert_eq!(end(sealed("#|capture_end=5|events=12|", "|").as_bytes()), Some(Err(Why::Cut)));
    assert_eq!(end(sealed(whole, "|").replace("12", "13").as_bytes()), Some(Err(Why::Check)));
    assert_eq!(end(b"# a comment"), None);
}

/// docs/FORMAT.md has a row for each key of the format, and its example line parses.
#[test]
fn every_key_is_documented() {
    let page = include_str!("../../../../docs/FORMAT.md");
    let (_, section) = page.split_once("## `.capture` version 5").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    for letter in b'!'..=b'~' {
        let listed = section.lines().any(|row| {
            let keys = row.strip_prefix("| ").and_then(|row| row.split(" |").next()).unwrap_or_default();
            keys.split(", ").any(|key| key.as_bytes() == [b'`', letter, b'`'])
        });
        let known = key(letter).is_some() || b"ntDiok".contains(&letter);
        assert_eq!(listed, known, "{}", char::from(letter));
    }
    for example in section.lines().filter(|line| line.starts_with("n=")) {
        event(example.as_bytes()).unwrap();
    }
    let last = section.lines().find(|line| line.starts_with("#|capture_end=5")).unwrap();
    assert_eq!(end(last.as_bytes()).unwrap().unwrap().events, 14);
}

/// Event lines that the SystemTap probes wrote (tests/data/v5-matrix.capture).
fn real() -> Vec<Vec<u8>> {
    let text = include_bytes!("../../../../tests/data/v5-matrix.capture");
    text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"n=")).map(<[u8]>::to_vec).collect()
}

#[test]
fn a_line_that_was_cut_is_no_event() {
    for line in real() {
        assert!(event(&line).is_ok());
        for at in 0..line.len() {
            assert!(event(&line[..at]).is_err(), "{}", String::from_utf8_lossy(&line[..at]));
            assert!(at == 0 || event(&line[at..]).is_err(), "{}", String::from_utf8_lossy(&line[at..]));
        }
    }
}

#[test]
fn a_line_with_a_wrong_bit_is_no_event() {
    for line in real().into_iter().step_by(7) {
        for (at, bit) in (0..line.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut wrong = line.clone();
            wrong[at] ^= 1 << bit;
            assert!(event(&wrong).is_err(), "{}", String::from_utf8_lossy(&wrong));
        }
    }
}

#[test]
fn a_line_in_another_is_glued() {
    let lines = real();
    for at in 1..lines[0].len() {
        let glued = [&lines[0][..at], &lines[1]].concat();
        let why = event(&glued).map(|_| ()).unwrap_err();
        assert!(at < 20 || matches!(why, Why::Glued | Why::Check), "{why:?}: {}", String::from_utf8_lossy(&glued));
    }
}

proptest! {
    /// A line that was changed in any way gives the same event, or none.
    #[test]
    fn a_garbled_line_is_no_event(
        of in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 1..6),
        other in any::<prop::sample::Index>(),
    ) {
        let lines = real();
        let line = of.get(&lines);
        let mut wrong = line.clone();
        for (at, kind, byte) in edits {
            let at = at.index(wrong.len());
            match kind {
                0 => wrong[at] = byte,
                1 => wrong.insert(at, byte),
                2 if wrong.len() > 1 => drop(wrong.remove(at)),
                _ => {
                    // As when two processors wrote into one buffer.
                    let other = other.get(&lines);
                    let from = at.min(other.len());
                    wrong.splice(at.., other[from..].iter().copied());
                    if wrong.is_empty() {
                        wrong.push(byte);
                    }
                }
            }
        }
        let whole = lines.contains(&wrong);
        prop_assert_eq!(event(&wrong).is_ok(), whole, "{}", String::from_utf8_lossy(&wrong));
    }
}
