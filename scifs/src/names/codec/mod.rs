//! How commands, answers and queries become bytes: explicit layouts, all of them in `WIRE.md`. Decoders take bytes from
//! anybody and never panic.

mod command;
mod fields;
mod query;
mod refusal;

pub(super) use command::{decode_outcome, encode_outcome};
pub(super) use fields::{check_layout, consistency_code, consistency_from, kind_code, kind_from};
pub(super) use query::{Ask, Asked, Settle, Settled};

#[cfg(test)]
mod tests;
