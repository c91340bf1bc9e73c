//! What holds for every pool: who is never picked, how long a search may be, what weights and rings promise.

mod changes;
mod picks;
mod pool;
mod shares;
