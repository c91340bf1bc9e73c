//! Virtual routers on one switch: `xlvs` and the real keepalived, a client, and somebody who forges. Needs root and
//! keepalived; without them every test fails and says so.

mod belongings;
mod changes;
mod events;
mod families;
mod fencing;
mod flood;
mod groups;
mod hosts;
mod interop;
mod leaving;
mod mail;
mod mail_server;
mod marks;
mod pair;
mod refusals;
mod reload;
mod resting;
mod seeds;
mod site;
mod tracking;
mod vmac;
