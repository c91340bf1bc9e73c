//! `ipvsadm`, without what it speaks with: its command line, its table, its listings.
//!
//! [`parse`] makes a [`Command`] of words, [`Table::apply`] does what the kernel would, [`list`] and [`save`] print, and
//! [`run`] is all of them as one call of the program. No socket, no clock; names come through [`Names`].

mod by_hand;
mod command;
mod connections;
mod draft;
mod help;
mod names;
mod options;
mod order;
mod parse;
mod permitted;
mod print;
mod rate;
mod run;
pub mod state;
mod table;
#[cfg(test)]
mod tests;
mod values;

pub use self::{
    by_hand::{Impossible, change, made_by_hand, merge, possible},
    command::{Columns, Command, Listing, Scope, View},
    connections::{protocol, virtual_address},
    names::{Nameless, Names},
    parse::{Refusal, parse},
    print::{connection_line, connections_head, list, save},
    rate::{Rate, SAMPLE},
    run::{Outcome, run, run_for},
    table::{Denial, Table},
};
