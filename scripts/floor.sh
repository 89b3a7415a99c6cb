#!/bin/bash
# How small a program can be that has what ioriot depends on: builds one that does no more than run one statement over Parquet
# files, with the same dependencies and profile, beside the release build, and prints its size and ioriot's in bytes.
#
#     cargo build --release && scripts/floor.sh
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

mkdir "$place/src"
for file in Cargo.toml Cargo.lock; do
    sed -e '0,/^name = "ioriot"$/s//name = "floor"/' -e '/^\[\[\(bench\|test\)/,/^$/d' "$file" >"$place/$file"
done
cp rust-toolchain.toml "$place"
cat >"$place/src/main.rs" <<'RUST'
//! DataFusion alone.
use datafusion::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> datafusion::error::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(file), Some(statement)) = (args.next(), args.next()) else { return Ok(()) };
    let engine = SessionContext::new();
    engine.register_parquet("t", file, ParquetReadOptions::default()).await?;
    engine.sql(&statement).await?.show().await
}
RUST
cargo build --release --locked --quiet --manifest-path "$place/Cargo.toml" --target-dir target
stat -c '%s %n' target/release/floor target/release/ioriot
