//! The kernel module with the SystemTap probes: given as a file, or compiled from the sources that this program contains.

use crate::capture::os;
use crate::capture::target::command::find;
use crate::capture::target::scope::Scope;
use crate::os::user::{in_group, is_root};
use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names and contents of the files of `systemtap/` that `make` needs to compile a module.
const SOURCES: &[(&str, &str)] = &[
    ("Makefile", include_str!("../../../../systemtap/Makefile")),
    ("ioriot.stp", include_str!("../../../../systemtap/ioriot.stp")),
    ("calls.h", include_str!("../../../../systemtap/calls.h")),
    ("scope.h", include_str!("../../../../systemtap/scope.h")),
    ("flight.h", include_str!("../../../../systemtap/flight.h")),
    ("line.h", include_str!("../../../../systemtap/line.h")),
    ("args.h", include_str!("../../../../systemtap/args.h")),
    ("events.h", include_str!("../../../../systemtap/events.h")),
];

/// The module is compiled in variants that differ in whose calls they capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Captures every process.
    All,
    /// Captures the processes of given ids and, if asked for, what they start.
    Target,
    /// Captures processes with a given name.
    Name,
}

impl Variant {
    /// The variant that captures a scope.
    ///
    /// # Errors
    /// When there is none: for control groups and users.
    pub fn of(scope: &Scope) -> Result<Variant> {
        Ok(match scope {
            Scope::Command(_) | Scope::Pids(_) => Variant::Target,
            Scope::Comm(_) => Variant::Name,
            Scope::All => Variant::All,
            Scope::Cgroup(_) | Scope::User(_) => {
                bail!("SystemTap captures a command, processes by --pid or --comm, or --all, not {}", scope.describe())
            }
        })
    }

    /// Name of the variant in the header of the text that it prints: `all`, `target` or `name`.
    pub const fn scope(self) -> &'static str {
        match self {
            Variant::All => "all",
            Variant::Target => "target",
            Variant::Name => "name",
        }
    }

    /// File name of the compiled module.
    pub const fn file(self) -> &'static str {
        match self {
            Variant::All => "ioriot.ko",
            Variant::Target => "targetedioriot.ko",
            Variant::Name => "namedioriot.ko",
        }
    }

    /// The variant with this name in the header; `None` when there is none.
    pub fn named(scope: &str) -> Option<Variant> {
        [Variant::All, Variant::Target, Variant::Name].into_iter().find(|variant| variant.scope() == scope)
    }
}

/// A compiled kernel module that can be loaded.
pub struct Module {
    /// Path of the module's file.
    pub file: PathBuf,
    /// Temporary directory it was compiled in, deleted on drop; `None` for a given file.
    made_in: Option<PathBuf>,
}

impl Module {
    /// Takes a module that was compiled before for the running kernel.
    ///
    /// # Errors
    /// When there is no such file, or it is for another kernel.
    pub fn given(file: &Path) -> Result<Module> {
        let bytes = fs::read(file).with_context(|| format!("cannot read the module {}", file.display()))?;
        let (kernel, ours) = (kernel_of(&bytes), os::kernel());
        ensure!(
            kernel.as_ref().is_none_or(|kernel| *kernel == ours),
            "{} was compiled for Linux {}, and this is {ours}: make -C systemtap KERNEL={ours} makes one for it",
            file.display(),
            kernel.unwrap_or_default(),
        );
        Ok(Module { file: file.to_owned(), made_in: None })
    }

    /// Compiles a variant for the running kernel, in a new temporary directory.
    ///
    /// # Errors
    /// When SystemTap, a compiler or the kernel's headers are missing, or it does not compile.
    pub fn compile(variant: Variant) -> Result<Module> {
        let kernel = os::kernel();
        kernel_loads()?;
        compiler(&kernel)?;
        let dir = std::env::temp_dir().join(format!("ioriot-probes-{}", std::process::id()));
        // Root will load what is in it: a directory that exists already may be somebody else's and is refused.
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.with_context(|| format!("cannot make {} to compile the probes in", dir.display()))?;
        let module = Module { file: dir.join(variant.file()), made_in: Some(dir.clone()) };
        for (name, text) in SOURCES {
            fs::write(dir.join(name), text).with_context(|| format!("cannot write {name} in {}", dir.display()))?;
        }
        log::warn!("compiling the probes for Linux {kernel}: a minute or two the first time (--module takes one made before)");
        let mut make = Command::new("make");
        make.arg("-C").arg(&dir).arg(format!("KERNEL={kernel}")).arg(variant.file()).stdin(Stdio::null());
        let output = make.output().context("cannot execute make")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("the probes do not compile for Linux {kernel}; make said\n{}", tail(&said, 12));
        }
        ensure!(module.file.exists(), "make has made no {}", variant.file());
        Ok(module)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if let Some(dir) = &self.made_in
            && let Err(error) = fs::remove_dir_all(dir)
        {
            log::warn!("{} stays behind: {error}", dir.display());
        }
    }
}

