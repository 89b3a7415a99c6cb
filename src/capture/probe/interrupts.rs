//! Whether a program runs in an interrupt, in which the current task is whoever was interrupted; whether that is a timer's, and
//! whether it may be the work of the current task all the same.

use super::file::{file_mode, open_file, word};
use super::optional::Optional;
use super::parts::{frame, only};
use super::program::find_mark;
use crate::capture::kernel::asm::Alu::{And, Lsh, Rsh};
use crate::capture::kernel::asm::If::{Eq, Ne, Set};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{DW, W};
use crate::capture::kernel::asm::{Asm, Code, Helper, Label, Map};
use crate::capture::kernel::btf::{Btf, Kind};
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::thread_slot::{self, stamp};
use crate::syscall::number::Abi;
use anyhow::Result;

/// What of the kernel tells in which context a program runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// Where the preemption count of a processor is.
    count: Count,
    /// Offset in `struct task_struct` of what counts soft interrupts instead, in kernels with PREEMPT_RT.
    soft: Option<i16>,
    /// Offset in `struct pt_regs` of the register that holds -ENOSYS in a call, and in an interrupt of the program what the program has
    /// there (x86_64); the number of a call alone may be that of an interrupt. `None` where no interrupt has a number (arm64).
    result: Option<i16>,
}

/// Where the preemption count of a processor is.
#[derive(Clone, Copy, Debug)]
enum Count {
    /// Among the variables that each processor has (x86_64), which are found from its run queue, to which the current task leads.
    Processor {
        /// Offset in `struct task_struct` of the pointer to the run queue of its class (`struct cfs_rq`).
        class: i16,
        /// Offset there of the pointer to the run queue of the processor.
        queue: i16,
        /// From there to the preemption count, bytes.
        count: i32,
        /// From there to the pointer to the current task, bytes: it proves that this is the right place.
        current: i32,
    },
    /// A field of the current task, by its offset (arm64).
    Task(i16),
}

/// Bits of the preemption count that are set in a hard interrupt (also one that cannot be masked), and the one that is set while
/// soft interrupts are served: include/linux/preempt.h of the kernel.
const HARD: i32 = 0x00ff_0000;
const SERVES_SOFT: i32 = 0x100;

/// Calls that send on the descriptor that is their first argument, if that is a socket.
const SEND: [&str; 6] = ["sendto", "sendmsg", "sendmmsg", "write", "writev", "sendfile"];

impl Context {
    /// Finds it in the BTF of a kernel.
    ///
    /// # Errors
    /// When the kernel does not show where its preemption count is.
    pub fn find(btf: &Btf) -> Result<Context> {
        let count = if cfg!(target_arch = "x86_64") {
            let queue = btf.of_processors("runqueues")?;
            // Linux 6.2 to 6.14 have them in one structure.
            let beside = |name: &str, field: &str| -> Result<i32> {
                let inside = || -> Result<i32> { Ok(btf.of_processors("pcpu_hot")? + i32::from(btf.offset(field)?)) };
                Ok(btf.of_processors(name).or_else(|_| inside())? - queue)
            };
            Count::Processor {
                class: btf.offset("task_struct.se.cfs_rq")?,
                queue: btf.offset("cfs_rq.rq")?,
                count: beside("__preempt_count", "pcpu_hot.preempt_count")?,
                current: beside("current_task", "pcpu_hot.current_task")?,
            }
        } else {
            Count::Task(btf.offset("task_struct.thread_info.preempt.count")?)
        };
        let soft = btf.offset("task_struct.softirq_disable_cnt").ok();
        let result = cfg!(target_arch = "x86_64").then(|| btf.offset("pt_regs.ax")).transpose()?;
        Ok(Context { count, soft, result })
    }

    /// Jumps to `hard` or `soft` when this runs in an interrupt of that kind, and to `unknown` when that cannot be told; goes on in
    /// the context of the current task. Destroys R0 to R6.
    pub fn which(&self, a: &mut Asm, k: &Layout, [hard, soft, unknown]: [Label; 3]) {
        a.call(Helper::CurrentTask);
        match self.count {
            Count::Processor { class, queue, count, current } => {
                a.mov(R6, R0);
                a.load(DW, R1, R6, class);
                a.load(DW, R1, R1, queue);
                a.jump(Eq, R1, 0, unknown);
                a.store(DW, R10, frame::BEGIN, R1);
                a.mov(R3, R1);
                a.add(R3, current);
                word(a, k);
                a.jump(Ne, R1, R6, unknown);
                a.load(DW, R3, R10, frame::BEGIN);
                a.add(R3, count);
                word(a, k);
            }
            Count::Task(offset) => a.load(W, R1, R0, offset),
        }
        a.jump(Set, R1, HARD, hard);
        if let Some(offset) = self.soft {
            a.call(Helper::CurrentTask);
            a.load(W, R1, R0, offset);
        }
        a.jump(Set, R1, SERVES_SOFT, soft);
    }

