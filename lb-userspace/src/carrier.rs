//! What can be said of an interface without asking it.

/// Whether an interface can carry frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Up, with a carrier.
    Up,
    /// Up, but the cable or the other end is missing.
    NoCarrier,
    /// Switched off by the administrator.
    AdminDown,
}