/// The kernel release a module was compiled for, from its `vermagic`; `None` when it has none.
fn kernel_of(module: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"vermagic=";
    let text = &module[memmem::find(module, KEY)? + KEY.len()..];
    let end = text.iter().position(|byte| matches!(byte, b' ' | 0))?;
    String::from_utf8(text[..end].to_vec()).ok()
}

/// The last `lines` lines of a program's output, indented, for messages.
pub fn tail(said: &[u8], lines: usize) -> String {
    let text = String::from_utf8_lossy(said);
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Checks that SystemTap, make, gcc and the headers of this kernel are there to compile a module; returns the version line of
/// SystemTap.
fn compiler(kernel: &str) -> Result<String> {
    for program in ["stap", "make", "gcc"] {
        find(OsStr::new(program)).with_context(|| {
            format!("{program} is missing, which compiles the probes: apt install systemtap gcc make (dnf install systemtap), or give --module FILE.ko")
        })?;
    }
    let headers = PathBuf::from(format!("/lib/modules/{kernel}/build"));
    ensure!(
        headers.join("Makefile").exists(),
        "there are no headers of this kernel at {}: apt install linux-headers-{kernel} (dnf install kernel-devel-{kernel})",
        headers.display()
    );
    let version = Command::new("stap").arg("-V").stdin(Stdio::null()).output().context("cannot execute stap")?;
    let said = [version.stdout, version.stderr].concat();
    let version = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned();
    // How lines get lost is in systemtap/README.md.
    let hint = if version.contains("version 4.") { ": loses lines of large captures, which 5.1 does not" } else { "" };
    Ok(version + hint)
}

/// Path of `staprun`, the program that loads modules and prints what they record.
///
/// # Errors
/// When it is not installed.
pub fn loader() -> Result<PathBuf> {
    find(OsStr::new("staprun"))
        .context("staprun is missing, which loads the probes: apt install systemtap-runtime (dnf install systemtap-runtime)")
}

/// Checks that the kernel loads modules, also unsigned ones (no lockdown).
fn kernel_loads() -> Result<()> {
    ensure!(Path::new("/proc/modules").exists(), "this kernel loads no modules (CONFIG_MODULES): use --backend ebpf or ptrace");
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    ensure!(
        !lockdown.contains("[integrity]") && !lockdown.contains("[confidentiality]"),
        "this kernel loads signed modules only (lockdown, as secure boot sets it): use --backend ebpf"
    );
    Ok(())
}

/// Checks that a SystemTap capture would work with this module (`None`: with one to be compiled). Returns a line for the user
/// about the module or SystemTap's version.
///
/// # Errors
/// The first thing that is missing, with what to do about it.
pub fn check(module: Option<&Path>) -> Result<String> {
    kernel_loads()?;
    loader()?;
    let found = match module {
        Some(file) => Module::given(file).map(|_| format!("module {}", file.display()))?,
        None => compiler(&os::kernel())?,
    };
    ensure!(
        is_root() || in_group(&[c"stapdev", c"stapsys", c"stapusr"]),
        "loading probes needs root, or the groups stapusr and stapdev: run it by sudo"
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the script includes is in this program, and nothing else is.
    #[test]
    fn the_sources_are_complete() {
        let script = SOURCES.iter().find(|(name, _)| *name == "ioriot.stp").unwrap().1;
        let parts: Vec<&str> = script.lines().filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix('"')).collect();
        let ours: Vec<&str> = SOURCES.iter().map(|(name, _)| *name).filter(|name| name.ends_with(".h")).collect();
        assert_eq!(parts, ours);
        let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/systemtap")).unwrap();
        let headers = files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "h"));
        assert_eq!(headers.count(), parts.len());
    }

    #[test]
    fn variants_are_those_of_the_makefile() {
        let makefile = SOURCES[0].1;
        for variant in [Variant::All, Variant::Target, Variant::Name] {
            assert!(makefile.contains(&format!(" {}", variant.file())), "{variant:?}");
            assert_eq!(Variant::named(variant.scope()), Some(variant));
        }
        assert_eq!(Variant::of(&Scope::Pids(vec![1])).unwrap(), Variant::Target);
        assert!(Variant::of(&Scope::User("root".into())).unwrap_err().to_string().contains("user root"));
    }

    #[test]
    fn a_module_of_another_kernel_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ioriot.ko");
        fs::write(&file, b"\x7fELF\0license=GPL\0vermagic=6.1.0-other SMP preempt mod_unload \0").unwrap();
        let error = Module::given(&file).err().unwrap().to_string();
        assert!(error.contains("for Linux 6.1.0-other") && error.contains("make -C systemtap KERNEL="), "{error}");
        fs::write(&file, format!("vermagic={} SMP\0", os::kernel())).unwrap();
        assert_eq!(Module::given(&file).unwrap().file, file);
        assert!(Module::given(&dir.path().join("none.ko")).is_err());
    }

    #[test]
    fn the_tail_of_what_was_said_is_shown() {
        assert_eq!(tail(b"one\ntwo\nthree\n", 2), "    two\n    three");
    }
}
