//! A node's memory as others may share it. The only part of SciOS beside the verbs bindings that may use `unsafe`:
//! everybody else moves bytes through [`RegionSlice`]'s bounds-checked calls.
#![allow(unsafe_code)]

mod gather;
mod region;

pub use gather::{recv_into, send_gather};
pub use region::{MemoryError, Region, RegionId, RegionSlice};
