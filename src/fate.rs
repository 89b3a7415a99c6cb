//! What becomes of an event, and why, and which way its bytes go: the words of the ledgers.

use crate::words::words;

words! {
    /// What becomes of an event; each event has exactly one fate.
    Fate {
        Op    "op"    "replayed";
        Model "model" "bookkeeping only: other ops carry its effect";
        Drop  "drop"  "not replayed, for one reason";
    }
}

words! {
    /// Why a captured event that was understood is not replayed; each dropped event has exactly one reason.
    Reason {
        NotFile       "not_file"       "a call that is known to concern no file (memory, signals, time, scheduling ...)";
        UnknownCall   "unknown_call"   "a call that nobody knows: its name is in no table, or the capture lost it; it may be one on a file";
        Requests      "requests"       "hands over requests (io_uring_enter, io_submit) that are not in the capture: what they did is not known";
        Unsupported   "unsupported"    "a file call whose row in the syscall table says why it is not replayed";
        Pipe          "pipe"           "on a pipe or FIFO";
        Socket        "socket"         "on a socket";
        Device        "device"         "on a terminal or another device";
        Anon          "anon"           "on a descriptor that is no file: eventfd, epoll, memfd, timerfd ...";
        PseudoFs      "pseudo_fs"      "on a pseudo or memory file system (/proc, /sys, /dev ...)";
        Ignored       "ignored"        "under a path that --ignore names";
        UnknownFd     "unknown_fd"     "on a descriptor whose opening was not captured";
        LostName      "lost_name"      "the capture lost the path";
        BadName       "bad_name"       "on a name that no file of the replay can have: with a NUL in it, longer than NAME_MAX or PATH_MAX, or in a working directory whose path has over 16,000 bytes";
        LostArgs      "lost_args"      "the capture lost an argument without which the call cannot be issued";
        UnknownResult "unknown_result" "the call never returned in the capture, or was interrupted and restarted";
        Credentials   "credentials"    "the call was refused for rights that the replay does not imitate";
        OutsideMemory "bad_address"    "the call was given a bad address (EFAULT)";
        Withheld      "withheld"       "failed because of where it ran (another file system, an older kernel) and would do something here, or sets what a replay may not (trusted.*, security.*)";
        Filtered      "filtered"       "not chosen (--where, --path, --process, --user, --sample), or outside of --from and --to";
    }
}

words! {
    /// Why an op is in the workload: it is a captured call, or the cause for which it was inserted.
    Origin {
        Event    "event"    "a captured call";
        Initial  "initial"  "opens a descriptor that was open when the capture began, or when its process came into the scope";
        Reuse    "reuse"    "closes a descriptor whose number was handed out again: its close was not captured";
        Dup2     "dup2"     "closes what dup2 or dup3 replaced";
        Range    "range"    "closes a descriptor that close_range ended";
        Exec     "exec"     "closes a descriptor at exec (close-on-exec)";
        Unmap    "unmap"    "closes a descriptor whose file was still mapped, at the end of the last mapping";
        Exit     "exit"     "closes a descriptor at the end of its process";
        End      "end"      "closes a descriptor that was still open when the capture ended";
        External "external" "a change that somebody outside the capture made, proved by the event that follows";
        Cwd      "cwd"      "opens a working directory that is about to be removed, or closes it when nobody is in it any more";
        Seek     "seek"     "puts a file position where calls that were not chosen had moved it";
    }
}

words! {
    /// What the file system of a file was in the capture, where a replay has it on the file system of its tree instead.
    Elsewhere {
        TmpfsOnDisk  "tmpfs_on_disk"  "on a file system in memory (tmpfs, ramfs): the replay has these files on its disk";
        OverlayFlat  "overlay_flat"   "on an overlay: the replay has its layers as one tree, in which nothing is copied up";
    }
}

words! {
    /// Why a file system in memory of the capture is not made anew for a replay, as far as the capture tells.
    StaysOnDisk {
        DiskBelow "disk_below" "a file system that is not in memory is mounted below it";
        Unmounted "unmounted"  "it was unmounted during the capture";
        Crossed   "crossed"    "names were moved or linked between it and its surroundings: other processes do not see this mount";
    }
}

words! {
    /// The way that bytes take into a file or out of one, or past all files: the rows of the byte ledger ([`crate::ledger`]).
    Route {
        Call          "call"            "read and write calls, through the page cache";
        Direct        "direct"          "read and write calls past the page cache (O_DIRECT)";
        Request       "request"         "requests of io_submit and io_uring";
        CopyFileRange "copy_file_range" "copy_file_range, inside the kernel";
        Sendfile      "sendfile"        "sendfile, inside the kernel";
        Splice        "splice"          "splice, between a pipe and something else";
        Vmsplice      "vmsplice"        "vmsplice, between memory and a pipe";
        Tee           "tee"             "tee, from a pipe to a pipe";
        Mapped        "mapped"          "mappings that nothing is written through (private, or without PROT_WRITE): each file from the first to the last mapped byte, once";
        MappedWrite   "mapped_write"    "mappings that files are written through (MAP_SHARED, PROT_WRITE): each file from the first to the last mapped byte, once";
        Fault         "fault"           "pages of mapped files that page faults brought in or waited for, or made dirty";
        Msync         "msync"           "ranges of memory that msync wrote back to their files";
        Unknown       "unknown"         "calls that nobody knows, calls that hand over requests which are not in the capture, and events that the capture lost";
    }
}

impl Elsewhere {
    /// What is to be said of files on this kind of file system (filesystems(5)); `None` of those that a replay has like them.
    pub fn of(kind: &[u8]) -> Option<Elsewhere> {
        match kind {
            b"tmpfs" | b"ramfs" => Some(Elsewhere::TmpfsOnDisk),
            b"overlay" => Some(Elsewhere::OverlayFlat),
            _ => None,
        }
    }
}
