//! `FROM syscall_def`: the syscall table, which every session has.

use crate::syscall::{Op, TABLE};
use anyhow::Result;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use std::sync::Arc;

/// The syscall table as a relation, so that SQL joins it and never lists names.
pub fn syscall_def() -> Result<RecordBatch> {
    let words = |word: fn(usize) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values((0..TABLE.len()).map(word))) };
    let ops = TABLE.iter().map(|def| def.op().map(Op::name));
    Ok(RecordBatch::try_from_iter([
        ("syscall", words(|at| TABLE[at].name.into())),
        ("args", words(|at| TABLE[at].args.iter().map(|role| format!("{role:?}")).collect::<Vec<_>>().join(", "))),
        ("returns", words(|at| format!("{:?}", TABLE[at].ret))),
        ("instant", words(|at| format!("{:?}", TABLE[at].at).to_lowercase())),
        ("support", words(|at| TABLE[at].support().into())),
        ("op", Arc::new(ops.collect::<StringArray>()) as ArrayRef),
        ("moves", words(|at| TABLE[at].moves().name().into())),
        ("given", words(|at| TABLE[at].given.name().into())),
        ("given2", words(|at| TABLE[at].given2.name().into())),
        ("compared", Arc::new(TABLE.iter().map(|def| Some(def.ret.compared())).collect::<BooleanArray>()) as ArrayRef),
        ("note", words(|at| TABLE[at].note().into())),
    ])?)
}
