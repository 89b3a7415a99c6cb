//! An assembler for eBPF: instructions as Rust calls, labels instead of offsets, maps by name until they exist.
//!
//! The instruction set is RFC 9669. Only what the programs here need is there; a wrong program does not get past the
//! kernel's verifier, and [`Code`] prints itself as the kernel's own tools print it, so that a test and a reviewer can
//! read what is loaded.

use std::fmt;

/// A register of eBPF. A call returns its result in R0, takes arguments in R1 to R5 and destroys them; R6 to R9 survive calls;
/// R10 is the read-only frame pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    #[expect(dead_code, reason = "no call here takes five arguments")]
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// Width of a load or store: B, H, W, DW are 1, 2, 4, 8 bytes. The values are the size bits of the instruction code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Size {
    B = 0x10,
    H = 0x08,
    W = 0x00,
    DW = 0x18,
}

/// Arithmetic operations on all 64 bits of a register. The values are the operation bits of the instruction code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Or = 0x40,
    Mul = 0x20,
    And = 0x50,
    Lsh = 0x60,
    Rsh = 0x70,
    Mov = 0xb0,
}

/// Conditions of jumps. All but the `Signed` ones compare as unsigned; [`If::Set`] is true if the operands share any bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum If {
    Eq = 0x10,
    Ne = 0x50,
    Gt = 0x20,
    Ge = 0x30,
    Set = 0x40,
    SignedGt = 0x60,
    SignedLt = 0xc0,
}

/// Source operand of an instruction: a register or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Src {
    /// The value of a register.
    Reg(Reg),
    /// An immediate number, sign extended to 64 bits.
    Imm(i32),
}

impl From<Reg> for Src {
    fn from(reg: Reg) -> Src {
        Src::Reg(reg)
    }
}

impl From<i32> for Src {
    fn from(number: i32) -> Src {
        Src::Imm(number)
    }
}

macro_rules! helpers {
    ($($variant:ident $name:literal $number:literal;)*) => {
        /// Helper functions of the kernel that programs may call, by their numbers (bpf-helpers(7)).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Helper { $($variant = $number),* }
        fn helper_name(number: i32) -> Option<&'static str> { match number { $($number => Some($name),)* _ => None } }
    };
}

helpers! {
    MapLookup "map_lookup_elem" 1;
    MapUpdate "map_update_elem" 2;
    Now "ktime_get_ns" 5;
    Processor "get_smp_processor_id" 8;
    ReadKernel "probe_read_kernel" 113;
    ReadUser "probe_read_user" 112;
    ReadUserStr "probe_read_user_str" 114;
    ReadKernelStr "probe_read_kernel_str" 115;
    SeqWrite "seq_write" 127;
    RingOutput "ringbuf_output" 130;
    RingReserve "ringbuf_reserve" 131;
    RingSubmit "ringbuf_submit" 132;
    DPath "d_path" 147;
    TaskStorage "task_storage_get" 156;
    CurrentTask "get_current_task_btf" 158;
    Loop "loop" 181;
}

macro_rules! maps {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// The BPF maps that the programs and this process share.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Map { $($(#[$doc])* $variant),* }
        impl Map {
            /// All maps.
            pub const ALL: &'static [Map] = &[$(Map::$variant),*];
            /// Name of the map, for listings and for the kernel.
            pub const fn name(self) -> &'static str { match self { $(Map::$variant => $name),* } }
        }
    };
}

maps! {
    /// The kernel's ring buffer: records on their way to this process.
    Ring "ring";
    /// The per-CPU buffers: records of returned calls that find room there, without a lock; see [`super::percpu`].
    Buffers "buffers";
    /// For each call number a row that says what to read of the call ([`super::row::Row`]).
    Calls "calls";
    /// Counters of what happened and was lost, for each processor ([`super::counter::Counter`]).
    Counters "counters";
    /// Scratch memory for one record in the making, for each processor.
    Scratch "scratch";
    /// Task storage: the mark on every captured task, with the call it is in if it has no thread slot.
    Tasks "tasks";
    /// Task storage: a mark on the leading task of every newcomer process that was reported.
    Told "told";
    /// The thread slots, in which most captured threads keep the call they are in: see [`super::thread_slot`].
    ThreadSlots "slots";
    /// Process ids of the scope, for a command or a list of processes.
    Pids "pids";
    /// One number: 1 once every task that was in the scope at the start of the capture has a mark.
    Settled "settled";
    /// For each processor whether it runs a timer, in its hard and in its soft interrupts.
    Timing "timing";
    /// How far results were taken from the rings of io_submit, by context and process.
    Reaped "reaped";
    /// Where the last request to each device ended, by the address of its queue: a sector.
    Ends "ends";
    /// For each processor what was asked of each device, by the address of its queue and who asked ([`crate::capture::probe::device`]).
    Devices "devices";
}

