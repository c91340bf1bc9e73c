//! Single packets through the real program: a description, a frame, what becomes of it.

mod answers;
mod bench;
mod frame;
mod leases;
mod loads;
mod million;
mod rows;
mod schedulers;
mod sequences;
