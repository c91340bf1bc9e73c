//! Single packets through the real program: a description, a frame, what becomes of it.

mod answers;
mod beginnings;
mod bench;
mod fragments;
mod frame;
mod leases;
mod loads;
mod marks;
mod persistence;
mod rows;
mod schedulers;
mod sequences;
mod traces;
