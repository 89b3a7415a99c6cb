//! Records and the events that they are decoded to.

use super::*;
use crate::capture::kernel::record::FIXED;
use crate::syscall::number::Abi;

/// A record of a call by task 7:8 that began at 100 and took 5.
fn record(syscall: Syscall, args: &[u64], ret: i64, flags: u16) -> Vec<u8> {
    let mut bytes = vec![0; FIXED as usize];
    let mut put = |at: i16, value: &[u8]| bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
    put(at::TS, &100u64.to_ne_bytes());
    put(at::DUR, &5u64.to_ne_bytes());
    put(at::PID, &7u32.to_ne_bytes());
    put(at::TID, &8u32.to_ne_bytes());
    put(at::NUMBER, &syscall.number(Abi::NATIVE).unwrap().to_ne_bytes());
    put(at::FLAGS, &flags.to_ne_bytes());
    put(at::RET, &ret.to_ne_bytes());
    for (place, arg) in (0..).zip(args) {
        put(at::ARGS + 8 * place, &arg.to_ne_bytes());
    }
    bytes
}

fn append(bytes: &mut Vec<u8>, length_at: i16, part: &[u8]) {
    bytes[length_at as usize..length_at as usize + 2].copy_from_slice(&(part.len() as u16).to_ne_bytes());
    bytes.extend_from_slice(part);
}

fn decode(records: &[Vec<u8>]) -> Vec<Event> {
    let calls = Calls::new(|_| true);
    let mut decoder = Decoder::new(&calls, 1000, None);
    let mut placed = Placed::room();
    let mut events = Vec::new();
    for record in records {
        if decoder.take(record, &mut placed) {
            events.push(placed.event.clone());
        }
    }
    events
}

#[test]
fn an_open_has_its_path_and_where_it_led() {
    let mut bytes = record(Syscall::openat, &[-100i64 as u64, 99, 0o2, 0o777], 3, flag::FILE | flag::WHERE);
    append(&mut bytes, at::STRINGS, b"lib/x\0");
    append(&mut bytes, at::WHERE, b"x\0lib\0usr\0");
    let event = decode(&[bytes]).remove(0);
    assert_eq!((event.text(Text::Path), event.text(Text::FdPath)), (Some(&b"lib/x"[..]), Some(&b"/usr/lib/x"[..])));
    assert_eq!((event.int(Col::DirFd), event.int(Col::Mode), event.int(Col::Ts)), (Some(-100), None, Some(1100)));
    assert_eq!((event.success(), event.int(Col::Dur)), (Some(3), Some(5)));
}

#[test]
fn vectors_are_summed_and_offsets_are_those_before_the_call() {
    let mut bytes = record(Syscall::preadv2, &[3, 99, 2, 4096, 0, 8], 300, 0);
    let vectors: Vec<u8> = [0u64, 100, 0, 250].iter().flat_map(|word| word.to_ne_bytes()).collect();
    append(&mut bytes, at::BEHIND, &vectors);
    let mut copy = record(Syscall::copy_file_range, &[3, 0, 4, 99, 500, 0], 200, 0);
    append(&mut copy, at::BEHIND, &[0i64, 1200].map(i64::to_ne_bytes).concat());
    let events = decode(&[bytes, copy]);
    assert_eq!(
        (events[0].int(Col::Count), events[0].int(Col::Offset), events[0].int(Col::Flags)),
        (Some(350), Some(4096), Some(8))
    );
    assert_eq!((events[1].int(Col::Offset), events[1].int(Col::Offset2)), (None, Some(1000)));
}

#[test]
fn a_record_lock_is_read_from_behind_its_pointer_and_other_arguments_are_not() {
    let mut lock = record(Syscall::fcntl, &[3, 7, 99], 0, 0);
    let words = [u64::from(2_u32 << 16 | 1), -10_i64 as u64, 1 << 40];
    append(&mut lock, at::BEHIND, &words.map(u64::to_ne_bytes).concat());
    let dup = record(Syscall::fcntl, &[3, 0, 99], 99, 0);
    let events = decode(&[lock, dup]);
    let columns = |event: &Event| [Col::Mode, Col::Whence, Col::Offset, Col::Count, Col::Arg].map(|col| event.int(col));
    assert_eq!(columns(&events[0]), [Some(1), Some(2), Some(-10), Some(1 << 40), None]);
    assert_eq!(columns(&events[1]), [None, None, None, None, Some(99)]);
}

#[test]
fn exec_is_joined_and_a_killed_thread_ends() {
    let mut entry = record(Syscall::execve, &[99, 0, 0], 0, flag::ENTRY);
    append(&mut entry, at::STRINGS, b"/bin/true\0");
    let exit = record(Syscall::execve, &[0, 0, 0], 0, 0);
    let mut end = record(Syscall::read, &[], 0, flag::END);
    end[at::NUMBER as usize] += 1;
    let events = decode(&[entry, exit, end]);
    assert_eq!((events[0].text(Text::Path), events[0].success()), (Some(&b"/bin/true"[..]), Some(0)));
    assert_eq!((events[1].syscall, events[1].int(Col::Ret)), (Syscall::exit, None));
}

#[test]
fn an_expected_end_is_no_event() {
    let exit = record(Syscall::exit_group, &[0], 0, flag::ENTRY);
    let other = record(Syscall::read, &[], 0, flag::END);
    assert_eq!(decode(&[exit, other]).len(), 1);
}

#[test]
fn threads_that_an_exit_group_ends_have_no_events_in_whatever_order_they_end() {
    let of = |mut bytes: Vec<u8>, tid: u32| {
        bytes[at::TID as usize..at::TID as usize + 4].copy_from_slice(&tid.to_ne_bytes());
        bytes
    };
    let exit = || of(record(Syscall::exit_group, &[0], 0, flag::ENTRY), 9);
    let end = |tid| of(record(Syscall::read, &[], 0, flag::END), tid);
    assert_eq!(decode(&[exit(), end(7), end(9), end(8)]).len(), 1);
    // Another process gets the number, does something and is killed; and one of which nothing else was seen.
    let other = of(record(Syscall::read, &[3], 0, 0), 7);
    let events = decode(&[exit(), end(7), other, end(8), end(7)]);
    assert_eq!(events.iter().map(|event| event.syscall).collect::<Vec<_>>()[1..], [Syscall::read, Syscall::exit, Syscall::exit]);
    assert_eq!(decode(&[exit(), end(7), end(7)]).len(), 2);
}

#[test]
fn a_forked_child_does_not_return_from_a_call_it_never_made() {
    assert!(decode(&[record(Syscall::clone, &[], 0, flag::NO_ENTRY)]).is_empty());
    assert_eq!(decode(&[record(Syscall::read, &[3], 0, flag::NO_ENTRY)])[0].int(Col::Ts), None);
}

#[test]
fn damaged_records_do_not_panic() {
    let mut whole = record(Syscall::openat2, &[3, 1, 1, 24], 3, flag::FILE | flag::WHERE);
    append(&mut whole, at::STRINGS, b"a\0");
    for at in [at::STRINGS, at::BEHIND, at::WHERE] {
        let mut bytes = whole.clone();
        bytes[at as usize..at as usize + 2].copy_from_slice(&[0xff; 2]);
        decode(&[bytes]);
    }
    decode(&[whole[..100].to_vec(), Vec::new()]);
}
