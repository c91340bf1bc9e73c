//! The adapters: everything that owns a socket, a clock or a task lives below here.

pub mod check;
