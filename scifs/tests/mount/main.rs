//! Real mounts: what programs see of files, on one node and on several.

mod one;
mod several;
mod support;
