//! The fabrics that the suite knows.

mod host;
mod places;
mod processes;
mod sim;

pub use host::{HostWorld, Kind, kind};
pub use sim::SimWorld;
