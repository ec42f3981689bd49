//! The fabric over RDMA verbs.

#[expect(dead_code, unused_imports, reason = "used by the backend, which comes on top of it")]
mod ffi;
