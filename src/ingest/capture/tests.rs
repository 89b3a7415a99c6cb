//! Tests of parsing lines of `.capture` versions 1 to 4.

use super::*;

fn parse(tail: &str) -> Result<Event, Why> {
    event(format!("t=1760000000000001000;:,D=5021;:,i=2000:2001;:,{tail}").as_bytes()).map(|(event, _)| event)
}

#[test]
fn every_probe_has_a_row_with_its_columns() {
    for probe in PROBES {
        let shape = shape(probe.as_bytes()).unwrap();
        for (key, to) in shape.keys {
            let row = shape.syscall.def();
            match to {
                To::Int(col) => assert!(row.args.iter().any(|role| role.col() == Some(*col)), "{probe} {}", *key as char),
                To::Text(text) => assert!(row.args.iter().any(|role| role.text() == Some(*text)), "{probe}"),
                To::Outcome | To::Skip => {}
            }
        }
    }
}

#[test]
fn a_line_is_entry_return_and_roles() {
    let (event, stamp) = event(b"t=1000;:,D=400;:,i=7:8;:,o=openat;:,d=-2;:,p=/a;b;:,f=577;:,m=420;:,").unwrap();
    assert_eq!(stamp, Stamp::Span(Some(600), 1000));
    assert_eq!((event.int(Col::Ts), event.int(Col::Dur)), (Some(600), Some(400)));
    assert_eq!((event.int(Col::Pid), event.int(Col::Tid)), (Some(7), Some(8)));
    assert_eq!((event.failure(), event.int(Col::Flags), event.text(Text::Path)), (Some(2), Some(577), Some(&b"/a;b"[..])));
    assert_eq!(event.int(Col::Fd), None, "the d of an open is what it returned");
}

#[test]
fn a_lost_entry_keeps_the_outcome_only() {
    let (event, stamp) = event(b"t=1000;:,D=1000;:,i=7:8;:,o=read;:,d=0;:,b=12;:,").unwrap();
    assert_eq!(stamp, Stamp::Span(None, 1000));
    assert_eq!((event.int(Col::Ts), event.int(Col::Fd), event.success()), (None, None, Some(12)));
}

#[test]
fn an_empty_path_is_the_descriptor() {
    let event = parse("o=fstatat;:,d=5;:,p=/h/open.txt/;:,f=4096;:,s=0;:,").unwrap();
    assert_eq!((event.text(Text::Path), event.int(Col::DirFd)), (Some(&b""[..]), Some(5)));
    assert_eq!(event.text(Text::DirPath), Some(&b"/h/open.txt"[..]));
    let event = parse("o=fstatat;:,d=-100;:,p=/h/dir/;:,f=0;:,s=0;:,").unwrap();
    assert_eq!(event.text(Text::Path), Some(&b"/h/dir/"[..]));
}

#[test]
fn a_lost_name_is_absent() {
    assert_eq!(parse("o=mkdirat;:,d=3;:,p=/h/;:,m=511;:,s=0;:,").unwrap().text(Text::Path), None);
    assert_eq!(parse("o=rename;:,p=/h/a;:,P=;:,s=0;:,").unwrap().text(Text::Path2), None);
    assert_eq!(parse("o=readlink;:,p=/h/a;:,P=;:,s=-22;:,").unwrap().failure(), Some(22));
    assert_eq!(parse("o=open;:,d=-2;:,p=;:,f=0;:,m=0;:,").unwrap().text(Text::Path), Some(&b""[..]));
}

#[test]
fn eleven_keys_of_mmap2() {
    let tail = "o=mmap2;:,a=0;:,b=4096;:,m=1;:,f=2;:,d=3;:,O=0;:,A=140231234560000;:,";
    let event = parse(tail).unwrap();
    assert_eq!((event.syscall, event.success()), (Syscall::mmap2, Some(140231234560000)));
}

#[test]
fn damaged_lines_are_rejected() {
    let cases = [
        ("o=close;:,d=3;:,s=0", Why::Cut),
        ("o=close;:,d=3;:,", Why::Cut),
        ("o=close;:,d=3", Why::Cut),
        ("o=close;:,d=3;:,s=0;:,s=0;:,", Why::Key),
        ("o=close;:,s=0;:,d=3;:,", Why::Key),
        ("o=close;:,d=3;:,s=0;:,t=1760;:,D=1;:,i=1:1;:,o=close;:,d=3;:,s=0;:,", Why::Glued),
        ("o=close;:,d=3;:,t=1760;:,D=1;:,i=1:1;:,o=close;:,d=3;:,s=0;:,", Why::Glued),
        ("o=close;:,d=3x;:,s=0;:,", Why::Number),
        ("o=close;:,d=;:,s=0;:,", Why::Number),
        ("o=close;:,d=3;:,s=-99999;:,", Why::Number),
        ("o=clo se;:,d=3;:,s=0;:,", Why::Key),
        ("o=close;:,d=3;:,s=0\0;:,", Why::Nul),
        ("o=close;:,d=3;:,s=0;:,x", Why::Cut),
        ("", Why::Cut),
    ];
    for (tail, why) in cases {
        assert_eq!(parse(tail).unwrap_err(), why, "{tail}");
    }
    assert_eq!(event(b"t=5;:,D=9;:,i=1:1;:,o=sync;:,s=0;:,").unwrap_err(), Why::Number);
    assert_eq!(event(b"t=5;:,D=1;:,i=1;:,o=sync;:,s=0;:,").unwrap_err(), Why::Number);
    assert_eq!(event(b"D=1;:,t=5;:,i=1:1;:,o=sync;:,s=0;:,").unwrap_err(), Why::Key);
}

