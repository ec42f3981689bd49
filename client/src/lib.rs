//! libscifs: what programs use of a node's memory beyond the mounted files.

pub mod abi;
