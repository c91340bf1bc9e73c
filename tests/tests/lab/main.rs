//! Real packets through the `xlvs` binary in network namespaces. Needs root; without it every test fails and says so.

mod answers;
mod balancing;
mod health;
mod inspection;
mod jumbo;
mod lifecycle;
mod loads;
mod paths;
mod refusals;
mod situations;
mod tagged;
