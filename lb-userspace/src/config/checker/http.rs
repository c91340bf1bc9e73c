//! `HTTP_GET` and `SSL_GET`.

use super::{Around, endpoint, url};
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::check::{HttpProbe, HttpProtocol, Tls};
use crate::config::tree::{Statement, Word};
use crate::config::values;

/// An HTTP check; `tls` is how TLS is spoken if nothing is said of it.
pub(super) fn read(
    statement: &Statement,
    mut tls: Option<Tls>,
    around: &Around<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<HttpProbe> {
    let endpoint = endpoint::with_port(statement, around, problems);
    let (mut protocol, mut fast_recovery) = (HttpProtocol::default(), false);
    let mut virtualhost = around.virtualhost.clone();
    for setting in statement.body() {
        let value = setting.arguments.first();
        let result = match (setting.name(), value) {
            ("http_protocol", Some(word)) => version(word).map(|read| protocol = read),
            ("fast_recovery", value) => values::switch(value).map(|read| fast_recovery = read),
            ("virtualhost", Some(word)) => url::host(word).map(|read| virtualhost = Some(read)),
            // Where no TLS is spoken these do nothing, as in keepalived.
            ("enable_sni", _) => {
                tls = tls.map(|tls| Tls { sni: true, ..tls });
                Ok(())
            }
            ("tls_compliant", _) => {
                tls = tls.map(|tls| Tls { compliant: true, ..tls });
                Ok(())
            }
            ("nb_get_retry", _) => {
                let message = "`nb_get_retry` is an older word for `retry`";
                let note = Diagnostic::note(setting.header(), message).hint("write `retry`");
                problems.push(Diagnostic { is_ours: false, ..note });
                Ok(())
            }
            _ => Ok(()),
        };
        problems.extend(result.err());
    }
    let blocks = statement.body().iter().filter(|setting| setting.name() == "url");
    let urls: Vec<_> = blocks.map(|block| url::read(block, virtualhost.as_deref(), problems)).collect();
    if urls.is_empty() {
        let message = format!("{} has no page to ask for", quoted(statement.name()));
        let hint = "write `url { path / }` in it";
        problems.push(Diagnostic::error(statement.header(), message).hint(hint));
    }
    Some(HttpProbe { endpoint: endpoint?, tls, protocol, fast_recovery, urls })
}

fn version(word: &Word) -> Result<HttpProtocol, Diagnostic> {
    let mut known = HttpProtocol::ALL.into_iter();
    known.find(|protocol| protocol.keyword().eq_ignore_ascii_case(&word.text)).ok_or_else(|| {
        Diagnostic::error(word.span, format!("{} is not a version of HTTP", quoted(&word.text)))
            .hint("write 1.0, 1.0C, 1.1 or 1.1K")
    })
}
