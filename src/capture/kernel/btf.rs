//! Reads the kernel's own description of its types (BTF): offsets of fields, ids of types and functions.
//!
//! Structure layouts differ from kernel to kernel. Every kernel built with CONFIG_DEBUG_INFO_BTF describes its own in
//! `/sys/kernel/btf/vmlinux` (the format: Documentation/bpf/btf.rst), so nothing here is compiled against a certain kernel.
//! BTF has each string once, so a name is looked up once, and types are then compared by the offset of their name.

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use std::ops::Range;

/// File in which the running kernel shows the BTF of its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Kinds of BTF types that are looked up by name; the values are those of `BTF_KIND_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A structure (BTF_KIND_STRUCT).
    Struct = 4,
    /// Another name of a type (BTF_KIND_TYPEDEF); tracepoints are typedefs named `btf_trace_*`.
    Typedef = 8,
    /// A function (BTF_KIND_FUNC).
    Func = 12,
    /// A variable (BTF_KIND_VAR): one that each processor has.
    Variable = 14,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Kind::Struct => "struct",
            Kind::Typedef => "type",
            Kind::Func => "function",
            Kind::Variable => "variable",
        }
    }
}

const MAGIC: u16 = 0xeb9f;
const UNION: u8 = 5;
const SECTION: u8 = 15;

/// The BTF of a kernel: all of its types.
pub struct Btf {
    bytes: Vec<u8>,
    strings: Range<usize>,
    /// Offset in `bytes` of the description of each type, by type id; type 0 is void.
    types: Vec<u32>,
}

impl Btf {
    /// Reads the BTF of the running kernel.
    ///
    /// # Errors
    /// When the kernel was built without BTF, or it is damaged.
    pub fn kernel() -> Result<Btf> {
        let bytes = std::fs::read(VMLINUX)
            .with_context(|| format!("this kernel does not describe its types in {VMLINUX} (CONFIG_DEBUG_INFO_BTF)"))?;
        Btf::parse(bytes).with_context(|| format!("{VMLINUX} is damaged"))
    }

    /// Parses BTF data.
    ///
    /// # Errors
    /// When the bytes are no valid BTF of this machine's byte order.
    pub fn parse(bytes: Vec<u8>) -> Result<Btf> {
        let magic = bytes.get(..2).map(|two| u16::from_ne_bytes([two[0], two[1]]));
        ensure!(magic == Some(MAGIC), "it does not begin with BTF's magic number");
        let mut btf = Btf { bytes, strings: 0..0, types: vec![0] };
        let header = btf.word(4)? as usize;
        let part = |at: usize| -> Result<Range<usize>> {
            let start = header.checked_add(btf.word(at)? as usize).context("a section begins beyond the end")?;
            let end = start.checked_add(btf.word(at + 4)? as usize).context("a section ends beyond the end")?;
            ensure!(end <= btf.bytes.len(), "a section ends beyond the end");
            Ok(start..end)
        };
        let (types, strings) = (part(8)?, part(16)?);
        btf.strings = strings;
        let mut at = types.start;
        while at < types.end {
            btf.types.push(at as u32);
            let (kind, count) = btf.kind(at)?;
            at += 12 + extra(kind, count).with_context(|| format!("unknown kind {kind} of type"))?;
        }
        Ok(btf)
    }