/// One instruction in the layout of the kernel (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    code: u8,
    /// Destination register in the low 4 bits, source register in the high 4 bits.
    regs: u8,
    off: i16,
    imm: i32,
}

/// A jump target in a program in the making.
#[derive(Clone, Copy, Debug)]
pub struct Label(usize);

/// The assembler: an eBPF program in the making, with labels and maps not resolved yet.
#[derive(Default)]
pub struct Asm {
    insns: Vec<Insn>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
    maps: Vec<(usize, Map)>,
    /// Indices of instructions that load the address of a function, and the label where the function begins.
    functions: Vec<(usize, Label)>,
}

const KFUNC: u8 = 2;
const FUNCTION: u8 = 4;
/// Instruction code of atomic operations on 64 bits of memory (Linux 5.12); the immediate number selects the operation.
const ATOMIC: u8 = 0xdb;
const EXCHANGE: i32 = 0xe1;
const COMPARE_EXCHANGE: i32 = 0xf1;
const MAP_FD: u8 = 1;
const MAP_VALUE: u8 = 2;

impl Asm {
    fn push(&mut self, code: u8, dst: Reg, src: u8, off: i16, imm: i32) {
        self.insns.push(Insn { code, regs: dst as u8 | src << 4, off, imm });
    }

    /// Appends an arithmetic instruction: `dst op= src`.
    pub fn alu(&mut self, op: Alu, dst: Reg, src: impl Into<Src>) {
        match src.into() {
            Src::Imm(imm) => self.push(0x07 | op as u8, dst, 0, 0, imm),
            Src::Reg(src) => self.push(0x0f | op as u8, dst, src as u8, 0, 0),
        }
    }

    /// Appends a move: `dst = src`.
    pub fn mov(&mut self, dst: Reg, src: impl Into<Src>) {
        self.alu(Alu::Mov, dst, src);
    }

    /// Appends an addition: `dst += src`.
    pub fn add(&mut self, dst: Reg, src: impl Into<Src>) {
        self.alu(Alu::Add, dst, src);
    }

    /// Appends an instruction that keeps the low 32 bits of `dst` and zeroes the rest.
    pub fn zero_extend(&mut self, dst: Reg) {
        self.low_half(dst, dst);
    }

    /// `dst =` the low 32 bits of `src`, zero extended; the verifier takes the result as a number even if `src` is an address.
    pub fn low_half(&mut self, dst: Reg, src: Reg) {
        self.push(0x0c | Alu::Mov as u8, dst, src as u8, 0, 0);
    }

    /// Atomic compare-and-exchange: `*(base + off) = src` if its value was R0; R0 = the value that it had.
    pub fn compare_exchange(&mut self, base: Reg, off: i16, src: Reg) {
        self.push(ATOMIC, base, src as u8, off, COMPARE_EXCHANGE);
    }

    /// `*(base + off) = src` (8 bytes), visible to others only after all earlier stores (release). Destroys `src` except on
    /// x86_64: elsewhere it takes an exchange.
    pub fn publish(&mut self, base: Reg, off: i16, src: Reg) {
        if cfg!(target_arch = "x86_64") {
            self.store(Size::DW, base, off, src);
        } else {
            self.push(ATOMIC, base, src as u8, off, EXCHANGE);
        }
    }

