//! What the processes of a replay share: the board and what lies on it, clocks, the order.

pub mod board;
pub mod call;
pub mod clock;
pub mod futex;
pub mod memory;
pub mod order;
pub mod record;
pub mod ticks;