    fn word(&self, at: usize) -> Result<u32> {
        let four = self.bytes.get(at..at + 4).context("it ends too early")?;
        Ok(u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
    }

    /// Kind (BTF_KIND_*) and number of members of the type whose description is at offset `at`.
    fn kind(&self, at: usize) -> Result<(u8, usize)> {
        let info = self.word(at + 4)?;
        Ok(((info >> 24 & 0x1f) as u8, (info & 0xffff) as usize))
    }

    /// Offset of a name in the string section; `None` when no type or field has that name.
    fn name(&self, name: &str) -> Option<u32> {
        let quoted = [b"\0", name.as_bytes(), b"\0"].concat();
        memmem::find(&self.bytes[self.strings.clone()], &quoted).map(|at| at as u32 + 1)
    }

    /// BTF id of the type of this kind and name.
    ///
    /// # Errors
    /// When the kernel has no such type.
    pub fn id(&self, kind: Kind, name: &str) -> Result<u32> {
        if let Some(wanted) = self.name(name) {
            for (id, at) in self.types.iter().enumerate().skip(1) {
                let at = *at as usize;
                if self.word(at)? == wanted && self.kind(at)?.0 == kind as u8 {
                    return Ok(id as u32);
                }
            }
        }
        bail!("this kernel has no {} {name}", kind.word())
    }

    /// Offset of a field in a structure, bytes; `path` may go on into embedded structures: `task_struct.thread_info.status`.
    ///
    /// # Errors
    /// When there is no such structure or field, or no offset that an instruction can hold.
    pub fn offset(&self, path: &str) -> Result<i16> {
        i16::try_from(self.place(path)? / 8).with_context(|| format!("field {path} is too far inside"))
    }

    /// The byte of a structure that has a field of one bit, by its offset, and the bit in it.
    ///
    /// # Errors
    /// As [`Btf::offset`].
    pub fn bit(&self, path: &str) -> Result<(i16, i32)> {
        Ok((self.offset(path)?, 1 << (self.place(path)? % 8)))
    }

    /// Offset of a field in a structure, bits.
    fn place(&self, path: &str) -> Result<u32> {
        let mut names = path.split('.');
        let mut id = self.id(Kind::Struct, names.next().unwrap_or_default())?;
        let mut offset = 0;
        for name in names {
            let wanted = self.name(name).with_context(|| format!("this kernel has no field {path}"))?;
            let (at, of) = self.member(id, wanted, 0)?.with_context(|| format!("this kernel has no field {path}"))?;
            (offset, id) = (offset + at, of);
        }
        Ok(offset)
    }

    /// Place of a variable that each processor has, in the memory that a processor has for all of them, bytes.
    ///
    /// # Errors
    /// When there is no such variable.
    pub fn of_processors(&self, name: &str) -> Result<i32> {
        let wanted = self.id(Kind::Variable, name)?;
        for at in self.types.iter().skip(1).map(|at| *at as usize) {
            let (kind, count) = self.kind(at)?;
            if kind != SECTION {
                continue;
            }
            for entry in (0..count).map(|i| at + 12 + 12 * i) {
                if self.word(entry)? == wanted {
                    return i32::try_from(self.word(entry + 4)?).with_context(|| format!("variable {name} is too far inside"));
                }
            }
        }
        bail!("this kernel does not say where variable {name} is")
    }

    /// Offset (bits) and type id of a member of structure `id`, by the offset of its name; anonymous members are searched, too.
    fn member(&self, id: u32, wanted: u32, depth: u32) -> Result<Option<(u32, u32)>> {
        let Some(at) = self.types.get(self.plain(id)? as usize).map(|at| *at as usize) else { return Ok(None) };
        let (kind, count) = self.kind(at)?;
        if !(kind == Kind::Struct as u8 || kind == UNION) || depth > 8 {
            return Ok(None);
        }
        let bitfields = self.word(at + 4)? >> 31 == 1;
        for member in (0..count).map(|i| at + 12 + 12 * i) {
            let (name, of) = (self.word(member)?, self.word(member + 4)?);
            let bits = self.word(member + 8)? & if bitfields { 0x00ff_ffff } else { u32::MAX };
            if name == wanted {
                return Ok(Some((bits, of)));
            }
            if self.bytes.get(self.strings.start + name as usize) == Some(&0)
                && let Some((offset, of)) = self.member(of, wanted, depth + 1)?
            {
                return Ok(Some((bits + offset, of)));
            }
        }
        Ok(None)
    }

    /// Id of the type behind typedefs and qualifiers (const, volatile ...).
    fn plain(&self, mut id: u32) -> Result<u32> {
        for _ in 0..32 {
            let at = *self.types.get(id as usize).context("a type refers to one that is not there")? as usize;
            match if id == 0 { 0 } else { self.kind(at)?.0 } {
                // typedef, volatile, const, restrict, type tag
                8..=11 | 18 => id = self.word(at + 8)?,
                _ => break,
            }
        }
        Ok(id)
    }
}

/// Bytes that follow the common 12 bytes of a type's description; `None` for an unknown kind.
const fn extra(kind: u8, count: usize) -> Option<usize> {
    Some(match kind {
        // int, variable, tag
        1 | 14 | 17 => 4,
        // array
        3 => 12,
        // struct, union, section, 64-bit enum
        4 | 5 | 15 | 19 => 12 * count,
        // enum, function prototype
        6 | 13 => 8 * count,
        // pointer, forward, typedef, qualifiers, function, float, type tag
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip::{Need, skip};

    /// A BTF with `struct outer { int a; struct { int b; }; const struct inner in; }` and `struct inner { int c, d; }`.
    fn small() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0in\0inner\0c\0d\0int\0mine\0";
        let place = |name: &str| memmem::find(strings, format!("\0{name}\0").as_bytes()).unwrap() as u32 + 1;
        let mut types: Vec<u32> = Vec::new();
        types.extend([place("int"), 1 << 24, 4, 32]); // 1
        types.extend([place("inner"), 4 << 24 | 2, 8, place("c"), 1, 0, place("d"), 1, 32]); // 2
        types.extend([0, 4 << 24 | 1, 4, place("b"), 1, 0]); // 3
        types.extend([0, 10 << 24, 2]); // 4: const struct inner
        types.extend([place("outer"), 4 << 24 | 3, 16, place("a"), 1, 0, 0, 3, 32, place("in"), 4, 64]); // 5
        types.extend([place("mine"), 14 << 24, 1, 1]); // 6: int mine, in section 7
        types.extend([place("int"), 15 << 24 | 1, 100, 6, 48, 4]); // 7
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn fields_are_found_in_embedded_and_anonymous_structures() {
        let btf = Btf::parse(small()).unwrap();
        assert_eq!(btf.id(Kind::Struct, "outer").unwrap(), 5);
        for (path, offset) in [("outer.a", 0), ("outer.b", 4), ("outer.in", 8), ("outer.in.d", 12), ("inner.d", 4)] {
            assert_eq!(btf.offset(path).unwrap(), offset, "{path}");
        }
        assert_eq!(btf.offset("outer.x").unwrap_err().to_string(), "this kernel has no field outer.x");
        assert!(btf.id(Kind::Func, "outer").is_err());
        assert_eq!(btf.of_processors("mine").unwrap(), 48);
        assert!(btf.of_processors("outer").is_err());
    }

    #[test]
    fn damage_is_an_error() {
        let whole = small();
        for cut in 0..whole.len() {
            // A cut among the strings may leave the types readable, but never panics.
            if let Ok(btf) = Btf::parse(whole[..cut].to_vec()) {
                let _ = (btf.offset("outer.in.d"), btf.of_processors("mine"));
            }
        }
        assert!(Btf::parse(vec![0; 64]).is_err());
    }

    /// The ABI of ptrace(2) fixes where registers are, so these offsets are known for every kernel.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_running_kernel_has_its_registers_where_the_abi_says() {
        let Ok(btf) = Btf::kernel() else { return skip(Need::Ebpf, format_args!("this kernel has no {VMLINUX}")) };
        for (path, offset) in [("pt_regs.r10", 56), ("pt_regs.r9", 64), ("pt_regs.r8", 72), ("pt_regs.dx", 96)] {
            assert_eq!(btf.offset(path).unwrap(), offset, "{path}");
        }
        assert_eq!(btf.offset("pt_regs.orig_ax").unwrap(), 120);
        assert!(btf.id(Kind::Typedef, "btf_trace_sys_enter").is_ok());
    }
}
