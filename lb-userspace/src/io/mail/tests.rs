//! Letters against mail servers of the tests' own, on loopback.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::config::parse;

/// A mail server that answers as `answer` says to each command, and hands on each whole conversation.
async fn server(
    answer: impl Fn(&str) -> &'static str + Clone + Send + 'static,
) -> (SocketAddr, mpsc::UnboundedReceiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (conversations, reader) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let said = converse(stream, answer.clone()).await;
            let _nobody_reads = conversations.send(said);
        }
    });
    (address, reader)
}

async fn converse(stream: TcpStream, answer: impl Fn(&str) -> &'static str) -> Vec<String> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let (mut said, mut is_text) = (Vec::new(), false);
    let _gone = writer.write_all(answer("").as_bytes()).await;
    while let Ok(Some(line)) = lines.next_line().await {
        said.push(line.clone());
        let is_end = is_text && line == ".";
        if is_text && !is_end {
            continue;
        }
        let reply = answer(&line);
        is_text = !is_end && line == "DATA" && reply.starts_with('3');
        let _gone = writer.write_all(reply.as_bytes()).await;
        if line == "QUIT" {
            break;
        }
    }
    said
}

fn agreeable(line: &str) -> &'static str {
    match line {
        "" => "220 mail.example.com\r\n",
        "DATA" => "354 go on\r\n",
        "QUIT" => "221 bye\r\n",
        _ => "250 fine\r\n",
    }
}

fn config(server: SocketAddr, rest: &str) -> Config {
    let text = format!(
        "global_defs {{\n router_id LVS_1\n notification_email {{\n a@example.com\n b\n }}\n smtp_helo_name lvs1\n \
         notification_email_from lvs@example.com\n smtp_server {} {}\n {rest}\n}}\n",
        server.ip(),
        server.port()
    );
    parse("t", &text).config.expect("it loads")
}

/// The usual limits, without long pauses.
const FAST: Limits =
    Limits { first_pause: Duration::from_millis(1), longest_pause: Duration::from_millis(4), ..LIMITS };

fn start(config: &Config) -> Mailer {
    Mailer::limited(config, FAST).expect("a runtime")
}

fn alert(subject: &str) -> Alert {
    Alert { subject: subject.to_owned(), body: "=> TCP CHECK failed on service <=".to_owned() }
}

#[tokio::test]
async fn a_letter_is_what_keepalived_writes() {
    let (address, mut conversations) = server(agreeable).await;
    let mailer = start(&config(address, ""));
    mailer.send(alert("VRRP Instance VI_1 - Entering MASTER state"));
    let said = conversations.recv().await.expect("a letter");
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    assert_eq!(
        &said[..5],
        [
            "EHLO lvs1",
            "MAIL FROM:<lvs@example.com>",
            "RCPT TO:<a@example.com>",
            "RCPT TO:<b@localhost>",
            "DATA"
        ]
    );
    for line in [
        "From: lvs@example.com",
        "To: a@example.com, b@localhost",
        "Subject: [LVS_1] VRRP Instance VI_1 - Entering MASTER state",
        "=> TCP CHECK failed on service <=",
    ] {
        assert!(said.contains(&line), "{line:?} is not in {said:#?}");
    }
    assert!(said.iter().any(|line| line.starts_with("Date: ")), "{said:#?}");
    mailer.finish().await;
}

#[tokio::test]
async fn letters_keep_their_order_and_the_end_waits_for_them() {
    let (address, mut conversations) = server(agreeable).await;
    let mailer = start(&config(address, ""));
    for number in 0..20 {
        mailer.send(alert(&format!("number {number}")));
    }
    mailer.finish().await;
    for number in 0..20 {
        let said = conversations.try_recv().expect("it was sent before the end");
        assert!(said.contains(&format!("Subject: [LVS_1] number {number}")), "{said:#?}");
    }
}

#[tokio::test]
async fn a_refusal_for_good_ends_a_letter_and_one_for_now_does_not() {
    let (address, mut conversations) = server(|line| match line {
        line if line.starts_with("MAIL") => "550 not from you\r\n",
        line => agreeable(line),
    })
    .await;
    let mailer = start(&config(address, ""));
    mailer.send(alert("refused"));
    let mut queue = mailer.queue.subscribe();
    queue.wait_for(|queue| !queue.is_working).await.expect("the mailer is there");
    assert!(conversations.try_recv().is_ok() && conversations.try_recv().is_err(), "one attempt");

    let (address, mut conversations) = server(|line| match line {
        line if line.starts_with("MAIL") => "451 come again\r\n",
        line => agreeable(line),
    })
    .await;
    mailer.change(&config(address, ""));
    mailer.send(alert("put off"));
    for _ in 0..FAST.attempts {
        conversations.recv().await.expect("another attempt");
    }
    queue.wait_for(|queue| !queue.is_working).await.expect("the mailer is there");
    assert!(conversations.try_recv().is_err(), "no more attempts");
}

/// A server that takes connections and does with them as `then` says.
async fn odd<F>(then: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(then(stream));
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_hangs_or_talks_without_end_costs_bounded_time() {
    let hangs = odd(|mut stream| async move {
        let mut byte = [0];
        while stream.read(&mut byte).await.is_ok_and(|read| read > 0) {}
    });
    let talks = odd(|mut stream| async move {
        for _ in 0..1024 {
            let _gone = stream.write_all(&[b'2'; 4096]).await;
        }
        std::future::pending::<()>().await;
    });
    let closes = odd(|stream| async move { drop(stream) });
    let garbles = odd(|mut stream| async move {
        let _gone = stream.write_all(b"\xff\0 hello\r\n").await;
    });
    let talks = talks.await;
    for address in [hangs.await, talks, closes.await, garbles.await] {
        let config = config(address, "smtp_connect_timeout 1");
        let route = Route::new(&config).expect("it names a server");
        let failure = route.send(&alert("nothing")).await.expect_err("nobody took it");
        assert!(matches!(&failure, Failure::Passing(_)), "{address}: {failure:?}");
        let is_end =
            matches!(&failure, Failure::Passing(why) if why.contains("more than a mail server has to say"));
        assert_eq!(is_end, address == talks, "{failure:?}");
    }
}

#[tokio::test]
async fn what_waits_is_bounded_and_nothing_waits_without_a_server() {
    let mailer = start(&config("127.0.0.1:1".parse().expect("an address"), ""));
    // Nothing is sent before this task waits for something.
    for number in 0..FAST.waiting + 10 {
        mailer.send(alert(&number.to_string()));
    }
    let (waiting, first) = {
        let queue = mailer.queue.borrow();
        (queue.waiting.len(), queue.waiting.front().map(|alert| alert.subject.clone()))
    };
    assert_eq!((waiting, first.as_deref()), (FAST.waiting, Some("10")));
    let silent = start(&Config::default());
    silent.send(alert("nobody"));
    assert!(silent.queue.borrow().waiting.is_empty());
    silent.finish().await;
}