    /// R8 = the id of the current task if it is captured and in a call that sends on a socket; else jumps to `no`. R9, the mark of the task
    /// that is woken, stays. Destroys the others.
    pub fn sender(&self, a: &mut Asm, k: &Layout, no: Label) {
        let sends = a.label();
        a.call(Helper::CurrentTask);
        a.mov(R7, R0);
        find_mark(a, R7, false);
        a.jump(Eq, R0, 0, no);
        a.store(DW, R10, frame::NOW, R9);
        a.mov(R9, R0);
        thread_slot::of_mark(a);
        a.load(DW, R6, R8, stamp::OWNER);
        a.load(DW, R9, R10, frame::NOW);
        // The saved registers of a thread without a slot are not known.
        a.jump(Eq, R6, 0, no);
        if let Some(result) = self.result {
            a.mov(R3, R6);
            a.add(R3, i32::from(result));
            word(a, k);
            a.jump(Ne, R1, -libc::ENOSYS, no);
        }
        a.mov(R3, R6);
        a.add(R3, i32::from(k.number));
        word(a, k);
        a.alu(Lsh, R1, 32);
        a.alu(Rsh, R1, 32);
        for number in SEND.iter().filter_map(|name| Abi::NATIVE.number(name)) {
            a.jump(Eq, R1, i32::from(number), sends);
        }
        a.goto(no);
        a.here(sends);
        a.mov(R3, R6);
        a.add(R3, i32::from(k.args[0]));
        word(a, k);
        a.mov(R3, R1);
        open_file(a, k, no);
        file_mode(a, k);
        a.alu(And, R2, libc::S_IFMT as i32);
        a.jump(Ne, R2, libc::S_IFSOCK as i32, no);
        a.load(W, R8, R7, k.at.pid);
    }
}

/// Makes the programs before and after the functions of timers; without them wakes by timers pass for other interrupts.
///
/// # Errors
/// When the kernel does not show them.
pub fn timers(btf: &Btf, k: &Layout) -> Result<[Optional; 4]> {
    let context = Context::find(btf)?;
    let program = |name, hook, runs| -> Result<Optional> {
        Ok(Optional { name, code: timer(k, &context, runs), hook: btf.id(Kind::Typedef, hook)? })
    };
    // Ends before beginnings: one that ends a timer must not be missing.
    Ok([
        program("ioriot_hr_end", "btf_trace_hrtimer_expire_exit", 0)?,
        program("ioriot_hr_begin", "btf_trace_hrtimer_expire_entry", 1)?,
        program("ioriot_tm_end", "btf_trace_timer_expire_exit", 0)?,
        program("ioriot_tm_begin", "btf_trace_timer_expire_entry", 1)?,
    ])
}

/// R0 = the words of this processor that say whether a timer runs: in a hard interrupt, in a soft one.
pub(super) fn timing(a: &mut Asm, none: Label) {
    only(a, Map::Timing, none);
}

/// The program before (`runs` is 1) or after (0) the function of a timer.
fn timer(k: &Layout, context: &Context, runs: i32) -> Code {
    let mut a = Asm::default();
    let (out, hard, soft) = (a.label(), a.label(), a.label());
    context.which(&mut a, k, [hard, soft, out]);
    // Timers run in interrupts alone.
    a.goto(out);
    for (label, offset) in [(hard, 0), (soft, 8)] {
        a.here(label);
        timing(&mut a, out);
        a.store(DW, R0, offset, runs);
        a.goto(out);
    }
    a.here(out);
    a.exit();
    a.finish()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Context {
        /// That of a kernel for x86_64.
        pub fn example() -> Context {
            let count = Count::Processor { class: 800, queue: 312, count: -92_752, current: -92_776 };
            Context { count, soft: None, result: Some(80) }
        }

        /// That of a kernel for arm64, with PREEMPT_RT or without.
        pub fn of_arm(soft: Option<i16>) -> Context {
            Context { count: Count::Task(8), soft, result: None }
        }
    }

    /// The golden listing. What changes here changes what runs at every timer of every kernel: read it.
    #[test]
    fn the_program_at_a_timer_is_this() {
        insta::assert_snapshot!("timer", timer(&Layout::example(), &Context::example(), 1));
    }

    #[test]
    fn every_kernel_gives_a_program_whose_jumps_lead_somewhere() {
        let older = Layout { narrow: None, cast: None, loops: false, ..Layout::example() };
        for (k, context) in [(Layout::example(), Context::of_arm(None)), (older, Context::of_arm(Some(16)))] {
            let code = timer(&k, &context, 0);
            assert!(!code.to_string().contains("goto -1\n"), "a jump to itself\n{code}");
        }
    }
}
