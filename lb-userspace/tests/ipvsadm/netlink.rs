//! Generic netlink messages of the family IPVS, both ways.

/// A message from ipvsadm.
pub(crate) struct Request<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) port: u32,
    pub(crate) command: u8,
    pub(crate) attributes: Attributes<'a>,
    head: &'a [u8],
}

/// Attributes one behind the other.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

const ACK: u16 = 2;
const DONE: u16 = 3;
const MULTI: u16 = 2;

impl<'a> Request<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Self {
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let half = |at: usize| u16::from_ne_bytes(bytes[at..at + 2].try_into().expect("two bytes"));
        let length = word(0) as usize;
        Self {
            kind: half(4),
            flags: half(6),
            sequence: word(8),
            port: word(12),
            command: bytes[16],
            attributes: Attributes(&bytes[20..length]),
            head: &bytes[..16],
        }
    }

    /// One message of the answer.
    pub(crate) fn reply(&self, attributes: &[u8]) -> Vec<u8> {
        let mut payload = vec![self.command, 1, 0, 0];
        payload.extend_from_slice(attributes);
        self.message(self.kind, MULTI, &payload)
    }

    /// The end of an answer of one message, or of none.
    pub(crate) fn acknowledge(&self, errno: i32) -> Vec<u8> {
        let mut payload = (-errno).to_ne_bytes().to_vec();
        payload.extend_from_slice(self.head);
        self.message(ACK, 0, &payload)
    }

    /// The end of an answer of many messages.
    pub(crate) fn done(&self) -> Vec<u8> {
        self.message(DONE, MULTI, &0i32.to_ne_bytes())
    }

    fn message(&self, kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let flags = if self.is_dump() || kind != self.kind { flags } else { 0 };
        let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(self.sequence.to_ne_bytes());
        bytes.extend(self.port.to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    pub(crate) const fn is_dump(&self) -> bool {
        self.flags & 0x300 != 0
    }
}

impl<'a> Attributes<'a> {
    pub(crate) fn get(&self, number: u16) -> Option<&'a [u8]> {
        let mut rest = self.0;
        while rest.len() >= 4 {
            let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
            let found = u16::from_ne_bytes([rest[2], rest[3]]) & 0x3fff;
            if found == number {
                return Some(&rest[4..length]);
            }
            rest = &rest[rest.len().min(length.next_multiple_of(4))..];
        }
        None
    }

    pub(crate) fn nested(&self, number: u16) -> Option<Attributes<'a>> {
        self.get(number).map(Attributes)
    }

    pub(crate) fn byte(&self, number: u16) -> Option<u8> {
        self.get(number).map(|bytes| bytes[0])
    }

    pub(crate) fn half(&self, number: u16) -> Option<u16> {
        self.get(number).map(|bytes| u16::from_ne_bytes(bytes[..2].try_into().expect("two bytes")))
    }

    pub(crate) fn word(&self, number: u16) -> Option<u32> {
        self.get(number).map(|bytes| u32::from_ne_bytes(bytes[..4].try_into().expect("four bytes")))
    }

    pub(crate) fn text(&self, number: u16) -> Option<String> {
        let bytes = self.get(number)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}

/// Attributes for an answer.
#[derive(Default)]
pub(crate) struct Builder(pub(crate) Vec<u8>);

impl Builder {
    pub(crate) fn put(mut self, number: u16, bytes: &[u8]) -> Self {
        self.0.extend((4 + bytes.len() as u16).to_ne_bytes());
        self.0.extend(number.to_ne_bytes());
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn text(self, number: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.put(number, &bytes)
    }
}
