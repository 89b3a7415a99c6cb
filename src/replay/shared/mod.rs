//! What the processes of a replay and its supervisor share: the board and its records, decoded ops, memory, clocks, and the
//! order.

pub mod board;
pub mod call;
pub mod clock;
pub mod ends;
pub mod futex;
pub mod groups;
pub mod memory;
pub mod order;
pub mod record;
pub mod ticks;
