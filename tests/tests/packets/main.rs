//! Single packets through the real program: a description, a frame, what becomes of it.

mod answers;
mod answers6;
mod beginnings;
mod bench;
mod both;
mod connections;
mod explained;
mod fragments;
mod frame;
mod frame6;
mod leases;
mod loads;
mod marks;
mod million;
mod persistence;
mod places;
mod related;
mod reloads;
mod rows;
mod rows6;
mod running;
mod schedulers;
mod sctp;
mod sequences;
mod sequences6;
mod traces;
