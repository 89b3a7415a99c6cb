#!/bin/bash
# rustc as scripts/fuzz.sh has cargo call it (RUSTC_WRAPPER): our own crate and the fuzzers are instrumented as cargo-fuzz
# does it, the libraries are left as they are, so that a fuzzer looks for ways through our code.
case " $* " in
*" --crate-name ioriot "* | *" fuzz_targets/"*)
    set -- "$@" --cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1
    for option in level=4 inline-8bit-counters pc-table trace-compares; do
        set -- "$@" "-Cllvm-args=-sanitizer-coverage-$option"
    done
    ;;
esac
exec "$@"
