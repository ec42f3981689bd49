//! Real mounts: what programs see of files, on one node and on several.

mod full;
mod ioctls;
mod locks;
mod one;
mod program;
mod several;
mod stopped;
mod support;
mod unmounted;
mod waiting;
