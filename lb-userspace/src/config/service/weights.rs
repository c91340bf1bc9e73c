//! Owns the shares of the real servers of one virtual server, which keepalived writes with 31 bits and a real server's row
//! holds in 16.

use crate::config::diagnostics::Diagnostic;
use crate::config::model::{Quorum, Weight};
use crate::config::tree::{Statement, Word};
use crate::config::values;

const MOST: u32 = i32::MAX as u32;

/// How the weights that are written become those that count.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Weights {
    /// Of a real server that has none.
    usual: u32,
    divisor: u32,
}

impl Weights {
    /// Those of all real servers of `service`, a `virtual_server`.
    pub(super) fn read(service: &Statement, problems: &mut Vec<Diagnostic>) -> Self {
        let mut usual = 1;
        if let Some(word) = said(service) {
            match values::number(word, "a weight", 1..=MOST) {
                Ok(number) => usual = number,
                Err(problem) => problems.push(problem),
            }
        }
        let servers = service.body().iter().filter(|inner| inner.name() == "real_server");
        // What is wrong of these is said where the server is read.
        let own = servers.filter_map(|server| said(server).map_or(Some(usual), |word| number(word).ok()));
        let largest = own.max().unwrap_or(usual);
        let divisor = largest.div_ceil(u32::from(u16::MAX)).max(1);
        if divisor > 1 {
            let message = format!("the weights are divided by {divisor}: {largest} has more than 16 bits");
            problems.push(Diagnostic::ours(service.header(), message).hint("write weights up to 65535"));
        }
        Self { usual, divisor }
    }

    /// A quorum is a sum of these.
    pub(super) fn scale(self, quorum: &mut Quorum) {
        quorum.least = quorum.least.div_ceil(self.divisor);
        quorum.hysteresis /= self.divisor;
    }

    /// That of a real server with this in its block; nothing but 0 becomes 0.
    pub(in crate::config) fn of(self, own: Option<u32>) -> Weight {
        let written = own.unwrap_or(self.usual);
        let divided = (written / self.divisor).max(written.min(1));
        Weight(u16::try_from(divided).unwrap_or(u16::MAX))
    }
}

/// The weight that a real server's block says.
pub(in crate::config) fn number(word: &Word) -> Result<u32, Diagnostic> {
    values::number(word, "a weight", 0..=MOST)
}

fn said(block: &Statement) -> Option<&Word> {
    block.body().iter().rfind(|setting| setting.name() == "weight")?.arguments.first()
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{config, said, says, service};

    fn servers(inner: &str, weights: &[&str]) -> String {
        let block =
            |(at, weight): (usize, &&str)| format!("real_server 10.0.1.{at} 80 {{\n {weight}\n }}\n ");
        let blocks: Vec<_> = weights.iter().enumerate().map(block).collect();
        service(&format!("{inner}\n {}", blocks.concat()))
    }

    #[track_caller]
    fn read(text: &str) -> Vec<u16> {
        config(text).virtual_servers[0].real_servers.iter().map(|server| server.weight.0).collect()
    }

    #[test]
    fn a_server_without_a_weight_has_that_of_the_service() {
        let text = servers("weight 5", &["", "weight 0", "weight 7"]);
        assert_eq!(said(&text), Vec::<String>::new());
        assert_eq!(read(&text), [5, 0, 7]);
        assert_eq!(read(&servers("", &["", "weight 65535"])), [1, 65535]);
    }

    #[test]
    fn weights_that_are_too_large_are_divided_together() {
        let text = servers("", &["weight 200000", "weight 100000", "weight 1", "weight 0", ""]);
        says(&text, "t:1:1: warning: the weights are divided by 4: 200000 has more than 16 bits");
        assert_eq!(read(&text), [50_000, 25_000, 1, 0, 1]);
        assert_eq!(read(&servers("weight 65536", &[""])), [32768]);
        assert_eq!(read(&servers("", &["weight 2147483647"])), [65534]);
    }

    #[test]
    fn wrong_weights_are_said_once() {
        says(&servers("weight 0", &[""]), "t:5:9: error: `0` is out of range for a weight");
        says(&servers("", &["weight 2147483648"]), "t:7:9: error: `2147483648` is out of range for a weight");
    }
}
