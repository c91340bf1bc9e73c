//! Every checker against real servers: those that are healthy, gone, silent, slow, wrong, or come and go, and those
//! that mean harm. What the daemon says of its probes is compared with what its configuration promises.

mod attacks;
mod faults;
mod host;
mod hostile;
mod journal;
mod judge;
mod rows;
mod timing;
