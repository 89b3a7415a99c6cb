//! Operations: what calls do, as the model and the replay engine know it.

use crate::words::words;

macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// Operation that a call performs. For a call that is issued it is the native syscall that the replay engine issues;
        /// several captured names (`stat64`, `chown16`) may share one.
        #[expect(missing_docs, reason = "most variants are the kernel's names")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Op { $($(#[$doc])* $variant),* }
        impl Op {
            /// Every operation.
            pub const ALL: &'static [Op] = &[$(Op::$variant),*];
            /// The operation's name, as in column `op`.
            pub const fn name(self) -> &'static str { match self { $(Op::$variant => $name),* } }
            /// The operation of this name.
            pub fn parse(name: &str) -> Option<Op> { match name { $($name => Some(Op::$variant),)* _ => None } }
        }
    };
}

ops! {
    Read "read"; Readv "readv"; Pread "pread64"; Preadv "preadv"; Preadv2 "preadv2";
    Write "write"; Writev "writev"; Pwrite "pwrite64"; Pwritev "pwritev"; Pwritev2 "pwritev2";
    CopyFileRange "copy_file_range"; Sendfile "sendfile";
    Open "open"; Openat "openat"; Openat2 "openat2"; Creat "creat"; Close "close";
    Lseek "lseek"; Truncate "truncate"; Ftruncate "ftruncate"; Fallocate "fallocate";
    Fsync "fsync"; Fdatasync "fdatasync"; Syncfs "syncfs"; Sync "sync"; SyncFileRange "sync_file_range";
    Readahead "readahead"; Fadvise "fadvise64"; Mmap "mmap"; Msync "msync";
    /// madvise(2) on mapped pages of a file; issued where it asks for them to be read (MADV_WILLNEED).
    Madvise "madvise";
    /// Page faults on mapped pages of a file: the pages are touched, or made dirty.
    Touch "mmap_fault";
    Stat "stat"; Lstat "lstat"; Fstat "fstat"; Fstatat "newfstatat"; Statx "statx";
    Statfs "statfs"; Fstatfs "fstatfs"; Access "access"; Faccessat "faccessat"; Faccessat2 "faccessat2";
    Getdents "getdents"; Getdents64 "getdents64"; Getcwd "getcwd";
    Readlink "readlink"; Readlinkat "readlinkat";
    Mkdir "mkdir"; Mkdirat "mkdirat"; Rmdir "rmdir"; Mknod "mknod"; Mknodat "mknodat";
    Unlink "unlink"; Unlinkat "unlinkat"; Rename "rename"; Renameat "renameat"; Renameat2 "renameat2";
    Link "link"; Linkat "linkat"; Symlink "symlink"; Symlinkat "symlinkat";
    Chmod "chmod"; Fchmod "fchmod"; Fchmodat "fchmodat"; Fchmodat2 "fchmodat2";
    Chown "chown"; Lchown "lchown"; Fchown "fchown"; Fchownat "fchownat"; Utimensat "utimensat";
    Getxattr "getxattr"; Lgetxattr "lgetxattr"; Fgetxattr "fgetxattr";
    Listxattr "listxattr"; Llistxattr "llistxattr"; Flistxattr "flistxattr";
    Setxattr "setxattr"; Lsetxattr "lsetxattr"; Fsetxattr "fsetxattr";
    Removexattr "removexattr"; Lremovexattr "lremovexattr"; Fremovexattr "fremovexattr";
    Fcntl "fcntl"; Flock "flock"; Ioctl "ioctl"; Chdir "chdir"; Fchdir "fchdir";
    /// dup, dup2, dup3: a second descriptor for one open file description.
    Dup "dup";
    /// splice(2), one side of which is a pipe: the model turns it into a read or a write of the file.
    Splice "splice";
    /// close_range(2): the model turns it into a close for each open file description that it ends.
    CloseRange "close_range";
    /// Pages of a file are added to the page cache, which did not have them.
    CacheAdd "page_cache_add";
    /// munmap(2): memory is no longer mapped; the last mapping of a file whose descriptors are closed ends its description.
    Munmap "munmap";
    /// mremap(2): a mapping moves, or has another length.
    Mremap "mremap";
    /// umask(2): sets which permission bits new files do not get.
    Umask "umask";
    /// chroot(2): absolute paths of the process start at another root from now on.
    Chroot "chroot";
    /// setuid, setreuid, setresuid: the process works as another user from now on.
    User "user";
    /// fork, vfork, clone, clone3: a new process or thread.
    Fork "fork";
    /// pidfd_getfd(2): a second descriptor for an open file description of another process.
    PidfdGetfd "pidfd_getfd";
    /// unshare(2): what a thread shared with others (descriptors, working directory) becomes its own.
    Unshare "unshare";
    /// setns(2): a thread goes to another namespace; in one of mounts it starts at that root.
    Setns "setns";
    /// execve, execveat: descriptors with the close-on-exec flag end.
    Exec "exec";
    /// exit: one thread ends.
    Exit "exit";
    /// exit_group: the process ends.
    ExitGroup "exit_group";
    /// A working directory or descriptor that a process already had when it came into the scope of a capture.
    Joined "joined";
    /// Makes a descriptor that is no file (pipe, socket, eventfd ...). Later calls on it are drops.
    Special "special";
}

words! {
    /// Whether the bytes that a call returns the number of come from a file, go to one, or both.
    Moves {
        Nothing "nothing" "no bytes of files";
        Reads   "reads"   "bytes are read from a file";
        Writes  "writes"  "bytes are written to a file";
        Copies  "copies"  "bytes are read from one file and written to another";
    }
}

impl Op {
    /// Does a replay issue this operation? The others are only tracked by the model.
    pub const fn issued(self) -> bool {
        !matches!(
            self,
            Op::Splice
                | Op::Dup
                | Op::CloseRange
                | Op::CacheAdd
                | Op::Munmap
                | Op::Mremap
                | Op::Umask
                | Op::Chroot
                | Op::User
                | Op::Fork
                | Op::Exec
                | Op::Exit
                | Op::ExitGroup
                | Op::Joined
                | Op::PidfdGetfd
                | Op::Unshare
                | Op::Setns
                | Op::Special
        )
    }

    /// Does it make or end a process, or change what names and rights of one mean? Every capture needs these, whatever files it is of.
    pub const fn of_process(self) -> bool {
        matches!(
            self,
            Op::Fork
                | Op::Exec
                | Op::Exit
                | Op::ExitGroup
                | Op::Umask
                | Op::Chroot
                | Op::User
                | Op::Chdir
                | Op::Fchdir
                | Op::Getcwd
        )
    }

    /// Whether the operation reads from a file, writes to one, copies between two, or neither.
    pub const fn moves(self) -> Moves {
        match self {
            Op::Read | Op::Readv | Op::Pread | Op::Preadv | Op::Preadv2 => Moves::Reads,
            Op::Write | Op::Writev | Op::Pwrite | Op::Pwritev | Op::Pwritev2 => Moves::Writes,
            Op::CopyFileRange | Op::Sendfile | Op::Splice => Moves::Copies,
            _ => Moves::Nothing,
        }
    }
}
