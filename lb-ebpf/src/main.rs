//! The XDP program: picks a real server for each packet to a virtual service and sends it there.
//!
//! `balance.rs` has the order of the stages. This file only turns a verdict into a count and an XDP action.
#![no_std]
#![no_main]
#![expect(internal_features, reason = "core's atomics have no compare and swap on the BPF targets")]
#![feature(asm_experimental_arch, core_intrinsics)]

mod access;
mod answer;
mod balance;
mod clock;
mod connection;
mod family;
mod flow;
mod fragment;
mod lease;
mod limit;
mod link;
mod lookup;
mod maps;
mod mark;
mod opening;
mod pick;
mod plain;
mod related;
mod rewrite;
mod service;
mod settled;
mod verdict;

use aya_ebpf::{macros::xdp, programs::XdpContext};

use self::access::Frame;

/// The program's entry: `frags` because only headers are touched, so jumbo frames may come in pieces.
#[xdp(frags)]
#[inline(always)]
pub fn xlvs(ctx: XdpContext) -> u32 {
    let verdict = match balance::balance(&Frame::of(ctx.ctx)) {
        Ok(action) => return action,
        Err(verdict) => verdict,
    };
    if let Some(mtu) = verdict.answer_with() {
        return answer::answer(ctx.ctx, verdict.counter, mtu);
    }
    maps::count(verdict.counter);
    verdict.action
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// What the helpers called here ask for.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
