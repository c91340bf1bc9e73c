//! `DNS_CHECK`: a question is answered without an error.

use std::str::FromStr as _;
use std::time::Duration;

use hickory_proto::op::{Header, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};

use super::dial;
use super::probe::{Failure, Seconds};
use crate::config::model::check::{DnsProbe, DnsRecord};

/// The longest answer over UDP without EDNS, RFC 1035 section 4.2.1, with room for servers that do not care.
const LONGEST: usize = 4096;

/// Asks once. Datagrams that answer another question are passed over.
pub(super) async fn probe(dns: &DnsProbe, limit: Duration) -> Result<(), Failure> {
    let id = rand::random();
    let question = question(dns, id)?;
    let socket = dial::udp(&dns.endpoint)?;
    let exchange = async {
        let failure = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => Failure::from("port unreachable"),
            _ => Failure::of(&error),
        };
        socket.send(&question).await.map_err(failure)?;
        let mut buffer = vec![0; LONGEST];
        loop {
            let length = socket.recv(&mut buffer).await.map_err(failure)?;
            if let Some(judged) = judge(&buffer[..length], id) {
                return judged;
            }
        }
    };
    match tokio::time::timeout(limit, exchange).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {}", Seconds(limit)).into()),
    }
}

fn question(dns: &DnsProbe, id: u16) -> Result<Vec<u8>, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Host(format!("the question cannot be asked: {error}"));
    let mut name = Name::from_str(&dns.name).map_err(|error| failed(&error))?;
    name.set_fqdn(true);
    let mut message = Message::new();
    message.set_id(id).set_recursion_desired(true).add_query(Query::query(name, record(dns.record)));
    message.to_vec().map_err(|error| failed(&error))
}

/// What an answer says; nothing, if it is none to this question.
fn judge(bytes: &[u8], id: u16) -> Option<Result<(), Failure>> {
    if bytes.get(..2)? != id.to_be_bytes() {
        return None;
    }
    // The records are the client's to judge: an answer may be cut short.
    let Ok(header) = Header::read(&mut BinDecoder::new(bytes)) else {
        return Some(Err("the answer is malformed".into()));
    };
    if header.message_type() != MessageType::Response {
        return None;
    }
    Some(match header.response_code() {
        ResponseCode::NoError => Ok(()),
        code => Err(format!("DNS error {}: {code}", u16::from(code)).into()),
    })
}

const fn record(record: DnsRecord) -> RecordType {
    match record {
        DnsRecord::A => RecordType::A,
        DnsRecord::Ns => RecordType::NS,
        DnsRecord::Cname => RecordType::CNAME,
        DnsRecord::Soa => RecordType::SOA,
        DnsRecord::Mx => RecordType::MX,
        DnsRecord::Txt => RecordType::TXT,
        DnsRecord::Aaaa => RecordType::AAAA,
        DnsRecord::Rrsig => RecordType::RRSIG,
        DnsRecord::Dnskey => RecordType::DNSKEY,
    }
}
