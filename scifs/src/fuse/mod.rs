//! The file surface: kernel file requests become inputs of the engine, its effects become replies and invalidations.

pub mod files;
pub mod kernel;