    /// Appends a load of this width: `dst = *(base + off)`, zero extended.
    pub fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16) {
        self.push(0x61 | size as u8, dst, base as u8, off, 0);
    }

    /// Appends a store of this width: `*(base + off) = src`.
    pub fn store(&mut self, size: Size, base: Reg, off: i16, src: impl Into<Src>) {
        match src.into() {
            Src::Imm(imm) => self.push(0x62 | size as u8, base, 0, off, imm),
            Src::Reg(src) => self.push(0x63 | size as u8, base, src as u8, off, 0),
        }
    }

    /// A new label, to be placed by [`Asm::here`].
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label at the next instruction.
    pub fn here(&mut self, label: Label) {
        debug_assert!(self.labels[label.0].is_none(), "a label is placed once");
        self.labels[label.0] = Some(self.insns.len());
    }

    /// Appends a conditional jump to a label, taken if `dst cond src` is true.
    pub fn jump(&mut self, cond: If, dst: Reg, src: impl Into<Src>, to: Label) {
        self.jumps.push((self.insns.len(), to));
        match src.into() {
            Src::Imm(imm) => self.push(0x05 | cond as u8, dst, 0, 0, imm),
            Src::Reg(src) => self.push(0x0d | cond as u8, dst, src as u8, 0, 0),
        }
    }

    /// Appends an unconditional jump to a label.
    pub fn goto(&mut self, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(0x05, Reg::R0, 0, 0, 0);
    }

    /// Appends a call of a helper function of the kernel.
    pub fn call(&mut self, helper: Helper) {
        self.push(0x85, Reg::R0, 0, 0, helper as i32);
    }

    /// Appends a call of a kernel function (kfunc) by its BTF id.
    pub fn kfunc(&mut self, id: u32) {
        self.push(0x85, Reg::R0, KFUNC, 0, id as i32);
    }

    /// `dst =` the map, as an argument for a helper.
    pub fn map(&mut self, dst: Reg, map: Map) {
        self.maps.push((self.insns.len(), map));
        self.push(0x18, dst, MAP_FD, 0, 0);
        self.push(0, Reg::R0, 0, 0, 0);
    }

    /// `dst =` the address of the only value of an array map.
    pub fn map_value(&mut self, dst: Reg, map: Map) {
        self.maps.push((self.insns.len(), map));
        self.push(0x18, dst, MAP_VALUE, 0, 0);
        self.push(0, Reg::R0, 0, 0, 0);
    }

    /// `dst =` the address of the function of this program that begins at a label, for a helper that calls it (`bpf_loop`).
    pub fn function(&mut self, dst: Reg, label: Label) {
        self.functions.push((self.insns.len(), label));
        self.push(0x18, dst, FUNCTION, 0, 0);
        self.push(0, Reg::R0, 0, 0, 0);
    }

    /// Appends the end of the program or function: returns 0.
    pub fn exit(&mut self) {
        self.give(0);
    }

    /// Appends the end of the program or function: returns a number.
    pub fn give(&mut self, number: i32) {
        self.mov(Reg::R0, number);
        self.push(0x95, Reg::R0, 0, 0, 0);
    }

    /// Resolves the jumps and returns the program. A jump to a label that was never placed leads to itself, which the verifier
    /// rejects.
    pub fn finish(mut self) -> Code {
        for (at, label) in &self.jumps {
            let to = self.labels[label.0].unwrap_or(*at);
            self.insns[*at].off = (to as isize - *at as isize - 1) as i16;
        }
        let mut functions = vec![0];
        for (at, label) in &self.functions {
            let to = self.labels[label.0].unwrap_or(*at);
            self.insns[*at].imm = (to as isize - *at as isize - 1) as i32;
            functions.push(to as u32);
        }
        functions.sort_unstable();
        functions.dedup();
        Code { insns: self.insns, maps: self.maps, functions }
    }
}

/// An assembled eBPF program; only the descriptors of its maps are still to be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    insns: Vec<Insn>,
    maps: Vec<(usize, Map)>,
    functions: Vec<u32>,
}

impl Code {
    /// The instructions with the descriptors of the maps, which `fd` gives, put in.
    pub fn link(&self, fd: impl Fn(Map) -> i32) -> Vec<Insn> {
        let mut insns = self.insns.clone();
        for (at, map) in &self.maps {
            insns[*at].imm = fd(*map);
        }
        insns
    }

    /// Indices of the instructions where functions begin: 0 for the program itself, then those that helpers call.
    pub fn functions(&self) -> &[u32] {
        &self.functions
    }

    /// Number of instructions of the program; one that loads an address counts as two.
    pub fn len(&self) -> usize {
        self.insns.len()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut at = 0;
        while let Some(insn) = self.insns.get(at) {
            let map = self.maps.iter().find(|(place, _)| *place == at).map(|(_, map)| map.name());
            writeln!(f, "{at:>4}: {}", Listed(insn, map))?;
            at += if insn.code == 0x18 { 2 } else { 1 };
        }
        Ok(())
    }
}

