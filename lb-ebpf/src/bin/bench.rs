//! The programs of the benchmark: a generator, a sink, and the floors that xlvs is compared with.
#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_TX},
    btf_maps::{Array, LruHashMap, PerCpuArray},
    helpers::bpf_redirect,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

/// What the generator sends; written by the benchmark before each run.
#[repr(C)]
#[derive(Clone, Copy)]
struct Load {
    /// Interface that the frames are put into.
    ifindex: u32,
    /// Number of flows; each has its turn once before any has its second.
    flows: u32,
    /// From one flow to the next, less than `flows` and without a common divisor.
    step: u32,
    /// Destination address, as on the wire.
    vip: [u8; 4],
    /// Destination MAC address.
    to: [u8; 6],
    /// Source MAC address, which must be the destination of what comes back.
    from: [u8; 6],
}

/// What came back.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arrived {
    /// From the interface under test to the MAC address it had to choose.
    right: u64,
    /// Anything else.
    wrong: u64,
}

#[btf_map(name = "load")]
static LOAD: Array<Load, 1> = Array::new();
/// The next flow's number. One generator runs at a time.
#[btf_map(name = "next")]
static NEXT: Array<u32, 1> = Array::new();
#[btf_map(name = "arrived")]
static ARRIVED: PerCpuArray<Arrived, 1> = PerCpuArray::new();
#[btf_map(name = "recent")]
static RECENT: LruHashMap<[u32; 3], u64, 2_097_152> = LruHashMap::new();
/// How often `recent` had to be written.
#[btf_map(name = "missed")]
static MISSED: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Ethernet, IPv4 and UDP in a frame of the least length.
#[repr(C)]
#[derive(Clone, Copy)]
struct Datagram {
    to: [u8; 6],
    from: [u8; 6],
    ethertype: [u8; 2],
    /// Version, header length, TOS, length, identification, fragment, TTL, protocol.
    ip: [u8; 10],
    check: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
    source_port: [u8; 2],
    destination_port: [u8; 2],
    length: [u8; 2],
    udp_check: [u8; 2],
    data: [u8; 18],
}

const IP: [u8; 10] = [0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17];
const FLOWS_PER_ADDRESS: u32 = 1 << 15;
const FIRST_PORT: u16 = 1024;
const PORT: u16 = 80;

#[inline(always)]
fn datagram(ctx: &XdpContext) -> Option<*mut Datagram> {
    let start = ctx.data();
    (start + size_of::<Datagram>() <= ctx.data_end()).then_some(start as *mut Datagram)
}

/// Writes a whole frame of the next flow and puts it into the veth pair.
#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    let (Some(load), Some(next), Some(frame)) = (LOAD.get(0), NEXT.get_ptr_mut(0), datagram(&ctx)) else {
        return XDP_ABORTED;
    };
    // SAFETY: nobody else uses the row now, and the frame's bounds were checked.
    unsafe {
        let flow = *next;
        let following = flow + load.step;
        *next = if following < load.flows { following } else { following - load.flows };
        let source = (0x0ac8_0000 + flow / FLOWS_PER_ADDRESS).to_be_bytes();
        let port = FIRST_PORT + (flow % FLOWS_PER_ADDRESS) as u16;
        frame.write_unaligned(Datagram {
            to: load.to,
            from: load.from,
            ethertype: [8, 0],
            ip: IP,
            check: check(source, load.vip),
            source,
            destination: load.vip,
            source_port: port.to_be_bytes(),
            destination_port: PORT.to_be_bytes(),
            length: [0, 26],
            udp_check: [0; 2],
            data: [0; 18],
        });
        bpf_redirect(load.ifindex, 0) as u32
    }
}

/// The IPv4 header checksum (RFC 1071).
#[inline(always)]
fn check(source: [u8; 4], destination: [u8; 4]) -> [u8; 2] {
    let word = |a: u8, b: u8| u32::from(a) << 8 | u32::from(b);
    let mut sum = word(IP[0], IP[1]) + word(IP[2], IP[3]) + word(IP[6], IP[7]) + word(IP[8], IP[9]);
    sum += word(source[0], source[1]) + word(source[2], source[3]);
    sum += word(destination[0], destination[1]) + word(destination[2], destination[3]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    (!(sum as u16)).to_be_bytes()
}

/// Counts and drops what comes back.
#[xdp]
pub fn sink(ctx: XdpContext) -> u32 {
    let (Some(load), Some(arrived), Some(frame)) = (LOAD.get(0), ARRIVED.get_ptr_mut(0), datagram(&ctx))
    else {
        return XDP_DROP;
    };
    // SAFETY: this CPU's row, and a frame whose bounds were checked.
    unsafe {
        let right = (*frame).to == load.from && (*frame).from == load.to;
        if right && (*frame).destination == load.vip {
            (*arrived).right += 1;
        } else {
            (*arrived).wrong += 1;
        }
    }
    XDP_DROP
}

/// The floor: two MAC addresses change places.
#[xdp]
pub fn swap(ctx: XdpContext) -> u32 {
    datagram(&ctx).map_or(XDP_ABORTED, reflect)
}

/// The floor with one lookup in an `LRU_HASH` by a key of 12 bytes, which is inserted where it is missing.
#[xdp]
pub fn lru(ctx: XdpContext) -> u32 {
    let Some(frame) = datagram(&ctx) else { return XDP_ABORTED };
    // SAFETY: a frame whose bounds were checked.
    unsafe {
        let source_port = u16::from_ne_bytes((*frame).source_port);
        let destination_port = u16::from_ne_bytes((*frame).destination_port);
        // Word by word: the compiler would join two words of the stack at an address the verifier refuses.
        let mut key = [0u32; 3];
        (&raw mut key[0]).write_volatile(u32::from_ne_bytes((*frame).source));
        (&raw mut key[1]).write_volatile(u32::from_ne_bytes((*frame).destination));
        (&raw mut key[2]).write_volatile(u32::from(source_port) << 16 | u32::from(destination_port));
        if RECENT.get(key).is_none() {
            let _full = RECENT.insert(key, 1u64, 0);
            if let Some(missed) = MISSED.get_ptr_mut(0) {
                *missed += 1;
            }
        }
    }
    reflect(frame)
}

#[inline(always)]
fn reflect(frame: *mut Datagram) -> u32 {
    // SAFETY: callers checked the bounds.
    unsafe {
        let (to, from) = ((*frame).to, (*frame).from);
        (*frame).to = from;
        (*frame).from = to;
    }
    XDP_TX
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
