//! Real packets through the `xlvs` binary in network namespaces. Needs root; without it every test fails and says so.

mod answers;
mod balancing;
mod checkers;
mod connections;
mod explained;
mod fragments;
mod groups;
mod health;
mod inspection;
mod ipv6;
mod ipvsadm;
mod jumbo;
mod lifecycle;
mod loads;
mod path_mtu;
mod paths;
mod persistence;
mod quorum;
mod refusals;
mod reload;
mod situations;
mod syn_flood;
mod tagged;
mod timelines;
mod transfers;
mod vip_check;