/// An instruction, and the map it refers to, to be printed as text.
struct Listed<'a>(&'a Insn, Option<&'static str>);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Insn { code, regs, off, imm } = *self.0;
        let (dst, src) = (regs & 15, regs >> 4);
        let size = ["u32", "u16", "u8", "u64"][usize::from(code >> 3 & 3)];
        let by = if code & 8 == 0 { imm.to_string() } else { format!("r{src}") };
        match code & 7 {
            0 => match (src, self.1) {
                (MAP_VALUE, Some(map)) => write!(f, "r{dst} = value of map {map}"),
                (_, Some(map)) => write!(f, "r{dst} = map {map}"),
                (FUNCTION, None) => write!(f, "r{dst} = function {imm:+}"),
                (_, None) => write!(f, "r{dst} = {imm}"),
            },
            _ if code == ATOMIC => match imm {
                COMPARE_EXCHANGE => write!(f, "r0 = cmpxchg((u64 *)(r{dst} {off:+}), r0, r{src})"),
                _ => write!(f, "r{src} = xchg((u64 *)(r{dst} {off:+}), r{src})"),
            },
            1 => write!(f, "r{dst} = *({size} *)(r{src} {off:+})"),
            2 => write!(f, "*({size} *)(r{dst} {off:+}) = {imm}"),
            3 => write!(f, "*({size} *)(r{dst} {off:+}) = r{src}"),
            4 => write!(f, "w{dst} = w{src}"),
            7 => {
                write!(f, "r{dst} {}= {by}", ["+", "-", "*", "/", "|", "&", "<<", ">>", "", "%", "^", ""][usize::from(code >> 4)])
            }
            _ => match code >> 4 {
                0 => write!(f, "goto {off:+}"),
                8 if src == KFUNC => write!(f, "call kernel function"),
                8 => write!(f, "call {}", helper_name(imm).unwrap_or("?")),
                9 => write!(f, "exit"),
                cond => {
                    let sign = ["", "==", ">", ">=", "&", "!=", "s>", "s>=", "", "", "<", "<=", "s<", "s<="];
                    write!(f, "if r{dst} {} {by} goto {off:+}", sign.get(usize::from(cond)).copied().unwrap_or("?"))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reg::{R0, R1, R2, R6, R7, R10};
    use super::*;

    /// The golden listing: every form of instruction, with a jump back and one ahead.
    #[test]
    fn a_program_lists_as_it_was_written() {
        let mut a = Asm::default();
        let (top, out) = (a.label(), a.label());
        a.load(Size::DW, R6, R1, 8);
        a.here(top);
        a.map(R1, Map::Ring);
        a.map_value(R7, Map::Calls);
        a.alu(Alu::Lsh, R2, 3);
        a.add(R7, R2);
        a.zero_extend(R2);
        a.store(Size::H, R10, -16, 7);
        a.store(Size::B, R7, 1, R2);
        a.jump(If::SignedLt, R0, 0, out);
        a.jump(If::Set, R1, R2, top);
        a.call(Helper::Now);
        a.kfunc(77);
        a.function(R2, out);
        a.goto(out);
        a.here(out);
        a.exit();
        let code = a.finish();
        let listing = "   0: r6 = *(u64 *)(r1 +8)
   1: r1 = map ring
   3: r7 = value of map calls
   5: r2 <<= 3
   6: r7 += r2
   7: w2 = w2
   8: *(u16 *)(r10 -16) = 7
   9: *(u8 *)(r7 +1) = r2
  10: if r0 s< 0 goto +6
  11: if r1 & r2 goto -11
  12: call ktime_get_ns
  13: call kernel function
  14: r2 = function +2
  16: goto +0
  17: r0 = 0
  18: exit
";
        assert_eq!(code.to_string(), listing);
        assert_eq!(code.functions(), [0, 17]);
        assert_eq!(code.link(|map| if map == Map::Ring { 5 } else { 6 })[3].imm, 6);
    }

    #[test]
    fn instructions_are_encoded_as_the_kernel_wants_them() {
        let mut a = Asm::default();
        a.mov(R0, 0);
        a.mov(R1, R2);
        a.load(Size::DW, R0, R10, -8);
        let out = a.label();
        a.jump(If::Eq, R0, 0, out);
        a.here(out);
        a.exit();
        let bytes: Vec<[u8; 4]> =
            a.finish().insns.iter().map(|i| [i.code, i.regs, i.off.to_ne_bytes()[0], i.imm.to_ne_bytes()[0]]).collect();
        assert_eq!(
            bytes,
            [[0xb7, 0, 0, 0], [0xbf, 0x21, 0, 0], [0x79, 0xa0, 0xf8, 0], [0x15, 0, 0, 0], [0xb7, 0, 0, 0], [0x95, 0, 0, 0]]
        );
    }
}
