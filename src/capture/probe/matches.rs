//! Piece of the eBPF programs that tests whether a task is in the scope.

use super::parts::{frame, read_kernel};
use crate::capture::kernel::asm::Alu::{Lsh, Or};
use crate::capture::kernel::asm::If::{Eq, Ne};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R4, R10};
use crate::capture::kernel::asm::Size::{DW, W};
use crate::capture::kernel::asm::{Asm, Helper, Label, Map, Reg};
use crate::capture::kernel::layout::Layout;
use crate::capture::target::scope::{By, Match};

/// Emits code that jumps to `no` unless the task in register `task` is in the scope: its process is in map `pids`, or its
/// user, name or control group (up to 16 levels up) is the wanted one. May destroy R0 to R5.
pub fn matches(a: &mut Asm, k: &Layout, scope: &Match, task: Reg, no: Label) {
    a.load(W, R1, task, k.at.tgid);
    let by = match scope {
        Match::Pids => {
            a.store(W, R10, frame::KEY, R1);
            a.mov(R2, R10);
            a.add(R2, i32::from(frame::KEY));
            a.map(R1, Map::Pids);
            a.call(Helper::MapLookup);
            return a.jump(Eq, R0, 0, no);
        }
        Match::Others { own, by } => {
            a.jump(Eq, R1, *own as i32, no);
            by
        }
    };
    match by {
        By::All => {}
        By::User(uid) => {
            a.load(DW, R1, task, k.at.cred);
            a.load(W, R1, R1, k.at.uid);
            a.mov(R2, *uid as i32);
            a.zero_extend(R2);
            a.jump(Ne, R1, R2, no);
        }
        By::Comm(name) => {
            a.mov(R3, task);
            a.add(R3, i32::from(k.at.comm));
            read_kernel(a, frame::COMM, 16);
            for (word, bytes) in (0..).zip(name.chunks_exact(4)) {
                a.load(W, R1, R10, frame::COMM + 4 * word);
                a.mov(R2, i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
                a.zero_extend(R2);
                a.jump(Ne, R1, R2, no);
            }
        }
        By::Cgroup(id) => {
            let yes = a.label();
            let halves = [*id as u32, (*id >> 32) as u32];
            a.load(DW, R1, task, k.at.cgroups);
            a.load(DW, R1, R1, k.at.cgroup);
            for _ in 0..16 {
                let up = a.label();
                a.load(DW, R2, R1, k.at.cgroup_node);
                a.load(DW, R3, R2, k.at.node_id);
                a.mov(R4, halves[1] as i32);
                a.alu(Lsh, R4, 32);
                a.mov(R2, halves[0] as i32);
                a.zero_extend(R2);
                a.alu(Or, R4, R2);
                a.jump(Ne, R3, R4, up);
                a.goto(yes);
                a.here(up);
                a.load(DW, R1, R1, k.at.cgroup_parent);
                a.jump(Eq, R1, 0, no);
                a.load(DW, R1, R1, k.at.css_cgroup);
                a.jump(Eq, R1, 0, no);
            }
            a.goto(no);
            a.here(yes);
        }
    }
}
