//! The namespace lab and packet fixtures.
