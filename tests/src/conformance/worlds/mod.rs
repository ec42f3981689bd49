//! The fabrics that the suite knows.

mod places;
mod processes;
mod sim;

pub use places::{mute, nobody, stranger};
pub use processes::Child;
pub use sim::SimWorld;
