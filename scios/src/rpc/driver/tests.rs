//! Two nodes with their RPC on the simulated fabric.

mod calls;
mod faults;
mod nodes;
mod pages;
mod tcp;
mod threads;
