//! Two sessions that talk to each other in virtual time.

mod backpressure;
mod calls;
mod epochs;
mod fragments;
mod golden;
mod mutated;
mod pair;
mod seeded;
