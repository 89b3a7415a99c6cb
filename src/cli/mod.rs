//! The command line: clap lives here and nowhere below.
