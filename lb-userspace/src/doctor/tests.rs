//! Each check finds its fault, and a healthy director has none.
