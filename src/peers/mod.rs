//! Machines of one's own that talk to each other: how they know each other, and what strangers who connect to them may do.

mod arrivals;
mod certificates;
mod token;

pub use arrivals::{Arrivals, admit};
pub use certificates::Certificates;
pub use token::{Purpose, Token};
