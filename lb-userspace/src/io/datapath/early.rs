//! The fragments that came before the first of their datagram, and the program to which they are handed in again.

use std::{
    borrow::Cow,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use anyhow::Context as _;
use aya::{
    maps::{HashMap, MapData, RingBuf},
    programs::{Program, TestRun as _, TestRunOptions, Xdp},
};
use aya_obj::programs::XdpAttachType;
use lb_common::{
    fragment::{Datagram, Early as Record, Fate, First},
    layout::{NextHop, Server},
};

use super::{Datapath, map_data, own_map, table::Table};
use crate::{io::clock::tick_before, parking::Frame};

/// What the program did with a frame (`enum xdp_action`).
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;
/// By so much a frame may grow in the program: an answer's headers.
const GROWTH: usize = 64;

/// What the program leaves of fragments that came too early.
pub struct Early {
    ring: RingBuf<MapData>,
    firsts: HashMap<MapData, [u8; size_of::<Datagram>()], [u8; size_of::<First>()]>,
    servers: Table<Server>,
    program: Xdp,
    /// Indexes of the interfaces, in the order of `ports`.
    ports: Vec<u32>,
}

/// What became of the first fragment of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It has not come.
    NotYet,
    /// A real server got it, with this row of `servers`.
    Served(u16),
    /// Nobody did whom the others could follow.
    Lost,
}

/// A frame to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// Index of the interface.
    pub ifindex: u32,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Datapath {
    /// The fragments that came too early; to be had anew for another program, when nobody reads from the last.
    ///
    /// # Errors
    /// The kernel's.
    pub fn early(&self) -> anyhow::Result<Early> {
        let Some(Program::Xdp(program)) = self.ebpf.program("xlvs") else {
            anyhow::bail!("the object has no program xlvs")
        };
        let program =
            Xdp::from_program_info(program.info()?, Cow::Borrowed("xlvs"), XdpAttachType::Interface)
                .context("the program's descriptor")?;
        Ok(Early {
            ring: RingBuf::try_from(own_map(&self.ebpf, "early")?)?,
            firsts: HashMap::try_from(own_map(&self.ebpf, "fragments")?)?,
            servers: Table::open(map_data(&self.ebpf, "servers")?)?,
            program,
            ports: self.settings.interfaces.iter().map(|link| link.index).collect(),
        })
    }
}

impl Early {
    /// The next frame that came too early.
    pub fn take(&mut self) -> Option<(Datagram, Frame)> {
        let record = self.ring.next()?;
        let (head, bytes) = record.split_at_checked(size_of::<Record>())?;
        let Record { datagram, ifindex, len } = bytemuck::pod_read_unaligned(head);
        Some((datagram, Frame { ifindex, bytes: bytes.get(..len as usize)?.to_vec() }))
    }

    /// What became of a datagram's first fragment.
    pub fn first(&self, datagram: &Datagram) -> Came {
        let Ok(first) = self.firsts.get(&bytemuck::must_cast(*datagram), 0) else { return Came::NotYet };
        let first: First = bytemuck::must_cast(first);
        if !first.is_valid(tick_before(Duration::ZERO)) {
            Came::NotYet
        } else if first.fate == Fate::Served as u8 {
            Came::Served(first.server)
        } else {
            Came::Lost
        }
    }

    /// Hands a frame to the program, whose datagram's first went to `server`; what is to be sent.
    ///
    /// # Errors
    /// The kernel's.
    pub fn run(&self, frame: &Frame, server: u16) -> anyhow::Result<Option<Outgoing>> {
        let mut bytes = vec![0; frame.bytes.len() + GROWTH];
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let context = [0, frame.bytes.len() as u32, 0, frame.ifindex, 0, 0];
        let result = self.program.test_run(TestRunOptions {
            data_in: Some(&frame.bytes),
            data_out: Some(&mut bytes),
            ctx_in: Some(bytemuck::bytes_of(&context)),
            ..TestRunOptions::new()
        })?;
        bytes.truncate(result.data_size_out as usize);
        let ifindex = match result.return_value {
            XDP_TX => frame.ifindex,
            XDP_REDIRECT => {
                let Server { next_hop: NextHop { port, .. }, .. } = self.servers.get(usize::from(server));
                *self.ports.get(usize::from(port)).context("its server is behind no interface")?
            }
            _ => return Ok(None),
        };
        Ok(Some(Outgoing { ifindex, bytes }))
    }
}

impl AsFd for Early {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
