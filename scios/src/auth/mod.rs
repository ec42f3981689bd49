//! Who may talk to this node: the cluster's shared secret.

mod secret;

pub use secret::{Secret, SecretError};
