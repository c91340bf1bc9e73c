//! `SMTP_CHECK`: a mail server greets, takes a HELO, and says good-bye.
//!
//! The few lines are spoken here: the mail libraries say EHLO, where keepalived says HELO, and read replies without end.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::dial;
use super::probe::{Failure, within};
use crate::config::model::check::SmtpProbe;

/// Longer than RFC 5321 section 4.5.3.1.5 allows a reply line to be.
const LONGEST_LINE: usize = 1024;
const MOST_LINES: usize = 64;

/// Speaks with the mail server.
pub(super) async fn probe(smtp: &SmtpProbe, timeout: Duration) -> Result<(), Failure> {
    let stream = within(timeout, "", dial::tcp(&smtp.endpoint)).await?;
    let mut stream = BufReader::with_capacity(LONGEST_LINE, stream);
    within(timeout, "the greeting", expect(&mut stream, "greeting", 220)).await?;
    let helo = format!("HELO {}\r\n", smtp.helo_name);
    within(timeout, "the answer to HELO", say(&mut stream, &helo, "HELO", 250)).await?;
    // Whatever it says to that: it has shown that it is a mail server.
    let quit = async {
        stream.write_all(b"QUIT\r\n").await.map_err(|error| Failure::of(&error))?;
        line(&mut stream, "QUIT").await.map(drop)
    };
    within(timeout, "the answer to QUIT", quit).await
}

async fn say(stream: &mut BufReader<TcpStream>, line: &str, what: &str, code: u16) -> Result<(), Failure> {
    stream.write_all(line.as_bytes()).await.map_err(|error| Failure::of(&error))?;
    expect(stream, what, code).await
}

/// Reads a reply, which may have several lines, RFC 5321 section 4.2.1.
async fn expect(stream: &mut BufReader<TcpStream>, what: &str, code: u16) -> Result<(), Failure> {
    for _ in 0..MOST_LINES {
        let line = line(stream, what).await?;
        let (digits, rest) = line.split_at_checked(3).unwrap_or((&line, b""));
        let got = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u16>().ok());
        match got {
            Some(got) if got == code && rest.first() == Some(&b'-') => {}
            Some(got) if got == code => return Ok(()),
            Some(got) => return Err(format!("SMTP reply {got} to {what}, wanted {code}").into()),
            None => return Err(format!("the reply to {what} is not SMTP").into()),
        }
    }
    Err(format!("the reply to {what} has more than {MOST_LINES} lines").into())
}

async fn line(stream: &mut BufReader<TcpStream>, what: &str) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(b'\n') => return Ok(line),
            Ok(byte) if line.len() < LONGEST_LINE => line.push(byte),
            Ok(_) => return Err(format!("the reply to {what} has a line without end").into()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(format!("the connection was closed before the reply to {what}").into());
            }
            Err(error) => return Err(Failure::of(&error)),
        }
    }
}
