//! The programs of the benchmark: a generator, a sink, and the floors that xlvs is compared with.
#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX},
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray},
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
    /// Destination address, as on the wire.
    vip: [u8; 4],
    /// Destination MAC address.
    to: [u8; 6],
    /// Source MAC address. The destination of what comes back must begin as it does; the last two bytes are the number
    /// of a real server.
    from: [u8; 6],
    /// First destination port, as on the wire.
    port: [u8; 2],
    /// The last bits of a flow's number that are added to the port.
    port_mask: u16,
    /// 17 for a datagram, 6 for a segment.
    protocol: u8,
    /// Of the segment.
    tcp_flags: u8,
    /// Whether the destination address of what comes back may be the real server's too, which has its number as the MAC
    /// address has, from 10.99.1.0 on.
    is_translated: u8,
    /// Zero.
    reserved: u8,
}

/// The flows of one CPU's generator.
#[repr(C)]
#[derive(Clone, Copy)]
struct Part {
    /// The number of the first.
    first: u32,
    /// How many there are; each has its turn once before any has its second.
    flows: u32,
    /// From one to the next, less than `flows` and without a common divisor.
    step: u32,
    /// How far behind the first the next one is.
    next: u32,
}

/// What came back.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arrived {
    /// From the interface under test to the MAC address of a real server.
    right: u64,
    /// Anything else.
    wrong: u64,
}

/// As many as a pool may have.
const SERVERS: usize = 1024;

#[btf_map(name = "load")]
static LOAD: Array<Load, 1> = Array::new();
/// One generator runs on a CPU.
#[btf_map(name = "part")]
static PART: PerCpuArray<Part, 1> = PerCpuArray::new();
#[btf_map(name = "arrived")]
static ARRIVED: PerCpuArray<Arrived, 1> = PerCpuArray::new();
/// How many of these went to each real server.
#[btf_map(name = "received")]
static RECEIVED: PerCpuArray<u64, SERVERS> = PerCpuArray::new();
#[btf_map(name = "recent")]
static RECENT: LruHashMap<[u32; 3], u64, 2_097_152> = LruHashMap::new();
/// How often `recent` had to be written.
#[btf_map(name = "missed")]
static MISSED: PerCpuArray<u64, 1> = PerCpuArray::new();
/// Who hangs on a port of the switch, and the port's interface.
#[btf_map(name = "ports")]
static PORTS: HashMap<[u8; 6], u32, 16> = HashMap::new();
/// Frames that were handed on.
#[btf_map(name = "handed")]
static HANDED: PerCpuArray<u64, 1> = PerCpuArray::new();

/// As on the wire.
const IPV4: [u8; 2] = [8, 0];

/// The least that Ethernet allows, without the check sequence.
const FRAME: usize = 60;

/// Ethernet, IPv4 and the ports of UDP or TCP.
#[repr(C)]
#[derive(Clone, Copy)]
struct Packet {
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
}

const TCP: u8 = 6;
/// Clients are from 100.64.0.0/10; a flow has another address before it has another port.
const CLIENTS: u32 = 0x6440_0000;
const ADDRESSES: u32 = 1 << 22;
const FIRST_PORT: u16 = 1024;

/// A frame of the least length.
#[inline(always)]
fn packet(ctx: &XdpContext) -> Option<*mut Packet> {
    let start = ctx.data();
    (start + FRAME <= ctx.data_end()).then_some(start as *mut Packet)
}

/// A frame of which only the beginning is there: the kernel cuts off what fills it up.
#[inline(always)]
fn headers(ctx: &XdpContext) -> Option<*const Packet> {
    let start = ctx.data();
    (start + size_of::<Packet>() <= ctx.data_end()).then_some(start as *const Packet)
}

/// Writes a whole frame of the next flow and puts it into the veth pair.
#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    let (Some(load), Some(part), Some(frame)) = (LOAD.get(0), PART.get_ptr_mut(0), packet(&ctx)) else {
        return XDP_ABORTED;
    };
    // SAFETY: the row is this CPU's own, and the frame's bounds were checked.
    unsafe {
        let Part { first, flows, step, next } = *part;
        let flow = first.wrapping_add(next);
        let following = next + step;
        (*part).next = if following < flows { following } else { following - flows };
        let source = (CLIENTS + flow % ADDRESSES).to_be_bytes();
        let port = FIRST_PORT + (flow / ADDRESSES) as u16;
        let service = u16::from_be_bytes(load.port).wrapping_add(flow as u16 & load.port_mask);
        // What follows the ports, the first byte lowest: the length of a datagram; or numbers, and then the length of the
        // header, flags and a window.
        let (length, rest) = if load.protocol == TCP {
            (40, [0, 5 << 4 | u64::from(load.tcp_flags) << 8 | 0xff << 16])
        } else {
            (46, [26 << 8, 0])
        };
        let ip = [0x45, 0, 0, length, 0, 0, 0x40, 0, 64, load.protocol];
        frame.write_unaligned(Packet {
            to: load.to,
            from: load.from,
            ethertype: IPV4,
            ip,
            check: check(&ip, source, load.vip),
            source,
            destination: load.vip,
            source_port: port.to_be_bytes(),
            destination_port: service.to_be_bytes(),
        });
        // Word by word: the compiler would fill an array of bytes in a loop that costs more than the program under test.
        let behind = frame.add(1).cast::<u64>();
        behind.write_unaligned(rest[0].to_le());
        behind.add(1).write_unaligned(rest[1].to_le());
        // Up to the end, two bytes of the word before again.
        behind.byte_add(FRAME - size_of::<Packet>() - 8).write_unaligned(0);
        bpf_redirect(load.ifindex, 0) as u32
    }
}

