//! The backend over real sockets. What every backend must do is in `tests/src/conformance`; here is what only this
//! one can get wrong: its handshake, its frames and its system calls.

mod basics;
mod hostile;
mod node;
