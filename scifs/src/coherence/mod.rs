//! Coherence: who may read and write which page, now. Pure: nothing below this folder does I/O, reads a clock, starts a
//! thread, draws a random number or touches a page's bytes. `PROTOCOL.md` tells the protocol and why it is correct.
//!
//! Read in this order: [`Engine`] (the contract), [`Input`] and [`Effect`], `page_state.rs` (the table), `strict.rs` (the
//! protocol), `holder.rs` and `grants.rs` (who wants and holds pages), `home.rs` (who orders requests), `registry.rs` (how homes
//! are found), `recovery.rs` and `rebuild.rs` (after a death).

mod copyset;
mod directory;
mod effects;
mod engine;
mod forget;
mod grants;
mod held;
mod holder;
mod home;
mod ids;
mod input;
mod inspect;
mod leaving;
pub mod limits;
mod message;
#[cfg(feature = "mutations")]
mod mutation;
mod page_state;
mod placement;
mod protocol;
mod rebuild;
mod recovery;
mod registry;
mod strict;

pub use copyset::CopySet;
pub use effects::Effects;
pub use engine::{Config, Engine};
pub use ids::{Epoch, ExtentId, MapperId, MemberNo, Mode, PageId, SegmentId, Token};
pub use input::{Effect, Fault, Input, Member, PageError, View, Violation};
pub use inspect::{HomeView, PageView};
pub use leaving::Stays;
pub use message::{
    Body, Confirm, Data, ExtentReport, Grant, HeldAs, Message, Order, PageReport, Report, Task,
};
#[cfg(feature = "mutations")]
pub use mutation::Mutation;
pub use page_state::{ImpossibleEvent, PageEvent, PageState};
pub(crate) use placement::Registrars;
pub use placement::{FirstTouch, Placement, Spread};
pub use protocol::{Ask, Holders, Loses, Plan, Protocol, Source};
pub use strict::Strict;