/// The IPv4 header checksum (RFC 1071).
#[inline(always)]
fn check(ip: &[u8; 10], source: [u8; 4], destination: [u8; 4]) -> [u8; 2] {
    let word = |a: u8, b: u8| u32::from(a) << 8 | u32::from(b);
    let mut sum = word(ip[0], ip[1]) + word(ip[2], ip[3]) + word(ip[6], ip[7]) + word(ip[8], ip[9]);
    sum += word(source[0], source[1]) + word(source[2], source[3]);
    sum += word(destination[0], destination[1]) + word(destination[2], destination[3]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    (!(sum as u16)).to_be_bytes()
}

/// Counts and drops what comes back.
#[xdp]
pub fn sink(ctx: XdpContext) -> u32 {
    let (Some(load), Some(arrived), Some(frame)) = (LOAD.get(0), ARRIVED.get_ptr_mut(0), headers(&ctx))
    else {
        return XDP_DROP;
    };
    // SAFETY: this CPU's rows, and a frame whose bounds were checked.
    unsafe {
        let to = (*frame).to;
        let destination = (*frame).destination;
        let server = [load.vip[0], load.vip[1], to[4].wrapping_add(1), to[5]];
        let is_ours = (*frame).from == load.to
            && (destination == load.vip || load.is_translated != 0 && destination == server);
        let port = u16::from_be_bytes((*frame).destination_port);
        let is_a_service = port.wrapping_sub(u16::from_be_bytes(load.port)) <= load.port_mask;
        let is_a_server =
            [to[0], to[1], to[2], to[3]] == [load.from[0], load.from[1], load.from[2], load.from[3]];
        let received = RECEIVED.get_ptr_mut(u32::from(u16::from_be_bytes([to[4], to[5]])));
        match received {
            Some(received) if is_ours && is_a_server && is_a_service => {
                *received += 1;
                (*arrived).right += 1;
            }
            _ => (*arrived).wrong += 1,
        }
    }
    XDP_DROP
}

/// A director with one real server and nothing else to do: what is for the address goes to the MAC address.
#[xdp]
pub fn relay(ctx: XdpContext) -> u32 {
    let (Some(load), Some(frame)) = (LOAD.get(0), headers(&ctx)) else { return XDP_PASS };
    let frame = frame.cast_mut();
    // SAFETY: a frame whose bounds were checked.
    unsafe {
        if (*frame).ethertype != IPV4 || (*frame).destination != load.vip {
            return XDP_PASS;
        }
        (*frame).from = (*frame).to;
        (*frame).to = load.to;
    }
    XDP_TX
}

/// A switch that hands frames on as network cards do, before they are packets of a stack. The bridge has those for whom it knows
/// no port.
#[xdp]
pub fn hand_on(ctx: XdpContext) -> u32 {
    // SAFETY: a frame whose bounds were checked; rows are written before and stay.
    let port = headers(&ctx).and_then(|frame| unsafe { PORTS.get((*frame).to) });
    let (Some(&port), Some(handed)) = (port, HANDED.get_ptr_mut(0)) else { return XDP_PASS };
    // SAFETY: this CPU's row, and a helper with numbers.
    unsafe {
        *handed += 1;
        bpf_redirect(port, 0) as u32
    }
}

/// The floor: two MAC addresses change places.
#[xdp]
pub fn swap(ctx: XdpContext) -> u32 {
    packet(&ctx).map_or(XDP_ABORTED, reflect)
}

/// The floor with one lookup in an `LRU_HASH` by a key of 12 bytes, which is inserted where it is missing.
#[xdp]
pub fn lru(ctx: XdpContext) -> u32 {
    let Some(frame) = packet(&ctx) else { return XDP_ABORTED };
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
fn reflect(frame: *mut Packet) -> u32 {
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
