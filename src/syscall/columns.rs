//! The columns of the syscall table as people and SQL see it: `ioriot syscalls`, docs/SYSCALLS.md, table `syscall_def`.

use super::{Def, Op};

/// A column of the listing of syscalls.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name of the column.
    pub name: &'static str,
    /// What the column means, as Markdown.
    pub doc: &'static str,
    /// Function that makes the column's value from a row.
    pub cell: Cell,
    /// Is the column shown in the listing for terminals, too?
    pub brief: bool,
}

/// Function that makes a column's value from a row of the syscall table.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// Gives a text; `None` where a row has none.
    Text(fn(&Def) -> Option<String>),
    /// Gives true or false.
    Yes(fn(&Def) -> bool),
}

macro_rules! columns {
    ($($name:literal $brief:literal $doc:literal $kind:ident $cell:expr;)*) => {
        /// All columns, in the order of the listing.
        pub static COLUMNS: &[Column] =
            &[$(Column { name: $name, doc: $doc, cell: Cell::$kind($cell), brief: $brief }),*];
    };
}

columns! {
    "syscall" true "name of the call" Text |def| Some(def.name.into());
    "arguments" true "by position, as roles (`src/syscall/role.rs`)"
        Text |def| Some(def.args.iter().map(|role| format!("{role:?}")).collect::<Vec<_>>().join(", "));
    "returns" true "what it returns" Text |def| Some(format!("{:?}", def.ret));
    "instant" true "the instant inside the call at which its effect is taken to happen, if nothing proves another"
        Text |def| Some(format!("{:?}", def.at).to_lowercase());
    "support" true "`full` is issued as captured; `partly` is issued, and the note says what is lost; `model` is bookkeeping whose \
        effect other ops carry; `drop` is not replayed, and the note says why"
        Text |def| Some(def.support().into());
    "op" true "the syscall that is issued, or the model's verb" Text |def| def.op().map(Op::name).map(Into::into);
    "moves" false "which way the bytes go that it returns the number of; `copies` reads the file of `fd` and writes that of `fd2`"
        Text |def| Some(def.moves().name().into());
    "class" false "what kind of call on files it is: `reads`, `writes`, `copies`, `syncs`, `maps`, `opens`, `looks` (attributes, directories), \
        `changes` (names, attributes, sizes) or `rest`; none for what is not issued"
        Text |def| def.op().filter(|op| op.issued()).map(|op| op.class().name().into());
    "given" false "how the position is given that it starts from in the file of `fd`" Text |def| Some(def.given.name().into());
    "given2" false "the same in the file of `fd2`" Text |def| Some(def.given2.name().into());
    "compared" false "is what it returns compared, besides success and errno? Bytes, positions and lengths are, descriptor \
        numbers and addresses are not"
        Yes |def| def.ret.compared();
    "makes" false "which of its paths is a new name of a file when it succeeds, whatever its flags: `path` or `path2`"
        Text |def| match def.op()? {
            Op::Mkdir | Op::Mkdirat | Op::Mknod | Op::Mknodat | Op::Symlink | Op::Symlinkat | Op::Creat => Some("path".into()),
            Op::Rename | Op::Renameat | Op::Renameat2 | Op::Link | Op::Linkat => Some("path2".into()),
            _ => None,
        };
    "note" true "what is lost, or why it is not replayed" Text |def| Some(def.note().into());
}