#[test]
fn calls_beyond_the_probes() {
    let event = parse("o=ftruncate;:,d=3;:,c=100;:,s=0;:,").unwrap();
    assert_eq!((event.syscall, event.int(Col::Count)), (Syscall::ftruncate, Some(100)));
    let event = parse("o=mlock;:,a=1;:,s=0;:,").unwrap();
    assert_eq!((event.syscall, event.name(), event.success()), (Syscall::other, "mlock", Some(0)));
    assert_eq!(parse("o=mlock;:,s=0;:,s=1;:,").unwrap_err(), Why::Key);
}

/// The reason for which a line is rejected, if it is.
fn accounted(line: &str) -> Option<Why> {
    let mut batch = Batch::default();
    Capture.line(1, line.as_bytes(), &mut batch);
    batch.rejects.first().map(|reject| reject.why)
}

#[test]
fn no_event_hides_behind_something_else() {
    let close = "t=1760000000000001000;:,D=5021;:,i=2000:2001;:,o=close;:,d=3;:,s=0;:,";
    let newer = "n=1;:,t=1760000000000001000;:,D=5021;:,i=2000:2001;:,o=close;:,d=3;:,s=0;:,k=00000000;:,";
    for before in ["#", "# ", "Attached 3 probes", "Attaching 3 probes...", "#|capture_version=4|", "#|capture_version=5|"] {
        for event in [close, newer] {
            assert_eq!(accounted(&format!("{before}{event}")), Some(Why::Glued), "{before}{event}");
        }
        assert_eq!(accounted(before), None, "{before}");
    }
    assert_eq!(accounted(&format!("{close}#|capture_version=5|")), Some(Why::Cut));
}

#[test]
fn a_call_has_the_keys_it_cannot_be_without() {
    for tail in
        ["o=ftruncate;:,d=3;:,s=0;:,", "o=truncate;:,p=/a;:,s=0;:,", "o=link;:,p=/a;:,s=0;:,", "o=symlink;:,p=/a;:,s=0;:,"]
    {
        assert_eq!(parse(tail).unwrap_err(), Why::Key, "{tail}");
    }
    assert_eq!(parse("o=link;:,p=/a;:,P=/b;:,s=0;:,").unwrap().text(Text::Path2), Some(&b"/b"[..]));
}

#[test]
fn one_call_moves_no_more_than_the_kernel_lets_it() {
    assert!(parse("o=read;:,d=3;:,b=2147479552;:,").is_ok());
    assert_eq!(parse("o=read;:,d=3;:,b=2147479553;:,").unwrap_err(), Why::Impossible);
    assert_eq!(parse("o=pwrite64;:,d=3;:,O=0;:,b=4294967296;:,").unwrap_err(), Why::Impossible);
}

#[test]
fn versions_1_and_2_have_milliseconds_and_no_duration() {
    let (read, stamp) = event(b"t=1511381122062;:,i=7764:8093;:,o=read;:,d=162;:,b=12;:,").unwrap();
    let at = 1_511_381_122_062_000_000;
    assert_eq!((read.int(Col::Ts), read.int(Col::Dur), read.int(Col::Fd)), (Some(at), None, Some(162)));
    assert_eq!((read.success(), stamp), (Some(12), Stamp::Span(Some(at), at)));
    let (exit, _) = event(b"t=1511381122062;:,i=7764:8093;:,o=exit_group;:,").unwrap();
    assert_eq!((exit.syscall, exit.int(Col::Ts)), (Syscall::exit_group, Some(at)));
    let (link, _) = event(b"t=1511381122062;:,i=7764:8093;:,o=readlink;:,p=/l;:,s=5;:,").unwrap();
    assert_eq!((link.text(Text::Path2), link.success()), (None, Some(5)));
    // With a time in ns it is a line of a newer version that has lost its duration.
    assert_eq!(event(b"t=1760000000000001000;:,i=1:1;:,o=sync;:,s=0;:,").unwrap_err(), Why::Key);
    assert!(detect(b"t=1511381122062;:,i=7764:8093;:,o=sync;:,s=0;:,\n"));
    assert!(!detect(b"t=1760000000000001000;:,i=1:1;:,o=sync;:,s=0;:,\n"));
    assert_eq!(unknown_version(b"#|capture_version=1|\n"), None);
}
