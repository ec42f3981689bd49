//! The functions of `scifs.h`. Each checks what C could pass wrongly, calls `scifs_client`, and leaves the error in `errno` and its sentence
//! for `scifs_strerror`. No panic leaves this library.

pub mod calls;
mod failure;
